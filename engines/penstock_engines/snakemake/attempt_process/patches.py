"""Every use of parts of Snakemake that are not public; `tests/runner/snakemake/test_patches.py` checks each of them.

Snakemake may change them in any release. Then the test of that name fails and states what depends on it. No other
module of this engine uses such a name.
"""

# Snakemake is not typed, so what comes from it is unknown to a type checker.
# pyright: reportMissingTypeStubs=false, reportUnknownMemberType=false, reportUnknownVariableType=false
# pyright: reportUnknownArgumentType=false, reportUnknownParameterType=false, reportPrivateUsage=false

import contextlib
import importlib
import os
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

import snakemake.api  # noqa: F401  # pyright: ignore[reportUnusedImport] - first: modules of Snakemake import one another in a circle
from snakemake import workflow, wrapper
from snakemake.dag import DAG
from snakemake.deployment import conda
from snakemake.deployment.env_modules import EnvModules
from snakemake.exceptions import WorkflowError
from snakemake.executors import local
from snakemake.io import _IOFile
from snakemake.sourcecache import GitlabFile, SourceCache
from snakemake.workflow import Workflow

from penstock_execution.sandbox.denials import account_homes, read_advice
from penstock_execution.sandbox.rules import Rules

LocalExecutor: Final = local.Executor
"""The base class of the executor: it prepares jobs, and formats the command line of a job."""
local_settings: Final = local.common_settings
_GLOBAL_CONDA: Final = "_penstock_global_conda"
_list_folder = _IOFile._local_inventory


def job_body(executor: Any, job: Any) -> Callable[[], None]:
    """Prepare a job as the local executor does; return what runs it in the calling process."""
    arguments = executor.job_args_and_prepare(job)
    return lambda: local.run_wrapper(*arguments)


def pool_threads(workflow: Any) -> Iterable[threading.Thread]:
    """Return the threads in which a workflow runs its own asynchronous work."""
    threads: Iterable[threading.Thread] = getattr(getattr(workflow, "_async_executor", None), "_threads", ())
    return threads


def replace_event_loops(workflow: Any) -> object:
    """Have the workflow make new event loops in this process; return the old ones, which must not be closed here."""
    kept: object = getattr(workflow, "_async_runners", None)
    if kept is not None:
        workflow._async_runners = {}
    return kept


def replace_subprocess(stand_in: object) -> None:
    """Have `snakemake.shell` start commands through `stand_in`, in place of the module `subprocess`."""
    importlib.import_module("snakemake.shell").sp = stand_in  # type: ignore[attr-defined]  # its name for subprocess


def renew_shell_lock() -> None:
    """Replace the lock of `snakemake.shell` after a fork: another thread may have held it."""
    importlib.import_module("snakemake.shell").shell._lock = threading.Lock()


def named_items(items: Any) -> Iterable[tuple[str | None, Any]]:
    """Return inputs, outputs or parameters of a job in their order, each with its name or `None`."""
    pairs: Iterable[tuple[str | None, Any]] = items._allitems()
    return pairs


def set_run_folder(folder: str) -> None:
    """Set the folder that the header of Snakemake's log shows."""
    Workflow._rundir = folder


def dag_of(dag_api: Any) -> Any:
    """Return the graph of jobs; `None` before it was built."""
    return getattr(getattr(dag_api.workflow_api, "_workflow_store", None), "_dag", None)


def linemaps_of(api: Any) -> Mapping[str, Mapping[int, int]]:
    """Return which line of a workflow file each line of the compiled code comes from."""
    workflow = getattr(getattr(api, "_workflow_api", None), "_workflow_store", None)
    linemaps: Mapping[str, Mapping[int, int]] = getattr(workflow, "linemaps", {})
    return linemaps


def remember_global_conda(describe: Callable[[Any], str]) -> None:
    """Have workflows remember a global `conda:` directive and do nothing else with it.

    Snakemake drops it when it uses no conda, and else changes its own process.
    """

    def global_conda(self: Any, conda_env: Any) -> None:
        self.__dict__.setdefault(_GLOBAL_CONDA, []).append(describe(conda_env))

    Workflow.global_conda = global_conda


def global_conda_of(workflow: Any) -> tuple[str, ...]:
    """Return the descriptions of a workflow's global `conda:` directives."""
    return tuple(workflow.__dict__.get(_GLOBAL_CONDA, ()))


def describe_named_conda(describe: Callable[[Any], bytes]) -> None:
    """Have `describe` return what represents a conda environment that has no file, in Snakemake's records of a job.

    Snakemake exports such an environment with the command `conda`, also where it uses none.
    """
    env_class: Any = conda.Env
    content = env_class.content.fget

    def content_of(env: Any) -> bytes:
        exact: bytes = describe(env) if env.is_externally_managed else content(env)
        return exact

    env_class.content = property(content_of)


