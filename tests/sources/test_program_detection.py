"""Programs are recognised however their content is cut into chunks."""

from collections.abc import AsyncIterator

import pytest

from penstock_sources.staging.program_detection import ProgramDetector


async def chunks(*content: bytes) -> AsyncIterator[bytes]:
    for chunk in content:
        yield chunk


@pytest.mark.parametrize(
    ("content", "is_program"),
    [
        ((b"#!/bin/sh\n",), True),
        ((b"#", b"!/bin/sh\n"), True),
        ((b"", b"#", b"", b"!"), True),
        ((b"# a comment",), False),
        ((b"a", b"#!"), False),
        ((b"#",), False),
        ((), False),
    ],
)
async def test_a_program_is_detected_and_its_content_is_passed_on(content: tuple[bytes, ...], is_program: bool) -> None:
    detector = ProgramDetector(chunks(*content))
    assert [chunk async for chunk in detector] == list(content)
    assert detector.is_program is is_program
