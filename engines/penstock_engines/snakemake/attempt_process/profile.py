"""The profile that is beside a Snakefile: what the bare command would load from it, read by Snakemake's own parser.

Snakemake 9 loads `profiles/default` by itself. Settings of the workflow are honoured with Snakemake's meaning. Settings
of the machine that would run it (cores, colours, the log) are replaced by the runner's. Everything else that a profile
sets is reported as unsupported, because the run would differ from what its author ran.
"""

# Snakemake is not typed, so what comes from it is unknown to a type checker.
# pyright: reportMissingTypeStubs=false, reportUnknownMemberType=false, reportUnknownVariableType=false
# pyright: reportUnknownArgumentType=false, reportUnknownParameterType=false

import argparse
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final, NoReturn

from msgspec import Struct, field

from penstock_schemas.jobs import Finding, FindingKind

MAX_PROFILE_BYTES: Final = 1024 * 1024
MAX_VALUE_CHARS: Final = 100
DEFAULT: Final = "default"
NO_PROFILE: Final = "none"
HONOURED: Final = frozenset(
    {
        "all_temp",
        "allow_ambiguity",
        "allowed_rules",
        "batch",
        "benchmark_extended",
        "config",
        "configfile",
        "consider_ancient",
        "default_resources",
        "drop_metadata",
        "force",
        "forceall",
        "forcerun",
        "ignore_incomplete",
        "keep_going",
        "keep_incomplete",
        "latency_wait",
        "max_checksum_file_size",
        "max_inventory_time",
        "max_threads",
        "no_hooks",
        "notemp",
        "omit_flags",
        "omit_from",
        "prioritize",
        "queue_input_wait_time",
        "replace_workflow_config",
        "rerun_incomplete",
        "rerun_triggers",
        "resources",
        "retries",
        "scheduler_subsample",
        "set_resource_scopes",
        "set_resources",
        "set_scatter",
        "set_threads",
        "skip_script_cleanup",
        "strict_dag_evaluation",
        "trust_io_cache",
        "unneeded_temp_files",
        "until",
        "wait_for_files",
    }
)
"""Options of Snakemake, by the names that its parser gives them."""
WITHOUT_EFFECT: Final = frozenset(
    {
        "apptainer_args",
        "apptainer_prefix",
        "conda_base_path",
        "conda_cleanup_pkgs",
        "conda_frontend",
        "conda_not_block_search_path_envvars",
        "conda_prefix",
        "cores",
        "jobname",
        "jobs",
        "local_cores",
        "logger",
        "max_jobs_per_second",
        "max_jobs_per_timespan",
        "max_status_checks_per_second",
        "nocolor",
        "nolock",
        "printshellcmds",
        "quiet",
        "scheduler",
        "scheduler_greediness",
        "scheduler_greedy_greediness",
        "scheduler_ilp_solver",
        "scheduler_solver_path",
        "seconds_between_status_checks",
        "shadow_prefix",
        "show_failed_logs",
        "software_deployment_method",
        "use_apptainer",
        "use_conda",
        "use_envmodules",
        "verbose",
    }
)
"""Options that results do not depend on: the runner decides about them. That rules declare software which a deployment
method would provide is found rule by rule."""


class BadProfile(Exception):
    """The profile cannot be read; the bare command would refuse it as well."""


class Profile(Struct, frozen=True, kw_only=True):
    """What a profile sets."""

    values: Mapping[str, Any] = field(default_factory=dict[str, Any])
    """What is honoured, by Snakemake's names, as Snakemake parsed it."""
    findings: tuple[Finding, ...] = ()
    """What is not."""

    def value(self, name: str, own: Any, *, is_given: bool = False) -> Any:
        """Return a setting: the submission's where it was given, else the profile's, else `own`."""
        return own if is_given else self.values.get(name, own)


