"""What may be said of an address, and how its key is sent."""

from __future__ import annotations

import pytest

from agentlaunch import policy, settings
from agentlaunch.agents.keys import PROVIDER_KEYS
from agentlaunch.endpoint import Endpoint, without_secrets
from agentlaunch.engines.presets import ALL, resolve
from agentlaunch.errors import UsageError


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("http://127.0.0.1:8000/v1", "http://127.0.0.1:8000/v1"),
        ("user:s3cret@h", "***@h"),
        ("http://user:s3cret@h:1/x", "http://***@h:1/x"),
        ("http://user:s3/cr@et@h", "http://***@h"),
        ("http://h?key=s3cret", "http://h?…"),
        ("http://h/v1#s3cret", "http://h/v1?…"),
        ("h?key=s3cret", "h?…"),
        ("nothing answers at http://u:s3cret@h:1 today", "nothing answers at http://***@h:1 today"),
        ('{"proxy": "http://u:s3cret@h"}', '{"proxy": "http://***@h"}'),
    ],
)
def test_user_password_and_query_are_hidden_in_every_text(text: str, shown: str) -> None:
    assert without_secrets(text) == shown


@pytest.mark.parametrize(
    "word",
    ["http://h?key=s3cret", "https://h/v1#s3cret", "user:s3cret@h", "http://u:s3cret@h",
     "h?key=s3cret", "http://u:s3cret@h:port"],
)  # fmt: skip
def test_an_engine_with_more_than_an_address_is_refused_and_never_repeated(word: str) -> None:
    with pytest.raises(UsageError) as caught:
        resolve(word)
    assert "s3cret" not in f"{caught.value.message} {caught.value.hint}"


@pytest.mark.parametrize("word", ["http://h?key=s3cret", "http://h#s3cret", "http://u:s3cret@h"])
def test_a_setting_takes_no_more_than_an_address_either(word: str) -> None:
    with pytest.raises(UsageError) as caught:
        settings.parse_value(settings.setting("vllm_url"), word, where="vllm_url")
    assert "s3cret" not in f"{caught.value.message} {caught.value.hint}"


def test_no_agent_inherits_the_key_of_any_server() -> None:
    named = {variable for preset in ALL for variable in preset.key_variables}
    assert named - set(PROVIDER_KEYS) == set()


def test_a_key_is_sent_in_the_one_header_that_its_server_takes() -> None:
    bearer, own = Endpoint("u", (), "m", "k"), Endpoint("u", (), "m", "k", "x-api-key")
    assert bearer.key_headers == {"authorization": "Bearer k"}
    assert own.key_headers == {"x-api-key": "k"}
    assert Endpoint("u", (), "m").key_headers == {}


def test_what_is_said_of_a_host_names_it_and_the_open_way_there() -> None:
    assert policy.host_warnings("http://127.0.0.1:1", "k") == []
    codes = [code for code, _text in policy.host_warnings("http://10.0.0.9:1", "k")]
    assert codes == ["remote-engine", "key-in-clear"]
    codes = [code for code, _text in policy.host_warnings("http://10.0.0.9:1")]
    assert codes == ["remote-engine", "code-in-clear"]
    rows = policy.host_warnings("https://h.example", "k", note="it keeps it.", what="a text")
    text = "a text leaves this machine: it goes to https://h.example; it keeps it."
    assert rows == [("remote-engine", text)]
