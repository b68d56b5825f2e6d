"""The ledger of a run, an event log of what happened to every prompt, and its audit."""
