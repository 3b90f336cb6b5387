"""Settings: which source wins, and what is said of a value that does not fit."""

from pathlib import Path
from typing import Any

import pytest

from mainspring import ConfigError, InvalidArguments
from mainspring.settings import Configuration, load


def configuration(here: Path, variables: dict[str, str], **arguments: Any) -> Configuration:
    return load(arguments, variables, here)


def test_arguments_beat_the_environment_which_beats_the_file(here: Path) -> None:
    (here / "mainspring.toml").write_text('url = "file"\napp = "file:app"\nlease = "1m"\n')
    variables = {"MAINSPRING_URL": "variable", "MAINSPRING_APP": "variable:app"}
    found = configuration(here, variables, url="argument", app=None)
    assert (found.url, found.app, found.lease) == ("argument", "variable:app", "1m")
    assert found.origins == {
        "url": "--url",
        "app": "MAINSPRING_APP",
        "lease": "lease in mainspring.toml",
    }


def test_pyproject_is_read_where_there_is_no_file_of_its_own(here: Path) -> None:
    (here / "pyproject.toml").write_text('[tool.mainspring]\nqueues = ["a", "b"]\nthreads = 3\n')
    found = configuration(here, {})
    assert (found.queues, found.threads) == (("a", "b"), 3)
    (here / "mainspring.toml").write_text("threads = 4\n")
    assert configuration(here, {}).threads == 4


def test_nothing_said_leaves_everything_open(here: Path) -> None:
    assert configuration(here, {}) == Configuration()


def test_a_url_can_be_what_a_variable_says(here: Path) -> None:
    found = configuration(here, {"SHOP_DB": "sqlite:///shop.db"}, url="env:SHOP_DB")
    assert found.url == "sqlite:///shop.db"
    with pytest.raises(InvalidArguments, match=r"^--url: .*'SHOP_DB', which is not set"):
        configuration(here, {}, url="env:SHOP_DB")


def test_queues_come_as_a_list_or_with_commas(here: Path) -> None:
    assert configuration(here, {}, queues="a, b,a").queues == ("a", "b")
    assert configuration(here, {"MAINSPRING_QUEUES": "x"}).queues == ("x",)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("threads", "0"),
        ("threads", "many"),
        ("processes", "257"),
        ("tasks", "-1"),
        ("concurrency", "1.5"),
        ("lease", "soon"),
        ("grace", "5 parsecs"),
        ("queues", "a,,b"),
        ("app", "no_colon"),
        ("hosts", "a,,b"),
        ("hosts", "https://queue.example.org"),
        ("hosts", "queue.example.org:8700"),
        ("behind_proxy", "proxy.example.org"),
        ("behind_proxy", "10.0.0.7/8"),
        ("rate", "100"),
        ("rate", "0/s"),
        ("waits", "0"),
        ("connections", "-1"),
        ("access_log", "perhaps"),
        ("insecure_no_auth", "2"),
    ],
)
def test_a_value_that_does_not_fit_is_refused_with_its_origin(
    here: Path, name: str, value: str
) -> None:
    with pytest.raises(InvalidArguments, match=f"^--{name.replace('_', '-')}: .*expected .*got"):
        configuration(here, {}, **{name: value})
    with pytest.raises(ConfigError, match=f"^MAINSPRING_{name.upper()}: .*expected"):
        configuration(here, {f"MAINSPRING_{name.upper()}": value})
    (here / "mainspring.toml").write_text(f'{name} = "{value}"\n')
    with pytest.raises(ConfigError, match=rf"^{name} in mainspring\.toml: .*expected"):
        configuration(here, {})


def test_an_unknown_word_in_the_file_is_refused_and_the_known_ones_are_named(here: Path) -> None:
    (here / "mainspring.toml").write_text("thread = 3\n")
    with pytest.raises(ConfigError, match=r"mainspring\.toml: expected one of .*threads.*'thread'"):
        configuration(here, {})


def test_a_file_that_is_no_toml_is_refused(here: Path) -> None:
    (here / "mainspring.toml").write_text("threads 3\n")
    with pytest.raises(ConfigError, match=r"mainspring\.toml: expected a readable TOML file"):
        configuration(here, {})


def test_settings_of_the_server_come_from_everywhere(here: Path) -> None:
    (here / "mainspring.toml").write_text(
        'hosts = ["a.example", "b.example"]\naccess_log = true\nrate = "100/m"\nwaits = 5\n'
    )
    variables = {"MAINSPRING_BEHIND_PROXY": "10.0.0.7, fd00::/8", "MAINSPRING_ACCESS_LOG": "0"}
    found = configuration(here, variables, insecure_no_auth=True, rate="none")
    assert found.hosts == ("a.example", "b.example")
    assert found.behind_proxy == ("10.0.0.7", "fd00::/8")
    assert (found.access_log, found.insecure_no_auth, found.waits) == (False, True, 5)
    assert found.rate == (0, 1.0)
    assert configuration(here, {}).rate == (100, 60.0)
