"""Options passed through to megatron-core and SGLang, checked against the pinned versions.

The tables beside this file are written by tests/api/passthrough_tables.py from the packages.
"""
