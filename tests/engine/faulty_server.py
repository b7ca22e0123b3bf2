"""A real HTTP server on the loopback interface that misbehaves on request.

A test scripts one `Fault` for each coming request, in order; requests beyond the script are served properly,
ranges, validators and all.
"""

from __future__ import annotations

import socket
import struct
import threading
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from stagedml.fetch.download import Downloaded

Fetch = Callable[..., Downloaded]  # the fixture `fetch`


@dataclass(frozen=True)
class Fault:
    """How one answer departs from a proper one.

    `cut`: the connection ends after that many bytes of the body, `reset`: with a reset. `stall`: after that
    many bytes nothing more comes until the client gives up. `status`, `headers`: sent instead of, or besides,
    the proper ones. `length`: a Content-Length that lies; "" for none at all. `ranges`, `validator`: whether
    they are honoured and sent. `dribble`: each byte is sent on its own.
    """

    cut: int | None = None
    reset: bool = False
    stall: int | None = None
    status: int | None = None
    headers: tuple[tuple[str, str], ...] = ()
    length: str | None = None
    ranges: bool = True
    validator: bool = True
    body: bytes | None = None
    chunked: bool = False
    dribble: bool = False


@dataclass
class Site:
    """What the server serves, what is to go wrong next, and what was asked of it."""

    url: str = ""
    content: dict[str, bytes] = field(default_factory=dict)
    etags: dict[str, str] = field(default_factory=dict)
    faults: deque[Fault] = field(default_factory=deque)
    requests: list[tuple[str, dict[str, str]]] = field(default_factory=list)
    stalled: threading.Event = field(default_factory=threading.Event)
    released: threading.Event = field(default_factory=threading.Event)

    def put(self, path: str, body: bytes, etag: str = '"v1"') -> str:
        """Publishes a body and returns its URL."""
        self.content[path], self.etags[path] = body, etag
        return self.url + path

    def ranges(self) -> list[str]:
        """The Range header of each request so far, "" where there was none."""
        return [headers.get("range", "") for _, headers in self.requests]


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: FaultyServer

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        """Keeps the tests' output clean."""

    def do_GET(self) -> None:
        site = self.server.site
        path = self.path
        headers = {k.lower(): v for k, v in self.headers.items()}
        site.requests.append((path, headers))
        fault = site.faults.popleft() if site.faults else Fault()
        if path.startswith("http://"):  # asked as a proxy
            path = "/" + path.split("/", 3)[3]
        if fault.status is not None:
            self._send(fault.status, fault.body or b"", fault)
        elif path not in site.content:
            self._send(404, b"no such page", fault)
        else:
            self._serve(site.content[path], site.etags[path], headers, fault)

    def _serve(self, body: bytes, etag: str, headers: dict[str, str], fault: Fault) -> None:
        extra = [("ETag", etag)] if fault.validator and etag else []
        wanted = headers.get("range", "")
        if wanted and fault.ranges and headers.get("if-range", etag) == etag:
            start = int(wanted.removeprefix("bytes=").rstrip("-"))
            if start >= len(body):
                self._send(416, b"", fault, [("Content-Range", f"bytes */{len(body)}")])
                return
            extra.append(("Content-Range", f"bytes {start}-{len(body) - 1}/{len(body)}"))
            self._send(206, body[start:], fault, extra)
        else:
            self._send(200, body, fault, extra)

    def _send(
        self, status: int, body: bytes, fault: Fault, extra: list[tuple[str, str]] | None = None
    ) -> None:
        self.close_connection = True
        self.send_response(status)
        for key, value in [*(extra or []), *fault.headers]:
            self.send_header(key, value)
        if fault.chunked:
            self.send_header("Transfer-Encoding", "chunked")
        elif fault.length != "":
            self.send_header("Content-Length", fault.length or str(len(body)))
        self.end_headers()
        until = min(x for x in (fault.cut, fault.stall, len(body)) if x is not None)
        self._write(body[:until], fault)
        if fault.reset:
            # closing a socket that may not linger sends a reset instead of an orderly end
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        elif fault.stall is not None:
            self.server.site.stalled.set()
            self.server.site.released.wait(30)

    def _write(self, body: bytes, fault: Fault) -> None:
        step = 1 if fault.dribble else max(len(body), 1)
        for i in range(0, len(body), step):
            piece = body[i : i + step]
            self.wfile.write(b"%x\r\n%s\r\n" % (len(piece), piece) if fault.chunked else piece)
        if fault.chunked and fault.cut is None:
            self.wfile.write(b"0\r\n\r\n")


class FaultyServer(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, site: Site) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.site = site

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that hangs up is part of the tests."""


@contextmanager
def serving() -> Iterator[Site]:
    """Runs a server for as long as the block lasts."""
    site = Site()
    server = FaultyServer(site)
    site.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield site
    finally:
        site.released.set()
        server.shutdown()
        thread.join()
        server.server_close()
