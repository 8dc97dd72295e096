"""A channel over HTTP on loopback: whole, slow, dying or wrong."""

import threading
from collections.abc import Generator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any


class ChannelServer:
    """Serves a folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.requests: list[str] = []
        self.stalls_at: str | None = None
        """In files whose name contains this, it stops in the middle until the test ends."""
        self.breaks_at: str | None = None
        """The connection ends in the middle."""
        self.status: int | None = None
        """Of every answer."""
        self.stalled = threading.Event()
        self.ended = threading.Event()
        place = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                place.answer(self, has_body=True)

            def do_HEAD(self) -> None:
                place.answer(self, has_body=False)

            def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the name is the library's
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}"

    def answer(self, request: BaseHTTPRequestHandler, *, has_body: bool) -> None:
        path = request.path.lstrip("/")
        self.requests.append(path)
        file = self.folder / path
        if self.status is not None or not file.is_file():
            request.send_error(self.status or 404)
            return
        content = file.read_bytes()
        request.send_response(200)
        request.send_header("Content-Length", str(len(content)))
        request.end_headers()
        if not has_body:
            return
        half = len(content) // 2
        if self.breaks_at is not None and self.breaks_at in path:
            request.wfile.write(content[:half])
            request.close_connection = True
        elif self.stalls_at is not None and self.stalls_at in path:
            request.wfile.write(content[:half])
            request.wfile.flush()
            self.stalled.set()
            self.ended.wait()
        else:
            request.wfile.write(content)


@contextmanager
def channel_server(folder: Path) -> Generator[ChannelServer]:
    place = ChannelServer(folder)
    thread = threading.Thread(target=place.server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    try:
        yield place
    finally:
        place.ended.set()
        place.server.shutdown()
        place.server.server_close()
        thread.join()
