"""Settings: precedence with its source, files that do not parse, what a project may not set."""

from __future__ import annotations

from pathlib import Path

import pytest
from pytest_mock import MockerFixture

from agentlaunch import settings
from agentlaunch.errors import AgentlaunchError, Refused, UsageError
from agentlaunch.settings import Value


@pytest.fixture
def project(tmp_path: Path) -> Path:
    folder = tmp_path / "project"
    (folder / ".git").mkdir(parents=True)
    return folder


def test_the_winner_is_flag_then_environment_then_project_then_user_then_default(
    project: Path, tmp_path: Path
) -> None:
    user = tmp_path / "config.toml"
    user.write_text('model = "user"\nengine = "embedded"\nhome = "clean"\nmax_download = "5GB"\n')
    (project / "agentlaunch.toml").write_text('model = "project"\ncontext = 16384\nslim = "on"\n')
    environ = {"AGENTLAUNCH_CONTEXT": "32k", "AGENTLAUNCH_SLIM": "off"}
    found = settings.load(
        flags={"slim": "auto", "model": None}, environ=environ, folder=project, user_file=user
    )
    file = str(project / "agentlaunch.toml")
    assert {name: found[name] for name in ("model", "context", "slim", "home", "kv_cache")} == {
        "model": Value("project", "project", file),
        "context": Value(32768, "environment", "AGENTLAUNCH_CONTEXT"),
        "slim": Value("auto", "flag", "--slim"),
        "home": Value("clean", "user", str(user)),
        "kv_cache": Value("auto", "default", "default"),
    }
    assert found["max_download"] == Value(5 * 10**9, "user", str(user))


@pytest.mark.parametrize("name", ["engine", "max_download"])
def test_a_project_file_may_not_set_endpoints_or_limits(
    name: str, project: Path, tmp_path: Path
) -> None:
    (project / "agentlaunch.toml").write_text(f'{name} = "http://evil.example"\n')
    with pytest.raises(Refused, match="may not set") as caught:
        settings.load(environ={}, folder=project, user_file=tmp_path / "none.toml")
    assert caught.value.exit_code == 8


def test_a_project_file_is_looked_for_up_to_the_top_of_the_repository(
    project: Path, tmp_path: Path
) -> None:
    (tmp_path / "agentlaunch.toml").write_text('model = "outside"\n')
    below = project / "src" / "deep"
    below.mkdir(parents=True)
    none = tmp_path / "none.toml"
    assert settings.load(environ={}, folder=below, user_file=none)["model"].value is None
    (project / "agentlaunch.toml").write_text('model = "inside"\n')
    assert settings.load(environ={}, folder=below, user_file=none)["model"].value == "inside"


@pytest.mark.parametrize(
    "text", ["model = ", "model = [1]\n", "nonsense = 1\n", "\x00", "home = 'moon'", "model = true"]
)
def test_a_broken_file_is_refused_and_left_alone(text: str, project: Path, tmp_path: Path) -> None:
    user = tmp_path / "config.toml"
    user.write_text(text)
    with pytest.raises(Refused) as caught:
        settings.load(environ={}, folder=project, user_file=user)
    assert str(user) in caught.value.message
    assert user.read_text() == text


@pytest.mark.parametrize(
    ("flag", "value"),
    [("context", "0"), ("context", "-1"), ("context", "many"), ("home", "x"), ("model", "")],
)
def test_a_bad_value_in_a_flag_is_a_usage_error(
    flag: str, value: str, project: Path, tmp_path: Path
) -> None:
    with pytest.raises(UsageError, match=f"--{flag}"):
        settings.load(
            flags={flag: value}, environ={}, folder=project, user_file=tmp_path / "none.toml"
        )


@pytest.mark.parametrize(
    ("text", "size"),
    [("30GB", 30 * 10**9), ("8 GiB", 8 * 2**30), ("1.5kb", 1500), ("7", 7), ("2TB", 2 * 10**12)],
)
def test_sizes_are_read_in_decimal_and_binary_units(text: str, size: int) -> None:
    assert settings.parse_bytes(text, where="x") == size


@pytest.mark.parametrize(("text", "minutes"), [("1", 1), (" 90 ", 90), ("1440", 1440)])
def test_minutes_are_a_whole_number(text: str, minutes: int) -> None:
    row = settings.setting("idle_minutes")
    assert settings.parse_value(row, text, where="x") == minutes


@pytest.mark.parametrize(
    "text",
    ["", "0", "-1", "1441", "99999", "32k", "auto", "1.5", "\N{SUPERSCRIPT TWO}", "1" * 5000],
)
def test_what_is_no_number_of_minutes_is_a_usage_error(text: str) -> None:
    with pytest.raises(UsageError, match="minutes"):
        settings.parse_value(settings.setting("idle_minutes"), text, where="x")


@pytest.mark.parametrize("text", ["", "GB", "-1GB", "1XB", "nan", "inf", "1e999", "ten"])
def test_what_is_no_size_is_a_usage_error(text: str) -> None:
    with pytest.raises(UsageError):
        settings.parse_bytes(text, where="x")


def test_without_a_login_session_the_runtime_folder_lies_under_our_state(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in ("XDG_RUNTIME_DIR", "XDG_STATE_HOME", "XDG_DATA_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("os.getuid", lambda: 4242)  # a user without /run/user/4242
    places = settings.paths()
    assert places.runtime == places.state / "run"


def test_the_runtime_folder_of_a_session_is_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    assert settings.paths().runtime == tmp_path / "agentlaunch"


def test_what_can_be_read_is_kept_and_every_fault_told(project: Path, home: Path) -> None:
    user = home / ".config" / "agentlaunch" / "config.toml"
    user.parent.mkdir(parents=True)
    user.write_text('model = "user"\nnonsense = 1\nhome = "moon"\n')
    (project / "agentlaunch.toml").write_text('slim = "on"\nengine = "x"\n')
    found, faults = settings.load_readable({"AGENTLAUNCH_CONTEXT": "lots"}, project, user)
    assert [error.code for error in faults] == [
        "unknown-setting",
        "bad-value",
        "project-may-not",
        "bad-value",
    ]
    assert {name: found[name].value for name in ("model", "home", "slim", "engine", "context")} == {
        "model": "user",
        "home": "own",
        "slim": "on",
        "engine": None,
        "context": None,
    }


def test_faultless_settings_read_the_same_either_way(project: Path) -> None:
    (project / "agentlaunch.toml").write_text('slim = "on"\n')
    environ = {"AGENTLAUNCH_CONTEXT": "32k"}
    none = project / "none.toml"
    strict = settings.load(environ=environ, folder=project, user_file=none)
    assert settings.load_readable(environ, project, none) == (strict, ())


def test_a_user_without_a_home_is_told_so(mocker: MockerFixture) -> None:
    """As in a container that runs under a number which is no user's."""
    mocker.patch("platformdirs.user_state_path", side_effect=RuntimeError("no home"))
    with pytest.raises(AgentlaunchError, match="no home folder") as caught:
        settings.paths()
    assert (caught.value.exit_code, caught.value.code) == (1, "no-home")
