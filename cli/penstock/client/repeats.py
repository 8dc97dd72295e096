"""New jobs of what other jobs were made of."""

from msgspec.structs import replace

from penstock.client.transport import Transport, segment
from penstock_runtime.runtime import SYSTEM
from penstock_schemas.api import JobResponse, RerunRequest, RetryRequest


class RepeatClient:
    """Retries and reruns; `Client.repeats`. Each request has an idempotency key, so that it can be repeated safely."""

    def __init__(self, http: Transport) -> None:
        self._http = http

    def retry(self, job_id: str, request: RetryRequest | None = None) -> JobResponse:
        """Continue a job that failed or was cancelled in a new job, which is returned once it is stored durably.

        Raises:
            Refused: there is no such job, it did not fail, or its workflow is not there any more.

        """
        return self._repeat(job_id, "retry", request or RetryRequest())

    def rerun(self, job_id: str, request: RerunRequest | None = None) -> JobResponse:
        """Run the workflow of a job again in a new job, which is returned once it is stored durably.

        Raises:
            Refused: as `retry`, or the changed parameters cannot be accepted.

        """
        return self._repeat(job_id, "rerun", request or RerunRequest())

    def _repeat(self, job_id: str, verb: str, request: RetryRequest) -> JobResponse:
        if request.idempotency_key is None:
            request = replace(request, idempotency_key=SYSTEM.new_id())
        return self._http.post(f"/jobs/{segment(job_id)}/{verb}", request, JobResponse)
