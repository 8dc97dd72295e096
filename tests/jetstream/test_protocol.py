"""Messages as bytes."""

import pytest

from penstock_jetstream.transport.protocol import publication


def test_a_message_without_headers() -> None:
    assert publication("a.b", b"hello") == b"PUB a.b  5\r\nhello\r\n"
    assert publication("a.b", b"", reply="c") == b"PUB a.b c 0\r\n\r\n"


def test_a_message_with_headers() -> None:
    head = b"NATS/1.0\r\nOne: 1\r\nTwo: zwei\r\n\r\n"
    expected = b"HPUB a.b c %d %d\r\n%bhello\r\n" % (len(head), len(head) + 5, head)
    assert publication("a.b", b"hello", reply="c", headers={"One": "1", "Two": "zwei"}) == expected


@pytest.mark.parametrize("subject", ["", "a b", "a\r\nPUB x 0", "a\n"])
def test_a_subject_that_would_end_the_line_is_refused(subject: str) -> None:
    with pytest.raises(ValueError, match="no subject"):
        publication(subject, b"")


def test_a_reply_that_would_end_the_line_is_refused() -> None:
    with pytest.raises(ValueError, match="no subject"):
        publication("a", b"", reply="b c")


@pytest.mark.parametrize("value", ["a\r\nb", "a\nb", "a\rb"])
def test_a_header_of_two_lines_is_refused(value: str) -> None:
    with pytest.raises(ValueError, match="more than one line"):
        publication("a", b"", headers={"One": value})
