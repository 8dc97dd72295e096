"""The request by which the engine starts an attempt arrives as it was sent."""

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock_engines.snakemake.launching import Launch, decode_launch, encode_launch
from penstock_engines.snakemake.parameters import SnakemakeOptions
from penstock_execution.sandbox.rules import Rules
from penstock_schemas.jobs import UnsupportedDirectives

TEXTS = st.text(max_size=5)
PARAMETERS: st.SearchStrategy[Any] = st.dictionaries(
    TEXTS, st.recursive(st.none() | st.booleans() | st.integers(-9, 9) | TEXTS, st.lists, max_leaves=5), max_size=3
)
LAUNCHES = st.builds(
    Launch,
    work_dir=TEXTS,
    log_dir=TEXTS,
    engine_log=TEXTS,
    snakefile=TEXTS,
    parameters=PARAMETERS,
    cores=st.integers(1, 99),
    environment=st.dictionaries(TEXTS, TEXTS, max_size=3),
    limits=st.dictionaries(TEXTS, st.integers(0, 2**62), max_size=3),
    options=st.builds(
        SnakemakeOptions, targets=st.lists(TEXTS, max_size=2).map(tuple), cores=st.none() | st.integers(1, 9)
    ),
    policy=st.sampled_from(UnsupportedDirectives),
    is_dry=st.booleans(),
    rules=st.none() | st.builds(Rules, read=st.lists(TEXTS, max_size=2).map(tuple), network=st.booleans()),
)


@given(LAUNCHES)
def test_a_request_arrives_as_it_was_sent(launch: Launch) -> None:
    assert decode_launch(encode_launch(launch)) == launch


@pytest.mark.parametrize("raw", [b"", b"{}", b'{"work_dir": 1}'])
def test_an_incomplete_request_starts_nothing(raw: bytes) -> None:
    with pytest.raises(msgspec.MsgspecError):
        decode_launch(raw)
