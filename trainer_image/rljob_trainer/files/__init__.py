"""Files of the run directory, and whose they are."""
