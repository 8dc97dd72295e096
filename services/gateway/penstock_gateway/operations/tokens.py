"""API tokens."""

from typing import Final

from penstock_gateway.http import problems
from penstock_gateway.http.operations import Link, Operation, Parameter, ResponseSpec
from penstock_gateway.operations import examples
from penstock_gateway.operations.parts import TEXT, WRITE_PROBLEMS
from penstock_schemas.api import IssuedToken, TokenList, TokenRequest

TOKEN_ID: Final = Parameter("token_id", "path", "The token's id, from the list of tokens.", TEXT)

ISSUE_TOKEN: Final = Operation(
    method="post",
    path="/tokens",
    name="issueToken",
    tag="Tokens",
    summary="Issue an API token",
    description="Everybody may issue tokens for itself, up to its own role, but not by means of another token; an "
    "admin may issue any. The token is shown this once: only a hash of it is kept.",
    body=TokenRequest,
    body_examples={"nightly": {"name": "nightly run", "role": "submitter", "expires_in_s": 2_592_000}},
    answers=(
        ResponseSpec(
            201,
            "The token",
            IssuedToken,
            examples.ISSUED_TOKEN,
            headers=("Location",),
            links=(Link("revokeToken", {"token_id": "$response.body#/details/id"}),),
        ),
    ),
    problems=(problems.FORBIDDEN, *WRITE_PROBLEMS),
)
LIST_TOKENS: Final = Operation(
    method="get",
    path="/tokens",
    name="listTokens",
    tag="Tokens",
    summary="List API tokens",
    answers=(ResponseSpec(200, "Your own; for an admin all", TokenList, {"tokens": [examples.TOKEN]}),),
)
REVOKE_TOKEN: Final = Operation(
    method="delete",
    path="/tokens/{token_id}",
    name="revokeToken",
    tag="Tokens",
    summary="Revoke an API token",
    description="It is worth nothing any more, on every gateway. Repeating does no harm.",
    parameters=(TOKEN_ID,),
    answers=(ResponseSpec(204, "It is revoked"),),
    problems=(problems.NOT_FOUND, problems.LOG_FULL, problems.UNAVAILABLE),
)

TOKENS: Final = (
    ISSUE_TOKEN,
    LIST_TOKENS,
    REVOKE_TOKEN,
)
