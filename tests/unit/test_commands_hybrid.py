"""What a doctor says of the routes, and what is known of an endpoint that is down."""

from __future__ import annotations

from pathlib import Path

import pytest

from agentlaunch import settings
from agentlaunch.checks.finding import Finding
from agentlaunch.commands import hybrid
from agentlaunch.engines.remote import ALL_WIRES, RemoteFacts, RemoteModel, Target
from agentlaunch.gateway.routes import Word
from agentlaunch.records import Records
from agentlaunch.settings import Value
from places import paths_below


def said(**given: str) -> dict[str, Value]:
    values = {row.name: Value(row.default, "default", "default") for row in settings.SETTINGS}
    for name, value in given.items():
        values[name.replace("__", ".")] = Value(value, "user", "config.toml")
    return values


def test_without_routes_a_doctor_says_nothing_of_them(tmp_path: Path) -> None:
    assert hybrid.findings(said(), paths_below(tmp_path)) == ()


def test_routes_that_name_endpoints_are_shown_with_the_gateway(tmp_path: Path) -> None:
    rows = said(routes__main="http://gpu.lan:8000, local", routes__small="local")
    assert hybrid.findings(rows, paths_below(tmp_path)) == (
        Finding(
            "routes",
            "ok",
            "main: gpu.lan:8000 → local; small: local (no gateway runs: a launch starts it)",
            None,
        ),
    )


@pytest.mark.parametrize(
    ("chain", "words"),
    [
        ("hosted, local", "hosted_url"),
        ("vlm", "did you mean"),
        ("#x", "NAME#MODEL"),
        ("http://169.254.169.254/", "agentlaunch config unset routes.main"),
    ],
)
def test_a_word_that_is_no_endpoint_is_an_error_with_its_way_out(
    chain: str, words: str, tmp_path: Path
) -> None:
    (found,) = hybrid.findings(said(routes__main=chain), paths_below(tmp_path))
    assert (found.name, found.status) == ("routes", "error")
    assert words in (found.remedy or "")


FACTS = RemoteFacts(
    "http://gpu.lan:8000",
    "vllm",
    ALL_WIRES,
    (RemoteModel("big", 131_072, max_output_tokens=8_192),),
    key="sk-canary",
)


def test_what_an_endpoint_served_is_known_when_it_is_down_without_its_key(tmp_path: Path) -> None:
    paths, word = paths_below(tmp_path), Word("hosted")
    hybrid.remember(paths, word, FACTS)
    found = hybrid.recall(paths, word, Target(FACTS.url))
    assert found is not None
    assert (found.models, found.kind, found.wires, found.key) == (
        FACTS.models, "vllm", ALL_WIRES, "",
    )  # fmt: skip
    assert hybrid.recall(paths, Word("hosted", "other"), Target(FACTS.url)) is None
    assert hybrid.recall(paths, word, Target("http://other:1")) is None
    written = "".join(file.read_text() for file in paths.state.rglob("*") if file.is_file())
    assert "sk-canary" not in written


@pytest.mark.parametrize(
    "row", [{}, {"kind": "vllm"}, {"model": "m", "context_tokens": 1, "bases": 7}]
)
def test_a_record_that_is_none_is_no_endpoint(row: dict[str, object], tmp_path: Path) -> None:
    paths = paths_below(tmp_path)
    Records(paths.state).remember("endpoints", f"{FACTS.url}#", row)
    assert hybrid.recall(paths, Word("hosted"), Target(FACTS.url)) is None