def replace_conda(
    command: type[Any],
    *,
    prepare: Callable[[Any], None],
    prefix_of: Callable[[Any], str],
) -> None:
    """Have this process get conda environments in another way than by the command `conda`.

    Args:
        command: replaces Snakemake's `Conda`.
        prepare: is called with the graph when the environments of its jobs must be there.
        prefix_of: returns the prefix of an `Env`.

    """
    env_class: Any = conda.Env
    graph_class: Any = DAG

    def create_conda_envs(dag: Any, dryrun: bool = False, quiet: bool = False) -> None:
        prepare(dag)

    conda.Conda = command
    workflow.Conda = command
    env_class.address = property(prefix_of)
    # Snakemake's own hash also depends on the folder of the environment, which changes nothing of its content.
    env_class.hash = env_class.content_hash
    graph_class.create_conda_envs = create_conda_envs


async def _tolerant_list_folder(self: Any, cache: Any) -> None:
    with contextlib.suppress(WorkflowError):
        await _list_folder(self, cache)


def tolerate_closed_folders() -> None:
    """Have Snakemake look for each input by itself where the sandbox refuses to list its folder.

    Snakemake lists the folder of every input, and ends the run when it may not. In the sandbox a single file may be
    readable, or all of a folder but a part: such a folder cannot be listed.
    """
    _IOFile._local_inventory = _tolerant_list_folder


def fetch_sources_with(copy: Callable[[str, Path], bool]) -> None:
    """Have Snakemake get the files of other hosts through `copy`, which copies an address to a path if it has a file.

    Files on this machine, and those of git repositories on it, are read as before.
    """
    read = SourceCache._do_cache

    def _do_cache(self: Any, source_file: Any, cache_entry: Path) -> None:
        if source_file.is_local:
            read(self, source_file, cache_entry)
            return
        address = address_of(source_file)
        if not copy(address, cache_entry):
            raise WorkflowError(f"there is no file {address}")

    SourceCache._do_cache = _do_cache


def address_of(source_file: Any) -> str:
    """Return the address of a single file, without credentials."""
    if isinstance(source_file, GitlabFile):
        ref = quote(source_file.ref, safe="")
        return f"https://{source_file.host}/{source_file.repo}/-/raw/{ref}/{quote(source_file.path, safe='/')}"
    return str(source_file.get_path_or_uri(secret_free=True))


def require_wrapper_scripts() -> None:
    """Have a wrapper without a script end the run with a sentence; Snakemake would raise an unrelated error."""
    find = wrapper.get_script

    def get_script(path: str, sourcecache: Any, prefix: str | None = None) -> Any:
        found = find(path, sourcecache, prefix=prefix)
        if isinstance(found, dict):
            names = ", ".join(found)
            raise WorkflowError(f"the wrapper {path} does not exist: check its version and name (looked for {names})")
        return found

    wrapper.get_script = get_script


def load_modules_with(command: Callable[[Sequence[str], str], str]) -> None:
    """Have commands of rules with `envmodules:` be what `command` makes of the modules and the command.

    Snakemake's own command goes on without a module that cannot be loaded, and needs a shell that knows `module`.
    """

    def shellcmd(self: Any, cmd: str) -> str:
        return command(tuple(map(str, self.names)), cmd)

    EnvModules.shellcmd = shellcmd


def refuse_blind_searches(rules: Rules) -> None:
    """Have `glob_wildcards` fail, in this process, where it would find nothing because of `rules`.

    Otherwise a search in a folder that may not be listed finds nothing without a message, and the workflow would be
    complete with nothing done.
    """
    import snakemake.io
    import snakemake.workflow

    search = snakemake.io.glob_wildcards

    def glob_wildcards(pattern: Any, files: Any = None, followlinks: bool = False) -> Any:
        place = os.path.normpath(str(pattern)).partition("{")[0].rpartition("/")[0]
        folder = Path(os.path.realpath(place or "."))
        if files is None and folder.is_dir() and not rules.may_list(str(folder)):
            raise WorkflowError(blind_search(str(folder), rules))
        return search(pattern, files=files, followlinks=followlinks)

    for module in (snakemake.io, snakemake.workflow):
        vars(module)["glob_wildcards"] = glob_wildcards


def blind_search(folder: str, rules: Rules) -> str:
    """Return why a folder cannot be searched."""
    if rules.may_read(folder):
        return f"the sandbox refuses listing {folder}, because a part of it is hidden: search in its subfolders"
    return f"the sandbox refuses listing {folder}: {read_advice(folder, account_homes())}"
