"""Routes as they are written: endpoints in their order, each with a model and a size at will."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentlaunch import settings
from agentlaunch.errors import UsageError
from agentlaunch.gateway.routes import Routes, Word, parse, routes_of
from agentlaunch.settings import Value


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("local", (Word("local"),)),
        ("Hosted, LOCAL", (Word("hosted"), Word("local"))),
        ("hosted#al-main@131072", (Word("hosted", "al-main", 131_072),)),
        ("local#qwen3.5:9b@32k", (Word("local", "qwen3.5:9b", 32_768),)),
        ("openrouter#qwen/qwen3-coder", (Word("openrouter", "qwen/qwen3-coder"),)),
        ("openrouter#a/b:free", (Word("openrouter", "a/b:free"),)),
        ("litellm#claude@20250929x", (Word("litellm", "claude@20250929x"),)),
        (
            "http://GPU.lan:8000#m, local",
            (Word("http://GPU.lan:8000", "m"), Word("local")),
        ),
        ("https://h:8000/v1", (Word("https://h:8000/v1"),)),
        ("http://h:8000@32k, vllm@9", (Word("http://h:8000", None, 32_768), Word("vllm", None, 9))),
    ],
)
def test_an_endpoint_is_a_name_or_an_address_with_a_model_and_a_size(
    text: str, words: tuple[Word, ...]
) -> None:
    assert parse(text, "x") == words


@pytest.mark.parametrize("text", ["#model", "local#", "hosted#@131072"])
def test_half_an_endpoint_is_refused_with_the_place_where_it_stands(text: str) -> None:
    with pytest.raises(UsageError, match=r"^user\.toml: ") as caught:
        parse(text, "user.toml")
    assert "NAME#MODEL@TOKENS" in (caught.value.hint or "")


@given(st.lists(st.text(st.characters(exclude_characters=",", codec="utf-8"), max_size=20)))
def test_any_text_is_a_chain_or_a_clear_refusal(parts: list[str]) -> None:
    words, hint = tuple[Word, ...](), "none was needed"
    try:
        words = parse(",".join(parts), "x")
    except UsageError as error:
        hint = error.hint or ""
    assert hint
    assert all(word.name for word in words)


def said(**given: str) -> dict[str, Value]:
    values = {row.name: Value(row.default, "default", "default") for row in settings.SETTINGS}
    for name, value in given.items():
        values[name.replace("__", ".")] = Value(value, "user", "config.toml")
    return values


def test_without_a_main_chain_there_are_no_routes() -> None:
    assert routes_of(said()) is None
    with pytest.raises(UsageError, match=r"routes.small is set in config.toml, and routes.main"):
        routes_of(said(routes__small="local"))


@pytest.mark.parametrize("text", ["local@x", "#m", "hosted#"])
def test_what_was_typed_is_shown_where_it_hides_no_key(text: str) -> None:
    with pytest.raises(UsageError) as caught:
        routes_of(said(routes__main=text))
    assert caught.value.message == f"config.toml: {text!r} is no endpoint"
    with pytest.raises(UsageError) as caught:
        routes_of(said(routes__main="http://me:secret@host#"))
    assert "secret" not in caught.value.message


def test_routes_say_both_chains_and_who_helps() -> None:
    rows = said(routes__main="hosted, local", routes__small="local", routes__subagent="small")
    assert routes_of(rows) == Routes(
        (Word("hosted"), Word("local")), (Word("local"),), "small", "roles"
    )
    assert routes_of(said(routes__main="local")) == Routes((Word("local"),))


@pytest.mark.parametrize("source", ["flag", "environment"])
@pytest.mark.parametrize("name", ["engine", "model"])
def test_what_is_named_for_once_comes_before_the_routes(name: str, source: str) -> None:
    rows = said(routes__main="hosted, local")
    rows[name] = Value("x", source, "there")  # type: ignore[arg-type] # both are sources
    assert routes_of(rows) is None
    rows[name] = Value("x", "user", "config.toml")
    assert routes_of(rows) is not None
