#!/usr/bin/env python3
"""A client of GA4GH WES 1.1 in one file, with nothing but Python's standard library. Copy it, and change it.

    wes_client.py service-info
    wes_client.py submit workflows/word-count --params inputs/word-count.json --tag project=poems --watch
    wes_client.py list --state RUNNING
    wes_client.py watch RUN
    wes_client.py tasks RUN
    wes_client.py logs RUN [TASK] [--follow]
    wes_client.py outputs RUN [--to FOLDER]
    wes_client.py cancel RUN

Environment variables name the server and the credentials:

    WES_URL                     http://127.0.0.1:8000/ga4gh/wes/v1 when it is not set
    WES_TOKEN                   a bearer token, or
    WES_USER, WES_PASSWORD      a name and password
"""

import argparse
import base64
import hashlib
import json
import os
import shutil
import signal
import sys
import time
import urllib.error
import urllib.request
import uuid
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import IO, Any
from urllib.parse import quote, urlencode

TIMEOUT_S = 60
POLL_S = 1.0
OVER = {"COMPLETE", "EXECUTOR_ERROR", "SYSTEM_ERROR", "CANCELED", "PREEMPTED"}
EXIT_FAILED = 10


class WesError(Exception):
    """The server refused a request, or could not be reached."""


class WesClient:
    """Sends requests to one server.

    Args:
        url: of the service, for example `http://127.0.0.1:8000/ga4gh/wes/v1`.
        token: a bearer token; empty: none.
        user: a name for Basic authentication; empty: none.
        password: the password of `user`.
    """

    def __init__(self, url: str, *, token: str = "", user: str = "", password: str = "") -> None:
        self.url = url.rstrip("/")
        self._authorization = ""
        if token:
            self._authorization = f"Bearer {token}"
        elif user:
            self._authorization = "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()

    def service_info(self) -> dict[str, Any]:
        """Return the description of the server."""
        return self._json("GET", "/service-info")

    def submit(
        self,
        *,
        workflow_url: str,
        attachments: Mapping[str, bytes],
        params: Mapping[str, Any],
        tags: Mapping[str, str],
        engine_parameters: Mapping[str, str | None],
        workflow_type: str = "SMK",
        workflow_type_version: str = "1.0",
    ) -> str:
        """Submit a run and return its id.

        `attachments` are the workflow's files by their relative paths, and `workflow_url` is the path of the main one.
        """
        fields = {
            "workflow_type": workflow_type,
            "workflow_type_version": workflow_type_version,
            "workflow_url": workflow_url,
            "workflow_params": json.dumps(params),
            "tags": json.dumps(tags),
            "workflow_engine_parameters": json.dumps(engine_parameters),
        }
        content_type, body = encode_form(fields, attachments)
        return self._json("POST", "/runs", body, content_type)["run_id"]

    def runs(self, **filters: str) -> Iterator[dict[str, Any]]:
        """Yield all runs, newest first, page by page."""
        yield from self._pages("/runs", "runs", filters)

    def run(self, run_id: str) -> dict[str, Any]:
        """Return all that is known of a run."""
        return self._json("GET", f"/runs/{run_id}")

    def state(self, run_id: str) -> str:
        """Return the state of a run."""
        return self._json("GET", f"/runs/{run_id}/status")["state"]

    def watch(self, run_id: str) -> Iterator[str]:
        """Yield the state of a run whenever it changed, until it is over."""
        last = ""
        while last not in OVER:
            state = self.state(run_id)
            if state != last:
                yield state
            else:
                time.sleep(POLL_S)
            last = state

    def tasks(self, run_id: str) -> Iterator[dict[str, Any]]:
        """Yield the tasks of a run, page by page."""
        yield from self._pages(f"/runs/{run_id}/tasks", "task_logs", {})

    def task(self, run_id: str, task_id: str) -> dict[str, Any]:
        """Return one task of a run."""
        return self._json("GET", f"/runs/{run_id}/tasks/{quote(task_id, safe='')}")

    def outputs(self, run_id: str) -> list[dict[str, Any]]:
        """Return the files that a run produced: their `path`, `size`, `sha256` and `url`."""
        outputs = self.run(run_id)["outputs"]
        files = outputs.get("files", [])
        if len(files) < outputs.get("total_files", 0):  # a run lists a thousand of them; this address has all
            files = self._json("GET", f"/runs/{run_id}/outputs")["files"]
        return files

    def cancel(self, run_id: str) -> None:
        """Cancel a run; one that is over stays as it is."""
        self._json("POST", f"/runs/{run_id}/cancel", b"")

    def open(self, address: str, *, timeout_s: float = TIMEOUT_S) -> IO[bytes]:
        """Open an address that an answer holds; a log or an output."""
        return self._open(urllib.request.Request(address), timeout_s)

    def _pages(self, path: str, name: str, filters: Mapping[str, str]) -> Iterator[dict[str, Any]]:
        token = ""
        while True:
            query = urlencode({"page_size": "100", **filters, **({"page_token": token} if token else {})})
            page = self._json("GET", f"{path}?{query}")
            yield from page[name]
            token = page.get("next_page_token", "")
            if not token:
                return

    def _json(self, method: str, path: str, body: bytes | None = None, content_type: str = "") -> Any:
        request = urllib.request.Request(self.url + path, data=body, method=method)
        if content_type:
            request.add_header("Content-Type", content_type)
        with self._open(request, TIMEOUT_S) as answer:
            return json.load(answer)

    def _open(self, request: urllib.request.Request, timeout_s: float) -> IO[bytes]:
        # Credentials are for this service alone: not for where an address of it may lead, and not across redirects.
        if self._authorization and request.full_url.startswith(self.url + "/"):
            request.add_unredirected_header("Authorization", self._authorization)
        try:
            return urllib.request.urlopen(request, timeout=timeout_s)
        except urllib.error.HTTPError as error:
            raise WesError(f"{request.method or 'GET'} {request.full_url}: {error.code} {_message(error)}") from None
        except OSError as error:
            raise WesError(f"{request.full_url} cannot be reached: {error}") from None


