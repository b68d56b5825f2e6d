"""The Kubernetes operator: turns an RLJob into the same four roles that `rljob run` starts."""
