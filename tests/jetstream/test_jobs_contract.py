"""The contract of the jobs' view, on the view in memory, on a real server and on three of them."""

import pytest
from tests.jetstream.conftest import Ports

from penstock_ports import JobsView
from penstock_testing.contracts.jobs_view import JobsViewContract


class TestJobsView(JobsViewContract):
    @pytest.fixture
    def jobs(self, ports: Ports) -> JobsView:
        return ports.jobs
