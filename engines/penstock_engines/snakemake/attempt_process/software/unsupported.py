"""What a workflow declares and this runner does not provide, found in Snakemake's graph before the first task starts.

Snakemake itself ignores `conda:`, `container:` and `envmodules:` unless it was started with the matching option, and
then runs each rule with the software of the machine. A run that ends `completed` in that way has other results than its
author meant, so every such rule is found here and `Software` decides whether the run may go on.
"""

# Snakemake is not typed, so what comes from it is unknown to a type checker.
# pyright: reportMissingTypeStubs=false, reportUnknownMemberType=false, reportUnknownVariableType=false
# pyright: reportUnknownArgumentType=false, reportUnknownParameterType=false

import contextlib
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Final

from msgspec import Struct
from snakemake.exceptions import WorkflowError

from penstock_domain.quantities import counted
from penstock_domain.scheduling.preflight import ALLOW, how_to_provide
from penstock_engines.snakemake.attempt_process.patches import global_conda_of
from penstock_execution.provisioning import ProvisionKind
from penstock_schemas.jobs import Finding, FindingKind, UnsupportedDirectives

POLICY_SETTING: Final = "PENSTOCK_UNSUPPORTED_DIRECTIVES"
MAX_NAMED: Final = 20
"""Findings that one failure text names."""
MAX_DETAIL_CHARS: Final = 200
_LOCAL_WRAPPER: Final = "file:"
"""How the address of a wrapper begins that is a folder of the workflow."""


class MissingSoftware(WorkflowError):  # type: ignore[misc]  # Snakemake is not typed
    """The run needs something that this runner does not provide; the text names every rule and directive."""


class Software(Struct, frozen=True, kw_only=True):
    """Whether a run may go on without software that it declares."""

    policy: UnsupportedDirectives = UnsupportedDirectives.CHOOSE
    is_accepted: bool = False
    """Whether the submission chose `allow-missing-software`."""

    def refusal(self, findings: Iterable[Finding]) -> str | None:
        """Return why a run with these findings must not start; `None` when it may."""
        missing = [finding for finding in findings if finding.kind is FindingKind.UNSUPPORTED]
        is_allowed = self.policy is UnsupportedDirectives.WARN or (
            self.policy is UnsupportedDirectives.CHOOSE and self.is_accepted
        )
        if not missing or is_allowed:
            return None
        named = "; ".join(item.message for item in missing[:MAX_NAMED])
        more = f"; and {len(missing) - MAX_NAMED} more" if len(missing) > MAX_NAMED else ""
        provided = how_to_provide(item.directive for item in missing)
        hint = f"; {provided}" if provided else ""
        return f"the workflow declares what this runner does not provide: {named}{more}. {self._way_out}{hint}"

    @property
    def _way_out(self) -> str:
        if self.policy is UnsupportedDirectives.REFUSE:
            return (
                f"Remove these declarations, and have the operator install the software on the runner. The operator "
                f"does not allow runs without it ({POLICY_SETTING}=refuse)"
            )
        return (
            f"Remove these declarations, or submit with --{ALLOW} (engine parameter `{ALLOW}`) to run with the "
            "software that is installed on the runner; the run then carries this as a warning"
        )


