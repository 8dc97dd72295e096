"""The hint after a submission: which lines declare software that runners do not provide."""

from datetime import UTC, datetime
from pathlib import Path

import pytest

from penstock.upload.declared_software import MAX_SHOWN, Declaration, declared_software, describe
from penstock_schemas.api import RunnerResponse
from penstock_schemas.ids import RunnerId
from penstock_schemas.jobs import UnsupportedDirectives

SNAKEFILE = """\
container: "docker://alpine"
# conda: "not this"
rule a:
    conda: "env.yaml"
    params: conda="x", container=3
    # container: "nor this"
    shell: "echo conda: {input}"
conda := 3
settings = {"conda": 1}
"""


def runner(policy: UnsupportedDirectives | None) -> RunnerResponse:
    return RunnerResponse(
        id=RunnerId("r"),
        name="r",
        engines={"snakemake": "9"},
        slots=1,
        busy=0,
        draining=False,
        seen_at=datetime.now(UTC),
        unsupported_directives=policy,
    )


def test_lines_that_declare_software_are_found_in_snakefiles_alone(tmp_path: Path) -> None:
    (tmp_path / "rules").mkdir()
    (tmp_path / "Snakefile").write_text(SNAKEFILE)
    (tmp_path / "rules/b.smk").write_text('rule b:\n    envmodules: "x"\n    wrapper: "y"\n')
    (tmp_path / "script.py").write_text('    conda: "x"\n')
    paths = ["Snakefile", "rules/b.smk", "script.py", "absent.smk"]
    assert declared_software(tmp_path, paths) == (
        Declaration("Snakefile", 1, "container", "snakemake"),
        Declaration("Snakefile", 4, "conda", "snakemake"),
        Declaration("rules/b.smk", 2, "envmodules", "snakemake"),
        Declaration("rules/b.smk", 3, "wrapper", "snakemake"),
    )


@pytest.mark.parametrize(
    ("policies", "is_accepted", "words"),
    [
        ([UnsupportedDirectives.CHOOSE], False, "--allow-missing-software"),
        ([], False, "--allow-missing-software"),
        ([None], False, "--allow-missing-software"),
        ([UnsupportedDirectives.CHOOSE], True, "carries a warning"),
        ([UnsupportedDirectives.WARN], False, "carries a warning"),
        ([UnsupportedDirectives.REFUSE], False, "is refused before its first task"),
        ([UnsupportedDirectives.REFUSE], True, "is refused before its first task"),
    ],
)
def test_what_becomes_of_such_a_run_follows_from_the_runners(
    policies: list[UnsupportedDirectives | None], is_accepted: bool, words: str
) -> None:
    declared = (Declaration("Snakefile", 4, "conda", "snakemake"),)
    first, last = describe(declared, [runner(policy) for policy in policies], is_accepted=is_accepted)
    assert first == "Snakefile:4 declares `conda:`"
    assert words in last


def test_variables_are_named_with_the_setting_that_passes_them_on(tmp_path: Path) -> None:
    (tmp_path / "Snakefile").write_text('envvars:\n    "TOKEN"\n')
    declared = declared_software(tmp_path, ["Snakefile"])
    first, last = describe(declared, [runner(UnsupportedDirectives.CHOOSE)], is_accepted=False)
    assert first == "Snakefile:1 declares `envvars:`"
    assert "PENSTOCK_WORKFLOW_ENVIRONMENT" in last


def test_only_so_many_lines_are_shown() -> None:
    declared = tuple(Declaration("Snakefile", n, "conda", "snakemake") for n in range(MAX_SHOWN + 3))
    lines = list(describe(declared, [], is_accepted=False))
    assert len(lines) == MAX_SHOWN + 2
    assert lines[MAX_SHOWN] == "and 3 more such lines"
