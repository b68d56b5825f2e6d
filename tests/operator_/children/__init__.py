"""Tests of the children, without a cluster."""
