"""The ledger of a run: what became of every prompt, as events in a file, and the proof of it."""
