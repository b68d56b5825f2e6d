"""Generate functions and rewards that were written for slime."""
