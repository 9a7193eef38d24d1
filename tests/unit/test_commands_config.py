"""`agentlaunch config set` and `unset`: one line changes, the rest of the user's file stays."""

from __future__ import annotations

from pathlib import Path

import pytest

from agentlaunch.cli import main
from agentlaunch.settings import paths
from agentlaunch.user_file import with_line

TEXT = """# what I use at home
model = "a:b"  # the small one
 "kv_cache"="q8_0"

# large enough for work
context = 32768
"""


@pytest.fixture
def user_file() -> Path:
    file = paths().user_file
    file.parent.mkdir(parents=True)
    file.write_text(TEXT)
    return file


def test_a_change_keeps_comments_order_and_the_other_lines(user_file: Path) -> None:
    assert main(["config", "set", "model", "c:d"]) == 0
    assert main(["config", "set", "kv_cache", "f16"]) == 0
    assert main(["config", "unset", "context"]) == 0
    assert main(["config", "set", "agent", "claude"]) == 0
    assert user_file.read_text() == (
        '# what I use at home\nmodel = "c:d"  # the small one\nkv_cache = "f16"\n'
        '\n# large enough for work\nagent = "claude"\n'
    )


def test_a_linked_file_is_written_where_it_lies_with_its_mode(tmp_path: Path) -> None:
    real = tmp_path / "dotfiles.toml"
    real.write_text("# mine\n")
    real.chmod(0o644)
    link = paths().user_file
    link.parent.mkdir(parents=True)
    link.symlink_to(real)
    assert main(["config", "set", "model", "a:b"]) == 0
    assert link.is_symlink()
    assert real.read_text() == '# mine\nmodel = "a:b"\n'
    assert real.stat().st_mode & 0o777 == 0o644


def test_the_first_setting_makes_a_private_file() -> None:
    assert main(["config", "set", "model", "a:b"]) == 0
    assert paths().user_file.read_text() == 'model = "a:b"\n'
    assert paths().user_file.stat().st_mode & 0o777 == 0o600


def test_what_is_not_there_is_dropped_without_a_trace() -> None:
    assert main(["config", "unset", "model"]) == 0
    assert not paths().user_file.exists()


def test_a_file_in_which_no_single_line_can_change_is_left_alone(
    user_file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = 'model = """\na:b"""\n'
    user_file.write_text(text)
    assert main(["config", "set", "model", "c:d"]) == 8
    assert user_file.read_text() == text
    assert "hint: change model in it with an editor" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("", 'model = "x"\n'),
        ("model = 'y'", 'model = "x"'),
        ('model = "a # b"\r\nagent = "z"\r\n', 'model = "x"\r\nagent = "z"\r\n'),
        ('model = "a \\" b" # c', 'model = "x" # c'),
        ("# model = 1", '# model = 1\nmodel = "x"\n'),
        ('slim = "on"', 'slim = "on"\nmodel = "x"\n'),
        ('models = "y"\n', 'models = "y"\nmodel = "x"\n'),
    ],
)
def test_a_line_is_found_however_it_is_written(before: str, after: str) -> None:
    assert with_line(before, "model", "x") == after


TABLES = 'data = "any"\n\n[routes]  # whom I ask\nsmall = ["local"]  # at home\n\n[policy]\nx = 1\n'


@pytest.mark.parametrize(
    ("before", "name", "value", "after"),
    [
        ("", "routes.main", "hosted, local", 'routes.main = "hosted, local"\n'),
        ('routes.main = "a"\n', "routes.main", "b", 'routes.main = "b"\n'),
        ('"routes" . \'main\' = ["a", "b"]\n', "routes.main", None, ""),
        (
            TABLES,
            "routes.small",
            "local, hosted",
            TABLES.replace('["local"]', '"local, hosted"'),
        ),
        (
            TABLES,
            "routes.main",
            "local",
            TABLES.replace("# at home\n\n", '# at home\n\nmain = "local"\n'),
        ),
        (TABLES, "agent", "codex", TABLES.replace("[routes]", 'agent = "codex"\n[routes]', 1)),
        ("[policy]", "agent", "codex", 'agent = "codex"\n[policy]'),
    ],
)
def test_a_key_of_a_table_is_written_in_its_table_and_no_other_line_changes(
    before: str, name: str, value: str | None, after: str
) -> None:
    assert with_line(before, name, value) == after


def test_routes_are_set_shown_and_dropped(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["config", "set", "routes.main", "vllm , local#a:b@32k"]) == 0
    assert main(["config", "show"]) == 0
    assert "vllm, local#a:b@32k" in capsys.readouterr().out
    assert main(["config", "unset", "routes.main"]) == 0
    assert paths().user_file.read_text() == ""


@pytest.mark.parametrize("value", ["vlm, local", "http://user:pw@h, local", "a b", ",", "#x"])
def test_what_is_no_endpoint_is_refused_before_it_is_kept(value: str) -> None:
    assert main(["config", "set", "routes.main", value]) == 2
    assert not paths().user_file.exists()
