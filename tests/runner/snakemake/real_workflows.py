"""Workflows that others wrote, from where their authors publish them: nothing of them is in this repository.

They are the ones that Snakemake's own repository tests itself with, under the MIT licence. One comes with the installed
package; the others with its source distribution, which is fetched from the package index once and kept beside the
environment. `docs/reference/real-workflows.md` states what each of them exercises.
"""

import hashlib
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
from importlib import resources
from pathlib import Path
from typing import Final

from msgspec import Struct

VERSION: Final = "9.27.1"
SHA256: Final = "f772714bb4133f836f0b5c3124ed70ef954c223aa034d6fcaf0282a4bbb98a5e"
"""Of `snakemake-9.27.1.tar.gz`, as the package index lists it."""
FETCH_DEADLINE_S: Final = 300.0


class RealWorkflow(Struct, frozen=True):
    """A workflow by others."""

    name: str
    """Its folder: below `tests/` of the source distribution, or in the installed package."""
    cores: int = 2
    is_installed: bool = False
    changes: tuple[str, ...] = ()
    """Outputs that differ from run to run: they hold times."""


WORKFLOWS: Final = (
    RealWorkflow("groups", is_installed=True),
    RealWorkflow("test_checkpoints"),
    RealWorkflow("test_scatter_gather"),
    RealWorkflow("test_modules_specific"),
    RealWorkflow("test_multiple_includes"),
    RealWorkflow("test_script_py"),
    RealWorkflow("test_retries"),
    RealWorkflow("test_service_jobs", cores=3, changes=("test.txt", "test2.txt")),
    RealWorkflow("test_template_engine"),
)


class NotFetched(Exception):
    """The source distribution could not be had; the message has the reason."""


def place(workflow: RealWorkflow, target: Path) -> None:
    """Put a copy of the workflow's files into `target`.

    Raises:
        NotFetched: it is not on this machine, and cannot be fetched.

    """
    if workflow.is_installed:
        with resources.as_file(resources.files("snakemake.common.tests") / "testcases") as cases:
            source = cases / workflow.name
            shutil.copytree(source, target, dirs_exist_ok=True)
    else:
        shutil.copytree(sources() / "tests" / workflow.name, target, dirs_exist_ok=True)


def sources() -> Path:
    """Return the unpacked source distribution, fetching it when it is not there yet."""
    kept = Path(sys.prefix, "share", "penstock-tests", f"snakemake-{VERSION}")
    if kept.is_dir():
        return kept
    kept.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=kept.parent) as folder:
        archive = _fetch(Path(folder))
        with tarfile.open(archive) as packed:
            if hasattr(tarfile, "data_filter"):
                packed.extractall(folder, filter="data")
            else:  # Python 3.11.2, which is Debian 12's: the file's hash is what is trusted
                packed.extractall(folder)
        Path(folder, f"snakemake-{VERSION}").rename(kept)
    return kept


def _fetch(folder: Path) -> Path:
    command = [*_pip(), "download", "--quiet", "--no-deps", "--no-binary", "snakemake", f"snakemake=={VERSION}"]
    try:
        done = subprocess.run(
            command, cwd=folder, capture_output=True, text=True, timeout=FETCH_DEADLINE_S, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise NotFetched(f"the source distribution of Snakemake {VERSION} cannot be fetched: {error}") from error
    archive = folder / f"snakemake-{VERSION}.tar.gz"
    if done.returncode != 0 or not archive.exists():
        raise NotFetched(
            f"the source distribution of Snakemake {VERSION} cannot be fetched; the first run of these tests needs the "
            f"package index:\n{done.stderr[-2000:]}"
        )
    if hashlib.sha256(archive.read_bytes()).hexdigest() != SHA256:
        raise NotFetched(f"{archive.name} is not the one that was published")
    return archive


def _pip() -> list[str]:
    """Return the package index's own client: by uv where it is there, else that of the base interpreter."""
    uv = os.environ.get("UV") or shutil.which("uv")
    if uv:
        return [uv, "tool", "run", "--quiet", "pip"]
    return [os.path.realpath(sys.executable), "-m", "pip"]


if __name__ == "__main__":
    sources()
