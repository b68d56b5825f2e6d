"""What the trainer tells of itself: records, metrics, logs."""
