"""`OLLAMA_HOST` as Ollama itself reads it: its own code's answers, and the rules in words."""

from __future__ import annotations

import contextlib
import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentlaunch.endpoint import is_loopback
from agentlaunch.engines import ollama_host
from agentlaunch.engines.remote import normalized_url
from agentlaunch.errors import Refused, UsageError

TABLE = json.loads((Path(__file__).parents[2] / "data" / "ollama_host.json").read_text())
ROWS = TABLE["rows"]
DIALLED = [row for row in ROWS if row[1] is not None]
IMPOSSIBLE = [row[0] for row in ROWS if row[1] is None]


def _asked(base: str) -> str:
    # Go writes a lone asterisk plainly and any other with a percent sign; they mean the same.
    return f"{base}/api/version".replace("%2A", "*")


@pytest.mark.parametrize(("value", "asked", "_connectable"), DIALLED, ids=lambda text: ascii(text))
def test_the_server_is_asked_where_ollamas_own_client_asks_it(
    value: str, asked: str, _connectable: str
) -> None:
    assert _asked(ollama_host.parse(value)) == asked.replace("%2A", "*")


@pytest.mark.parametrize(("value", "_asked_at", "dialled"), DIALLED, ids=lambda text: ascii(text))
def test_an_unspecified_address_becomes_the_one_that_ollama_would_dial(
    value: str, _asked_at: str, dialled: str
) -> None:
    # Go dials an address without a host as this machine; nothing but Go does.
    dialled = dialled.replace("://:", "://127.0.0.1:", 1).replace("%2A", "*")
    assert _asked(ollama_host.connectable(ollama_host.parse(value))) == dialled


@pytest.mark.parametrize("value", IMPOSSIBLE, ids=ascii)
def test_what_ollamas_client_cannot_dial_is_no_crash(value: str) -> None:
    url = ollama_host.connectable(ollama_host.parse(value))
    assert is_loopback(url) in (True, False)
    with contextlib.suppress(Refused, UsageError):
        assert normalized_url(url)


@pytest.mark.parametrize(
    ("value", "url"),
    [
        ("user@box", "http://user@box:11434"),
        ("user:pw@box:5", "http://[user:pw@box:5]:11434"),
        ("http://user:pw@box:5", "http://[user:pw@box:5]:80"),
        ("http://user@box:5/x", "http://user@box:5/x"),
    ],
)
def test_a_user_in_it_stays_visible_so_that_it_can_be_refused(value: str, url: str) -> None:
    assert ollama_host.parse(value) == url
    with pytest.raises(UsageError):
        normalized_url(ollama_host.connectable(url))


@pytest.mark.parametrize(
    ("value", "url"),
    [
        (None, "http://127.0.0.1:11434"),
        ("", "http://127.0.0.1:11434"),
        ("gpu-box", "http://gpu-box:11434"),
        ("http://gpu-box", "http://gpu-box:80"),
        ("https://gpu-box", "https://gpu-box:443"),
        ("tcp://gpu-box", "tcp://gpu-box:11434"),
        ("https://gpu-box:8443/ollama/", "https://gpu-box:8443/ollama"),
        ("ollama.com", "https://ollama.com:443"),
        (":11500", "http://:11500"),
        ("gpu-box:66000", "http://gpu-box:11434"),
        ("gpu-box:0", "http://gpu-box:0"),
        ("box/\udcff", "http://box:11434/%3F"),
        ("box:" + "9" * 5000, "http://box:11434"),
    ],
)
def test_the_rules_in_words(value: str | None, url: str) -> None:
    assert ollama_host.parse(value) == url


@given(st.text())
def test_no_text_is_a_crash_and_an_address_is_dialled_where_it_says(text: str) -> None:
    url = ollama_host.parse(text)
    scheme, separator, rest = url.partition("://")
    assert separator
    assert not url.endswith("/")
    assert ollama_host.connectable(ollama_host.connectable(url)) == ollama_host.connectable(url)
    assert ollama_host.connectable(url).startswith(scheme + "://")
    assert ":" in rest


@pytest.mark.parametrize("url", ["http://[::1", "http://user@0.0.0.0:5", "http://box:port"])
def test_an_address_that_is_none_is_left_as_it_is(url: str) -> None:
    assert ollama_host.connectable(url) == url
