"""How services log: one event a line with its fields, to standard error.

JSON when standard error is no terminal, readable text when it is one. What libraries log through the standard library
takes the same way, from warnings upward unless the level is DEBUG.
"""

import logging
import sys
from collections.abc import Callable
from typing import Any, Final, TextIO

import msgspec
import structlog
from structlog.typing import Processor

from penstock_runtime.settings import LogLevel

_LEVELS: Final = {
    LogLevel.DEBUG: logging.DEBUG,
    LogLevel.INFO: logging.INFO,
    LogLevel.WARNING: logging.WARNING,
    LogLevel.ERROR: logging.ERROR,
}


def configure_logs(level: LogLevel, *, service: str, stream: TextIO | None = None) -> None:
    """Set the process' logging up, once, at its start.

    Args:
        level: what is logged at the least.
        service: the value of `service` in every line.
        stream: instead of standard error.

    """
    out = sys.stderr if stream is None else stream
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        _named(service),
    ]
    render: list[Processor]
    if out.isatty():
        render = [structlog.dev.ConsoleRenderer()]
    else:
        render = [structlog.processors.format_exc_info, structlog.processors.JSONRenderer(serializer=_to_json)]
    structlog.configure(
        processors=[*shared, *render],
        wrapper_class=structlog.make_filtering_bound_logger(_LEVELS[level]),
        logger_factory=structlog.PrintLoggerFactory(out),
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(out)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[*shared, structlog.stdlib.add_logger_name],
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *render],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.DEBUG if level is LogLevel.DEBUG else max(logging.WARNING, _LEVELS[level]))


def _named(service: str) -> Callable[[Any, str, structlog.typing.EventDict], structlog.typing.EventDict]:
    def add(_logger: Any, _method: str, event: structlog.typing.EventDict) -> structlog.typing.EventDict:
        event.setdefault("service", service)
        return event

    return add


def _to_json(event: Any, default: Callable[[Any], Any] | None = None, **_: Any) -> str:
    """Render one line; a value without a JSON form is written as its `repr`."""
    return msgspec.json.encode(event, enc_hook=default or repr).decode()
