"""The preference `handling` of RFC 7240: whether unknown fields and parameters are refused or ignored."""

import re
from collections.abc import Iterable
from typing import Any, Final, cast

from litestar.types import Message, Send

_PREFERENCE: Final = re.compile(r'\s*handling\s*=\s*"?(strict|lenient)"?\s*', re.IGNORECASE)


def preferred(headers: Iterable[str]) -> str | None:
    """Return the value of the preference `handling` in headers `Prefer`, `strict` or `lenient`; or `None`."""
    parts = (part.partition(";")[0] for header in headers for part in header.split(","))
    found = next((match for part in parts if (match := _PREFERENCE.fullmatch(part))), None)
    return None if found is None else found[1].lower()


def confirming(send: Send, preference: str) -> Send:
    """Return a `send` that confirms in the response which preference was applied."""

    async def confirm(message: Message) -> None:
        if message["type"] == "http.response.start":
            start = cast("dict[str, Any]", message)
            start["headers"] = [*start["headers"], (b"preference-applied", f"handling={preference}".encode())]
        await send(message)

    return confirm
