"""GLUE: data, metrics, fine-tuning, tables. A newcomer copies this folder to make a new sentence task."""
