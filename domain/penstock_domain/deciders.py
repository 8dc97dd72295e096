"""The decider of each kind of aggregate."""

from typing import Final

from penstock_domain import audit, runner
from penstock_domain.audit import AuditTrail, RecordDenials
from penstock_domain.decider import Decider
from penstock_domain.job.decide import decide
from penstock_domain.job.evolve import evolve
from penstock_domain.policy import limits, pipelines, tokens
from penstock_domain.policy.limits import Limit, SetLimit
from penstock_domain.policy.pipelines import Pipeline, PipelineCommand
from penstock_domain.policy.tokens import Token, TokenCommand
from penstock_domain.runner import Registration, RunnerCommand
from penstock_schemas.commands import JobCommand
from penstock_schemas.views import Job

JOB: Final = Decider[Job, JobCommand](decide=decide, evolve=evolve)
RUNNER: Final = Decider[Registration, RunnerCommand](decide=runner.decide, evolve=runner.evolve)
TOKEN: Final = Decider[Token, TokenCommand](decide=tokens.decide, evolve=tokens.evolve)
PIPELINE: Final = Decider[Pipeline, PipelineCommand](decide=pipelines.decide, evolve=pipelines.evolve)
LIMIT: Final = Decider[Limit, SetLimit](decide=limits.decide, evolve=limits.evolve)
AUDIT: Final = Decider[AuditTrail, RecordDenials](decide=audit.decide, evolve=audit.evolve)
