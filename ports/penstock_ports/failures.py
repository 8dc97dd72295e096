"""How a port fails: by one of these, and by nothing else."""


class PortError(Exception):
    """Something outside failed."""


class Unavailable(PortError):
    """It did not answer before the deadline, retries included. For an append: it is not known whether it was stored."""


class BlobsUnavailable(Unavailable):
    """The blob store did not store or return something; the text names it and the reason."""


class Conflict(PortError):
    """An aggregate moved on since it was read; nothing of the append was stored."""


class Fenced(Conflict):
    """A later leader holds the lease; nothing of the append was stored."""


class LogFull(PortError):
    """The log reached the bytes it may take; nothing was stored. Reads and the past are not affected."""


class TooLarge(PortError):
    """An event or a batch exceeds what the log takes; nothing was stored."""


class Unreadable(PortError):
    """An event was written by a later version of this software, or is none; waiting does not help."""


class LogTruncated(PortError):
    """The log ends before what was read of it: acknowledged events are gone, and only a backup has them."""


class PositionLost(PortError):
    """A view ends before the given position: it was built again, so its readers must begin at 0."""


class BlobMissing(PortError):
    """There is no blob under this key."""
