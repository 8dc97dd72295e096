"""What a runner passes to the launcher of an engine."""

from collections.abc import Callable, Mapping

from msgspec import Struct

from penstock_execution.engine import Engine
from penstock_execution.processes.file_descriptors import MAX_PROCESSES
from penstock_execution.provisioning import Provider
from penstock_execution.sandbox.policy import SandboxPolicy
from penstock_schemas.jobs import UnsupportedDirectives


class LocalProcesses(Struct, frozen=True, kw_only=True):
    """How an engine runs processes on the runner's own machine; an engine that runs none there ignores it."""

    limits: Mapping[str, int] = {}
    """Resource limits of each process of an attempt, by their names in the module `resource`."""
    sandbox: SandboxPolicy | None = None
    """What attempts may access; `None`: what the runner's user may."""
    umask: int | None = None
    """Of what workflows create; `None`: that of this process."""
    modules_init: str | None = None
    """The shell script that defines `module` of environment modules; `None`: there are none."""
    max_processes: int = MAX_PROCESSES
    shares_gpus: bool = True
    """Whether attempts see every GPU of the machine, because the runner gives none to single ones."""
    """Processes of one run that are watched at the same time."""


class LaunchContext(Struct, frozen=True, kw_only=True):
    """What a runner passes to the launcher of an engine."""

    runner_name: str = "runner"
    """Stable over restarts. An engine whose work is elsewhere marks the work with it, to find it after a restart."""
    environment: Mapping[str, str] = {}
    """Variables that workflows get besides those that the engine itself passes on."""
    unsupported_directives: UnsupportedDirectives = UnsupportedDirectives.CHOOSE
    """What happens to a run that declares software that the runner does not provide."""
    providers: tuple[Provider, ...] = ()
    """What prepares software and remote files for attempts. The runner makes them ready before its engines."""
    local: LocalProcesses = LocalProcesses()
    options: Mapping[str, object] = {}
    """The engine's own settings on this runner."""


Launcher = Callable[[LaunchContext], Engine]
"""Creates an engine on a runner. A descriptor names it as `module:function`."""
