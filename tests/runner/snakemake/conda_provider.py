"""A provider of conda environments without conda: a package is an executable that prints its name."""

import hashlib
import re
import sys
from collections.abc import Sequence
from pathlib import Path

import anyio
import msgspec

from penstock_execution.provisioning import (
    AnyRequirement,
    CondaEnvironment,
    NamedCondaEnvironment,
    Provided,
    ProvisionFailed,
    ProvisionKind,
    Step,
)
from penstock_schemas.software import Package

UNSOLVABLE = "unsolvable"
SLOW = "slow"
SILENT_CHANNEL = "unreachable"
BROKEN = "broken"
PYTHON = "python"
"""The package whose executable runs this Python, and leaves its own path in `BY`."""


class FolderProvider:
    """Makes folders that look like conda environments."""

    def __init__(self, root: Path) -> None:
        root.mkdir(parents=True, exist_ok=True)
        self.root = root.resolve()
        self.kinds = frozenset({ProvisionKind.CONDA})
        self.folders: Sequence[str] = (str(self.root),)
        self.requirements: list[AnyRequirement] = []
        self.waiting = 0
        self.may_go_on = anyio.Event()
        """What a slow environment waits for."""
        self.cancelled = 0

    async def find(self, requirement: AnyRequirement) -> Provided | None:
        """Find an environment that was made before."""
        dependencies = self._dependencies(requirement)
        path = self._path(requirement)
        return self._provided(path, dependencies, is_cached=True) if path.exists() else None

    async def provide(self, requirement: AnyRequirement, step: Step) -> Provided:
        """Make an environment."""
        self.requirements.append(requirement)
        found = await self.find(requirement)
        if found is not None:
            return found
        dependencies = self._dependencies(requirement)
        step.progress(f"{len(dependencies)} packages are needed")
        step.log("looking for packages\n")
        if SLOW in dependencies:
            await self._wait()
        if BROKEN in dependencies:
            raise RuntimeError("the builder crashed")
        path = self._path(requirement)
        for name in dependencies:
            does = f'export BY="$0"\nexec {sys.executable} "$@"' if name == PYTHON else 'echo "$0 $*"'
            _executable(path / "bin" / name, f"#!/bin/sh\n{does}\n")
        _write(path / "etc" / "conda" / "activate.d" / "a.sh", 'export ACTIVATED="$CONDA_PREFIX"\n')
        _write(path / "conda-meta" / "state", msgspec.json.encode({"env_vars": {"OF_FILE": "it's set"}}).decode())
        step.log("all packages are there\n")
        return self._provided(path, dependencies, is_cached=False)

    async def __aenter__(self) -> "FolderProvider":
        return self

    async def __aexit__(self, *exc: object) -> None:
        pass

    async def _wait(self) -> None:
        self.waiting += 1
        try:
            await self.may_go_on.wait()
        except BaseException:
            self.cancelled += 1
            raise
        finally:
            self.waiting -= 1

    def _dependencies(self, requirement: AnyRequirement) -> list[str]:
        match requirement:
            case NamedCondaEnvironment(name="offered"):
                return ["tool"]
            case NamedCondaEnvironment():
                raise ProvisionFailed(f"the operator offers no environment {requirement.name!r}; offered are: offered")
            case CondaEnvironment():
                (listed,) = re.findall(r"dependencies: \[(.*)\]", requirement.specification)
                wanted = str(listed).split(", ")
            case _:
                raise AssertionError(requirement)
        if UNSOLVABLE in wanted:
            raise ProvisionFailed("no solution was found", detail="nothing provides unsolvable 9.9")
        if SILENT_CHANNEL in wanted:
            raise ProvisionFailed("the channel does not answer", may_retry=True)
        return wanted

    def _path(self, requirement: AnyRequirement) -> Path:
        return self.root / hashlib.sha256(msgspec.json.encode(requirement)).hexdigest()[:16]

    def _provided(self, path: Path, dependencies: Sequence[str], *, is_cached: bool) -> Provided:
        packages = tuple(Package(name=name, version="1.0", build="0") for name in dependencies)
        return Provided(path=str(path), identity=path.name, is_cached=is_cached, packages=packages)


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def _executable(path: Path, text: str) -> None:
    _write(path, text)
    path.chmod(0o755)
