"""Who may do what on the embedded server: its services everything, anybody else no more than to listen."""

from typing import Final

from penstock_jetstream import names

OWNER: Final = "penstock"
"""The user that the services are."""
_LISTENER: Final = "listener"

_OWNER_ALONE: Final = """\
authorization {{ users: [ {{ user: {owner}, password: "{password}" }} ] }}
"""
_AND_LISTENERS: Final = """\
authorization {{ users: [
  {{ user: {owner}, password: "{password}" }}
  {{ user: {listener}, password: "{password}", permissions: {{ subscribe: "{feed}>", publish: {{ deny: ">" }} }} }}
] }}
no_auth_user: {listener}
"""


def users(password: str, *, is_feed_open: bool) -> str:
    """Return the lines of the server's configuration.

    Args:
        password: the owner's; letters, digits, `-` and `_`.
        is_feed_open: whether clients without a name may subscribe to the live feed.

    """
    lines = _AND_LISTENERS if is_feed_open else _OWNER_ALONE
    return lines.format(owner=OWNER, listener=_LISTENER, password=password, feed=names.LIVE_PREFIX)
