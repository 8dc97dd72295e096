"""What workflow files declare, by their text, and what the connected runners do with such a run."""

from collections.abc import Sequence
from datetime import UTC, datetime

import pytest

from penstock_domain.engines.declared_software import declarations_in, listed
from penstock_domain.scheduling.preflight import MAX_NAMED, preflight
from penstock_engines.snakemake.descriptor import DESCRIPTOR
from penstock_schemas.ids import DEFAULT_TENANT, JobId, RunnerId
from penstock_schemas.job_spec import JobSpec
from penstock_schemas.jobs import (
    MAX_DECLARED,
    DeclaredSoftware,
    EngineParameters,
    JobState,
    Source,
    SourceKind,
    UnsupportedDirectives,
    directives_of,
)
from penstock_schemas.views import EMPTY_HEAD, Job, RunnerHeartbeat

NOW = datetime(2030, 1, 1, tzinfo=UTC)
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
checkpoint b :
    wrapper: "v1/bio/x"
rule:
    conda: "env.yaml"
envvars:
    "TOKEN"
"""
CONDA = DeclaredSoftware(directive="conda", path="Snakefile", line=4, rule="a")


def runner(policy: UnsupportedDirectives | None, *provides: str, engine: str = "snakemake") -> RunnerHeartbeat:
    return RunnerHeartbeat(
        runner_id=RunnerId("r"),
        count=1,
        time=NOW,
        name="r",
        slots=1,
        busy=0,
        engines={engine: "9"},
        unsupported_directives=policy,
        provides=provides,
    )


def job(*declared: DeclaredSoftware, state: JobState = JobState.QUEUED, chosen: EngineParameters | None = None) -> Job:
    source = Source(kind=SourceKind.FILES, location="x", declared=declared)
    spec = JobSpec(pipeline_name="p", engine="snakemake", source=source, engine_parameters=chosen)
    return Job(
        id=JobId("j"),
        tenant=DEFAULT_TENANT,
        state=state,
        head=EMPTY_HEAD,
        spec=spec,
        created_at=NOW,
        updated_at=NOW,
        created_seq=1,
    )


def test_lines_that_declare_software_are_found_with_their_rule() -> None:
    """Comments, strings and other names are none, and neither are files that are no workflow files."""
    found = [
        (item.line, item.directive, item.rule) for item in declarations_in(DESCRIPTOR, "workflow/Snakefile", SNAKEFILE)
    ]
    assert found == [
        (1, "container", None),
        (4, "conda", "a"),
        (11, "wrapper", "b"),
        (13, "conda", None),
        (14, "envvars", None),
    ]
    assert list(declarations_in(DESCRIPTOR, "script.py", SNAKEFILE)) == []


def test_a_source_lists_the_first_of_each_rule_and_every_directive() -> None:
    """A workflow may declare the same in a thousand rules, and something else in the last one."""
    many = [DeclaredSoftware(directive="conda", path="Snakefile", line=n, rule=f"r{n // 2}") for n in range(1000)]
    found = listed([*many, DeclaredSoftware(directive="wrapper", path="Snakefile", line=2000, rule="last")])
    assert len(found) == MAX_DECLARED
    assert [item.line for item in found[:3]] == [0, 2, 4]
    assert found[-1].directive == "wrapper"
    assert directives_of(Source(kind=SourceKind.FILES, location="x", declared=found)) == {"conda", "wrapper"}


@pytest.mark.parametrize(
    ("policies", "chosen", "words"),
    [
        ([UnsupportedDirectives.CHOOSE], None, "--allow-missing-software"),
        ([], None, "--allow-missing-software"),
        ([None], None, "--allow-missing-software"),
        ([UnsupportedDirectives.CHOOSE], {"allow-missing-software": None}, "carries a warning"),
        ([UnsupportedDirectives.WARN], None, "carries a warning"),
        ([UnsupportedDirectives.REFUSE], None, "is refused before its first task"),
        ([UnsupportedDirectives.REFUSE], {"allow-missing-software": None}, "is refused before its first task"),
    ],
)
def test_whether_such_a_run_is_refused_follows_from_the_runners(
    policies: Sequence[UnsupportedDirectives | None], chosen: EngineParameters | None, words: str
) -> None:
    """The policy of the runners, and what the submission chose."""
    first, last = preflight(job(CONDA, chosen=chosen), [runner(policy) for policy in policies])
    assert first == "rule a declares `conda:` (Snakefile:4)"
    assert words in last
    assert last.endswith("; the operator of a runner provides `conda:` with PENSTOCK_CONDA_CHANNELS")


def test_what_a_runner_provides_is_not_missing() -> None:
    """Runners of other engines do not count."""
    assert preflight(job(CONDA), [runner(None), runner(None, "conda")]) == ()
    assert len(preflight(job(CONDA), [runner(None, "conda", engine="mock")])) == 2


@pytest.mark.parametrize(
    ("directives", "provided", "missing"),
    [
        (("conda", "envmodules"), ("conda",), 0),
        (("conda", "envmodules"), ("envmodules",), 0),
        (("conda", "envmodules"), (), 2),
        (("conda", "container", "envmodules"), ("conda",), 2),
        (("conda", "container", "envmodules"), ("envmodules",), 0),
        (("envmodules",), ("conda",), 1),
    ],
)
def test_environment_modules_and_the_rest_of_a_rule_are_alternatives(
    directives: Sequence[str], provided: Sequence[str], missing: int
) -> None:
    """As the attempt decides; in another rule they are none."""
    declared = [DeclaredSoftware(directive=item, path="Snakefile", line=1, rule="a") for item in directives]
    sentences = preflight(job(*declared), [runner(None, *provided)])
    assert len(sentences) == (missing + 1 if missing else 0), sentences
    alone = [DeclaredSoftware(directive=item, path="Snakefile", line=1, rule=item) for item in directives]
    assert len(preflight(job(*alone), [runner(None, *provided)])) == (len({*directives} - {*provided}) or -1) + 1


def test_nothing_is_stated_of_a_job_that_ended_or_when_the_runners_are_not_known() -> None:
    """Its own warnings and failure have it then."""
    assert preflight(job(CONDA, state=JobState.COMPLETED), [runner(None)]) == ()
    assert preflight(job(CONDA), None) == ()


def test_variables_are_named_with_the_setting_that_passes_them_on() -> None:
    """They are no software."""
    variables = DeclaredSoftware(directive="envvars", path="Snakefile", line=1)
    first, last = preflight(job(variables), [runner(UnsupportedDirectives.CHOOSE)])
    assert first == "the workflow declares `envvars:` (Snakefile:1)"
    assert "PENSTOCK_WORKFLOW_ENVIRONMENT" in last


def test_only_so_many_are_named() -> None:
    """The rest is a number."""
    many = [DeclaredSoftware(directive="conda", path="Snakefile", line=n, rule=f"r{n}") for n in range(MAX_NAMED + 3)]
    sentences = preflight(job(*many), [])
    assert len(sentences) == MAX_NAMED + 2
    assert sentences[MAX_NAMED] == "3 more such declarations are not named"
