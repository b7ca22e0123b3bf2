"""Our fine-tuning beside Hugging Face's Trainer: see `python -m benchmarks.finetune --help`."""
