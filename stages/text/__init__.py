"""Text of any kind: sentences, WordPiece, sharded files, examples and their records."""
