"""CPU seconds to turn a text into ids: which tokenizer, text, vocabulary."""

import json
import sys
import time
from pathlib import Path


def main() -> None:
    """One pass over the lines of a text, from cold."""
    which, text, vocab = sys.argv[1:]
    lines = Path(text).read_text(encoding="utf-8").split("\n")
    if which == "google":
        from official.nlp.tools.tokenization import FullTokenizer

        tokenizer = FullTokenizer(vocab)
        begun = time.process_time()
        count = sum(len(tokenizer.convert_tokens_to_ids(tokenizer.tokenize(line))) for line in lines)
    elif which == "huggingface":
        import os

        from tokenizers import BertWordPieceTokenizer

        os.environ["TOKENIZERS_PARALLELISM"] = "false"
        theirs = BertWordPieceTokenizer(vocab)
        begun = time.process_time()
        count = sum(len(e.ids) for e in theirs.encode_batch(lines, add_special_tokens=False))
    else:
        from stagedml.stages.text.wordpiece import WordPieceTokenizer

        ours = WordPieceTokenizer(Path(vocab), lower_case=True)
        begun = time.process_time()
        count = len(ours.encode_lines([lines]).ids)
    print(json.dumps({"tokens": count, "seconds": time.process_time() - begun}))


main()
