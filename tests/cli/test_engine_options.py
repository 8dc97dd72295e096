"""The parameters of engines as options of commands."""

from typing import Any

import click
import pytest
from click.testing import CliRunner, Result

from penstock.terminal.options.engine_options import engine_options
from penstock_engines.snakemake.descriptor import DESCRIPTOR

chosen: dict[str, Any] = {}


@click.command()
@engine_options
@click.option("-w", "--watch", is_flag=True, help="Watch it.")
@click.argument("workflow", required=False)
def run(workflow: str | None, engine_parameters: dict[str, str | None], watch: bool) -> None:
    """Take engine parameters."""
    chosen.clear()
    chosen.update(engine_parameters)


def given(*arguments: str) -> Result:
    return CliRunner().invoke(run, arguments)


def taken(*arguments: str) -> dict[str, Any]:
    result = given(*arguments)
    assert result.exit_code == 0, result.output
    return dict(chosen)


def test_every_parameter_of_an_engine_is_an_option_with_its_description() -> None:
    text = " ".join(given("--help").output.split())
    for parameter in DESCRIPTOR.parameters:
        assert f"--{parameter.name}" in text
        assert parameter.same_as or parameter.description[:40] in text


def test_options_become_parameters_that_the_gateway_takes() -> None:
    parameters = taken(
        *("my-workflow", "--cores", "4", "-k", "--target", "all", "--targets", "'a b.txt'", "--until", "sort"),
        *(
            "--set-resources",
            "sort:mem_mb=5",
            "--env",
            "NAME=two words",
            "--config",
            "title=it's",
            "--no-rerun-incomplete",
        ),
    )
    assert parameters == {
        "cores": "4",
        "keep-going": None,
        "targets": "all 'a b.txt'",
        "until": "sort",
        "set-resources": "sort:mem_mb=5",
        "env": "'NAME=two words'",
        "config": "'title=it'\"'\"'s'",
        "rerun-incomplete": "false",
    }
    read = DESCRIPTOR.table.read(parameters)
    assert read["targets"] == ("all", "a b.txt")
    assert read["env"] == {"NAME": "two words"}
    assert read["config"] == ("title=it's",)


def test_nothing_chosen_is_nothing_sent() -> None:
    assert taken() == {}


def test_a_parameter_can_be_set_by_its_name_also_one_of_an_engine_that_is_not_here() -> None:
    assert taken("--engine-parameter", "keep_going", "--engine-parameter", "depth=3") == {
        "keep-going": None,
        "depth": "3",
    }


def test_an_option_of_the_command_keeps_its_short_name() -> None:
    assert taken("-w") == {}
    assert taken("--latency-wait", "3") == {"latency-wait": "3"}


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        (("--cores", "many"), "whole number"),
        (("--set-resources", "mem_mb=5"), "rule:name=amount"),
        (("--env", "PATH=/evil"), "reserved"),
        (("--target", "../../etc"), "within the run's folder"),
        (("--engine-parameter", "cores=1", "--cores", "2"), "given twice"),
        (("--forcrun", "x"), "--forcerun"),
    ],
)
def test_what_the_server_would_refuse_is_refused_before_anything_is_sent(arguments: tuple[str, ...], why: str) -> None:
    result = given(*arguments)
    assert result.exit_code == 2
    assert why in result.output
