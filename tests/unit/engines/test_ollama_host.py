"""`OLLAMA_HOST`, case by case, as Ollama reads it."""

from __future__ import annotations

import pytest

from agentlaunch.engines import ollama_host


@pytest.mark.parametrize(
    ("value", "url"),
    [
        (None, "http://127.0.0.1:11434"),
        ("", "http://127.0.0.1:11434"),
        ("  ", "http://127.0.0.1:11434"),
        ('"gpu-box"', "http://gpu-box:11434"),
        ("' 10.0.0.5 '", "http://10.0.0.5:11434"),
        ("gpu-box", "http://gpu-box:11434"),
        ("gpu-box:1234", "http://gpu-box:1234"),
        ("http://gpu-box", "http://gpu-box:80"),
        ("https://gpu-box", "https://gpu-box:443"),
        ("https://gpu-box:8443/ollama/", "https://gpu-box:8443/ollama"),
        ("gpu-box/prefix", "http://gpu-box:11434/prefix"),
        ("ollama.com", "https://ollama.com:443"),
        (":11500", "http://:11500"),
        ("0.0.0.0", "http://0.0.0.0:11434"),
        ("0.0.0.0:99", "http://0.0.0.0:99"),
        ("::1", "http://[::1]:11434"),
        ("[::1]", "http://[::1]:11434"),
        ("[::1]:5", "http://[::1]:5"),
        ("[::]:5", "http://[::]:5"),
        ("gpu-box:port", "http://gpu-box:11434"),
        ("gpu-box:66000", "http://gpu-box:11434"),
        ("gpu-box:-1", "http://gpu-box:11434"),
        ("gpu-box:0", "http://gpu-box:0"),
        ("tcp://gpu-box", "tcp://gpu-box:11434"),
    ],
)
def test_a_value_is_read_as_ollama_reads_it(value: str | None, url: str) -> None:
    assert ollama_host.parse(value) == url


@pytest.mark.parametrize(
    ("value", "url"),
    [
        ("0.0.0.0", "http://127.0.0.1:11434"),
        ("[::]:5", "http://[::1]:5"),
        (":11500", "http://127.0.0.1:11500"),
        ("gpu-box", "http://gpu-box:11434"),
    ],
)
def test_an_unspecified_address_becomes_one_that_can_be_dialled(value: str, url: str) -> None:
    assert ollama_host.connectable(ollama_host.parse(value)) == url
