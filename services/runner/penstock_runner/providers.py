"""What a runner prepares for its attempts: software and remote files that workflows declare."""

from collections.abc import Iterable, Mapping
from typing import Final

from penstock_execution.provisioning import Provider, ProvisionKind
from penstock_execution.sandbox.policy import SandboxPolicy
from penstock_runner.conda_settings import conda_provider
from penstock_runner.settings import RunnerSettings

_NEEDS: Final[dict[str, frozenset[ProvisionKind]]] = {
    "conda": frozenset({ProvisionKind.CONDA}),
    "container": frozenset({ProvisionKind.CONTAINER}),
    "containerized": frozenset({ProvisionKind.CONTAINER}),
    "wrapper": frozenset({ProvisionKind.CONDA, ProvisionKind.FILE}),
}
"""Directives of workflows, and what a runner must prepare to honour each."""


def providers_of(
    settings: RunnerSettings, environ: Mapping[str, str], sandbox: SandboxPolicy | None
) -> tuple[Provider, ...]:
    """Return the providers of a runner; they are ready once they were entered.

    Args:
        settings: what the operator allows.
        environ: the runner's environment.
        sandbox: what attempts may touch.

    Raises:
        UnusableSetting: something cannot be provided as it is set.

    """
    conda = conda_provider(settings, settings.name, settings.state_dir, environ, sandbox)
    return () if conda is None else (conda,)


def provided_directives(
    providers: Iterable[Provider], *, has_files: bool = False, has_modules: bool = False
) -> tuple[str, ...]:
    """Return the directives that a runner with these providers honours, sorted: it advertises them.

    Args:
        providers: what all attempts share.
        has_files: whether each attempt also gets files of other hosts.
        has_modules: whether environment modules can be loaded.

    """
    kinds = {kind for provider in providers for kind in provider.kinds}
    kinds |= {ProvisionKind.FILE} if has_files else set()
    found = {directive for directive, needs in _NEEDS.items() if needs <= kinds}
    return tuple(sorted(found | ({"envmodules"} if has_modules else set())))