def load(snakefile: str, chosen: str | None = None) -> Profile:
    """Return the profile that belongs to a Snakefile, an empty one where there is none.

    Args:
        snakefile: the main file, relative to the work directory.
        chosen: the profile that the submission chose, a folder or the name of one in `profiles`; `none`: no profile.

    Raises:
        BadProfile: it cannot be read, or the chosen one is not there.

    """
    if chosen == NO_PROFILE:
        return Profile()
    file = _find(Path(snakefile), chosen or DEFAULT)
    if file is None:
        if chosen is not None:
            raise BadProfile(
                f"the source has no profile {chosen!r}: there is no `config.yaml` or `profile.yaml` in {chosen}, "
                f"profiles/{chosen} or {Path(snakefile).parent / 'profiles' / chosen}"
            )
        return Profile()
    try:
        if file.stat().st_size > MAX_PROFILE_BYTES:
            raise BadProfile(f"the profile {file} has more than {MAX_PROFILE_BYTES:,} bytes")
        return _read(file)
    except (OSError, ValueError) as error:
        raise BadProfile(f"the profile {file} cannot be read: {error}") from error


def _find(snakefile: Path, name: str) -> Path | None:
    """Return the file of the profile, in the places where Snakemake looks."""
    for folder in (Path(name), Path("profiles") / name, snakefile.parent / "profiles" / name):
        if folder.exists():
            from snakemake.cli import get_profile_dir  # not for the many workflows without a profile

            found = get_profile_dir(str(folder))
            if found is not None:
                return Path(found[1])
    return None


def _read(file: Path) -> Profile:
    from snakemake.cli import get_argument_parser, parse_config

    parser = get_argument_parser()
    parser.error = _refuse
    options = {name: action for action in parser._actions for name in action.option_strings}  # pyright: ignore[reportPrivateUsage]
    honoured: dict[str, argparse.Action] = {}
    words: list[str] = []
    findings: list[Finding] = []
    without_effect: list[str] = []
    for key, value in _entries(file).items():
        name = str(key).strip().lstrip("-").replace("_", "-")
        action = options.get(f"--{name}")
        destination = action.dest if action is not None else ""
        if value is None or str(value) == "False" or (destination == "executor" and value == "local"):
            continue
        if action is not None and destination in HONOURED:
            honoured[destination] = action
            words += _words(action, f"--{name}", value)
        elif destination in WITHOUT_EFFECT:
            without_effect.append(name)
        else:
            findings.append(_unsupported(file, name, value))
    chosen = vars(parser.parse_args(words))
    values = {name: chosen[name] for name in honoured}
    if "config" in values:
        values["config"] = parse_config(values["config"])
    if without_effect:
        findings.append(_without_effect(file, without_effect))
    return Profile(values=values, findings=tuple(findings))


def _entries(file: Path) -> Mapping[str, Any]:
    from configargparse import ConfigFileParserException  # type: ignore[import-untyped]  # it ships no stubs
    from snakemake.exceptions import WorkflowError
    from snakemake.profiles import ProfileConfigFileParser

    try:
        with file.open(encoding="utf-8") as stream:
            entries: Mapping[str, Any] = ProfileConfigFileParser().parse(stream)
            return entries
    except (ConfigFileParserException, WorkflowError) as error:
        raise BadProfile(f"the profile {file} cannot be read: {' '.join(str(error).split())}") from error


def _words(action: argparse.Action, name: str, value: object) -> Iterator[str]:
    """Yield what is on the command line for an entry of a profile."""
    if action.nargs == 0:
        if str(value).lower() not in {"true", "yes", "on", "1"}:
            raise BadProfile(f"the profile sets {name.lstrip('-')} to {value!r}: expected true or false")
        yield name
    elif isinstance(value, list):
        yield name
        yield from map(str, value)
    elif action.nargs is None:
        yield f"{name}={value}"
    else:
        yield name
        yield from str(value).split()


def _refuse(message: str) -> NoReturn:
    raise BadProfile(f"the profile is not valid: {message}")


def _unsupported(file: Path, name: str, value: object) -> Finding:
    text = " ".join(str(value).split())[:MAX_VALUE_CHARS]
    message = f"the profile {file} sets `{name}: {text}`"
    return Finding(kind=FindingKind.UNSUPPORTED, directive=name, message=message)


def _without_effect(file: Path, names: list[str]) -> Finding:
    message = f"the profile {file} sets {', '.join(names)}, without effect: the runner and its slots decide about that"
    return Finding(kind=FindingKind.NOTICE, directive="profile", message=message)
