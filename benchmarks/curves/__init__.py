"""Learning curves: what a run gave, kept in a file, and drawn."""
