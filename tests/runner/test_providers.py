"""What a runner advertises follows from what its providers prepare."""

import pytest
from tests.runner.test_provisioning import OneKind

from penstock_execution.provisioning import ProvisionKind
from penstock_runner.providers import provided_directives


@pytest.mark.parametrize(
    ("kinds", "directives"),
    [
        ([], ()),
        ([ProvisionKind.CONDA], ("conda",)),
        ([ProvisionKind.FILE], ()),
        ([ProvisionKind.FILE, ProvisionKind.CONDA], ("conda", "wrapper")),
        ([ProvisionKind.CONTAINER], ("container", "containerized")),
    ],
)
def test_a_directive_is_honoured_when_all_that_it_needs_is_prepared(
    kinds: list[ProvisionKind], directives: tuple[str, ...]
) -> None:
    """A wrapper is a file and an environment."""
    assert provided_directives(map(OneKind, kinds)) == directives


def test_files_of_each_attempt_and_environment_modules_count_as_well() -> None:
    conda = [OneKind(ProvisionKind.CONDA)]
    assert provided_directives(conda, has_files=True) == ("conda", "wrapper")
    assert provided_directives([], has_files=True) == ()
    assert provided_directives([], has_modules=True) == ("envmodules",)
