"""The three images, built for CPUs, and what their pods run first, run in them.

`make images` builds them, and `make test-images` tests them, with docker, or with buildah as root.
"""
