"""The example workflow does what its README states."""

import shutil
from pathlib import Path
from xml.etree import ElementTree

import pytest
from tests.runner.snakemake.engine_harness import EngineHarness

pytestmark = pytest.mark.system

EXAMPLE = Path(__file__).parents[3] / "examples" / "variant-summary"


@pytest.fixture
def example(harness: EngineHarness) -> EngineHarness:
    shutil.copytree(EXAMPLE, harness.work, dirs_exist_ok=True, ignore=shutil.ignore_patterns(".snakemake", "results"))
    return harness


async def test_the_example_finds_the_lineages(example: EngineHarness) -> None:
    outcome = await example.succeed(cores=2)
    finding = (example.work / "results/summary.txt").read_text().splitlines()[0]
    assert finding == ("Hospital outbreak: 6 samples fall into 3 lineages; the largest is ward-1, ward-2, ward-3.")
    assert {"results/variants.tsv", "results/lineages.svg", "results/summary.txt"} <= set(outcome.outputs)
    assert outcome.tasks.done == outcome.tasks.total == 20
    first, last = example.emitted.counts[0].total, example.emitted.counts[-1].total
    assert first < last, "the checkpoint did not extend the graph"
    assert ElementTree.parse(example.work / "results/lineages.svg").getroot().tag.endswith("svg")


async def test_parameters_override_the_example_s_defaults(example: EngineHarness) -> None:
    parameters = {"title": "Two wards", "samples": ["ward-1", "kitchen"], "min_similarity": 0.01}
    await example.succeed(parameters=parameters, cores=2)
    finding = (example.work / "results/summary.txt").read_text().splitlines()[0]
    assert finding == "Two wards: 2 samples fall into 1 lineage; the largest is kitchen, ward-1."


async def test_an_unknown_sample_is_named(example: EngineHarness) -> None:
    failure = await example.fail(parameters={"samples": ["nobody"]})
    assert failure.message == (
        "rule place_reads needs input that does not exist and that no rule makes: data/reads/nobody.fa"
    )