class Inspection:
    """Looks at the rules of a growing graph, each rule once."""

    def __init__(
        self,
        cores: int,
        *,
        profile: Iterable[Finding] = (),
        provides: frozenset[ProvisionKind] = frozenset(),
        has_modules: bool = False,
    ) -> None:
        """Take what is known before the graph is built.

        Args:
            cores: how many the run has.
            profile: what its profile declares and does not get.
            provides: what the runner prepares.
            has_modules: whether environment modules can be loaded.

        """
        self._cores = cores
        self._has_modules = has_modules
        self._provides = provides
        self._seen: set[str] = set()
        self._pending: list[Finding] | None = list(profile)
        """What belongs to no rule, until it was returned."""

    def look(self, workflow: Any, jobs: Iterable[Any]) -> list[Finding]:
        """Return the findings of rules of Snakemake's workflow that were not seen before."""
        found: list[Finding] = []
        if self._pending is not None:
            declared = global_conda_of(workflow)
            found += [*self._pending, *(_finding("conda", None, item) for item in declared)]
            self._pending = None
        for job in jobs:
            name = str(job.rule.name)
            if name in self._seen:
                continue
            software = [] if job.is_norun else list(_software_of(job))
            found += [_finding(item, name, detail) for item, detail in self._missing(software, job)]
            if software or not callable(job.rule.conda_env):
                # A function may return an environment for one job of a rule and none for another.
                self._seen.add(name)
                found += _threads(job, self._cores)
        return found

    def _missing(self, software: Sequence[tuple[str, str]], job: Any) -> Sequence[tuple[str, str]]:
        """Return what is not provided; environment modules and the rest of what a rule declares are alternatives."""
        missing = [(directive, detail) for directive, detail in software if not self._is_provided(directive, job)]
        has_choice = len(software) > 1 and any(directive == "envmodules" for directive, _ in software)
        names = {directive for directive, _ in missing}
        return [] if has_choice and ("envmodules" not in names or names == {"envmodules"}) else missing

    def _is_provided(self, directive: str, job: Any) -> bool:
        match directive:
            case "envmodules":
                return self._has_modules
            case "conda":
                return ProvisionKind.CONDA in self._provides
            case "wrapper":
                is_local = str(job.rule.wrapper).startswith(_LOCAL_WRAPPER)
                return ProvisionKind.CONDA in self._provides and (is_local or ProvisionKind.FILE in self._provides)
            case _:
                return False


def _software_of(job: Any) -> Iterator[tuple[str, str]]:
    """Yield each directive that declares software for a job, and what it declares."""
    rule = job.rule
    if rule.wrapper:
        yield "wrapper", f"{short_text(rule.wrapper)} (it needs a conda environment)"
    elif rule.conda_env and (not callable(rule.conda_env) or job.conda_env_spec is not None):
        yield "conda", short_text(rule.conda_env)
    if rule.container_img:
        yield "containerized" if rule.is_containerized else "container", short_text(rule.container_img)
    if rule.env_modules:
        yield "envmodules", short_text(", ".join(map(str, getattr(rule.env_modules, "names", ()))))


def _finding(directive: str, rule: str | None, detail: str) -> Finding:
    where = f"rule {rule}" if rule else "the workflow"
    message = f"{where} declares `{directive}: {detail}`" if detail else f"{where} declares `{directive}:`"
    return Finding(kind=FindingKind.UNSUPPORTED, directive=directive, message=message, rule=rule)


def _threads(job: Any, cores: int) -> list[Finding]:
    wanted = _declared_threads(job)
    if wanted is None or wanted <= cores:
        return []
    name = str(job.rule.name)
    message = (
        f"rule {name} requests {counted(wanted, 'thread')} and the run has {counted(cores, 'core')}: its jobs run "
        f"with {cores}; request more with --cores (engine parameter `cores`)"
    )
    return [Finding(kind=FindingKind.NOTICE, directive="threads", message=message, rule=name)]


def _declared_threads(job: Any) -> int | None:
    """Return the threads that a rule requests, before Snakemake cuts them to the cores; `None`: not known."""
    with contextlib.suppress(Exception):  # a function of the workflow's author
        resource = job.rule.resources["_cores"]
        if resource.is_evaluable():
            resource, _ = job.rule.apply_input_function(
                resource.evaluate,
                job.wildcards,
                input=job.input,
                attempt=1,
                incomplete_checkpoint_func=_no_threads_yet,
                raw_exceptions=True,
                rulename=job.rule.name,
                async_run=job.rule.workflow.async_run,
            )
        if isinstance(resource.value, int):
            return int(resource.value)
    return None


def _no_threads_yet(_: object) -> int:
    """Replace threads that depend on a checkpoint that did not run yet."""
    return 0


def short_text(value: Any) -> str:
    """Return what a directive holds, on one line; a function has no text."""
    if callable(value):
        return "a function"
    text = " ".join(str(value).split())
    return text if len(text) <= MAX_DETAIL_CHARS else f"{text[:MAX_DETAIL_CHARS]}..."
