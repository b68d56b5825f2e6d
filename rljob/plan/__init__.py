"""The plan of a job: the roles that run it."""
