"""One decision about a job per file."""