def _message(error: urllib.error.HTTPError) -> str:
    """Return the message of a refusal: WES responds with `{msg, status_code}`."""
    text = error.read().decode(errors="replace")
    try:
        return str(json.loads(text)["msg"])
    except (ValueError, KeyError, TypeError):
        return text[:500] or error.reason


def encode_form(fields: Mapping[str, str], attachments: Mapping[str, bytes]) -> tuple[str, bytes]:
    """Return the content type and the bytes of a `multipart/form-data` body."""
    boundary = uuid.uuid4().hex
    parts = [
        f'--{boundary}\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'.encode()
        for name, value in fields.items()
    ]
    for name, content in attachments.items():
        file_name = name.replace("\\", "\\\\").replace('"', "%22")
        head = f'Content-Disposition: form-data; name="workflow_attachment"; filename="{file_name}"\r\n'
        parts.append(
            f"--{boundary}\r\n{head}Content-Type: application/octet-stream\r\n\r\n".encode() + content + b"\r\n"
        )
    parts.append(f"--{boundary}--\r\n".encode())
    return f"multipart/form-data; boundary={boundary}", b"".join(parts)


def read_workflow(path: Path) -> tuple[str, dict[str, bytes]]:
    """Return the main file of a workflow and all its files, by relative path: of one file, or of a folder."""
    if path.is_file():
        return path.name, {path.name: path.read_bytes()}
    files = {
        str(PurePosixPath(file.relative_to(path))): file.read_bytes()
        for file in sorted(path.rglob("*"))
        if file.is_file() and not any(part.startswith(".") for part in file.relative_to(path).parts)
    }
    for name in ("Snakefile", "workflow/Snakefile"):
        if name in files:
            return name, files
    raise WesError(f"{path} is no workflow: it has neither Snakefile nor workflow/Snakefile")


def fetch(client: WesClient, run_id: str, folder: Path) -> None:
    """Download the outputs of a run and check them."""
    for output in client.outputs(run_id):
        target = (folder / output["path"]).resolve()
        if not target.is_relative_to(folder.resolve()):
            raise WesError(f"the output {output['path']} would be outside of {folder}")
        target.parent.mkdir(parents=True, exist_ok=True)
        with client.open(output["url"]) as source, target.open("wb") as file:
            shutil.copyfileobj(source, file)
        if hashlib.sha256(target.read_bytes()).hexdigest() != output["sha256"]:
            raise WesError(f"{target} is not what was stored; fetch it again")
        print(target)


