"""Names that mean the cloud, and names that Ollama itself warns of."""

from __future__ import annotations

import pytest

from agentlaunch.models.cloud import is_cloud_name, without_cloud
from agentlaunch.models.denied import is_denied


@pytest.mark.parametrize(
    ("name", "base"),
    [
        ("glm-5:cloud", "glm-5"),
        ("GLM-5:Cloud", "GLM-5"),
        ("gpt-oss:120b-cloud", "gpt-oss:120b"),
        ("ns/gpt-oss:120b-CLOUD", "ns/gpt-oss:120b"),
        (" glm-5:cloud ", "glm-5"),
    ],
)
def test_a_name_with_the_mark_of_the_cloud_says_so(name: str, base: str) -> None:
    assert without_cloud(name) == (base, True)


@pytest.mark.parametrize(
    "name",
    ["cloud", "x-cloud", "qwen3.5:9b", "cloud:9b", "host:80/ns/x-cloud", "x:clouds", "", ":local"],
)
def test_any_other_name_is_local(name: str) -> None:
    assert not is_cloud_name(name)


@pytest.mark.parametrize(
    "name",
    [
        *("codellama", "qwen2.5:7b", "qwen2.5-coder:32b-instruct-q8_0", "llama3:70b", "llama3.1"),
        *("llama3.2:3b", "llama3.3:70b", "mistral", "starcoder:15b", "Mistral:Latest"),
        *("someone/mistral:7b", "hf.co/someone/llama3:8b", "127.0.0.1:5000/ns/llama3:8b"),
        *("llama3.1:405b-cloud", "mistral:cloud"),
        *("deepseek-r1", "deepseek-r1:latest", "deepseek-r1:1.5b", "deepseek-r1:7b"),
        *("deepseek-r1:8b", "deepseek-r1:14b", "DeepSeek-R1:32B", "deepseek-r1:cloud"),
    ],
)
def test_what_ollamas_launcher_warns_of_is_denied(name: str) -> None:
    assert is_denied(name)


@pytest.mark.parametrize(
    "name",
    [
        *("deepseek-r1:70b", "deepseek-r1:671b", "qwen3:8b", "starcoder2:15b", "mistral-nemo"),
        *("mistral/other:7b", "llama3-groq-tool-use:8b", "llama4:16x17b", "mistral.gguf", ""),
    ],
)
def test_its_neighbours_are_not(name: str) -> None:
    assert not is_denied(name)
