import io
import json
import logging
from collections.abc import Iterator

import pytest
import structlog

from penstock_runtime.logs import configure_logs
from penstock_runtime.settings import LogLevel


@pytest.fixture
def out() -> Iterator[io.StringIO]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield io.StringIO()
    root.handlers[:] = handlers
    root.setLevel(level)
    structlog.reset_defaults()


def lines(out: io.StringIO) -> list[dict[str, object]]:
    return [json.loads(line) for line in out.getvalue().splitlines()]


def test_an_event_is_one_line_of_json(out: io.StringIO) -> None:
    configure_logs(LogLevel.INFO, service="gateway", stream=out)
    log = structlog.get_logger()
    log.debug("too_quiet")
    log.info("ready", port=8000, odd=object)
    (line,) = lines(out)
    assert line["event"] == "ready"
    assert line["service"] == "gateway"
    assert line["level"] == "info"
    assert line["port"] == 8000
    assert str(line["timestamp"]).endswith("Z")


def test_libraries_are_logged_from_warnings_upward(out: io.StringIO) -> None:
    configure_logs(LogLevel.INFO, service="gateway", stream=out)
    logging.getLogger("library").info("chatter")
    logging.getLogger("library").warning("trouble %d", 7)
    (line,) = lines(out)
    assert (line["event"], line["logger"], line["service"]) == ("trouble 7", "library", "gateway")


def test_an_exception_is_in_its_line(out: io.StringIO) -> None:
    configure_logs(LogLevel.INFO, service="runner", stream=out)
    try:
        int("broken")
    except ValueError:
        structlog.get_logger().exception("failed")
    (line,) = lines(out)
    assert "ValueError: invalid literal" in str(line["exception"])
