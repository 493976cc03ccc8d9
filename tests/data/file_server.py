"""A web server on this machine that gives files as told: with ranges, cut short, slowly, or not at all."""

import ssl
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any


@dataclass
class FileServer:
    """`files`: path → content. `cuts`: for the next answers, after how many bytes the connection
    breaks. `lengths`: whether sizes are told. `statuses`: for the next answers, a status to give
    instead. `stall`: seconds without a byte in the middle of the next answer. `requests`: (path,
    Range) of all that were made. `redirects`: path → where to look instead."""

    url: str = ""
    files: dict[str, bytes] = field(default_factory=dict)
    etag: str | None = '"1"'
    lengths: bool = True
    ranges: bool = True
    cuts: list[int] = field(default_factory=list)
    statuses: list[int] = field(default_factory=list)
    stalls: list[float] = field(default_factory=list)
    requests: list[tuple[str, str | None]] = field(default_factory=list)
    redirects: dict[str, str] = field(default_factory=dict)


@contextmanager
def serving(certificate: Path | None = None) -> Iterator[FileServer]:
    """The server, while it runs; with the `certificate` (and key) of a PEM file it speaks https."""
    told = FileServer()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            wanted = self.headers.get("Range")
            told.requests.append((self.path, wanted))
            if self.path in told.redirects:
                self.send_response(302)
                self.send_header("Location", told.redirects[self.path])
                self.send_header("Content-Length", "0")
                self.end_headers()
                return
            content = told.files.get(self.path)
            if told.statuses or content is None:
                self.send_error(told.statuses.pop(0) if told.statuses else 404)
                return
            start = 0
            if wanted and told.ranges and self.headers.get("If-Range") == told.etag:
                start = int(wanted.removeprefix("bytes=").rstrip("-"))
                if start >= len(content):
                    self.send_response(416)
                    if told.lengths:
                        self.send_header("Content-Range", f"bytes */{len(content)}")
                    self.send_header("Content-Length", "0")
                    self.end_headers()
                    return
                self.send_response(206)
                self.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
            else:
                self.send_response(200)
            if told.etag:
                self.send_header("ETag", told.etag)
            if told.lengths:
                self.send_header("Content-Length", str(len(content) - start))
            else:
                self.close_connection = True
            self.end_headers()
            self._send(content[start:])

        def _send(self, body: bytes) -> None:
            if told.stalls:
                self.wfile.write(body[: len(body) // 2])
                self.wfile.flush()
                time.sleep(told.stalls.pop(0))
                body = body[len(body) // 2 :]
            if told.cuts:
                body = body[: told.cuts.pop(0)]
                self.close_connection = True
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            """Nothing on the terminal."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    told.url = f"http://127.0.0.1:{server.server_port}"
    if certificate is not None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate)
        server.socket = context.wrap_socket(server.socket, server_side=True)
        told.url = told.url.replace("http:", "https:")
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    try:
        yield told
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
