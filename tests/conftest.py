"""Fixtures of all tests."""

pytest_plugins = ["tests.support.engine", "tests.cluster.fixtures"]
