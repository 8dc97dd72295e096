from enum import Enum
from pathlib import Path
from typing import Annotated

import pytest
from msgspec import Meta, Struct, field

from penstock_runtime.settings import BadSettings, LogLevel, LogLevelSetting, describe, read_settings, to_environ


class Colour(Enum):
    RED = "red"
    BLUE = "blue"


class Settings(Struct, frozen=True, kw_only=True):
    nats_url: Annotated[str, Meta(description="Where the server listens.")] = "nats://127.0.0.1:4222"
    slots: Annotated[int, Meta(ge=1, le=64)] = 4
    pause_s: Annotated[float, Meta(gt=0)] = 0.5
    is_loud: bool = False
    state_dir: Path | None = None
    roots: tuple[Path, ...] = ()
    colour: Colour = Colour.RED
    password: Annotated[str, Meta(min_length=8, extra={"secret": True})] | None = None
    names: tuple[str, ...] = field(default_factory=lambda: ("a", "b"))
    log_level: LogLevelSetting = LogLevel.INFO


class Required(Struct, frozen=True):
    nats_url: str


def mistakes(environ: dict[str, str], shape: type[Struct] = Settings) -> list[str]:
    with pytest.raises(BadSettings) as caught:
        read_settings(shape, environ)
    return str(caught.value).splitlines()


def test_nothing_set_gives_the_defaults() -> None:
    assert read_settings(Settings, {}) == Settings()


def test_every_type_is_read() -> None:
    read = read_settings(
        Settings,
        {
            "PENSTOCK_NATS_URL": "nats://elsewhere:4222",
            "PENSTOCK_SLOTS": " 8 ",
            "PENSTOCK_PAUSE_S": "1.5",
            "PENSTOCK_IS_LOUD": "Yes",
            "PENSTOCK_STATE_DIR": "/var/lib/penstock",
            "PENSTOCK_ROOTS": "/a, /b,",
            "PENSTOCK_COLOUR": "BLUE",
            "PENSTOCK_PASSWORD": "long enough",
            "PENSTOCK_NAMES": "x",
            "LOG_LEVEL": "debug",
            "HOME": "/somewhere",
        },
    )
    assert read == Settings(
        nats_url="nats://elsewhere:4222",
        slots=8,
        pause_s=1.5,
        is_loud=True,
        state_dir=Path("/var/lib/penstock"),
        roots=(Path("/a"), Path("/b")),
        colour=Colour.BLUE,
        password="long enough",
        names=("x",),
        log_level=LogLevel.DEBUG,
    )


def test_an_empty_variable_is_not_set() -> None:
    assert read_settings(Settings, {"PENSTOCK_SLOTS": " ", "PENSTOCK_STATE_DIR": ""}) == Settings()


def test_every_mistake_is_reported_at_once() -> None:
    assert mistakes(
        {
            "PENSTOCK_SLOTS": "many",
            "PENSTOCK_PAUSE_S": "0",
            "PENSTOCK_IS_LOUD": "perhaps",
            "PENSTOCK_COLOUR": "green",
            "LOG_LEVEL": "LOUD",
        }
    ) == [
        "PENSTOCK_SLOTS is 'many': expected a whole number from 1 to 64",
        "PENSTOCK_PAUSE_S is '0': expected a number above 0",
        "PENSTOCK_IS_LOUD is 'perhaps': expected true or false",
        "PENSTOCK_COLOUR is 'green': expected one of red, blue",
        "LOG_LEVEL is 'LOUD': expected one of DEBUG, INFO, WARNING, ERROR",
    ]


@pytest.mark.parametrize("slots", ["0", "65", "1.5", "-1"])
def test_a_number_out_of_bounds_is_refused(slots: str) -> None:
    assert mistakes({"PENSTOCK_SLOTS": slots}) == [f"PENSTOCK_SLOTS is '{slots}': expected a whole number from 1 to 64"]


def test_a_missing_variable_is_named() -> None:
    assert mistakes({}, Required) == ["PENSTOCK_NATS_URL is not set: expected a text"]


def test_a_secret_stays_out_of_the_message() -> None:
    assert mistakes({"PENSTOCK_PASSWORD": "short"}) == [
        "PENSTOCK_PASSWORD is '(hidden)': expected a text of at least 8 characters"
    ]


def test_a_misspelt_variable_is_named() -> None:
    assert mistakes({"PENSTOCK_NATS_ULR": "nats://x"}) == [
        "PENSTOCK_NATS_ULR is 'nats://x': expected the name PENSTOCK_NATS_URL; nothing reads this one"
    ]


def test_a_variable_of_another_program_is_left_alone() -> None:
    assert read_settings(Settings, {"PENSTOCK_SLOT": "1"}, known={"PENSTOCK_SLOT"}) == Settings()
    assert read_settings(Settings, {"PENSTOCK_TELEMETRY_ENDPOINT": "x"}) == Settings()


def test_settings_go_to_a_child_and_come_back() -> None:
    settings = Settings(slots=9, is_loud=True, roots=(Path("/a"), Path("/b")), colour=Colour.BLUE)
    environ = to_environ(settings)
    assert environ == {
        "PENSTOCK_SLOTS": "9",
        "PENSTOCK_IS_LOUD": "true",
        "PENSTOCK_ROOTS": "/a,/b",
        "PENSTOCK_COLOUR": "blue",
    }
    assert read_settings(Settings, environ) == settings


def test_the_description_has_a_row_a_setting() -> None:
    rows = {row.variable: row for row in describe(Settings)}
    assert rows["PENSTOCK_NATS_URL"].description == "Where the server listens."
    assert rows["PENSTOCK_NATS_URL"].default == "nats://127.0.0.1:4222"
    assert rows["PENSTOCK_SLOTS"].expected == "a whole number from 1 to 64"
    assert rows["PENSTOCK_ROOTS"].expected == "a path, or several with commas between"
    assert rows["LOG_LEVEL"].default == "INFO"
    assert describe(Required)[0].default is None
