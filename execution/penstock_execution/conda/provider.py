"""Provides conda environments: finds one in the cache, or has it built once for all requests that wait for it."""

import contextlib
import os
from collections.abc import Generator, Mapping, Sequence
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Final

import anyio
import msgspec
import structlog
from anyio.abc import TaskGroup

from penstock_execution.conda.build_messages import BuildFailed, BuildMessage, Logged, Progressed, decode_message
from penstock_execution.conda.builds import BuildTerms, EnvironmentBuild
from penstock_execution.conda.cache import BuildFailure, Building, Entry, EnvironmentCache
from penstock_execution.conda.eviction import EnvironmentLimits, evict
from penstock_execution.conda.manifest import CONDA_META
from penstock_execution.conda.policy import CondaPolicy, Recipe, recipe
from penstock_execution.conda.specification import read_specification
from penstock_execution.files.file_threads import REMOVE_DEADLINE_S, in_thread
from penstock_execution.provisioning import (
    AnyRequirement,
    CondaEnvironment,
    NamedCondaEnvironment,
    Provided,
    ProvisionFailed,
    ProvisionKind,
    Step,
)
from penstock_runtime.runtime import SYSTEM, Runtime

POLL_S: Final = 0.2
"""How often the build of another process is looked at."""
EVICTION_INTERVAL_S: Final = 600.0
"""Between two looks at the limits of the cache, where nothing is built."""
MAX_LOG_CHARS: Final = 1_000_000
"""Of what a build reports, kept for requests that join later."""
KINDS: Final = frozenset({ProvisionKind.CONDA})

_log: structlog.stdlib.BoundLogger = structlog.get_logger("penstock_execution")


class _SharedBuild:
    """One build, and the steps of all requests that wait for it."""

    def __init__(self) -> None:
        self.steps: list[Step] = []
        self.done = anyio.Event()
        self.scope = anyio.CancelScope()
        self.result: Entry | None = None
        self.failure: ProvisionFailed | None = None
        self._text = ""
        self._now = ""
        self.record: Path | None = None
        """Where other processes read what is reported, while this one builds."""

    def join(self, step: Step) -> None:
        """Report to a further step, from the beginning."""
        self.steps.append(step)
        if self._text:
            step.log(self._text)
        if self._now:
            step.progress(self._now)

    def log(self, text: str) -> None:
        if len(self._text) < MAX_LOG_CHARS:
            self._text += text
            self._write(Logged(text))
            for step in self.steps:
                step.log(text)

    def progress(self, text: str) -> None:
        self._now = text
        self._write(Progressed(text))
        for step in self.steps:
            step.progress(text)

    def _write(self, message: BuildMessage) -> None:
        if self.record is not None:
            with contextlib.suppress(OSError), self.record.open("ab", buffering=0) as file:
                file.write(msgspec.json.encode(message) + b"\n")


