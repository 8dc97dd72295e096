"""The users of the embedded server, as its configuration has them."""

from penstock_jetstream.server.users import OWNER, users


def test_without_an_open_feed_nobody_but_the_owner_is_known() -> None:
    lines = users("pw-1", is_feed_open=False)
    assert f'user: {OWNER}, password: "pw-1"' in lines
    assert "no_auth_user" not in lines
    assert lines.count("user:") == 1


def test_with_an_open_feed_others_may_only_subscribe_to_it() -> None:
    lines = users("pw-1", is_feed_open=True)
    assert lines.count("user:") == 3
    assert 'publish: { deny: ">" }' in lines
    assert 'subscribe: "penstock.live.>"' in lines
    assert lines.count("{") == lines.count("}")
