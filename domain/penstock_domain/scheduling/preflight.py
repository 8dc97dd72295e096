"""What a job declares and the connected runners do not provide, before it starts: for the user who submitted it."""

from collections.abc import Iterable, Sequence, Set
from typing import Final

from penstock_schemas.jobs import DeclaredSoftware, UnsupportedDirectives
from penstock_schemas.views import Job, RunnerHeartbeat

ALLOW: Final = "allow-missing-software"
"""The engine parameter by which a run accepts that declared software is missing."""
PROVIDED_BY: Final = {
    "conda": "PENSTOCK_CONDA_CHANNELS",
    "wrapper": "PENSTOCK_SOURCE_HOSTS or PENSTOCK_SOURCE_MIRRORS",
    "envmodules": "PENSTOCK_ENVMODULES_INIT",
}
"""The settings of a runner by which it provides what a directive declares."""
MAX_NAMED: Final = 10
"""Declarations that are named, each in a sentence."""
MODULES: Final = "envmodules"
VARIABLES: Final = frozenset({"envvars"})
"""Directives that request environment variables, not software."""


def preflight(job: Job, runners: Iterable[RunnerHeartbeat] | None) -> tuple[str, ...]:
    """Return what no connected runner provides for a job, and whether it would be refused, one sentence each.

    Args:
        job: the job.
        runners: those that are connected; `None`: not known, then nothing is returned.

    """
    if runners is None or job.state.is_terminal or job.spec.source is None:
        return ()
    offering = [runner for runner in runners if job.spec.engine in runner.engines]
    provided = {directive for runner in offering for directive in runner.provides}
    declared = job.spec.source.declared
    missing = [item for item in declared if _is_missing(item, declared, provided)]
    variables = [item for item in declared if item.directive in VARIABLES]
    sentences = [*map(_named, (*missing, *variables)[:MAX_NAMED])]
    more = len(missing) + len(variables) - MAX_NAMED
    if more > 0:
        sentences.append(f"{more} more such declarations are not named")
    if missing:
        is_accepted = ALLOW in (job.spec.engine_parameters or {})
        consequence = _consequence({runner.unsupported_directives for runner in offering}, is_accepted=is_accepted)
        hint = how_to_provide(item.directive for item in missing)
        sentences.append("; ".join(filter(None, (consequence, hint))))
    if variables:
        sentences.append(
            "the run is refused unless --env sets these variables, or the operator passes them on "
            "(PENSTOCK_WORKFLOW_ENVIRONMENT)"
        )
    return tuple(sentences)


def _is_missing(item: DeclaredSoftware, declared: Sequence[DeclaredSoftware], provided: Set[str]) -> bool:
    """Return whether a declaration is not honoured; in a rule, environment modules and the rest are alternatives."""
    if item.directive in provided or item.directive in VARIABLES:
        return False
    others = {other.directive for other in declared if item.rule and (other.path, other.rule) == (item.path, item.rule)}
    others -= {item.directive, *VARIABLES}
    has_alternative = others and others <= provided if item.directive == MODULES else MODULES in others & provided
    return not has_alternative


def _named(item: DeclaredSoftware) -> str:
    where = f"rule {item.rule}" if item.rule else "the workflow"
    return f"{where} declares `{item.directive}:` ({item.path}:{item.line})"


def how_to_provide(directives: Iterable[str]) -> str:
    """Return by which settings of a runner the operator provides directives; empty when there is none."""
    known = [f"`{name}:` with {PROVIDED_BY[name]}" for name in dict.fromkeys(directives) if name in PROVIDED_BY]
    return f"the operator of a runner provides {' and '.join(known)}" if known else ""


def _consequence(policies: Iterable[UnsupportedDirectives | None], *, is_accepted: bool) -> str:
    """Return whether a run that needs this is refused, by the policies of the runners."""
    kinds = set(policies)
    lacking = "the connected runners do not provide such software"
    if kinds == {UnsupportedDirectives.WARN} or (is_accepted and UnsupportedDirectives.REFUSE not in kinds):
        return f"{lacking}: the run uses the software that is installed on the runner, and carries a warning"
    if kinds == {UnsupportedDirectives.REFUSE}:
        return f"{lacking}: a run that needs these rules is refused before its first task"
    return (
        f"{lacking}: a run that needs these rules is refused before its first task, unless it was submitted with "
        f"--{ALLOW} (engine parameter `{ALLOW}`)"
    )
