"""The options of `submit` that exclude one another, and their meaning."""

from pathlib import Path

import click
import pytest
from msgspec.structs import replace

from penstock.terminal.options.parameters import parse_labels, parse_parameters
from penstock.terminal.options.submission_options import SourceOptions, fetched_source

NOTHING = SourceOptions(
    workflow=None,
    pipeline=None,
    pipeline_version=None,
    git=None,
    ref=None,
    from_url=None,
    in_place=False,
    entrypoint=None,
)
URL = "https://example.org/lab/calls.git"


def test_without_an_address_the_server_fetches_nothing() -> None:
    assert NOTHING.fetched() is None


def test_a_repository_gives_the_source_and_its_name() -> None:
    fetched = replace(NOTHING, git=URL, ref="v2", entrypoint="main.smk").fetched()

    assert fetched is not None
    source, name = fetched
    assert (source.git, source.ref, source.url, source.entrypoint) == (URL, "v2", None, "main.smk")
    assert name == "calls"


def test_an_address_without_a_path_has_a_name() -> None:
    fetched = fetched_source(None, None, "https://example.org/", None)

    assert fetched is not None
    assert fetched[1] == "workflow"


@pytest.mark.parametrize(
    "options",
    [
        replace(NOTHING, pipeline="calls", workflow=Path("w")),
        replace(NOTHING, pipeline="calls", in_place=True),
        replace(NOTHING, pipeline="calls", entrypoint="Snakefile"),
        replace(NOTHING, pipeline_version="1"),
        replace(NOTHING, ref="v1"),
        replace(NOTHING, git=URL, from_url=URL),
        replace(NOTHING, git=URL, workflow=Path("w")),
        replace(NOTHING, from_url=URL, pipeline="calls"),
    ],
)
def test_options_that_contradict_one_another_are_refused(options: SourceOptions) -> None:
    with pytest.raises(click.UsageError):
        options.fetched()


def test_later_parameters_replace_earlier_ones(tmp_path: Path) -> None:
    first, second = tmp_path / "a.json", tmp_path / "b.yaml"
    first.write_text('{"a": 1, "b": 1, "c": 1}')
    second.write_text("b: 2\nc: 2\n")

    assert parse_parameters((first, second), ("c=[3]", "d=x"), ("e=5",)) == {
        "a": 1,
        "b": 2,
        "c": [3],
        "d": "x",
        "e": "5",
    }


@pytest.mark.parametrize("pair", ["x", "=1", " =1"])
def test_a_pair_without_key_or_sign_is_refused(pair: str) -> None:
    with pytest.raises(click.BadParameter):
        parse_labels((pair,))
    with pytest.raises(click.BadParameter):
        parse_parameters((), (pair,), ())


@pytest.mark.parametrize("text", ["NaN", "Infinity", "-Infinity"])
def test_a_number_that_json_does_not_have_is_a_text(text: str) -> None:
    assert parse_parameters((), (f"x={text}",), ()) == {"x": text}


@pytest.mark.parametrize(("name", "content"), [("a.json", "[1]"), ("a.json", "{"), ("a.yaml", "- 1"), ("gone", None)])
def test_a_file_that_holds_no_parameters_is_refused(tmp_path: Path, name: str, content: str | None) -> None:
    path = tmp_path / name
    if content is not None:
        path.write_text(content)

    with pytest.raises(click.BadParameter):
        parse_parameters((path,), (), ())
