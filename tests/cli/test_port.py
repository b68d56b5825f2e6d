"""Ports are distinct, free, and outside the range of outgoing connections."""

import socket

import pytest

from rljob.cli.port import check_free, free_ports
from rljob.errors import UsageError

HOST = "127.0.0.1"


def test_ports_can_be_had_and_differ():
    ports = free_ports(HOST, 20)
    assert len(set(ports)) == 20
    assert all(10_000 <= port < 32_768 for port in ports)
    for port in ports:
        check_free(HOST, port, "--metrics-port")


def test_a_port_somebody_listens_on_is_not_free():
    with socket.socket() as taken:
        taken.bind((HOST, 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(UsageError, match=f"--metrics-port: port {port}"):
            check_free(HOST, port, "--metrics-port")
