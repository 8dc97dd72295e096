"""What a submission may choose of its engine."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from penstock_domain.engines.parameters import FOR_EVERY_ENGINE, Kind
from penstock_engines.snakemake.parameters import PARAMETERS, SnakemakeOptions, snakemake_options
from penstock_runtime.engine_plugins import installed_engines

TABLE = installed_engines().table("snakemake")


def test_what_is_listed_is_read() -> None:
    given_values = {
        "--cores": "4",
        "keep_going": None,
        "retries": "3",
        "targets": 'all "a b.txt" results/x.txt',
        "resources": "mem_mb=100 gpu=1",
        "set-threads": "sort=2",
        "set-resources": "sort:mem_mb=5 sort:disk_mb=6",
        "rerun-triggers": "mtime input",
        "rerun-incomplete": "false",
        "F": "",
    }
    assert TABLE.check(given_values) == ()
    assert snakemake_options(given_values) == SnakemakeOptions(
        cores=4,
        keep_going=True,
        retries=3,
        targets=("all", "a b.txt", "results/x.txt"),
        resources={"mem_mb": 100, "gpu": 1},
        set_threads={"sort": 2},
        set_resources={"sort": {"mem_mb": 5, "disk_mb": 6}},
        rerun_triggers=("mtime", "input"),
        rerun_incomplete=False,
        forceall=True,
        given=(
            "cores",
            "forceall",
            "keep_going",
            "rerun_incomplete",
            "rerun_triggers",
            "resources",
            "retries",
            "set_resources",
            "set_threads",
            "targets",
        ),
    )


@pytest.mark.parametrize(
    "name",
    [
        "profile",
        "executor",
        "config",
        "configfile",
        "snakefile",
        "directory",
        "cluster",
        "use-conda",
        "wrapper-prefix",
        "apptainer-args",
        "default-storage-provider",
        "shadow-prefix",
        "log-handler-script",
        "envvars",
        "C",
        "-",
        "--",
    ],
)
def test_what_is_not_listed_is_refused(name: str) -> None:
    (violation,) = TABLE.check({name: "x"})
    assert violation.name == name
    assert "it takes `cores`" in violation.detail


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("cores", "0"),
        ("cores", "-1"),
        ("cores", "many"),
        ("retries", "21"),
        ("retries", None),
        ("keep-going", "maybe"),
        ("targets", "/etc/passwd"),
        ("targets", "a ../../b"),
        ("targets", "s3://bucket/x"),
        ("until", "--profile"),
        ("targets", "'open"),
        ("targets", None),
        ("targets", "a\nb"),
        ("targets", "x" * 5000),
        ("resources", "mem_mb=__import__('os').system('id')"),
        ("default-resources", "mem_mb=input.size"),
        ("set-threads", "sort=0"),
        ("set-threads", "sort"),
        ("set-resources", "mem_mb=5"),
        ("rerun-triggers", "weather"),
    ],
)
def test_a_value_out_of_bounds_is_refused(name: str, value: str | None) -> None:
    (violation,) = TABLE.check({name: value})
    assert violation.name == name


@pytest.mark.parametrize("other", ["-c", "--cores", "jobs"])
def test_a_parameter_is_given_once(other: str) -> None:
    (violation,) = TABLE.check({"cores": "1", other: "2"})
    assert "`cores` sets the same parameter" in violation.detail


def test_a_choice_goes_before_a_default_however_it_is_written() -> None:
    defaults = {"--cores": "8", "retries": "1"}
    assert TABLE.overlaid(defaults, {"jobs": "2"}) == {"retries": "1", "jobs": "2"}
    assert TABLE.overlaid(defaults, {}) == defaults


def test_every_violation_is_reported() -> None:
    assert [item.name for item in TABLE.check({"profile": "x", "cores": "1", "retries": "x"})] == [
        "profile",
        "retries",
    ]


@pytest.mark.parametrize("engine", ["mock", "nextflow"])
def test_another_engine_takes_what_every_engine_takes_alone(engine: str) -> None:
    assert (
        installed_engines().table(engine).check({})
        == installed_engines().table(engine).check({"no-requeue": None})
        == ()
    )
    (violation,) = installed_engines().table(engine).check({"cores": "1"})
    assert violation.detail.endswith("it takes `no-requeue`")


@pytest.mark.parametrize("engine", ["snakemake", "mock"])
@pytest.mark.parametrize(
    ("parameters", "is_forbidden"),
    [
        ({}, False),
        ({"no-requeue": None}, True),
        ({"--no_requeue": "true"}, True),
        ({"no-requeue": "false"}, False),
    ],
)
def test_what_is_begun_may_be_chosen_not_to_be_begun_again(
    engine: str, parameters: dict[str, str | None], is_forbidden: bool
) -> None:
    assert installed_engines().table(engine).check(parameters) == ()
    assert installed_engines().table(engine).forbids_requeue(parameters) is is_forbidden


def test_the_engine_does_not_get_the_common_parameters() -> None:
    assert snakemake_options({"no-requeue": None, "cores": "2"}) == SnakemakeOptions(cores=2, given=("cores",))
    assert TABLE.is_for_every_engine("--no-requeue")
    assert not TABLE.is_for_every_engine("cores")
    (violation,) = TABLE.check({"no-requeue": "perhaps"})
    assert violation.name == "no-requeue"


def test_a_submission_may_choose_otherwise_than_its_entry() -> None:
    chosen = installed_engines().table("mock").overlaid({"no-requeue": None}, {"no_requeue": "false"})
    assert not installed_engines().table("mock").forbids_requeue(chosen)


@settings(max_examples=200, deadline=None)
@given(st.dictionaries(st.sampled_from([parameter.name for parameter in PARAMETERS]), st.none() | st.text(max_size=30)))
def test_what_passes_the_check_can_be_read_and_the_rest_cannot(parameters: dict[str, str | None]) -> None:
    if TABLE.check(parameters):
        with pytest.raises(ValueError, match=r".+"):
            snakemake_options(parameters)
    else:
        snakemake_options(parameters)


def test_defaults_are_values_that_can_be_given() -> None:
    for parameter in (*PARAMETERS, *FOR_EVERY_ENGINE):
        value = parameter.default_value
        assert value is None or not TABLE.check({parameter.name: value})
    assert {one_parameter.kind for one_parameter in PARAMETERS} == set(Kind)
