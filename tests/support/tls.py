"""A proxy that adds TLS to a server built without it, as a load balancer or stunnel does."""

import contextlib
import socket
import ssl
import threading
from pathlib import Path


class TlsProxy:
    """Forwards connections to a port of 127.0.0.1, within a `with` block."""

    def __init__(self, target: int, certificate: Path, key: Path) -> None:
        self._target = target
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._context.load_cert_chain(certificate, key)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._threads = [threading.Thread(target=self._accept)]
        self._open: list[socket.socket] = []

    def __enter__(self) -> "TlsProxy":
        self._threads[0].start()
        return self

    def __exit__(self, *_: object) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._threads[0].join()
        for each in self._open:
            with contextlib.suppress(OSError):  # the other end has closed it
                each.shutdown(socket.SHUT_RDWR)
        for thread in self._threads[1:]:
            thread.join()
        for each in (self._listener, *self._open):
            each.close()

    def _accept(self) -> None:
        while True:
            try:
                plain, _ = self._listener.accept()
            except OSError:  # the block has ended
                return
            try:
                outside = self._context.wrap_socket(plain, server_side=True)
            except OSError:  # a client that does not trust the certificate
                plain.close()
                continue
            inside = socket.create_connection(("127.0.0.1", self._target))
            self._open += [outside, inside]
            for source, target in ((outside, inside), (inside, outside)):
                thread = threading.Thread(target=_pass_on, args=(source, target))
                thread.start()
                self._threads.append(thread)


def _pass_on(source: socket.socket, target: socket.socket) -> None:
    with contextlib.suppress(OSError):  # either end is closed
        while data := source.recv(2**16):
            target.sendall(data)
        target.shutdown(socket.SHUT_RDWR)