def follow(client: WesClient, run_id: str) -> int:
    """Print a run's states until it has ended; return the exit code for its outcome."""
    state = ""
    for state in client.watch(run_id):
        print(state, file=sys.stderr, flush=True)
    return 0 if state == "COMPLETE" else EXIT_FAILED


def show_log(client: WesClient, run_id: str, task_id: str | None, *, stream: str, is_followed: bool) -> None:
    """Write a log to standard output."""
    log = client.task(run_id, task_id) if task_id else client.run(run_id)["run_log"]
    address = log.get(stream)
    if address is None:
        raise WesError("it has not started: there is no log")
    with client.open(address + ("?follow=true" if is_followed else "")) as source:
        while piece := source.read1(1 << 16):  # as it comes
            sys.stdout.buffer.write(piece)
            sys.stdout.flush()


def submit(client: WesClient, options: argparse.Namespace) -> int:
    """Submit the workflow of the command line."""
    workflow_url, attachments = read_workflow(options.workflow)
    for path in options.attach:
        attachments[path.name] = path.read_bytes()
    run_id = client.submit(
        workflow_url=workflow_url,
        attachments=attachments,
        params=json.loads(options.params.read_text()) if options.params else {},
        tags=dict(tag.partition("=")[::2] for tag in options.tag),
        engine_parameters={name: value if sign else None for name, sign, value in map(_split, options.engine)},
        workflow_type=options.type,
        workflow_type_version=options.type_version,
    )
    print(run_id, flush=True)
    return follow(client, run_id) if options.watch else 0


def _split(text: str) -> tuple[str, str, str]:
    return text.partition("=")


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("service-info")
    new = commands.add_parser("submit")
    new.add_argument("workflow", type=Path, help="a folder with a Snakefile, or one file")
    new.add_argument("--params", type=Path, help="a JSON file")
    new.add_argument("--attach", type=Path, action="append", default=[], help="a further file")
    new.add_argument("--tag", action="append", default=[], metavar="NAME=VALUE")
    new.add_argument("--engine", action="append", default=[], metavar="NAME[=VALUE]", help="an engine parameter")
    new.add_argument("--type", default="SMK", help="the type of the workflow")
    new.add_argument("--type-version", default="1.0")
    new.add_argument("--watch", action="store_true", help="wait until it is over")
    runs = commands.add_parser("list")
    runs.add_argument("--state", help="only runs in this state")
    for name in ("watch", "tasks", "logs", "outputs", "cancel"):
        commands.add_parser(name).add_argument("run")
    commands.choices["logs"].add_argument("task", nargs="?")
    commands.choices["logs"].add_argument("--stream", choices=("stdout", "stderr"), default="stderr")
    commands.choices["logs"].add_argument("--follow", action="store_true")
    commands.choices["outputs"].add_argument("--to", type=Path, help="download them into this folder")
    return parser.parse_args(arguments)


def execute(client: WesClient, options: argparse.Namespace) -> int:
    """Execute the command; return the exit code."""
    match options.command:
        case "service-info":
            print(json.dumps(client.service_info(), indent=2))
        case "submit":
            return submit(client, options)
        case "list":
            for run in client.runs(**({"state": options.state} if options.state else {})):
                print(run["run_id"], run["state"], run.get("start_time", "-"), sep="\t")
        case "watch":
            return follow(client, options.run)
        case "tasks":
            for task in client.tasks(options.run):
                print(task["id"], task["name"], task.get("exit_code", "-"), sep="\t")
        case "logs":
            show_log(client, options.run, options.task, stream=options.stream, is_followed=options.follow)
        case "outputs" if options.to:
            fetch(client, options.run, options.to)
        case "outputs":
            for output in client.outputs(options.run):
                print(output["path"], output["size"], output["url"], sep="\t")
        case "cancel":
            client.cancel(options.run)
    return 0


def main(arguments: Sequence[str] | None = None) -> int:
    """Execute the command line, and print an error as one line."""
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)  # `... | head` ends it without a message
    client = WesClient(
        os.environ.get("WES_URL", "http://127.0.0.1:8000/ga4gh/wes/v1"),
        token=os.environ.get("WES_TOKEN", ""),
        user=os.environ.get("WES_USER", ""),
        password=os.environ.get("WES_PASSWORD", ""),
    )
    try:
        return execute(client, parse(arguments))
    except WesError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())
