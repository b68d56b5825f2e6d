"""From a job to the roles that run it."""
