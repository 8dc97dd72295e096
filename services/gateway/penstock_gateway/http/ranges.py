"""The Range header, for one range, as RFC 9110 defines it for a file server."""

import re
from typing import Final

from penstock_gateway.http.problems import RangeNotSatisfiable

_ONE_RANGE: Final = re.compile(r"bytes=([0-9]{0,18})-([0-9]{0,18})")


def parse_range(header: str | None, size_bytes: int) -> tuple[int, int] | None:
    """Return (start, length) of the one range in `header`; `None`: send everything.

    Several ranges, other units and what is no range are ignored, as the standard allows. So is every range of an empty
    file: programs that always send `bytes=0-` would take its refusal for a missing file.

    Raises:
        RangeNotSatisfiable: it is outside of the file.

    """
    match = _ONE_RANGE.fullmatch(header.strip()) if header else None
    if match is None or not (match[1] or match[2]) or size_bytes == 0:
        return None
    if not match[1]:
        length = min(int(match[2]), size_bytes)
        if length == 0:
            raise RangeNotSatisfiable(size_bytes)
        return size_bytes - length, length
    start = int(match[1])
    end = min(int(match[2]), size_bytes - 1) if match[2] else size_bytes - 1
    if match[2] and int(match[2]) < start:
        return None
    if start >= size_bytes:
        raise RangeNotSatisfiable(size_bytes)
    return start, end - start + 1
