"""The operator's channels, and the recipe of an environment."""

import pytest
from msgspec.structs import replace
from tests.conda.conftest import PLATFORM, environment

from penstock_execution.conda.channels import Channel, Channels, parse_channels
from penstock_execution.conda.policy import CondaPolicy, Recipe, recipe
from penstock_execution.conda.specification import read_specification
from penstock_execution.provisioning import CondaEnvironment, ProvisionFailed

FORGE = Channel("conda-forge", "https://conda.anaconda.org/conda-forge")
MIRROR = Channel("bioconda", "https://mirror.example.org/bioconda")
LAB = Channel("file:///srv/lab", "file:///srv/lab")
CHANNELS = parse_channels(("conda-forge", "bioconda=https://mirror.example.org/bioconda/", "file:///srv/lab"))
POLICY = CondaPolicy(channels=CHANNELS)
PIN = "https://conda.anaconda.org/bioconda/linux-64/bwa-0.7-0.tar.bz2#" + "a" * 32


def made(wanted: CondaEnvironment, policy: CondaPolicy = POLICY) -> Recipe:
    return recipe(read_specification(wanted), policy, PLATFORM)


def test_channels_are_named_with_or_without_an_address() -> None:
    assert CHANNELS.allowed == (FORGE, MIRROR, LAB)
    assert CHANNELS.folders == ("/srv/lab",)


@pytest.mark.parametrize(
    ("written", "channel"),
    [
        ("conda-forge", FORGE),
        ("https://conda.anaconda.org/conda-forge", FORGE),
        ("https://conda.anaconda.org/conda-forge/linux-64/", FORGE),
        ("bioconda", MIRROR),
        ("https://conda.anaconda.org/bioconda", MIRROR),
        ("https://mirror.example.org/bioconda", MIRROR),
        ("file:///srv/lab", LAB),
    ],
)
def test_an_environment_file_may_name_an_allowed_channel_in_any_form(written: str, channel: Channel) -> None:
    assert CHANNELS.resolve(written) == channel


@pytest.mark.parametrize(
    "written",
    [
        *("defaults", "file:///etc", "file:///srv/lab/../../etc", "http://169.254.169.254/latest", "/srv/lab"),
        *("https://conda.anaconda.org/evil", "http://conda.anaconda.org/conda-forge", "conda-forge/label/x"),
    ],
)
def test_every_other_channel_is_refused_with_those_that_are_allowed(written: str) -> None:
    with pytest.raises(ProvisionFailed, match="not allowed here: allowed are conda-forge, bioconda, file:///srv/lab"):
        CHANNELS.resolve(written)
    with pytest.raises(ProvisionFailed, match="PENSTOCK_CONDA_CHANNELS"):
        made(environment("a", channel=written))
    with pytest.raises(ProvisionFailed, match="no channel is allowed"):
        Channels().resolve("conda-forge")


def test_a_dependency_may_require_a_channel_that_is_allowed() -> None:
    found = made(environment("bioconda::bwa", "samtools", channel="conda-forge"))
    assert found.channels == (FORGE, MIRROR)
    assert [(item.spec, item.channel) for item in found.required] == [("bwa", MIRROR), ("samtools", None)]
    with pytest.raises(ProvisionFailed, match="'evil' is not allowed"):
        made(environment("evil::bwa", channel="conda-forge"))


def test_an_environment_without_a_channel_is_refused() -> None:
    with pytest.raises(ProvisionFailed, match="names no channel"):
        made(environment("a", channel="nodefaults"))


def test_pip_needs_the_operators_permission() -> None:
    text = "channels: [conda-forge]\ndependencies: [python, pip, {pip: [requests]}]"
    wanted = CondaEnvironment(label="a", specification=text)
    with pytest.raises(ProvisionFailed, match="PENSTOCK_CONDA_PIP_INDEX"):
        made(wanted)
    allowing = replace(POLICY, pip_index="https://index.example.org/simple")
    found = made(wanted, allowing)
    assert found.pip == ("requests",)
    assert found.request == ("python", "pip", "pip: requests")
    with pytest.raises(ProvisionFailed, match="PENSTOCK_CONDA_OFFLINE"):
        made(wanted, replace(allowing, is_offline=True))


def test_pins_come_from_the_mirror_of_an_allowed_channel() -> None:
    [pin] = made(environment("bwa", channel="conda-forge", pins=PIN)).pins
    assert pin.url == "https://mirror.example.org/bioconda/linux-64/bwa-0.7-0.tar.bz2"
    for hostile in ("https://evil.example.org/c/linux-64/a-1-0.conda", "file:///etc/linux-64/a-1-0.conda"):
        with pytest.raises(ProvisionFailed, match="not allowed"):
            made(environment("bwa", pins=hostile))
    with pytest.raises(ProvisionFailed, match="this runner is linux-64"):
        made(environment("bwa", pins=PIN.replace("linux-64", "osx-arm64")))


def test_the_key_follows_from_what_is_declared_and_not_from_where_it_is_fetched() -> None:
    first = made(environment("bwa", channel="bioconda"))
    elsewhere = replace(POLICY, channels=parse_channels(("bioconda",)))
    assert made(environment("bwa", channel="bioconda"), elsewhere).key == first.key
    named = CondaEnvironment(label="other", specification="name: x\nchannels:\n- bioconda # best\ndependencies: [bwa]")
    assert made(named).key == first.key
    others = [
        environment("bwa", channel="conda-forge"),
        environment("bwa=1", channel="bioconda"),
        environment("bwa", channel="bioconda", post_deploy="true"),
        environment("bwa", channel="bioconda", pins=PIN),
        CondaEnvironment(label="x", specification=named.specification + "\nvariables: {A: b}"),
    ]
    keys = {first.key, *(made(item).key for item in others)}
    assert len(keys) == len(others) + 1
    assert all(len(key) == 32 for key in keys)
