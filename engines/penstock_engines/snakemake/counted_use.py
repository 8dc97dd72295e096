"""What the kernel counted for the processes of a try, as the attempt's process reports it: hostile, so bounded."""

import resource
from collections.abc import Sequence
from typing import Annotated, Final

from msgspec import Meta, Struct

from penstock_execution.processes.kernel_counts import counted_use
from penstock_schemas.measurements import MeasuredResources

MAX_SECONDS: Final = 1e11
"""Of processor time."""
Seconds = Annotated[float, Meta(ge=0, le=MAX_SECONDS)]
Size = Annotated[int, Meta(ge=0, le=1 << 62)]


class CountedUse(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What the processes of a try used, with those that they collected themselves."""

    user_s: Seconds
    system_s: Seconds
    read_bytes: Size
    written_bytes: Size
    largest_bytes: Size | None = None
    """The most memory of the largest process; `None`: not known."""

    @property
    def measured(self) -> MeasuredResources:
        """The same as it is shown."""
        return MeasuredResources(
            peak_memory_bytes=self.largest_bytes,
            user_s=self.user_s,
            system_s=self.system_s,
            read_bytes=self.read_bytes,
            written_bytes=self.written_bytes,
        )


def use_of(used: Sequence[resource.struct_rusage], *, is_command: bool) -> CountedUse | None:
    """Return what the collected processes of a try used; `None` when there were none.

    A command counts the memory of this process until it runs its program, so its peak is known only where it is larger.
    """
    if not used:
        return None
    counted = counted_use(used)
    own_bytes = counted_use([resource.getrusage(resource.RUSAGE_SELF)]).peak_memory_bytes or 0
    peak_bytes = counted.peak_memory_bytes or 0
    return CountedUse(
        user_s=counted.user_s or 0.0,
        system_s=counted.system_s or 0.0,
        read_bytes=counted.read_bytes or 0,
        written_bytes=counted.written_bytes or 0,
        largest_bytes=peak_bytes if not is_command or peak_bytes > own_bytes else None,
    )
