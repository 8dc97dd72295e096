"""What a workflow marks for its report, and Snakemake's report itself, made without a network."""

import pytest
from tests.runner.snakemake.engine_harness import EngineHarness

from penstock_engines.snakemake.attempt_process import report_items
from penstock_execution.engine import Outcome
from penstock_schemas.outputs import OutputKind, ReportItem
from penstock_schemas.views import LogStream

pytestmark = pytest.mark.system


def items_of(outcome: Outcome) -> dict[str, ReportItem | None]:
    return {file.path: file.report for file in outcome.produced.files if file.kind is OutputKind.REPORT}


WORKFLOW = """
    report: "report/workflow.rst"
    rule all:
        input: "plots/A.svg", "folder", "page", "plain.txt"
    rule plot:
        output:
            report(
                "plots/{sample}.svg",
                caption="report/plot.rst",
                category="Plots",
                subcategory="{sample}",
                labels={"sample": "{sample}", "depth": 3},
            ),
        params: colour="red"
        shell: "echo '<svg/>' > {output}"
    rule folder:
        output: report(directory("folder"), patterns=["{name}.csv"], category="Tables", labels={"name": "{name}"})
        shell: "mkdir folder; echo 1 > folder/one.csv; echo 2 > folder/other.txt"
    rule page:
        output: report(directory("page"), htmlindex="index.html", category=lambda wildcards: "Pages")
        shell: "mkdir page; echo '<h1>x</h1>' > page/index.html; echo x > page/x.js"
    rule plain:
        output: "plain.txt"
        shell: "echo x > {output}"
    """
CAPTION = "The plot of **{{ snakemake.wildcards.sample }}**, {{ snakemake.params.colour }}: <script>x()</script>\n"


async def test_marked_outputs_have_what_the_workflow_states_of_them(harness: EngineHarness) -> None:
    harness.write({"report/plot.rst": CAPTION, "report/workflow.rst": "All of it.\n"})
    outcome = await harness.succeed(WORKFLOW)
    assert items_of(outcome) == {
        "plots/A.svg": ReportItem(
            caption="The plot of **A**, red: <script>x()</script>",
            category="Plots",
            subcategory="A",
            labels={"sample": "A", "depth": "3"},
        ),
        "folder/one.csv": ReportItem(category="Tables", labels={"name": "one"}),
        "page/index.html": ReportItem(category="Pages"),
    }
    assert {file.path for file in outcome.produced.files if file.kind is OutputKind.OUTPUT} == {
        "folder/other.txt",
        "page/x.js",
        "plain.txt",
    }


@pytest.mark.parametrize(("value", "name"), [(None, "report.html"), ("all/results.zip", "all/results.zip")])
async def test_the_report_of_snakemake_is_an_output(harness: EngineHarness, value: str | None, name: str) -> None:
    harness.write({"report/plot.rst": CAPTION, "report/workflow.rst": "All of it.\n"})
    # Snakemake takes folders with an index page into archives only.
    targets = {"targets": "plots/A.svg folder"} if name.endswith(".html") else {}
    outcome = await harness.succeed(WORKFLOW, engine_parameters={"report": value, **targets})
    assert not outcome.findings
    assert items_of(outcome)[name] == ReportItem()
    assert (harness.work / name).stat().st_size > 100_000, "scripts and styles are in it"


async def test_a_report_that_cannot_be_made_is_a_warning(harness: EngineHarness) -> None:
    harness.write({"bad.rst": "{{ snakemake.wildcards.none }} {% if %}\n"})
    outcome = await harness.succeed(
        """
        rule a:
            output: report("a.txt", caption="bad.rst", category="Plots")
            shell: "echo x > {output}"
        """,
        engine_parameters={"report": "true"},
    )
    [finding] = outcome.findings
    assert finding.directive == "report"
    assert finding.message.startswith("Snakemake's report report.html was not made: ")
    assert "what the report states of a.txt is left out" in harness.emitted.log(LogStream.ENGINE)
    assert {file.path: file.kind for file in outcome.produced.files} == {"a.txt": OutputKind.OUTPUT}


async def test_what_is_stated_is_bounded(harness: EngineHarness) -> None:
    harness.write({"long.rst": "{{ 'x' * 1000000 }}"})
    outcome = await harness.succeed(
        """
        rule a:
            output: report("a.txt", caption="long.rst", category="c" * 5000, labels={"k" * 3000: "v" * 3000})
            shell: "echo x > {output}"
        """
    )
    item = items_of(outcome)["a.txt"]
    assert item is not None
    assert len(item.caption or "") == 8_000
    assert len(item.category or "") == 1_000
    assert [(len(key), len(value)) for key, value in item.labels.items()] == [(1_000, 1_000)]


async def test_a_marked_folder_marks_what_is_in_it(harness: EngineHarness) -> None:
    harness.write({"c.rst": "text"})
    outcome = await harness.succeed(
        """
        rule a:
            output: report(directory("d"), caption="c.rst", category="C")
            shell: "mkdir d; echo 1 > d/1; echo 2 > d/2"
        """
    )
    assert items_of(outcome) == {"d/1": ReportItem(category="C"), "d/2": ReportItem(category="C")}


def test_as_many_items_are_reported_as_the_engine_takes() -> None:
    from penstock_engines.snakemake.attempt_events.protocol import MAX_REPORT_ITEMS

    assert report_items.MAX_ITEMS + 1 <= MAX_REPORT_ITEMS
