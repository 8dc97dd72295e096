"""Why a command for a job is rejected; the docstrings explain the problems of the HTTP API."""


class Refused(Exception):
    """The job is not in a state where this can be done to it."""


class UnknownJob(Refused):
    """There is no such job."""


class JobEnded(Refused):
    """The job is over."""


class StaleAttempt(Refused):
    """Another attempt, or another runner, holds the job now."""


class JobNotEnded(Refused):
    """Only a job that is over can be deleted."""


class NotQueued(Refused):
    """Only a job that waits in the queue can be assigned, held or released."""


class IdempotencyKeyReused(Refused):
    """The key belongs to a submission with other content."""


class JobQuarantined(Refused):
    """The events of the job are damaged; nothing happens to it until an operator closes it."""


class NotDamaged(Refused):
    """Only a job whose events are damaged can be closed."""


class JobGone(Refused):
    """The job was deleted; nothing happens to it any more."""


class ResultsNeeded(Refused):
    """A retry that has not ended begins with the results of the job."""


class NotRepeatable(Refused):
    """The job cannot be retried or repeated: it did not fail, or what it was made of is not there any more."""
