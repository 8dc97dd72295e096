"""The contract of event logs, on the log in memory, on a real server and on three of them."""

from penstock_testing.contracts.event_log import EventLogContract


class TestEventLog(EventLogContract):
    """The fixture `log` of this folder gives each of them."""
