"""One build of an environment, from the runner's side: a confined process for each phase, then the manifest."""

import contextlib
import os
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Final, Protocol, TypeVar

import anyio
import msgspec
from msgspec import Struct
from msgspec.structs import replace

from penstock_execution.conda.build_messages import (
    BuildFailed,
    BuildMessage,
    BuildRequest,
    Failed,
    Install,
    Installed,
    Logged,
    PhaseBegan,
    Progressed,
    Record,
    Recorded,
    RunScripts,
    Scripted,
    decode_message,
    encode,
)
from penstock_execution.conda.cache import Building, EnvironmentCache
from penstock_execution.conda.manifest import Duration, Manifest, label_of
from penstock_execution.conda.policy import CondaPolicy, Recipe
from penstock_execution.files.file_threads import in_thread
from penstock_execution.files.locks import Lock, try_lock
from penstock_execution.processes.builder_main import BuilderOrder
from penstock_execution.processes.builder_process import LIMITS, run_builder
from penstock_execution.processes.markers import RUNNER_MARKER
from penstock_execution.sandbox.policy import SandboxPolicy
from penstock_execution.sandbox.rules import Rules
from penstock_runtime.runtime import SYSTEM, Runtime

BUILDER: Final = "penstock_execution.conda.builder"
PASSED_ON: Final = ("PATH", "LANG", "LANGUAGE", "TZ", "PYTHONPATH", "LD_LIBRARY_PATH", RUNNER_MARKER)
"""What every process of a build gets of the runner's environment, besides `LC_*`."""
AUTHENTICATION_FILE: Final = "RATTLER_AUTH_FILE"
"""Names a file with credentials of channels."""
OF_NETWORK: Final = (
    *("HTTPS_PROXY", "HTTP_PROXY", "ALL_PROXY", "NO_PROXY", "https_proxy", "http_proxy", "all_proxy", "no_proxy"),
    *("SSL_CERT_FILE", "SSL_CERT_DIR", AUTHENTICATION_FILE),
)
"""What the process that fetches packages gets besides: no script does."""
DISCARD_DEADLINE_S: Final = 600.0
LOCK_POLL_S: Final = 0.2
MAX_FILE_BYTES: Final = 256 * 1024**3
"""Of one file that a build writes."""
MAX_PROBLEM_CHARS: Final = 2_000
FILE: Final = "file://"
_LIMITS: Final = {**LIMITS, "RLIMIT_FSIZE": MAX_FILE_BYTES}
ResultT = TypeVar("ResultT", Installed, Scripted, Recorded)


class BuildListener(Protocol):
    """Takes what a build reports."""

    def log(self, text: str) -> None:
        """Take text for the log."""
        ...

    def progress(self, text: str) -> None:
        """Take what happens at the moment, in one short sentence."""
        ...


class BuildTerms(Struct, frozen=True, kw_only=True):
    """What the processes of a build get from the runner."""

    builder: str
    """Who builds: the runner's name."""
    environment: Mapping[str, str]
    """The runner's environment, of which they get a part."""
    sandbox: SandboxPolicy | None = None
    """What they may read, besides what the build needs; `None`: they are not confined."""


