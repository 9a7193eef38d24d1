"""The screen: each step in words, with what it brings and how large that is."""

from __future__ import annotations

from dataclasses import replace

import pytest

from agentlaunch.commands import screen
from agentlaunch.engines.llama_cpp import PACKAGE
from agentlaunch.plan import HandOver, Install, Load, Pull, StartEngine, Step

SMALL = replace(PACKAGE, source="PyPI: x 1", size_bytes=7_000_000, download_bytes=2_000_000)


@pytest.mark.parametrize(
    ("step", "words"),
    [
        (Install(SMALL), "install PyPI: x 1 (2.0 MB to download, 7.0 MB on disk)"),
        (Pull("a:b", 6_600_000_000), "download a:b (6.6 GB)"),
        (Pull("c:d", None), "download c:d (?)"),
        (StartEngine("embedded", False), "start the embedded engine"),
        (StartEngine("embedded", True), "share the running embedded engine"),
        (Load("m", 8192), "load m with 8,192 tokens of context"),
        (HandOver("claude-code"), "become claude-code"),
    ],
)
def test_a_step_is_said_in_words(step: Step, words: str) -> None:
    assert screen.step_text(step) == words
