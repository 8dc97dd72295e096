"""Messages as the bytes of the NATS protocol."""

import re
from typing import Final

_NOT_IN_SUBJECT: Final = re.compile(r"\s")


def publication(subject: str, payload: bytes, *, reply: str = "", headers: dict[str, str] | None = None) -> bytes:
    """Return the command that publishes a message.

    Raises:
        ValueError: a subject or a header would end its line, and so could carry another command.

    """
    if not subject or _NOT_IN_SUBJECT.search(subject) or _NOT_IN_SUBJECT.search(reply):
        raise ValueError(f"{subject!r} is no subject")
    if headers is None:
        return b"PUB %b %b %d\r\n%b\r\n" % (subject.encode(), reply.encode(), len(payload), payload)
    lines = "".join([f"\r\n{name}: {value}" for name, value in headers.items()])
    if lines.count("\n") != len(headers) or lines.count("\r") != len(headers):
        raise ValueError(f"a header of a message on {subject} has more than one line")
    head = b"NATS/1.0%b\r\n\r\n" % lines.encode()
    size = len(head) + len(payload)
    return b"HPUB %b %b %d %d\r\n%b%b\r\n" % (subject.encode(), reply.encode(), len(head), size, head, payload)
