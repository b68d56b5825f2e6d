"""A real Kubernetes control plane for tests: `python -m tests.cluster` starts one by hand."""
