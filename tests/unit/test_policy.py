"""Where code may go: this machine, and the origins that the user has named."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentlaunch import policy


@pytest.mark.parametrize(
    ("url", "origin"),
    [
        ("https://openrouter.ai/api", "https://openrouter.ai"),
        ("https://openrouter.ai:443/api/v1", "https://openrouter.ai"),
        ("http://h:80", "http://h"),
        ("http://h:8000/x?y", "http://h:8000"),
        ("HTTP://GPU.Example.:8000", "http://gpu.example:8000"),
        ("http://[FD00::1]:8000/", "http://[fd00::1]:8000"),
        ("https://h:80", "https://h:80"),
    ],
)
def test_an_origin_has_one_spelling(url: str, origin: str) -> None:
    assert policy.origin(url) == origin
    assert policy.origin(origin) == origin


@pytest.mark.parametrize(
    "url",
    [
        "http://192.168.1.9:8000",
        "http://10.0.0.1",
        "http://172.17.0.1:12434",
        "http://100.64.0.1:11434",
        "http://[fd00::1]:1",
        "http://0.0.0.0:8000",
        "http://gpu:8000",
        "http://localhost.example:8000",
        "http://127.0.0.1.example",
        "https://api.anthropic.com",
    ],
)
def test_every_other_host_needs_the_word_also_one_in_the_same_network(url: str) -> None:
    assert policy.leaves(url)
    assert not policy.allows(None, url)
    assert not policy.allows("https://elsewhere.example", url)
    assert policy.allows(policy.with_host(None, url), url)


@pytest.mark.parametrize("url", ["http://127.0.0.1:1", "http://localhost:8000", "http://[::1]:1"])
def test_nothing_is_asked_for_this_machine(url: str) -> None:
    assert not policy.leaves(url)
    assert policy.allows(None, url)


@pytest.mark.parametrize(
    ("allowed", "url"),
    [
        ("https://h", "http://h"),
        ("https://h", "https://h:8443"),
        ("https://h", "https://h.example"),
        ("https://h", "https://x.h"),
        ("http://h:8000", "http://h:80"),
        ("*", "https://h"),
        ("h", "https://h"),
        ("https://", "https://h"),
        ("https://[::1", "https://h"),
    ],
)
def test_the_word_is_for_one_scheme_host_and_port(allowed: str, url: str) -> None:
    assert not policy.allows(allowed, url)


def test_the_word_for_another_host_joins_those_that_are_there() -> None:
    once = policy.with_host("https://a, http://b:1", "https://c/v1")
    assert once == "https://a, http://b:1, https://c"
    assert policy.with_host(once, "https://c") == once
    assert policy.hosts(once) == ("https://a", "http://b:1", "https://c")


def test_the_question_names_the_host_and_says_when_nothing_is_encrypted() -> None:
    assert "https://h:1." in policy.question("https://h:1/x")
    assert "encrypted" not in policy.question("https://h:1/x")
    assert "encrypted" in policy.question("http://h:1")
    assert "It is kept there." in policy.question("https://h", note="It is kept there.")
    assert not policy.is_clear("http://127.0.0.1:1")


@given(st.text())
def test_no_setting_makes_an_unnamed_host_allowed_or_fails(text: str) -> None:
    assert not policy.allows(text, "https://never-named.example:4711") or (
        "never-named.example:4711" in text.lower()
    )
