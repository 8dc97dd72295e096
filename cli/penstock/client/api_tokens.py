"""The API tokens of a server."""

import msgspec

from penstock.client.transport import Transport, segment
from penstock_schemas.api import IssuedToken, TokenList, TokenRequest


class ApiTokens:
    """The API tokens that a server knows; `Client.tokens`."""

    def __init__(self, http: Transport) -> None:
        self._http = http

    def issue(self, request: TokenRequest) -> IssuedToken:
        """Issue an API token. The request is sent once, because only its response has the secret."""
        url = self._http.url + "/tokens"
        answer = self._http.send("POST", url, msgspec.json.encode(request), 0.0)
        return self._http.decode(self._http.checked(answer, url), IssuedToken, url)

    def visible(self) -> TokenList:
        """Return the API tokens that are visible here."""
        return self._http.get("/tokens", {}, TokenList)

    def revoke(self, token_id: str) -> None:
        """Make an API token worth nothing."""
        self._http.repeat("DELETE", f"{self._http.url}/tokens/{segment(token_id)}", None, 0.0)