class CondaProvider:
    """Fills the port `Provider` with environments of conda packages."""

    kinds = KINDS

    def __init__(
        self,
        cache: EnvironmentCache,
        policy: CondaPolicy,
        terms: BuildTerms,
        *,
        platform: str,
        named: Mapping[str, Path] | None = None,
        limits: EnvironmentLimits | None = None,
        runtime: Runtime = SYSTEM,
    ) -> None:
        """Provide environments from a cache that is prepared.

        `named` are environments that the operator made; without `limits` nothing is removed.
        """
        self._cache = cache
        self._policy = policy
        self._terms = terms
        self._platform = platform
        self._named = dict(named or {})
        self._limits = limits
        self._runtime = runtime
        self._grown = anyio.Event()
        """Set when an environment was built."""
        self._builds: dict[str, _SharedBuild] = {}
        self._group: TaskGroup | None = None

    @property
    def folders(self) -> Sequence[str]:
        """The environments of the cache, and those that the operator made."""
        return (str(self._cache.environments), *(os.path.realpath(path) for path in self._named.values()))

    async def find(self, requirement: AnyRequirement) -> Provided | None:
        """Return an environment that is there.

        Raises:
            ProvisionFailed: it can never be provided here.

        """
        if isinstance(requirement, NamedCondaEnvironment):
            return await in_thread(lambda: self._by_name(requirement.name))
        with _cache_faults():
            wanted = await in_thread(lambda: self._recipe(requirement))
            entry = await in_thread(lambda: self._cache.find(wanted.key))
        return None if entry is None else _provided(entry, is_cached=True)

    async def provide(self, requirement: AnyRequirement, step: Step) -> Provided:
        """Return an environment; build it where it is not there.

        Raises:
            ProvisionFailed: it cannot be provided.

        """
        if isinstance(requirement, NamedCondaEnvironment):
            return await in_thread(lambda: self._by_name(requirement.name))
        with _cache_faults():
            wanted = await in_thread(lambda: self._recipe(requirement))
            entry = await in_thread(lambda: self._used(wanted.key))
        if entry is not None:
            return _provided(entry, is_cached=True)
        return _provided(await self._built(wanted, requirement.label, step), is_cached=False)

    async def __aenter__(self) -> "CondaProvider":
        self._group = anyio.create_task_group()
        await self._group.__aenter__()
        self._group.start_soon(self._keep_clean)
        return self

    async def __aexit__(self, *exc: object) -> None:
        if self._group is not None:
            self._group.cancel_scope.cancel()
            await self._group.__aexit__(None, None, None)
            self._group = None

    def _recipe(self, requirement: AnyRequirement) -> Recipe:
        if not isinstance(requirement, CondaEnvironment):
            raise ProvisionFailed("this provider has environments of conda packages alone")
        return recipe(read_specification(requirement), self._policy, self._platform)

    def _by_name(self, name: str) -> Provided:
        path = self._named.get(name)
        if path is None:
            known = f"here are {', '.join(sorted(self._named))}" if self._named else "this runner has none"
            raise ProvisionFailed(
                f"there is no environment named {name[:100]!r}: {known}; the operator sets "
                "PENSTOCK_CONDA_ENVIRONMENTS, or the workflow names a YAML file"
            )
        if not (path / CONDA_META).is_dir():
            raise ProvisionFailed(f"the environment {name!r} of this runner is no conda environment: {path}")
        return Provided(path=os.path.realpath(path), identity=f"named:{name}", is_cached=True)

    def _used(self, key: str) -> Entry | None:
        entry = self._cache.find(key)
        if entry is not None:
            self._cache.used(entry)
        return entry

    async def _built(self, wanted: Recipe, label: str, step: Step) -> Entry:
        """Wait for the build of an environment, which is begun where it does not run."""
        assert self._group is not None, "enter the provider first"
        key = wanted.key
        build = self._builds.get(key)
        if build is None or build.done.is_set() or build.scope.cancel_called:
            build = self._builds[key] = _SharedBuild()
            self._group.start_soon(self._run, build, wanted, label)
        build.join(step)
        try:
            await build.done.wait()
        finally:
            build.steps.remove(step)
            if not build.steps:
                build.scope.cancel()
        if build.result is None:
            raise build.failure or ProvisionFailed("the runner stops", may_retry=True)
        return build.result

    async def _run(self, build: _SharedBuild, wanted: Recipe, label: str) -> None:
        """Wait until the environment is there, built by this process or another."""
        try:
            with build.scope, _cache_faults():
                build.result = await self._have(build, wanted, label)
        except BuildFailed as error:
            failure = error.failure
            build.failure = ProvisionFailed(failure.message, detail=failure.detail, may_retry=failure.may_retry)
        except ProvisionFailed as failed:
            build.failure = failed
        except Exception as error:  # noqa: BLE001 - the boundary of a build: the runner and other builds go on
            _log.exception("environment_build_fault", key=wanted.key)
            build.failure = ProvisionFailed(f"the build failed: {type(error).__name__}: {error}", may_retry=True)
        finally:
            if self._builds.get(wanted.key) is build:
                del self._builds[wanted.key]
            build.done.set()

    async def _have(self, build: _SharedBuild, wanted: Recipe, label: str) -> Entry:
        key, began = wanted.key, self._runtime.now()
        read_bytes = -1
        while True:
            entry = await in_thread(lambda: self._used(key))
            if entry is not None:
                return entry
            failure = await in_thread(lambda: self._failure_since(key, began))
            if failure is not None:
                raise BuildFailed(failure.message, detail=failure.detail, may_retry=failure.may_retry)
            building = await in_thread(lambda: self._cache.try_build(key), deadline_s=REMOVE_DEADLINE_S)
            if building is not None:
                await self._build(build, wanted, label, building)
                continue
            if read_bytes < 0:
                build.log("another runner of this machine builds the same environment; its log follows\n")
            lines, read_bytes = await in_thread(partial(_new_lines, self._cache.build_log(key), max(0, read_bytes)))
            for line in lines:
                _repeat(line, build)
            await anyio.sleep(POLL_S)

    def _failure_since(self, key: str, began: datetime) -> BuildFailure | None:
        failure = self._cache.failure(key)
        return failure if failure is not None and failure.at > began else None

    async def _build(self, build: _SharedBuild, wanted: Recipe, label: str, building: Building) -> None:
        build.record = building.log
        one_build = EnvironmentBuild(self._cache, self._policy, self._terms, build, runtime=self._runtime)
        try:
            # Another process may have completed it before the lock was taken.
            if await in_thread(lambda: self._cache.find(building.key)) is None:
                manifest = await one_build.run(wanted, label, building)
                self._grown.set()
                _log.info("environment_built", key=manifest.key, label=manifest.label, size_bytes=manifest.size_bytes)
        except BuildFailed as error:
            problem = error.failure
            failure = BuildFailure(
                at=self._runtime.now(), message=problem.message, detail=problem.detail, may_retry=problem.may_retry
            )
            with contextlib.suppress(OSError):
                await in_thread(lambda: building.fail(failure))
            _log.warning("environment_not_built", key=building.key, label=label, reason=problem.message)
            raise
        finally:
            build.record = None
            with anyio.CancelScope(shield=True):
                await in_thread(building.close, deadline_s=REMOVE_DEADLINE_S)

    async def _keep_clean(self) -> None:
        """Remove what killed builds left, then what exceeds the limits, after each build and at intervals."""
        with contextlib.suppress(OSError):  # the next build of the same environment removes them
            await in_thread(self._cache.remove_remains, deadline_s=REMOVE_DEADLINE_S)
        while self._limits is not None:
            limits = self._limits
            try:
                # The cache may hold anything; a fault here must end no build.
                removed = await in_thread(
                    lambda: evict(self._cache, limits, self._runtime.now()),  # noqa: B023 - called at once
                    deadline_s=REMOVE_DEADLINE_S,
                )
                for entry in removed:
                    _log.info("environment_evicted", key=entry.manifest.key, label=entry.manifest.label)
            except Exception as error:  # noqa: BLE001 - the boundary of a look at the cache: the next one follows
                _log.warning("environments_not_evicted", reason=f"{type(error).__name__}: {error}")
            with anyio.move_on_after(EVICTION_INTERVAL_S):
                await self._grown.wait()
            self._grown = anyio.Event()


