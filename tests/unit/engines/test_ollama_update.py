"""How each way of installation is updated, and which floors are told of."""

from __future__ import annotations

from pathlib import Path, PurePosixPath
from typing import cast

import pytest

from agentlaunch.engines.ollama.replies import FLOORS
from agentlaunch.engines.ollama.update import APP, WITHOUT, Lack, how, lacks


@pytest.mark.parametrize(
    ("program", "platform", "words"),
    [
        ("/usr/local/bin/ollama", "linux", "curl -fsSL https://ollama.com/install.sh | sh"),
        ("/home/linuxbrew/.linuxbrew/Cellar/ollama/0.33.0/bin/ollama", "linux",
         "brew upgrade ollama"),
        ("/opt/homebrew/Cellar/ollama/0.33.0/bin/ollama", "darwin", "brew upgrade ollama"),
        ("/Applications/Ollama.app/Contents/Resources/ollama", "darwin", APP),
        (None, "darwin", APP),
        ("/nix/store/abc-ollama-0.33.0/bin/ollama", "linux", "with nix, as it was installed"),
        (None, "win32", "winget upgrade Ollama.Ollama"),
        (None, "freebsd14", "https://ollama.com/download"),
    ],
)  # fmt: skip
def test_each_way_of_installation_has_its_way_of_updating(
    program: str | None, platform: str, words: str
) -> None:
    place = cast(Path, PurePosixPath(program)) if program is not None else None
    assert how(place, platform) == words


def test_what_an_old_version_lacks_comes_with_the_floor() -> None:
    assert lacks("0.14.0") == (Lack("security", "0.17.1", WITHOUT["security"]),)
    assert set(WITHOUT) <= set(FLOORS)


@pytest.mark.parametrize("version", [None, "new", "0.33.0", "0.0.0"])
def test_nothing_is_said_of_a_new_or_unknown_version(version: str | None) -> None:
    assert lacks(version) == ()
