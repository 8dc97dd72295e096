"""Snakemake's log records as messages; a record that does not fit is dropped, never raised."""

import logging
from collections.abc import Mapping
from typing import Any

import pytest
from snakemake_interface_logger_plugins.common import LogEvent

from penstock_engines.snakemake.attempt_process.graph import TaskNumbers, task_key
from penstock_engines.snakemake.attempt_process.logger_plugin import LogHandler, LogHandlerSettings
from penstock_engines.snakemake.messages import MAX_FIELDS, ErrorLogged, Message, TryDescribed

pytestmark = pytest.mark.system  # it imports Snakemake's interfaces


class Reported:
    """Keeps the messages."""

    def __init__(self) -> None:
        self.messages: list[Message] = []

    def report(self, message: Message) -> None:
        self.messages.append(message)

    def wait_taken(self) -> None:
        """Everything is taken at once."""


@pytest.fixture
def reported() -> Reported:
    return Reported()


def emit(reported: Reported | None, event: LogEvent, **fields: Any) -> None:
    numbers = TaskNumbers()
    numbers._numbers[task_key("r", {"x": "1"})] = 4  # pyright: ignore[reportPrivateUsage]
    handler = LogHandler.__new__(LogHandler)  # its base class makes files of settings that are Snakemake's
    logging.Handler.__init__(handler)
    handler.settings = LogHandlerSettings(reporter=reported, numbers=numbers)
    record = logging.LogRecord("snakemake", logging.INFO, "f", 1, "text", (), None)
    record.__dict__.update(event=event, **fields)
    handler.emit(record)


def info(reported: Reported, **fields: Any) -> None:
    emit(reported, LogEvent.JOB_INFO, **({"rule_name": "r", "wildcards": {"x": 1}} | fields))


def described(reported: Reported) -> TryDescribed:
    (message,) = reported.messages
    assert isinstance(message, TryDescribed)
    return message


def test_a_task_is_described_by_its_number(reported: Reported) -> None:
    info(reported, shellcmd="echo 1", reason="missing output", threads=3, resources={"mem_mb": 7, "_cores": 3})
    message = described(reported)
    assert (message.task, message.command, message.reason) == (4, "echo 1", "missing output")
    assert message.resources == {"threads": 3, "mem_mb": 7}


@pytest.mark.parametrize(
    ("value", "expected"),
    [(True, 1), (1.5, 1.5), (float("inf"), "inf"), (1 << 70, str(1 << 70)), ("a", "a"), (None, None), ([1], None)],
)
def test_an_amount_is_a_number_or_a_text(reported: Reported, value: object, expected: object) -> None:
    info(reported, resources={"r": value})
    assert described(reported).resources.get("r") == expected


def test_there_are_so_many_amounts(reported: Reported) -> None:
    resources: Mapping[str, int] = {f"r{number}": number for number in range(2 * MAX_FIELDS)}
    info(reported, resources=resources)
    assert len(described(reported).resources) == MAX_FIELDS


@pytest.mark.parametrize("fields", [{"rule_name": "unknown"}, {"wildcards": {"x": "2"}}, {"wildcards": 3}])
def test_a_task_of_no_graph_is_not_described(reported: Reported, fields: dict[str, Any]) -> None:
    info(reported, **fields)
    assert reported.messages == []


def test_an_error_has_its_class_and_text(reported: Reported) -> None:
    emit(reported, LogEvent.ERROR, exception="WorkflowError")
    assert reported.messages == [ErrorLogged(exception="WorkflowError", text="text")]


def test_without_a_reporter_nothing_happens() -> None:
    emit(None, LogEvent.ERROR, exception="WorkflowError")
