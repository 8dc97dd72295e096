"""The types of ASGI, version 3: what a server calls, and what it passes."""

from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, Final

HTTP: Final = "http"
WEBSOCKET: Final = "websocket"
"""Values of `type` in a scope."""

Scope = MutableMapping[str, Any]
"""What is known of a connection or a request at its start."""
Message = MutableMapping[str, Any]
"""What is received or sent; its member `type` names its kind."""
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
ASGIApp = Callable[[Scope, Receive, Send], Awaitable[None]]