class EnvironmentBuild:
    """Builds one environment. The right to build it is held by the caller."""

    def __init__(
        self,
        cache: EnvironmentCache,
        policy: CondaPolicy,
        terms: BuildTerms,
        listener: BuildListener,
        *,
        runtime: Runtime = SYSTEM,
    ) -> None:
        self._cache = cache
        self._policy = policy
        self._terms = terms
        self._listener = listener
        self._runtime = runtime
        self._phases: list[tuple[str, float]] = []
        self._output = ""

    async def run(self, recipe: Recipe, label: str, building: Building, *, source: Recipe | None = None) -> Manifest:
        """Build, verify and commit; nothing is left of a build that fails or is cancelled.

        `source` is from what it is installed, where that is another place than the recipe names.

        Raises:
            BuildFailed: it cannot be built.

        """
        is_done = False
        packages: Lock | None = None
        try:
            await in_thread(building.begin)
            # Another process holds it for a moment, while it removes packages that nobody uses.
            while (packages := try_lock(self._cache.packages_lock, shared=True)) is None:  # noqa: ASYNC110
                await anyio.sleep(LOCK_POLL_S)
            manifest = await self._build(recipe, label, building, source or recipe)
            await in_thread(lambda: building.commit(manifest, recipe))
            is_done = True
        except (OSError, TimeoutError) as error:
            raise BuildFailed(f"the environment cannot be written: {error}", may_retry=True) from error
        else:
            return manifest
        finally:
            if packages is not None:
                packages.release()
            if not is_done:
                with anyio.CancelScope(shield=True):
                    await _quietly(building.discard)

    async def _build(self, recipe: Recipe, label: str, building: Building, source: Recipe) -> Manifest:
        ends = self._runtime.monotonic() + self._policy.build_timeout_s
        index = building.scratch / "index"
        installed = await self._stage(self._install(source, building), Installed, building, ends)
        for scripts in self._scripts(recipe, installed, building):
            await self._stage(scripts, Scripted, building, ends)
        recorded = await self._stage(Record(prefix=str(building.prefix), index=str(index)), Recorded, building, ends)
        await in_thread(lambda: index.replace(building.index))
        return Manifest(
            key=building.key,
            label=label_of(label),
            folder=building.prefix.name,
            platform=recipe.platform,
            tool=self._policy.tool,
            tool_version=installed.tool_version,
            channels=tuple(channel.name for channel in recipe.channels),
            request=recipe.request,
            packages=installed.packages,
            size_bytes=recorded.size_bytes,
            files=recorded.files,
            index_sha256=recorded.index_sha256,
            built_at=self._runtime.now(),
            built_by=self._terms.builder,
            durations=self._durations(),
        )

    def _scripts(self, recipe: Recipe, installed: Installed, building: Building) -> Iterator[RunScripts]:
        """Yield what is executed, each in a separate process: pip alone has a network."""
        place = RunScripts(prefix=str(building.prefix), scratch=str(building.scratch))
        if installed.package_scripts:
            yield replace(place, package_scripts=installed.package_scripts)
        if recipe.pip:
            yield replace(place, pip=recipe.pip, pip_index=self._policy.pip_index)
        if recipe.post_deploy is not None:
            yield replace(place, post_deploy=recipe.post_deploy)

    def _install(self, recipe: Recipe, building: Building) -> Install:
        return Install(
            recipe=recipe,
            tool=self._policy.tool,
            program=self._policy.program,
            prefix=str(building.prefix),
            packages=str(self._cache.packages),
            repodata=str(self._cache.repodata),
            scratch=str(building.scratch),
            is_offline=self._policy.is_offline,
        )

    async def _stage(self, request: BuildRequest, wanted: type[ResultT], building: Building, ends: float) -> ResultT:
        """Run one process of the build; return the message that it must end with."""
        messages: list[BuildMessage] = []
        self._output = ""
        ended = await run_builder(
            BUILDER,
            BuilderOrder(request=msgspec.Raw(encode(request)), rules=self._rules(request, building), limits=_LIMITS),
            environment=self._environment(request),
            on_message=lambda raw: self._take(decode_message(raw), messages),
            on_output=self._take_output,
            timeout_s=max(0.0, ends - self._runtime.monotonic()),
            hold=(building.lock_descriptor,),
        )
        for message in messages:
            if isinstance(message, Failed):
                raise BuildFailed(message.message, detail=message.detail, may_retry=message.may_retry)
        if ended.exit_code != 0 and ended.was_killed and self._runtime.monotonic() >= ends:
            raise BuildFailed(
                f"the build took longer than {self._policy.build_timeout_s:,.0f} s and was ended; the operator sets "
                "PENSTOCK_CONDA_BUILD_TIMEOUT_S",
                may_retry=True,
            )
        found = next((message for message in messages if isinstance(message, wanted)), None)
        if ended.exit_code != 0 or found is None:
            end = f"signal {-ended.exit_code}" if ended.exit_code < 0 else f"exit code {ended.exit_code}"
            raise BuildFailed(
                f"the builder ended with {end}: {self._output.strip()[-MAX_PROBLEM_CHARS:] or 'it wrote no reason'}",
                may_retry=True,
            )
        return found

    def _rules(self, request: BuildRequest, building: Building) -> Rules | None:
        policy = self._terms.sandbox
        if policy is None:
            return None
        own = (str(building.prefix), str(building.scratch))
        shared = (str(self._cache.packages), str(self._cache.repodata))
        match request:
            case Install():
                return Rules(
                    read=(*policy.read, *self._sources(request.recipe)),
                    # One file system, not one mount for each folder: packages are linked into the environment.
                    write=(*own, *shared),
                    devices=policy.devices,
                    hidden=policy.hidden,
                    network=not self._policy.is_offline,
                )
            case RunScripts():
                return Rules(
                    read=policy.read,
                    write=own,
                    devices=policy.devices,
                    hidden=policy.hidden,
                    network=self._policy.script_network or bool(request.pip),
                    sealed=policy.sealed,
                )
            case Record():
                return Rules(
                    read=(*policy.read, own[0]), write=own[1:], hidden=policy.hidden, network=False, unix_sockets=False
                )

    def _sources(self, recipe: Recipe) -> list[str]:
        """Return the folders and files beside the cache that an installation reads."""
        folders = [*self._policy.channels.folders]
        folders += [url.removeprefix(FILE) for item in recipe.pins if (url := item.channel.url).startswith(FILE)]
        if self._policy.program is not None:
            folders.append(str(Path(self._policy.program).parent))
        if name := self._terms.environment.get(AUTHENTICATION_FILE):
            folders.append(name)
        return [os.path.realpath(folder) for folder in dict.fromkeys(folders)]

    def _environment(self, request: BuildRequest) -> dict[str, str]:
        names = (*PASSED_ON, *OF_NETWORK) if isinstance(request, Install) else PASSED_ON
        passed = {
            name: value for name, value in self._terms.environment.items() if name in names or name.startswith("LC_")
        }
        return {"PATH": os.defpath, **passed}

    def _take(self, message: BuildMessage, messages: list[BuildMessage]) -> None:
        match message:
            case PhaseBegan(phase):
                self._phases.append((phase.value, self._runtime.monotonic()))
                self._listener.progress(phase.value)
                self._listener.log(f"{phase.value} ...\n")
            case Progressed(text):
                self._listener.progress(text)
            case Logged(text):
                self._listener.log(text)
            case Installed() | Recorded() | Scripted() | Failed():
                messages.append(message)

    def _take_output(self, text: str) -> None:
        self._output = (self._output + text)[-MAX_PROBLEM_CHARS:]
        self._listener.log(text)

    def _durations(self) -> tuple[Duration, ...]:
        ends = [began for _, began in self._phases[1:]] + [self._runtime.monotonic()]
        return tuple(
            Duration(phase, round(end - began, 3)) for (phase, began), end in zip(self._phases, ends, strict=True)
        )


async def _quietly(work: Callable[[], None]) -> None:
    """Do work on files in a thread; what fails is done again before the next build."""
    with contextlib.suppress(OSError):  # TimeoutError is one
        await in_thread(work, deadline_s=DISCARD_DEADLINE_S)
