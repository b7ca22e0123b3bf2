"""BERT: the model, one training loop for all tasks, checkpoints of every common format, and the stages."""
