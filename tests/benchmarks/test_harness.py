"""That the harness measures, reports and judges. No timing is asserted."""

import json
from pathlib import Path

import pytest
from benchmarks.__main__ import main
from benchmarks.result import Figure, Rating, latencies, percentile


def test_percentiles_are_the_nearest_rank() -> None:
    samples = [float(number) for number in range(1, 101)]

    assert [percentile(samples, item) for item in (1, 50, 99, 100)] == [1, 50, 99, 100]
    assert percentile([7.0], 99) == 7.0


def test_no_samples_are_no_percentile() -> None:
    with pytest.raises(ValueError, match="no samples"):
        percentile([], 50)


@pytest.mark.parametrize(
    ("figure", "rating"),
    [
        (Figure(name="rate", value=2_000, unit="1/s", at_least=2_000), Rating.MET),
        (Figure(name="rate", value=1_999, unit="1/s", at_least=2_000), Rating.MISSED),
        (Figure(name="wait", value=3.0, unit="ms", at_most=3.0), Rating.MET),
        (Figure(name="wait", value=3.1, unit="ms", at_most=3.0), Rating.MISSED),
        (Figure(name="wait", value=3.1, unit="ms"), Rating.NO_BUDGET),
    ],
)
def test_a_figure_is_judged_by_its_budget(figure: Figure, rating: Rating) -> None:
    assert figure.rating is rating


def test_latencies_are_given_in_milliseconds() -> None:
    p50, p99 = latencies("wait", [0.001, 0.002, 0.5], p50_ms=3.0, p99_ms=60.0)

    assert (p50.value, p50.rating) == (2.0, Rating.MET)
    assert (p99.value, p99.rating) == (500.0, Rating.MISSED)


@pytest.mark.parametrize("jobs", ["0", "1000001", "many"])
def test_a_history_has_a_bound(jobs: str) -> None:
    with pytest.raises(SystemExit):
        main(["--jobs", jobs])


@pytest.mark.system
def test_a_measurement_uses_the_requested_history(tmp_path: Path) -> None:
    output = tmp_path / "report.json"

    assert main(["--tiny", "--only", "queries", "--jobs", "30", "--output", str(output)]) == 0

    names = [figure["name"] for figure in json.loads(output.read_bytes())["results"][0]["figures"]]
    assert any("with 30 jobs" in name for name in names)


@pytest.mark.system
@pytest.mark.parametrize("name", ["submit_to_running", "peers", "queries", "wes_submit", "compression"])
def test_a_measurement_comes_to_its_end(name: str, tmp_path: Path) -> None:
    output = tmp_path / "report.json"

    assert main(["--tiny", "--only", name, "--output", str(output)]) == 0

    report = json.loads(output.read_bytes())
    assert report["failed"] == {}
    assert [result["name"] for result in report["results"]] == [name]
    assert all(figure["value"] >= 0 for figure in report["results"][0]["figures"])
    assert report["machine"]["cores"] > 0
