"""The process that supervises one attempt."""

import os
import socket
from typing import NoReturn

import pytest

from penstock_execution.processes.lease_deadline import Deadline
from penstock_execution.processes.supervision_messages import Exited, Started, decode_report
from penstock_execution.processes.supervisor import supervise

pytestmark = pytest.mark.system
DEADLINE_S = 30.0


def test_an_attempt_that_fails_after_the_lease_ended_was_killed() -> None:
    """The watchdog may kill a child of the attempt first: then the attempt itself ends with an exit code."""
    deadline = Deadline.create()
    of_attempt = Deadline(os.dup(deadline.descriptor))  # the supervisor closes the other one in the attempt
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    ours.settimeout(DEADLINE_S)

    def attempt() -> NoReturn:
        try:
            of_attempt.extend(lambda: 0.0)
        finally:
            os._exit(1)

    supervisor = os.fork()
    if supervisor == 0:
        try:
            ours.close()
            supervise(theirs, deadline, attempt)
        finally:
            os._exit(70)
    theirs.close()
    try:
        assert isinstance(decode_report(ours.recv(4096)), Started)
        exited = decode_report(ours.recv(4096))
    finally:
        os.waitpid(supervisor, 0)
        ours.close()
        deadline.close()
        of_attempt.close()
    assert isinstance(exited, Exited)
    assert exited.was_killed
