"""A server that accepts `.creds` files, and invalid files."""

from pathlib import Path

import pytest
from tests.jetstream.credentials import new_operator
from tests.jetstream.servers import own_server

from penstock_jetstream import NatsSettings, connect
from penstock_jetstream.transport.credentials import BadCredentials
from penstock_ports import Unavailable
from penstock_testing.events import new_aggregate, submission


@pytest.mark.system
async def test_a_credentials_file_lets_in_and_nothing_else_does(tmp_path: Path) -> None:
    operator = new_operator()
    credentials = operator.write(tmp_path)
    async with own_server(tmp_path / "server", extra=operator.config) as server:
        async with connect(NatsSettings(url=server.url, credentials=credentials)) as cluster:
            await cluster.log.append([submission(new_aggregate())])
            assert await cluster.log.last_seq() == 1
        with pytest.raises(Unavailable, match="Authorization"):
            async with connect(NatsSettings(url=server.url, connect_s=0.3)):
                pass
        stranger = tmp_path / "stranger.creds"
        stranger.write_text(new_operator().credentials)
        with pytest.raises(Unavailable, match="Authorization"):
            async with connect(NatsSettings(url=server.url, credentials=stranger, connect_s=0.3)):
                pass


@pytest.mark.parametrize(
    ("held", "expected"),
    [
        (None, "penstock.creds cannot be read: No such file"),
        (b"\xff\xfe", "it is no text"),
        (b"user: me", "no NATS credentials file"),
    ],
)
async def test_an_invalid_file_is_reported_at_once(tmp_path: Path, held: bytes | None, expected: str) -> None:
    path = tmp_path / "penstock.creds"
    if held is not None:
        path.write_bytes(held)
    with pytest.raises(BadCredentials, match=expected):
        async with connect(NatsSettings(url="nats://127.0.0.1:1", credentials=path)):
            pass
