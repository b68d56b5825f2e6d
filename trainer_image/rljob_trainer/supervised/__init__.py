"""Supervised fine-tuning: batches of answers from the data, without buffer and engines."""
