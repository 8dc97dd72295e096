"""What the workflow requests of the runner: software and remote files, which the attempt itself cannot prepare."""

# Snakemake is not typed, so what comes from it is unknown to a type checker.
# pyright: reportMissingTypeStubs=false, reportUnknownMemberType=false, reportUnknownVariableType=false
# pyright: reportUnknownArgumentType=false, reportUnknownParameterType=false

import os
import threading
from collections.abc import Sequence
from typing import Final

from msgspec import ValidationError, convert, to_builtins
from snakemake.exceptions import WorkflowError

from penstock_engines.snakemake.messages import MAX_OPEN_REQUESTS, MAX_REQUESTS, CacheSought, Message, Requested
from penstock_execution.processes.event_pipe import Reporter
from penstock_execution.provisioning import Answer, AnyRequirement, NotProvided, decode_answer

LOOK_PAUSE_S: Final = 0.5
"""How often waiting for an answer lets signals have their turn."""


class CannotProvide(WorkflowError):  # type: ignore[misc]  # Snakemake is not typed
    """The runner could not prepare something that the run needs; the text states what, and why."""


class Answers:
    """The answers to requests, as they arrive in another thread."""

    def __init__(self) -> None:
        self._arrived: dict[int, Answer] = {}
        self._has_news = threading.Condition()

    def take(self, body: bytes) -> None:
        """Take an answer that arrived."""
        answer = decode_answer(body)
        with self._has_news:
            self._arrived[answer.number] = answer
            self._has_news.notify_all()

    def wait(self, number: int) -> Answer:
        """Return the answer to a request when it is there, and forget it. A preparation has no deadline here."""
        with self._has_news:
            while number not in self._arrived:
                self._has_news.wait(LOOK_PAUSE_S)
            return self._arrived.pop(number)


class Provisions:
    """Requests things of the runner, and remembers what it got."""

    def __init__(self, reporter: Reporter[Message], answers: Answers) -> None:
        self._reporter = reporter
        self._answers = answers
        self._process = os.getpid()
        self._lock = threading.RLock()
        self._next = 0
        self._known: dict[AnyRequirement, Answer] = {}

    def request(self, requirements: Sequence[AnyRequirement]) -> list[Answer]:
        """Return the answer to each of them, when all are there: several are prepared at the same time.

        Raises:
            CannotProvide: one cannot be requested at all.

        """
        if os.getpid() != self._process:
            raise CannotProvide("a job's own process cannot request software: declare it in the rule")
        checked = list(map(_checked, requirements))
        with self._lock:
            wanted = [item for item in dict.fromkeys(checked) if item not in self._known]
            for start in range(0, len(wanted), MAX_OPEN_REQUESTS):
                self._request_some(wanted[start : start + MAX_OPEN_REQUESTS])
            return [self._known[item] for item in checked]

    def restore(self, task: int, key: str, outputs: tuple[str, ...]) -> bool:
        """Return whether the runner wrote the outputs of a job from its cache."""
        with self._lock:
            number = self._next
            if number >= MAX_REQUESTS or os.getpid() != self._process:
                return False
            self._next += 1
            self._reporter.report(CacheSought(number=number, task=task, key=key, outputs=outputs))
            return self._answers.wait(number).path is not None

    def _request_some(self, wanted: Sequence[AnyRequirement]) -> None:
        first = self._next
        if first + len(wanted) > MAX_REQUESTS:
            raise CannotProvide(f"the workflow needs more than {MAX_REQUESTS:,} environments and files")
        for item in wanted:
            self._reporter.report(Requested(number=self._next, requirement=item))
            self._next += 1
        for number, item in enumerate(wanted, first):
            self._known[item] = self._answers.wait(number)


def _checked(requirement: AnyRequirement) -> AnyRequirement:
    """Return a requirement whose fields have the bounds that a message has.

    Raises:
        CannotProvide: a field is too long.

    """
    try:
        checked: AnyRequirement = convert(to_builtins(requirement), type=AnyRequirement)
    except (ValidationError, UnicodeEncodeError) as error:
        raise CannotProvide(f"{requirement.label[:200]} cannot be requested: {error}") from None
    return checked


def why_not(failure: NotProvided) -> str:
    """Return the reason for people: the sentence, and below it what the tool wrote."""
    return "\n".join(filter(None, (failure.message, failure.detail)))
