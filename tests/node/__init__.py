"""Tests in real pods: a kubelet, containerd, a network and DNS, in namespaces of this machine.

`make test-node` runs them. It needs root on Linux, and Debian's packages.
"""
