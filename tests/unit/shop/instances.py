"""HTTP servers on ports of their own that behave well and badly, as instances behind a gateway do."""

from __future__ import annotations

import gzip
import json
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


class Handler(BaseHTTPRequestHandler):
    """An instance: echoes what it got, or misbehaves as the path wants it."""

    protocol_version = "HTTP/1.1"
    server: Instance

    def do_GET(self) -> None:
        body = self._body()
        self.server.requests.append(self.requestline)
        known = self.server.answers.get(self.path)
        if known is not None:
            self._answer(known)
            return
        behaviour = [*self.path.split("/"), "", ""][2].partition("?")[0]
        getattr(self, f"_{behaviour}", self._echo)(body)

    do_POST = do_PUT = do_DELETE = do_HEAD = do_PATCH = do_OPTIONS = do_GET

    def log_message(self, *_: Any) -> None:
        pass

    def _body(self) -> bytes:
        if self.headers.get("transfer-encoding") != "chunked":
            return self.rfile.read(int(self.headers.get("content-length", 0)))
        body = b""
        while size := int(self.rfile.readline(), 16):
            body += self.rfile.read(size)
            self.rfile.readline()
        self.rfile.readline()
        return body

    def _answer(self, body: bytes, *headers: tuple[str, str], status: int = 200) -> None:
        self.send_response(status)
        for name, value in headers:
            self.send_header(name, value)
        if status not in (204, 304):
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD" and status not in (204, 304):
            self.wfile.write(body)

    def _echo(self, body: bytes) -> None:
        told = {
            "port": self.server.server_port,
            "request": self.requestline,
            "headers": [[name.lower(), value] for name, value in self.headers.items()],
            "length": len(body),
            "now": time.time_ns() // 1_000_000,
        }
        self._answer(json.dumps(told).encode())

    def _headers(self, _: bytes) -> None:
        self._answer(
            b"x",
            ("Set-Cookie", "a=1"),
            ("Set-Cookie", "b=2"),
            ("Keep-Alive", "timeout=5"),
            ("Connection", "X-Private"),
            ("X-Private", "one hop"),
            ("ETag", '"e"'),
        )

    def _gzip(self, _: bytes) -> None:
        self._answer(gzip.compress(b"plain"), ("Content-Encoding", "gzip"))

    def _status(self, _: bytes) -> None:
        self._answer(b"no", status=int(self.path.rpartition("/")[2]))

    def _breakonce(self, body: bytes) -> None:
        """Break off, unless an instance of this program has just done so."""
        if self.server.broke.is_set():
            self._echo(body)
        else:
            self.server.broke.set()
            self._break(body)

    def _break(self, _: bytes) -> None:
        self.close_connection = True
        self.connection.shutdown(socket.SHUT_RDWR)

    def _cut(self, _: bytes) -> None:
        self.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf of it")
        self._break(b"")

    def _mute(self, _: bytes) -> None:
        self.server.go_on.wait(30)
        self._break(b"")

    def _slowly(self, _: bytes) -> None:
        self.wfile.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nfirst\r\n")
        self.wfile.flush()
        self.server.go_on.wait(30)
        self.wfile.write(b"6\r\nsecond\r\n0\r\n\r\n")


class Instance(ThreadingHTTPServer):
    """An HTTP server on a port of its own."""

    daemon_threads = True
    # A test that waits for an answer must not wait for others to let go of their connections.
    block_on_close = False

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.requests: list[str] = []
        self.go_on = threading.Event()
        self.broke = BROKE
        self.answers: dict[str, bytes] = {}
        """Given to these paths."""

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    def handle_error(self, *_: Any) -> None:
        """A connection that the handler broke on purpose."""


BROKE = threading.Event()
"""Shared, so that the second instance knows of the first."""


@contextmanager
def serving(count: int) -> Iterator[list[Instance]]:
    """So many instances that answer until the end."""
    instances = [Instance() for _ in range(count)]
    for instance in instances:
        threading.Thread(target=instance.serve_forever, daemon=True).start()
    try:
        yield instances
    finally:
        for instance in instances:
            instance.go_on.set()
            instance.shutdown()
            instance.server_close()
