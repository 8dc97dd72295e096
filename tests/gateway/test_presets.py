"""The operator's presets, and the engine parameters that they make together with an entry's values."""

from pathlib import Path

import pytest

from penstock_engines.mock.descriptor import DESCRIPTOR as MOCK
from penstock_engines.snakemake.descriptor import DESCRIPTOR as SNAKEMAKE
from penstock_gateway.catalogue.engine_choices import require_allowed
from penstock_gateway.catalogue.presets import engine_parameters_of, read_presets
from penstock_gateway.http.problems import Invalid
from penstock_schemas.api import PipelineRegistration, SubmittedSource
from penstock_schemas.jobs import EngineParameters

SOURCE = SubmittedSource(files={"Snakefile": ""})
PRESETS: dict[str, EngineParameters] = {"large": {"cores": "16", "keep_going": "true"}, "wrong": {"no_such": "1"}}


def registration(**fields: object) -> PipelineRegistration:
    return PipelineRegistration(name="p", version="1", source=SOURCE, **fields)  # type: ignore[arg-type]


def fault_of(**fields: object) -> tuple[str, str]:
    with pytest.raises(Invalid) as caught:
        engine_parameters_of(registration(**fields), "snakemake", PRESETS)
    (violation,) = caught.value.violations
    return violation.pointer, violation.detail


def test_what_is_closer_to_the_entry_counts() -> None:
    assert engine_parameters_of(registration(preset="large"), "snakemake", PRESETS) == PRESETS["large"]
    found = engine_parameters_of(
        registration(preset="large", resources={"cores": 4, "mem_mb": 100}, engine_parameters={"keep_going": "false"}),
        "snakemake",
        PRESETS,
    )
    assert found == {"cores": "4", "keep_going": "false", "resources": "mem_mb=100"}


def test_an_entry_that_chooses_nothing_has_no_parameters() -> None:
    assert engine_parameters_of(registration(), "snakemake", PRESETS) is None


def test_wrong_choices_are_refused_at_their_place() -> None:
    assert fault_of(preset="small") == (
        "#/preset",
        "this server has no preset `small`; there are `large`, `wrong`",
    )
    assert fault_of(preset="wrong")[0] == "#/preset"
    assert fault_of(engine_parameters={"no_such": "1"})[0] == "#/engine_parameters/no_such"


def test_an_engine_takes_only_its_parameters() -> None:
    require_allowed(SNAKEMAKE.table, {"cores": "2"})
    with pytest.raises(Invalid) as caught:
        require_allowed(MOCK.table, {"keep_going": "true", "cores": "x"})
    assert "#/engine_parameters/keep_going" in {violation.pointer for violation in caught.value.violations}


@pytest.mark.parametrize("name", ["presets.yaml", "presets.json"])
def test_a_file_of_presets_is_read(tmp_path: Path, name: str) -> None:
    file = tmp_path / name
    file.write_text('{"large": {"cores": "16"}}')
    assert read_presets(file) == {"large": {"cores": "16"}}


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("[]", "expected names with engine parameters"),
        ('{"a": {"cores": 3}}', "expected names with engine parameters"),
        ("{", "expected names with engine parameters"),
        ('{"a": {"no_such": "1"}}', "the preset `a` is for no engine: `no_such`"),
    ],
)
def test_a_file_that_holds_something_else_is_refused(tmp_path: Path, text: str, reason: str) -> None:
    file = tmp_path / "presets.json"
    file.write_text(text)
    with pytest.raises(ValueError, match=reason):
        read_presets(file)


def test_a_missing_file_is_refused_with_the_reason(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="it cannot be read: No such file or directory"):
        read_presets(tmp_path / "presets.json")
