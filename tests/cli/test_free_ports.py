"""A port that can be listened on, or what to do instead."""

import socket

import pytest

from penstock.local.free_ports import claim
from penstock.terminal.exit_codes import Exit, Stop

HOST = "127.0.0.1"


def test_a_claimed_port_can_be_listened_on() -> None:
    port = claim(HOST, 0)
    with socket.socket() as listener:
        listener.bind((HOST, port))
        listener.listen()


def test_a_free_port_is_claimed_as_it_was_requested() -> None:
    port = claim(HOST, 0)
    assert claim(HOST, port) == port


@pytest.mark.parametrize(
    ("host", "reason"),
    [
        ("192.0.2.1", "--host 192.0.2.1 is no address of this machine"),
        ("a..b", "--host a..b is no address of this machine: it is no name of a host"),
    ],
)
def test_a_host_of_another_machine_is_refused(host: str, reason: str) -> None:
    with pytest.raises(Stop, match=reason) as caught:
        claim(host, 0)
    assert caught.value.code == Exit.USAGE


def test_a_port_that_is_taken_is_refused_with_what_to_do() -> None:
    with socket.socket() as listener:
        listener.bind((HOST, 0))
        listener.listen()
        port = listener.getsockname()[1]
        with pytest.raises(Stop, match=f"port {port} is taken: stop what listens there, or give --port") as caught:
            claim(HOST, port)
    assert caught.value.code == Exit.USAGE
