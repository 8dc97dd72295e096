"""What a submission may choose of its engine."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from penstock_domain.engines.parameter_table import FOR_EVERY_ENGINE
from penstock_domain.engines.parameters import EngineParameter, InvalidValue, Kind
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
        "batch": "all=2/3",
        "consider-ancient": "sort=index,0",
        "set-resource-scopes": "gpu=global",
        "set-scatter": "split=8",
        "configfiles": "config/a.yaml config/b.yaml",
        "-C": "title='two words' number=07",
        "env": "MODE=fast TITLE='two words' EMPTY=",
        "default-res": "mem=4GB runtime=2h disk_mb=7",
        "workflow-profile": "profiles/large",
        "max-threads": "6",
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
        batch=("all", 2, 3),
        consider_ancient={"sort": ("index", "0")},
        set_resource_scopes={"gpu": "global"},
        set_scatter={"split": 8},
        configfile=("config/a.yaml", "config/b.yaml"),
        config=("title=two words", "number=07"),
        env={"MODE": "fast", "TITLE": "two words", "EMPTY": ""},
        default_resources={"mem": "4GB", "runtime": "2h", "disk_mb": 7},
        workflow_profile="profiles/large",
        max_threads=6,
        given=(
            "batch",
            "config",
            "configfile",
            "consider_ancient",
            "cores",
            "default_resources",
            "env",
            "forceall",
            "keep_going",
            "max_threads",
            "rerun_incomplete",
            "rerun_triggers",
            "resources",
            "retries",
            "set_resource_scopes",
            "set_resources",
            "set_scatter",
            "set_threads",
            "targets",
            "workflow_profile",
        ),
    )


@pytest.mark.parametrize(
    "name",
    [
        "profile",
        "executor",
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
        ("batch", "all=4/3"),
        ("batch", "all=0/3"),
        ("batch", "all"),
        ("consider-ancient", "sort=a b"),
        ("consider-ancient", "sort=input.x"),
        ("set-resource-scopes", "gpu=everywhere"),
        ("set-scatter", "split=0"),
        ("configfile", "/etc/passwd"),
        ("configfile", "../x.yaml"),
        ("workflow-profile", "a b"),
        ("workflow-profile", "~/.config/snakemake/x"),
        ("config", "x"),
        ("config", "a=1"),
        ("default-resources", "mem_mb=4GB"),
        ("default-resources", "mem=lots"),
        ("default-resources", "mem=4GB;id"),
        ("set-resources", "sort:runtime=input"),
        ("env", "PATH=/evil"),
        ("env", "path=/evil"),
        ("env", "LD_PRELOAD=evil.so"),
        ("env", "PENSTOCK_RUNNER=x"),
        ("env", "BASH_ENV=evil.sh"),
        ("env", "1A=x"),
        ("env", "A B=x"),
        ("env", "A"),
    ],
)
def test_a_value_out_of_bounds_is_refused(name: str, value: str | None) -> None:
    (violation,) = TABLE.check({name: value})
    assert violation.name == name


def test_a_misspelt_name_gets_a_suggestion_and_a_known_option_the_reason() -> None:
    (violation,) = TABLE.check({"--forcrun": "a"})
    assert "did you mean `forcerun`?" in violation.detail
    (violation,) = TABLE.check({"directory": "/tmp"})
    assert "each run has its own folder" in violation.detail
    assert "did you mean" not in violation.detail


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
    (violation,) = installed_engines().table(engine).check({"retries": "1"})
    assert violation.detail.endswith("`no-requeue`, `keep-work`, `gpus`")


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


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (None, "report.html"),
        ("true", "report.html"),
        ("false", None),
        ("results/all.zip", "results/all.zip"),
        ("'my report.html'", "my report.html"),
    ],
)
def test_a_file_is_a_flag_or_a_name(text: str | None, expected: str | None) -> None:
    parameter = EngineParameter(name="report", kind=Kind.FILE, description="", choices=frozenset({".html", ".zip"}))
    assert parameter.read(text) == expected


@pytest.mark.parametrize(
    "text", ["report", "a.html b.html", "/a.html", "../a.html", "~/a.html", "x.html.exe", "'a.html"]
)
def test_other_names_of_files_are_refused(text: str) -> None:
    parameter = EngineParameter(name="report", kind=Kind.FILE, description="", choices=frozenset({".html", ".zip"}))
    with pytest.raises(InvalidValue):
        parameter.read(text)
