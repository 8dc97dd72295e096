"""What tasks and runs were measured to use."""

from msgspec import Struct


class MeasuredResources(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What the processes of a task, or of a whole run, used; `None` where it could not be measured."""

    peak_memory_bytes: int | None = None
    """The most memory that they held at one time, together; what several of them share counts for each."""
    user_s: float | None = None
    """Processor time in programs."""
    system_s: float | None = None
    """Processor time in the kernel."""
    read_bytes: int | None = None
    """What was read from disks for them; what was in memory already does not count."""
    written_bytes: int | None = None
    """What they gave to disks to be written."""