@contextlib.contextmanager
def _cache_faults() -> Generator[None]:
    """Turn a fault of the disk into a failure that names it."""
    try:
        yield
    except OSError as error:  # TimeoutError is one
        raise ProvisionFailed(f"the cache of environments does not work: {error}", may_retry=True) from error


def _new_lines(path: Path, read_bytes: int) -> tuple[list[bytes], int]:
    """Return the lines that another process wrote since, and how far its file is read; a new file is read whole."""
    with contextlib.suppress(OSError), path.open("rb") as file:
        file.seek(0 if path.stat().st_size < read_bytes else read_bytes)
        lines = [line for line in file.readlines(MAX_LOG_CHARS) if line.endswith(b"\n")]
        return lines, read_bytes + sum(map(len, lines))
    return [], read_bytes


def _repeat(line: bytes, build: _SharedBuild) -> None:
    with contextlib.suppress(msgspec.MsgspecError):
        match decode_message(line):
            case Logged(text):
                build.log(text)
            case Progressed(text):
                build.progress(text)
            case _:
                pass


def _provided(entry: Entry, *, is_cached: bool) -> Provided:
    return Provided(
        path=str(entry.prefix),
        identity=f"sha256:{entry.manifest.index_sha256}",
        is_cached=is_cached,
        packages=entry.manifest.packages,
        lock=str(entry.lock),
    )
