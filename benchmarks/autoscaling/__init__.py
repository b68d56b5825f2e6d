"""Parts of `benchmarks/autoscale.py`."""
