"""Which tasks use the cache, and that everything that determines their outputs changes their key."""

# Snakemake is not typed, so what comes from it is unknown to a type checker.
# pyright: reportMissingTypeStubs=false, reportUnknownMemberType=false, reportUntypedBaseClass=false

from pathlib import Path
from typing import Any

import pytest
from snakemake.io import AnnotatedString

from penstock_engines.snakemake.attempt_process.tasks.task_keys import TaskKeys


class Output(AnnotatedString):  # type: ignore[misc]  # Snakemake is not typed
    """As Snakemake has outputs and inputs, as far as keys look at them."""

    is_storage = False


def output(path: str, *flags: str) -> Output:
    made = Output(path)
    made.flags.update(dict.fromkeys(flags, True))
    return made


class Items(list[Any]):
    """Named items of a job."""

    def _allitems(self) -> list[tuple[str | None, Any]]:
        return [(None, item) for item in self]


class Thing:
    """An object with attributes."""

    def __init__(self, **attributes: Any) -> None:
        self.__dict__.update(attributes)


def job(**changes: Any) -> Any:
    rule = Thing(
        cache=Thing(output=True),
        is_checkpoint=False,
        shellcmd="cmd {input}",
        shadow_depth=None,
        workflow=Thing(globals={"config": {}}),
    )
    attributes: dict[str, Any] = {
        "is_group": lambda: False,
        "is_norun": False,
        "is_run": False,
        "is_shell": True,
        "is_template_engine": False,
        "benchmark": None,
        "rule": rule,
        "input": Items([output("in.txt")]),
        "output": Items([output("out.txt")]),
        "params": Items([1]),
        "log": [],
        "threads": 1,
        "wildcards": Thing(items=list),
        "wildcards_dict": {},
        "conda_env": None,
        "container_img_url": None,
        "env_modules": None,
        "shellcmd": "cmd in.txt",
    }
    return Thing(**(attributes | changes))


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "in.txt").write_text("input")
    return tmp_path


DECLARED, EVERY = TaskKeys(every_rule=False), TaskKeys(every_rule=True)


def test_a_declared_rule_takes_part_and_others_by_policy() -> None:
    assert DECLARED.outputs_of(job()) == ("out.txt",)
    plain = job()
    plain.rule.cache = None
    assert DECLARED.outputs_of(plain) is None
    assert EVERY.outputs_of(plain) == ("out.txt",)


@pytest.mark.parametrize(
    "changes",
    [
        {"is_group": lambda: True},
        {"is_norun": True},
        {"is_run": True},
        {"benchmark": "b.txt"},
        {"output": Items()},
        {"output": Items([output("d", "directory")])},
        {"output": Items([output("p", "pipe")])},
        {"output": Items([output("../out.txt")])},
        {"output": Items([output("x" * 10_000)])},
    ],
    ids=lambda changes: next(iter(changes)),
)
def test_what_cannot_be_kept_takes_no_part(changes: dict[str, Any]) -> None:
    assert EVERY.outputs_of(job(**changes)) is None


def test_the_same_task_has_the_same_key(folder: Path) -> None:
    key = DECLARED.key_of(job())
    assert key is not None
    assert len(key) == 64
    assert TaskKeys(every_rule=True).key_of(job()) == key


@pytest.mark.parametrize(
    "changes",
    [
        {"params": Items([2])},
        {"threads": 2},
        {"shellcmd": "cmd in.txt --more"},
        {"output": Items([output("other.txt")])},
        {"container_img_url": "docker://x"},
        {"env_modules": "bwa/1"},
        {"conda_env": Thing(content=b"dependencies: [bwa]", address="/cache/abc")},
        {"log": ["log.txt"]},
        {"input": Items()},
    ],
    ids=lambda changes: next(iter(changes)),
)
def test_what_determines_outputs_changes_the_key(changes: dict[str, Any]) -> None:
    assert DECLARED.key_of(job(**changes)) not in (None, DECLARED.key_of(job()))


def test_the_content_of_an_input_counts_and_its_time_does_not(folder: Path) -> None:
    key = TaskKeys(every_rule=False).key_of(job())
    (folder / "in.txt").write_text("input")
    assert TaskKeys(every_rule=False).key_of(job()) == key
    (folder / "in.txt").write_text("INPUT")
    assert TaskKeys(every_rule=False).key_of(job()) != key


def test_without_a_full_description_there_is_no_key(folder: Path) -> None:
    assert DECLARED.key_of(job(params=Items([object()]))) is None
    assert DECLARED.key_of(job(input=Items([output("absent")]))) is None
    (folder / "d").mkdir()
    assert DECLARED.key_of(job(input=Items([output("d")]))) is None
