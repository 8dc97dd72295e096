"""The port of providers: what is requested has bounds, and has one provider."""

from collections.abc import Sequence
from typing import get_args

import msgspec
import pytest

from penstock_execution.processes.event_pipe import answer_frame
from penstock_execution.provisioning import (
    KINDS,
    MAX_ANSWER_BYTES,
    MAX_DETAIL_CHARS,
    MAX_MESSAGE_CHARS,
    MAX_PATH_CHARS,
    MAX_SPECIFICATION_CHARS,
    Answer,
    AnyRequirement,
    CondaEnvironment,
    ContainerImage,
    NamedCondaEnvironment,
    NotProvided,
    Provided,
    ProvisionFailed,
    ProvisionKind,
    Step,
    decode_answer,
    encode_answer,
    provider_of,
)


class OneKind:
    """A provider of one kind, which has nothing."""

    def __init__(self, kind: ProvisionKind) -> None:
        self.kinds = frozenset({kind})
        self.folders: Sequence[str] = ()

    async def find(self, requirement: AnyRequirement) -> Provided | None:
        """Find nothing."""
        return None

    async def provide(self, requirement: AnyRequirement, step: Step) -> Provided:
        """Fail."""
        raise ProvisionFailed("there is nothing")

    async def __aenter__(self) -> "OneKind":
        return self

    async def __aexit__(self, *exc: object) -> None:
        pass


def test_every_requirement_has_a_kind() -> None:
    """A requirement without one could be requested, and would have no provider."""
    assert set(KINDS) == set(get_args(AnyRequirement))


def test_the_provider_of_a_requirement_prepares_its_kind() -> None:
    """Named environments and files are of the same kind."""
    conda, container = OneKind(ProvisionKind.CONDA), OneKind(ProvisionKind.CONTAINER)
    providers = (container, conda)
    assert provider_of(providers, NamedCondaEnvironment(label="qc", name="qc")) is conda
    assert provider_of(providers, ContainerImage(label="x", uri="docker://x")) is container
    assert provider_of((container,), CondaEnvironment(label="a.yaml", specification="")) is None


def test_a_requirement_that_is_too_large_is_refused() -> None:
    """It comes from a process that executes code of the workflow's author."""
    raw = msgspec.json.encode(CondaEnvironment(label="a.yaml", specification="x" * (MAX_SPECIFICATION_CHARS + 1)))
    with pytest.raises(msgspec.ValidationError):
        msgspec.json.decode(raw, type=AnyRequirement)


@pytest.mark.parametrize("letter", ["x", "\n", "\x00", "\U0001f40d"])
def test_an_answer_fits_one_write_and_keeps_the_end_of_the_detail(letter: str) -> None:
    """For any text of a solver: some characters take six bytes."""
    failure = NotProvided(message=letter * MAX_MESSAGE_CHARS, detail=letter * MAX_DETAIL_CHARS + "last")
    body = encode_answer(Answer(number=9_999, failure=failure))
    assert len(body) <= MAX_ANSWER_BYTES
    answer = decode_answer(body)
    assert answer.number == 9_999
    assert answer.failure is not None
    assert answer.failure.message == failure.message
    assert answer.failure.detail.endswith("last")
    longest = Answer(number=0, path="/" + "\U0001f40d" * (MAX_PATH_CHARS - 1))
    assert decode_answer(encode_answer(longest)) == longest
    assert len(encode_answer(longest)) <= MAX_ANSWER_BYTES
    answer_frame(b"x" * MAX_ANSWER_BYTES)


def test_a_failure_is_cut_to_what_is_shown() -> None:
    """The end of a tool's output has the reason."""
    failure = ProvisionFailed("m" * 5_000, detail="first" + "d" * MAX_DETAIL_CHARS + "last", may_retry=True)
    assert (len(failure.message), len(failure.detail)) == (MAX_MESSAGE_CHARS, MAX_DETAIL_CHARS)
    assert failure.detail.endswith("last")
    assert failure.may_retry
