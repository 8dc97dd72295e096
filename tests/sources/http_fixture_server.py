"""Servers of workflows on loopback: plain files, redirects, and git repositories by `git http-backend`."""

import os
import ssl
import subprocess
import threading
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

GIT = {
    "PATH": os.environ["PATH"],
    "GIT_CONFIG_NOSYSTEM": "1",
    "GIT_CONFIG_GLOBAL": os.devnull,
    **{f"GIT_{who}_{what}": f"{what}@test" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")},
}


GIT_PATHS = ("/info/refs", "/git-upload-pack")


class FixtureServer:
    """What a server gives, by path: bytes, or the address that it redirects to; and what it was requests."""

    def __init__(self, host: str, repositories: Path | None, tls: ssl.SSLContext | None) -> None:
        self.pages: dict[str, bytes | str] = {}
        self.requests: list[tuple[str, str]] = []
        """(Host header, path)"""
        self.repositories = repositories
        self.authorizations: list[str | None] = []
        """What came with each request."""
        self.required_authorization: str | None = None
        """The header `Authorization` without which it gives nothing."""
        self.broken = 0
        """How many requests get the answer 503 before the others."""
        self.is_silent = False
        """Whether it answers nothing."""
        place = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                place.answer(self)

            def do_POST(self) -> None:
                place.answer(self)

            def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the name is the library's
                pass

        self.server = ThreadingHTTPServer((host, 0), Handler)
        if tls is not None:
            self.server.socket = tls.wrap_socket(self.server.socket, server_side=True, do_handshake_on_connect=False)
        self.port: int = self.server.server_address[1]
        self.url = f"{'http' if tls is None else 'https'}://{host}:{self.port}"

    def answer(self, request: BaseHTTPRequestHandler) -> None:
        path, _, query = request.path.partition("?")
        while self.is_silent:
            if not request.rfile.read(1):
                return
        self.requests.append((request.headers.get("Host", ""), request.path))
        self.authorizations.append(request.headers.get("Authorization"))
        if (
            self.required_authorization is not None
            and request.headers.get("Authorization") != self.required_authorization
        ):
            request.send_response(401)
            request.send_header("WWW-Authenticate", 'Basic realm="elsewhere"')
            request.send_header("Content-Length", "0")
            request.end_headers()
            return
        if self.broken:
            self.broken -= 1
            request.send_error(503)
            return
        page = self.pages.get(path)
        if isinstance(page, str):
            request.send_response(302)
            request.send_header("Location", page)
            request.send_header("Content-Length", "0")
            request.end_headers()
        elif page is not None:
            request.send_response(200)
            request.send_header("Content-Length", str(len(page)))
            request.end_headers()
            request.wfile.write(page)
        elif self.repositories is not None and path.endswith(GIT_PATHS):
            self._git(request, self.repositories, path, query)
        else:
            request.send_error(404)

    def _git(self, request: BaseHTTPRequestHandler, repositories: Path, path: str, query: str) -> None:
        body = request.rfile.read(int(request.headers.get("Content-Length") or 0))
        environment = {
            **GIT,
            "GIT_PROJECT_ROOT": str(repositories),
            "GIT_HTTP_EXPORT_ALL": "1",
            "REQUEST_METHOD": request.command,
            "PATH_INFO": path,
            "QUERY_STRING": query,
            "CONTENT_TYPE": request.headers.get("Content-Type", ""),
            "HTTP_CONTENT_ENCODING": request.headers.get("Content-Encoding", ""),
            "GIT_PROTOCOL": request.headers.get("Git-Protocol", ""),
            "REMOTE_ADDR": "127.0.0.1",
        }
        done = subprocess.run(["git", "http-backend"], input=body, env=environment, capture_output=True, check=False)
        head, _, content = done.stdout.partition(b"\r\n\r\n")
        headers = dict(line.split(": ", 1) for line in head.decode().splitlines() if ": " in line)
        request.send_response(int(headers.pop("Status", "200").split()[0]))
        for name, value in headers.items():
            request.send_header(name, value)
        request.send_header("Content-Length", str(len(content)))
        request.end_headers()
        request.wfile.write(content)


@contextmanager
def fixture_server(
    host: str = "127.0.0.1", repositories: Path | None = None, tls: ssl.SSLContext | None = None
) -> Generator[FixtureServer]:
    place = FixtureServer(host, repositories, tls)
    thread = threading.Thread(target=place.server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    try:
        yield place
    finally:
        place.server.shutdown()
        place.server.server_close()
        thread.join()


def repository(folder: Path, files: Mapping[str, str | bytes | Path]) -> str:
    """Make a repository, or another commit of one; a path is a link. Return the commit."""
    folder.mkdir(exist_ok=True)
    if not (folder / ".git").exists():
        git(folder, "init", "--quiet", "--initial-branch=main")
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if isinstance(content, Path):
            path.symlink_to(content)
        else:
            path.write_bytes(content.encode() if isinstance(content, str) else content)
    git(folder, "add", "--all", "--force")
    git(folder, "commit", "--quiet", "--message=change")
    return git(folder, "rev-parse", "HEAD")


def git(folder: Path, *arguments: str) -> str:
    done = subprocess.run(["git", *arguments], cwd=folder, env=GIT, capture_output=True, text=True, check=True)
    return done.stdout.strip()
