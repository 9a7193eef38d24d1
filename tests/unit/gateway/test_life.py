"""The gateway's process: its name, and its last words."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from agentlaunch.gateway import life
from agentlaunch.gateway.package import PACKAGE
from fake_gateway import spec

# ---- which one --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "other",
    [spec("other", "hosted"), spec(token="sk-2"), spec(cap_usd=1.0), spec(routing="auto")],
    ids=["order", "key", "cap", "routing"],
)
def test_another_order_key_cap_or_routing_is_another_gateway(other: Any) -> None:
    assert life.fingerprint(other) != life.fingerprint(spec())
    assert life.fingerprint(spec()) == life.fingerprint(spec())


def test_another_litellm_or_other_code_in_it_is_another_gateway(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    known = life.fingerprint(spec())
    with monkeypatch.context() as patch:
        patch.setattr(life, "PACKAGE", replace(PACKAGE, version="9.9.9"))
        assert life.fingerprint(spec()) != known
    hooks = tmp_path / "litellm_hooks.py"
    hooks.write_text("instance = None\n")
    monkeypatch.setattr(life, "_hooks", lambda: hooks)
    assert life.fingerprint(spec()) != known


# ---- its last words ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("log", "words"),
    [
        ("", ""),
        ("one\ntwo\n\n", "two"),
        (
            "Traceback (most recent call last):\n  x\nValueError: no such model\n\n"
            "ERROR:    Application startup failed. Exiting.\n\n"
            "\x1b[1;37m#-----#\x1b[0m\n Thank you for using LiteLLM!\n",
            "ValueError: no such model",
        ),
        ("ERROR:    Application startup failed.\nbye\n", "ERROR:    Application startup failed."),
        (
            "OSError: old\nERROR:    [Errno 98] error while attempting to bind on address\nbye\n",
            "ERROR:    [Errno 98] error while attempting to bind on address",
        ),
        ("litellm.exceptions.BadRequestError: no\nbye", "litellm.exceptions.BadRequestError: no"),
        ("ValueError: " + "x" * 500, "ValueError: " + "x" * 287 + "…"),
    ],
)
def test_its_last_error_is_told_and_not_its_thanks(tmp_path: Path, log: str, words: str) -> None:
    file = tmp_path / "gateway.log"
    file.write_text(log)
    assert life._last_words(file) == words
