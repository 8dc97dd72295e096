"""Where a workflow is: its folder and main file, and which folders are sent to nobody by mistake."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from msgspec import Struct

SNAKEFILES: Final = ("Snakefile", "snakefile", "workflow/Snakefile", "workflow/snakefile")
"""Where Snakemake looks for the main file."""
SUFFIXES: Final = (".smk", ".snakefile", ".snake")
SIGNS: Final = (
    *("Snakefile", "snakefile", "workflow", "rules", "envs", "scripts", "profiles", ".snakemake"),
    *("config", "config.yaml", "config.yml", "config.json"),
)
"""What shows that a folder beside a Snakefile of any name is the folder of a workflow."""
MAX_READ_BYTES: Final = 1 << 20
"""Of a main file, to see what it names."""
WITHOUT_FORCE: Final = "give the workflow a folder of its own, or use --force to send all of this one"
_RULE: Final = re.compile(
    r"^\s*(rule|checkpoint|module|include|configfile|subworkflow|workdir)\b[^=\n]*:", re.MULTILINE
)
_QUOTED: Final = re.compile(r"""["']([^"'\n]{1,1000})["']""")
_NEVER_BELOW: Final = ("/etc", "/proc", "/sys", "/dev", "/boot", "/run")
_SYSTEM: Final = ("/usr", "/var", "/lib", "/lib64", "/bin", "/sbin")
"""These, and the folders right in them."""
_SHARED: Final = ("/", "/home", "/Users", "/root", "/opt", "/srv", "/mnt", "/media", "/data", "/tmp", "/var/tmp")  # noqa: S108
_OF_A_HOME: Final = (
    *(".ssh", ".gnupg", ".aws", ".azure", ".kube", ".docker", ".config", ".local", ".cache", ".mozilla"),
    *("Desktop", "Documents", "Downloads", "Library"),
)


class BadWorkflow(Exception):
    """The folder cannot be submitted; the text says why and what to do."""


class Place(Struct, frozen=True):
    """Where a workflow is."""

    folder: Path
    main: str
    """The main file, relative to the folder."""
    is_alone: bool
    """Whether only the main file is meant."""


def locate(target: Path, entrypoint: str | None) -> Place:
    """Return the place of the workflow at `target`: its folder, or its main file.

    A file is meant alone unless its folder is clearly the folder of a workflow.

    Raises:
        BadWorkflow: there is no workflow.

    """
    if ".." in target.parts:
        target = target.resolve()  # so that the folder has a name
    if target.is_file():
        path = target.absolute()
        if path.parent.name == "workflow" and path.name in ("Snakefile", "snakefile"):
            return Place(path.parent.parent, f"workflow/{path.name}", False)  # Snakemake's standard layout
        return Place(path.parent, path.name, not _is_of_workflow(path))
    if not target.exists():
        raise BadWorkflow(f"there is no file or folder {target}")
    if not target.is_dir():
        raise BadWorkflow(f"{target} is neither a file nor a folder")
    if entrypoint is not None and (Path(entrypoint).is_absolute() or ".." in Path(entrypoint).parts):
        raise BadWorkflow(f"--entrypoint {entrypoint} is no path inside {target}: give it relative to that folder")
    names = SNAKEFILES if entrypoint is None else (entrypoint,)
    main = next((name for name in names if (target / name).is_file()), None)
    if main is None:
        raise BadWorkflow(
            f"{target} has no {' or '.join(names)}: give the main file itself, or its place with --entrypoint"
        )
    return Place(target.absolute(), main, False)


def check_folder(folder: Path) -> None:
    """Check that a folder may be the folder of a workflow.

    Raises:
        BadWorkflow: it belongs to the system, is a home directory, or is shared by everything on this machine.

    """
    what = protected(folder)
    if what is not None:
        raise BadWorkflow(f"{folder} is {what}: {WITHOUT_FORCE}")


def protected(folder: Path) -> str | None:
    """Say why all of `folder` is hardly meant to be sent; `None` when nothing speaks against it."""
    for place in {folder.absolute(), folder.resolve()}:
        what = _protected(place)
        if what is not None:
            return what
    return None


def _protected(place: Path) -> str | None:
    text = str(place)
    if any(place.is_relative_to(each) for each in _NEVER_BELOW):
        return "part of the operating system"
    if text in _SYSTEM or str(place.parent) in _SYSTEM:
        return "part of the operating system"
    for home in _homes():
        if place == home or home.is_relative_to(place):
            return "a home directory, or holds one" if text != "/" else "the whole machine"
        if any(place.is_relative_to(home / name) and (name[0] == "." or place == home / name) for name in _OF_A_HOME):
            return "a private part of a home directory"
    if text in _SHARED:
        return "the whole machine" if text == "/" else "a folder that everything on this machine shares"
    return "a home directory" if str(place.parent) in ("/home", "/Users") else None


def _homes() -> Iterator[Path]:
    try:
        yield Path.home()
    except RuntimeError:  # this user has none
        return


def _is_of_workflow(path: Path) -> bool:
    """Say whether a file is a Snakefile, and what lies beside it belongs to it."""
    if path.name in ("Snakefile", "snakefile"):
        return True
    try:
        with path.open("rb") as file:
            text = file.read(MAX_READ_BYTES).decode(errors="replace")
    except OSError:
        return False
    if path.suffix not in SUFFIXES and not _RULE.search(text):
        return False
    if any((path.parent / sign).exists() for sign in SIGNS):
        return True
    named = {quoted.removeprefix("./").partition("/")[0] for quoted in _QUOTED.findall(text)}
    return any(
        name not in ("", ".", "..", path.name) and "\0" not in name and (path.parent / name).exists() for name in named
    )
