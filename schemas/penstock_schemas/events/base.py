"""What every event type has: the base of its data, and times."""

from datetime import datetime
from typing import Annotated, ClassVar

from msgspec import Meta, Struct

Moment = Annotated[datetime, Meta(tz=True)]
"""A time with its zone, always UTC when we write it: one without could not be compared with the others."""


class EventData(Struct, frozen=True, kw_only=True, tag_field="type", omit_defaults=True, gc=False):
    """What happened. The subclass' name is the event's type."""

    SCHEMA: ClassVar[int] = 1
    """The current version of this type's shape."""
