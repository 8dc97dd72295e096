"""Every option of the installed Snakemake is a parameter, or is refused with a reason."""

from tools.reference.snakemake_options import installed_options, state_of

from penstock_engines.snakemake.descriptor import DESCRIPTOR
from penstock_engines.snakemake.refused_options import NOT_SUPPORTED, OPERATOR


def test_the_installed_snakemake_has_no_option_that_the_tables_do_not_know() -> None:
    for option in installed_options():
        assert all(state_of(option)), option


def test_the_tables_name_no_option_that_snakemake_does_not_have() -> None:
    own = {"allow-missing-software", "enforce-resources", "env", "keep-undeclared"}
    names = {name for option in installed_options() for name in option.long_names}
    assert set(NOT_SUPPORTED) | set(OPERATOR) <= names
    assert {parameter.name for parameter in DESCRIPTOR.parameters} - own <= names


def test_an_option_is_either_taken_or_refused() -> None:
    refused = [*NOT_SUPPORTED, *OPERATOR]
    assert len(refused) == len(set(refused))
    assert not [name for name in refused if DESCRIPTOR.table.find(name)]
    for name in refused:
        (violation,) = DESCRIPTOR.table.check({name: "x"})
        assert {**NOT_SUPPORTED, **OPERATOR}[name] in violation.detail
