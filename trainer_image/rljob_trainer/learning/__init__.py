"""The models of a job, and how they learn from a batch."""
