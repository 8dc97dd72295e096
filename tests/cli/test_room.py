"""When a full disk is told of, and when nats-server is started anew after it."""

from penstock.room import FULL_BYTES, ROOM_BYTES, Change, Room


def test_a_disk_with_room_is_nothing_to_speak_of() -> None:
    assert Room().look(ROOM_BYTES) is None


def test_a_full_disk_is_told_once() -> None:
    room = Room()
    assert [room.look(FULL_BYTES - 1), room.look(0)] == [Change.FULL, None]


def test_room_again_is_told_only_when_there_is_enough_of_it() -> None:
    room = Room()
    room.look(0)
    assert [room.look(FULL_BYTES), room.look(ROOM_BYTES), room.look(ROOM_BYTES)] == [None, Change.ROOM_AGAIN, None]
