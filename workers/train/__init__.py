"""Training programs: tokenizer, pre-training, supervised fine-tuning. Started as `python -m workers.train run.json`."""
