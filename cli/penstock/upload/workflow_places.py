"""Where a workflow is: its folder and main file, and which folders are sent to nobody by mistake."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from msgspec import Struct

from penstock_domain.engines.registry import EngineRegistry, InvalidEngines
from penstock_runtime.engine_plugins import installed_engines

MAX_READ_BYTES: Final = 1 << 20
"""Of a main file, to see what it names."""
WITHOUT_FORCE: Final = "give the workflow a separate folder, or use --force to send all of this one"
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
    """The folder cannot be submitted; the text has the reason and what to do."""


class Place(Struct, frozen=True):
    """Where a workflow is."""

    folder: Path
    main: str
    """The main file, relative to the folder."""
    is_alone: bool
    """Whether only the main file is meant."""


def locate(target: Path, entrypoint: str | None, engine: str | None = None) -> Place:
    """Return the place of the workflow at `target`: its folder, or its main file.

    Args:
        target: the folder or the file.
        entrypoint: the main file, relative to the folder; `None`: look where the engine does.
        engine: the engine that runs it; `None`: any that is installed, the default one first.

    A file is meant alone unless its folder is clearly the folder of a workflow.

    Raises:
        BadWorkflow: there is no workflow.

    """
    if ".." in target.parts:
        target = target.resolve()  # so that the folder has a name
    if target.is_file():
        path = target.absolute()
        for location in (place for place in _entrypoints(engine) if "/" in place):
            depth = location.count("/")
            if path.parts[-depth - 1 :] == tuple(location.split("/")):  # a standard layout
                return Place(path.parents[depth], location, False)
        return Place(path.parent, path.name, not _is_of_workflow(path))
    if not target.exists():
        raise BadWorkflow(f"there is no file or folder {target}")
    if not target.is_dir():
        raise BadWorkflow(f"{target} is neither a file nor a folder")
    if entrypoint is not None and (Path(entrypoint).is_absolute() or ".." in Path(entrypoint).parts):
        raise BadWorkflow(f"--entrypoint {entrypoint} is no path inside {target}: give it relative to that folder")
    names = _entrypoints(engine) if entrypoint is None else (entrypoint,)
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
    """Return why all of `folder` is hardly meant to be sent; `None` when there is no reason."""
    for place in {folder.absolute(), folder.resolve()}:
        what = _protected(place)
        if what is not None:
            return what
    return None


def _protected(place: Path) -> str | None:
    text = str(place)
    if any(place.is_relative_to(item) for item in _NEVER_BELOW):
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


def known_engines() -> EngineRegistry:
    """Return the installed engines.

    Raises:
        BadWorkflow: a plug-in is invalid.

    """
    try:
        return installed_engines()
    except InvalidEngines as error:
        raise BadWorkflow(str(error)) from error


def _entrypoints(engine: str | None) -> tuple[str, ...]:
    descriptor = None if engine is None else known_engines().find(engine)
    return known_engines().entrypoints if descriptor is None else descriptor.entrypoints


def _is_of_workflow(path: Path) -> bool:
    """Return whether a file is a workflow's main file, and what is beside it belongs to the workflow."""
    engines = tuple(known_engines())
    if any(path.name == place.rpartition("/")[2] for engine in engines for place in engine.entrypoints):
        return True
    try:
        with path.open("rb") as file:
            text = file.read(MAX_READ_BYTES).decode(errors="replace")
    except OSError:
        return False
    meant = [
        engine
        for engine in engines
        if engine.is_workflow_file(path.name)
        or (engine.statement and re.search(engine.statement, text, re.MULTILINE) is not None)
    ]
    if any((path.parent / sign).exists() for engine in meant for sign in engine.folder_signs):
        return True
    named = {quoted.removeprefix("./").partition("/")[0] for quoted in _QUOTED.findall(text)} if meant else set[str]()
    return any(
        name not in ("", ".", "..", path.name) and "\0" not in name and (path.parent / name).exists() for name in named
    )
