"""Count the product files that a request passes through: `python -m tools.request_path`.

A file counts when one of its functions is called between the request and its response, in the request's own task. The
gateway runs on the in-memory cluster without authentication. Adapters, and what is called by them alone, are not part
of the count.
"""

import sys
from collections.abc import AsyncGenerator, Generator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from types import FrameType
from typing import Any, Final, cast

import anyio
import anyio.lowlevel
import click
import httpx

from penstock_gateway.settings import GatewaySettings
from penstock_gateway.wiring.gateway import build_gateway
from penstock_runtime.runtime import SYSTEM
from penstock_testing.memory import MemoryBlobs, MemoryCluster

READY_S: Final = 10.0
SUBMISSION: Final[dict[str, Any]] = {
    "pipeline_name": "hello",
    "source": {"files": {"Snakefile": "rule all:\n    output: 'a'\n    shell: 'touch {output}'\n"}},
}
"""The measured submission: a JSON body with a file."""
NOT_COUNTED: Final = ("penstock_jetstream", "penstock_testing")
ROOT: Final = Path(__file__).parents[1]


async def measure() -> dict[str, tuple[str, ...]]:
    """Return the files of each measured request, relative to the repository."""
    with TemporaryDirectory() as folder:
        async with _gateway(Path(folder)) as client:
            await client.post("/jobs", json=SUBMISSION)  # initial work is done
            with _recorded() as submitting:
                response = await client.post("/jobs", json=SUBMISSION)
            response.raise_for_status()
            path = response.headers["location"]
            (await client.get(path)).raise_for_status()
            with _recorded() as reading:
                (await client.get(path)).raise_for_status()
    return {"POST /jobs": tuple(sorted(submitting)), "GET /jobs/{id}": tuple(sorted(reading))}


@contextmanager
def _recorded() -> Generator[set[str]]:
    """Record the files of the product whose functions are called within the block."""
    files: set[str] = set()
    task = anyio.get_current_task().id

    def on_call(frame: FrameType, event: str, _: object) -> None:
        file = frame.f_code.co_filename
        if event != "call" or not file.startswith(str(ROOT)) or f"{ROOT}/.venv" in file or f"{ROOT}/tools" in file:
            return
        name = file.removeprefix(f"{ROOT}/")
        if name.startswith("tests/") or _is_adapter(frame) or _is_elsewhere(task):
            return
        files.add(name)

    before = sys.getprofile()
    sys.setprofile(on_call)
    try:
        yield files
    finally:
        sys.setprofile(before)


def _is_adapter(frame: FrameType | None) -> bool:
    """Return whether an adapter is called, or has called this."""
    while frame is not None:
        if any(package in frame.f_code.co_filename for package in NOT_COUNTED):
            return True
        frame = frame.f_back
    return False


def _is_elsewhere(task: int) -> bool:
    """Return whether another task runs, such as the gateway's own work in the background."""
    try:
        return anyio.get_current_task().id != task
    except RuntimeError:
        return True


@asynccontextmanager
async def _gateway(folder: Path) -> AsyncGenerator[httpx.AsyncClient]:
    blobs = MemoryBlobs(SYSTEM.now)
    settings = GatewaySettings(state_dir=folder, blobs=str(folder))
    gateway = build_gateway(settings, MemoryCluster(), blobs, runtime=SYSTEM)
    transport = httpx.ASGITransport(cast("Any", gateway.app))  # the same ASGI, typed by two libraries
    async with anyio.create_task_group() as group:
        group.start_soon(gateway.run)
        async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
            with anyio.fail_after(READY_S):
                while gateway.base.readiness.reasons():
                    await anyio.lowlevel.checkpoint()
            yield client
        group.cancel_scope.cancel()
    gateway.close()


def main() -> None:
    """Print the count and the files of each request."""
    for request, files in anyio.run(measure).items():
        click.echo(f"{request}: {len(files)} files")
        click.echo("".join(f"  {file}\n" for file in files))


if __name__ == "__main__":
    main()
