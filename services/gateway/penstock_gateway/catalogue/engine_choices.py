"""Whether what somebody chooses of an engine can be obeyed."""

from collections.abc import Mapping

from penstock_domain.engines.parameter_table import ParameterTable
from penstock_domain.json_pointers import pointer
from penstock_gateway.http.problems import Invalid
from penstock_schemas.api import Violation


def require_allowed(table: ParameterTable, parameters: Mapping[str, str | None]) -> None:
    """Let pass what the engine of a table takes.

    Raises:
        Invalid: it does not take all of it; with every violation.

    """
    violations = table.check(parameters)
    if violations:
        raise Invalid(
            Violation(
                pointer=pointer("engine_parameters", *([violation.name] if violation.name else [])),
                detail=violation.detail,
            )
            for violation in violations
        )
