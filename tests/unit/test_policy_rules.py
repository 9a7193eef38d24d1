"""Rules: read without trust from every file that may hold some, and what they refuse."""

from __future__ import annotations

import math
import os
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentlaunch import settings
from agentlaunch.agents import AGENTS, versions
from agentlaunch.engines import presets
from agentlaunch.errors import Refused
from agentlaunch.models import catalog
from agentlaunch.policy import judging, reading
from agentlaunch.policy.judging import Server
from agentlaunch.policy.rules import FREE, NAMES, Policy, Rule, RuleName
from agentlaunch.survey import ruled, rules
from agentlaunch.survey.rules import MOST_BYTES

KNOWN = catalog.load()
HERE = Server("embedded", None, frozenset({"embedded"}))
FAR = ruled.server_of(presets.resolve("https://llm.example.com"))


def _read(tmp_path: Path, text: str | bytes, source: str = "project") -> Policy:
    """The rules of one file of this kind, which lies alone."""
    project = tmp_path / "project"
    (project / ".git").mkdir(parents=True, exist_ok=True)
    place = {
        "project": project / "agentlaunch.toml",
        "user": tmp_path / "user.toml",
        "machine": tmp_path / "machine.toml",
    }
    data = text if isinstance(text, bytes) else text.encode()
    place[source].write_bytes(data)
    return rules.look(project, place["user"], (place["machine"],))


def _rule(name: RuleName, value: str | float | tuple[str, ...]) -> Rule:
    return Rule(name, value, "/x/agentlaunch.toml", "project")


def _policy(name: RuleName, *value: str) -> Policy:
    return Policy((_rule(name, value),))


# ---- reading --------------------------------------------------------------------------------


def test_a_file_holds_rules_at_its_top_and_in_its_table(tmp_path: Path) -> None:
    found = _read(
        tmp_path,
        """
        data = "local-only"
        model = "qwen3:8b"
        max_spend_per_day = 5
        [routes]
        main = "local"
        [policy]
        allowed_engines = ["Embedded", "dmr", "https://LLM.example.com:443/v1/"]
        allowed_models = ["Qwen3*", "qwen3*"]
        allowed_agents = ["claude", "codex >= 0.80, <1", "Open_Code"]
        max_spend_per_day = "2.50 USD"
        """,
    )
    origin = str(tmp_path / "project" / "agentlaunch.toml")
    expected: list[tuple[RuleName, str | float | tuple[str, ...]]] = [
        ("data", "local-only"),
        ("max_spend_per_day", 5.0),
        (
            "allowed_engines",
            ("embedded", "docker-model-runner", "https://llm.example.com"),
        ),
        ("allowed_models", ("qwen3*",)),
        ("allowed_agents", ("claude-code", "codex >=0.80,<1", "opencode")),
        ("max_spend_per_day", 2.5),
    ]
    assert found == Policy(tuple(Rule(name, value, origin, "project") for name, value in expected))
    assert found.cap == found.rules[-1]
    assert found.local_only == found.rules[0]


@pytest.mark.parametrize("source", ["project", "user", "machine"])
@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("data = 'local'", "data is not one of local-only, any"),
        ("data = 1", "data is not one of"),
        ("data = ['local-only']", "data is not one of"),
        ("data = true", "data is not one of"),
        ("data = 'Local-Only'", "data is not one of"),
        ("allowed_engines = 'embedded'", "allowed_engines is no list"),
        ("allowed_engines = [1, 2]", "allowed_engines: its entry 1 is no text"),
        ("allowed_engines = ['embedded', '']", "allowed_engines: its entry 2 is no text"),
        ('allowed_engines = ["a\\u0000b"]', "allowed_engines: its entry 1 is no text"),
        ("allowed_engines = ['embeded']", "'embeded' is not known"),
        ("allowed_engines = ['hosted']", "'hosted' is not known"),
        ("allowed_engines = ['local']", "'local' is not known"),
        ("allowed_engines = ['llm.example.com']", "'llm.example.com' is not known"),
        ("allowed_engines = ['http://']", "'http://' is not known"),
        ("allowed_engines = ['ftp://x']", "'ftp://x' is not known"),
        ("allowed_engines = ['http://[::1']", "is not known"),
        ("allowed_engines = ['http://h:99999']", "is not known"),
        ("allowed_engines = ['http://169.254.169.254']", "is not known"),
        ("allowed_models = {}", "allowed_models is no list"),
        ("allowed_models = [1]", "allowed_models: its entry 1 is no text"),
        ("allowed_models = [['a']]", "allowed_models: its entry 1 is no text"),
        ('allowed_models = ["a\\nb"]', "allowed_models: its entry 1 is no text"),
        (f"allowed_models = ['{'*a' * 101}']", "allowed_models: its entry 1 is too long"),
        ("allowed_models = [" + "'a'," * 501 + "]", "allowed_models has more than 500 entries"),
        ("allowed_agents = ['claud-code-x']", "'claud-code-x' is not known"),
        ("allowed_agents = ['claude-code 2']", "'claude-code 2' is not known"),
        ("allowed_agents = ['claude-code >=2,']", "'claude-code >=2,' is not known"),
        ("allowed_agents = ['claude-code >=2 <3']", "is not known"),
        ("allowed_agents = ['claude-code ~=2']", "is not known"),
        ("allowed_agents = ['>=2']", "'>=2' is not known"),
        ("allowed_agents = ['claude-code >=x']", "is not known"),
        ("max_spend_per_day = -1", "max_spend_per_day is no number"),
        ("max_spend_per_day = nan", "max_spend_per_day is no number"),
        ("max_spend_per_day = inf", "max_spend_per_day is no number"),
        ("max_spend_per_day = true", "max_spend_per_day is no number"),
        ("max_spend_per_day = [5]", "max_spend_per_day is no number"),
        ("max_spend_per_day = '5 EUR'", "max_spend_per_day is no number"),
        ("max_spend_per_day = '-5 USD'", "max_spend_per_day is no number"),
        ("max_spend_per_day = ''", "max_spend_per_day is no number"),
        (f"max_spend_per_day = 1{'0' * 400}", "max_spend_per_day is no number"),
        (f"max_spend_per_day = '1{'0' * 400}'", "max_spend_per_day is no number"),
        ("policy = 3", "policy is no table"),
        ("[[policy]]\ndata = 'local-only'", "policy is no table"),
        ("[policy]\nallowed_model = ['a']", "policy.'allowed_model' is no rule"),
        ("[policy]\nmodel = 'a'", "policy.'model' is no rule"),
        ("[policy]\ndata = 'x'", "policy.data is not one of"),
        ("[policy.data]\nx = 1", "policy.data is not one of"),
        ("local_only = true", "'local_only'"),
    ],
)
def test_what_is_not_understood_is_refused_with_file_and_way_out(
    text: str, says: str, source: str, tmp_path: Path
) -> None:
    with pytest.raises(Refused) as caught:
        _read(tmp_path, text, source)
    name = "agentlaunch.toml" if source == "project" else f"{source}.toml"
    assert caught.value.message.startswith(str(tmp_path))
    assert f"{name}: " in caught.value.message
    assert says in caught.value.message
    assert caught.value.hint
    assert (caught.value.exit_code, caught.value.code) == (8, "bad-policy")


def test_a_machines_file_holds_nothing_but_rules(tmp_path: Path) -> None:
    text = "allowed_models = ['a']\nmodel = 'a'\n"
    assert _read(tmp_path, text, "user").rules
    (tmp_path / "user.toml").unlink()
    with pytest.raises(Refused, match="'model' is no rule, and a machine's file holds nothing"):
        _read(tmp_path, text, "machine")


@pytest.mark.parametrize(
    "data",
    [
        b"data = ",
        b"data = 'local-only'\ndata = 'any'\n",
        b"[policy]\n[policy]\n",
        b"\xff\xfe",
        b"data = 'local-only'\x00",
        b"x = " + b"[" * 100_000,
        b"# " + b"x" * MOST_BYTES,
    ],
    ids=["cut", "twice", "table-twice", "not-utf8", "nul", "deep", "huge"],
)
@pytest.mark.parametrize("source", ["project", "user", "machine"])
def test_a_broken_file_ends_the_command(data: bytes, source: str, tmp_path: Path) -> None:
    with pytest.raises(Refused, match="cannot be read, and it may hold rules") as caught:
        _read(tmp_path, data, source)
    assert caught.value.code == "unparsable-file"


@pytest.mark.parametrize("source", ["project", "user", "machine"])
@pytest.mark.parametrize("what", ["folder", "loop", "nowhere", "pipe", "closed"])
def test_what_lies_there_and_is_no_readable_file_ends_the_command(
    what: str, source: str, tmp_path: Path
) -> None:
    _read(tmp_path, "", "project")
    (tmp_path / "project" / "agentlaunch.toml").unlink()
    name = "project/agentlaunch.toml" if source == "project" else f"{source}.toml"
    place = tmp_path / name
    if what == "folder":
        place.mkdir()
    elif what == "loop":
        place.symlink_to(place)
    elif what == "nowhere":
        place.symlink_to(tmp_path / "gone")
    elif what == "pipe":
        os.mkfifo(place)
    else:
        place.write_text("data = 'local-only'")
        place.chmod(0)
        if os.access(place, os.R_OK):
            pytest.skip("root may read everything")
    with pytest.raises(Refused, match="cannot be read"):
        rules.look(tmp_path / "project", tmp_path / "user.toml", (tmp_path / "machine.toml",))


def test_a_mark_at_the_beginning_and_other_line_ends_change_nothing(tmp_path: Path) -> None:
    text = "data = 'local-only'\n[policy]\nallowed_models = ['a']\n"
    plain = _read(tmp_path, text)
    assert len(plain.rules) == 2
    assert _read(tmp_path, b"\xef\xbb\xbf" + text.replace("\n", "\r\n").encode()) == plain


def test_no_file_is_no_rule(tmp_path: Path) -> None:
    assert rules.look(tmp_path, tmp_path / "no" / "user.toml", (tmp_path / "x",)) == FREE
    assert rules.look(None, Path("/no-home-of-this-user/x"), ()) == FREE
    assert _read(tmp_path, "") == FREE
    below_a_file = tmp_path / "project" / "agentlaunch.toml" / "x"
    assert rules.look(None, below_a_file, ()) == FREE


def test_a_file_in_a_subfolder_loosens_nothing_of_those_above_it(tmp_path: Path) -> None:
    top = tmp_path / "project"
    below = top / "a" / "b"
    below.mkdir(parents=True)
    _read(tmp_path, "data = 'local-only'")
    (below / "agentlaunch.toml").write_text("data = 'any'\nmax_spend_per_day = 0\n")
    (tmp_path / "agentlaunch.toml").write_text("max_spend_per_day = 1")
    found = rules.look(below, tmp_path / "user.toml", ())
    near, far = str(below / "agentlaunch.toml"), str(top / "agentlaunch.toml")
    assert found == Policy(
        (
            Rule("data", "any", near, "project"),
            Rule("max_spend_per_day", 0.0, near, "project"),
            Rule("data", "local-only", far, "project"),
        )
    )
    assert found.local_only == found.rules[2]


def test_every_file_holds_and_the_tightest_cap_counts(tmp_path: Path) -> None:
    _read(tmp_path, "max_spend_per_day = 3", "project")
    _read(tmp_path, "max_spend_per_day = '$2'", "user")
    found = _read(tmp_path, "max_spend_per_day = 7", "machine")
    assert [(row.source, row.usd) for row in found.rules] == [
        ("machine", 7.0),
        ("user", 2.0),
        ("project", 3.0),
    ]
    assert found.cap == found.rules[1]


@pytest.mark.skipif(sys.platform in ("darwin", "win32"), reason="other places there")
def test_the_machines_first_file_is_moved_by_no_variable(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CONFIG_DIRS", str(tmp_path))
    assert settings.machine_files() == (
        Path("/etc/agentlaunch/config.toml"),
        tmp_path / "agentlaunch" / "config.toml",
    )


def test_one_file_in_two_places_is_read_once(tmp_path: Path) -> None:
    place = tmp_path / "m.toml"
    place.write_text("data = 'local-only'")
    assert len(rules.look(None, tmp_path / "user.toml", (place, place)).rules) == 1


def _outcome(document: dict[str, object]) -> tuple[Rule, ...] | Refused:
    try:
        return reading.read(document, "/f", "machine", rules.WORDS, frozenset())
    except Refused as error:
        return error


_RAW = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=12),
    st.lists(st.text(max_size=12) | st.integers(), max_size=3), st.just({}),
)  # fmt: skip


@given(st.dictionaries(st.text(max_size=8) | st.sampled_from([*NAMES, "policy"]), _RAW, max_size=4))
def test_whatever_a_file_holds_it_is_rules_or_refused(document: dict[str, object]) -> None:
    found = _outcome(document)
    if isinstance(found, Refused):
        assert found.message.startswith("/f: ")
        assert found.hint
        return
    assert [row.name for row in found] == [name for name in NAMES if name in document]
    for row in found:
        assert math.isfinite(row.usd)
        assert row.usd >= 0


# ---- engines and where data goes ------------------------------------------------------------


@pytest.mark.parametrize(
    ("word", "kind", "entry", "allowed"),
    [
        ("openrouter", None, "openrouter", True),
        ("https://openrouter.ai/api/v1", None, "openrouter", True),
        ("openrouter", None, "https://openrouter.ai", True),
        ("open-router", None, "openrouter", True),
        ("openrouter", None, "openai", False),
        ("vllm", None, "vllm", True),
        ("vllm", "llama.cpp", "vllm", True),  # by its name
        ("vllm", "llama.cpp", "llama-server", True),  # by what answers there
        ("vllm", None, "http://127.0.0.1:8000", True),
        ("http://127.0.0.1:9999", None, "vllm", True),  # it may be one: it is asked
        ("http://127.0.0.1:9999", "vllm", "vllm", True),
        ("http://127.0.0.1:9999", "llama.cpp", "vllm", False),
        ("http://127.0.0.1:9999", "unknown", "vllm", False),
        ("http://127.0.0.1:9999", "ollama", "ollama", True),
        ("http://127.0.0.1:9999", None, "openai", False),
        ("http://127.0.0.1:9999", None, "embedded", False),
        ("https://gpu.example", "vllm", "vllm", False),  # a name means this machine
        ("https://gpu.example", None, "https://gpu.example", True),
        ("https://gpu.example/v1", None, "https://GPU.example.:443", True),
        ("https://gpu.example", None, "http://gpu.example", False),
        ("https://gpu.example:8443", None, "https://gpu.example", False),
        ("https://gpu.example.evil.com", None, "https://gpu.example", False),
        ("https://openrouter.ai.evil.com", None, "openrouter", False),
        ("https://gpu.example", "openrouter", "openrouter", False),
        ("http://localhost:9", "vllm", "vllm", True),
        ("http://127.0.0.1.evil.com:8000", None, "vllm", False),
    ],
)
def test_a_server_is_allowed_by_its_address_or_here_by_its_name(
    word: str, kind: presets.Kind | None, entry: str, allowed: bool
) -> None:
    server = ruled.server_of(presets.resolve(word), kind)
    found = judging.engine(_policy("allowed_engines", rules.engine_word(entry)), server)
    assert (found is None) is allowed


def test_a_preset_that_is_moved_elsewhere_is_not_the_one_that_is_allowed() -> None:
    moved = presets.resolve("vllm", {"vllm_url": "https://evil.example"})
    openai = presets.resolve("openai", {"openai_url": "https://evil.example"})
    for target, name in ((moved, "vllm"), (openai, "openai")):
        assert judging.engine(_policy("allowed_engines", name), ruled.server_of(target)) is not None
    here = presets.resolve("vllm", {"vllm_url": "http://127.0.0.1:7"})
    assert judging.engine(_policy("allowed_engines", "vllm"), ruled.server_of(here)) is None


@pytest.mark.parametrize(
    ("url", "here", "entry", "allowed"),
    [
        ("http://127.0.0.1:11434", False, "ollama", True),
        ("http://192.168.1.9:11434", False, "ollama", False),
        ("http://192.168.1.9:11434", False, "http://192.168.1.9:11434", True),
        ("http://172.20.0.1:11434", True, "ollama", True),
        ("http://127.0.0.1:11434", False, "embedded", False),
    ],
)
def test_ollama_by_its_name_is_the_one_of_this_machine(
    url: str, here: bool, entry: str, allowed: bool
) -> None:
    found = judging.engine(_policy("allowed_engines", entry), ruled.ollama_at(url, here=here))
    assert (found is None) is allowed


@pytest.mark.parametrize("name", ["engine", "model", "agent"])
def test_an_empty_list_allows_nothing_and_says_so(name: str) -> None:
    found = {
        "engine": judging.engine(_policy("allowed_engines"), HERE),
        "model": judging.model(_policy("allowed_models"), "a", ["a"]),
        "agent": judging.agent(_policy("allowed_agents"), "claude-code"),
    }[name]
    assert found is not None
    assert "= [] in /x/agentlaunch.toml" in found.message
    assert found.hint.startswith("the list is empty, which allows none; whoever keeps this project")


def test_a_refusal_names_the_rule_its_file_and_who_can_change_it() -> None:
    rule = Rule("data", "local-only", "/etc/agentlaunch/config.toml", "machine")
    found = judging.data(Policy((rule,)), FAR)
    assert found is not None
    assert found.message == (
        "https://llm.example.com is not this machine, and nothing may leave it: "
        'data = "local-only" in /etc/agentlaunch/config.toml'
    )
    assert found.hint == (
        "use an engine of this machine; only whoever administers this machine can change "
        "/etc/agentlaunch/config.toml"
    )
    assert (found.error.exit_code, found.error.code) == (8, "policy")


def test_a_long_list_is_named_in_part() -> None:
    rule = _rule("allowed_models", tuple(f"m{n}" for n in range(9)))
    assert str(rule).endswith('"m5", and 3 more]')


@pytest.mark.parametrize(
    ("word", "kind", "allowed"),
    [
        ("http://127.0.0.1:9999", None, True),
        ("http://127.0.0.1:9999", "llama.cpp", True),
        ("http://127.0.0.1:9999", "litellm", False),  # a relay
        ("http://127.0.0.1:9999", "ollama", False),  # may run models in its cloud
        ("litellm", None, False),
        ("http://[::1]:8000", "vllm", True),
        ("http://10.0.0.1:8000", None, False),
        ("http://0.0.0.0:8000", None, False),
        ("http://127.0.0.1.nip.io:8000", None, False),
        ("openrouter", None, False),
    ],
)
def test_local_only_lets_nothing_leave_by_address_or_by_relay(
    word: str, kind: presets.Kind | None, allowed: bool
) -> None:
    server = ruled.server_of(presets.resolve(word), kind)
    assert (judging.data(Policy((_rule("data", "local-only"),)), server) is None) is allowed
    assert judging.data(Policy((_rule("data", "any"),)), server) is None


def test_local_only_allows_the_engine_that_we_bring_and_ollama_here() -> None:
    only = Policy((_rule("data", "local-only"),))
    assert judging.data(only, HERE) is None
    assert judging.data(only, ruled.ollama_at("http://127.0.0.1:11434")) is None
    assert judging.data(only, ruled.ollama_at("http://10.0.0.1:11434")) is not None
    assert judging.cloud(only, "gpt-oss:120b-cloud") is not None
    assert judging.cloud(FREE, "gpt-oss:120b-cloud") is None


# ---- models ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "pattern", "allowed"),
    [
        ("qwen3.5:9b", "qwen3.5:9b", True),
        ("QWEN3.5:9b", "Qwen3.5:*", True),
        ("qwen3.5:9b", "qwen3.5", True),
        ("qwen3.5:9b-q8_0", "qwen3.5:9b", True),  # the same entry of the catalog
        ("qwen3.5:9b", "qwen3.5:4b", False),
        ("library/qwen3.5:9b", "qwen3.5:9b", True),
        ("registry.ollama.ai/library/qwen3.5:9b", "qwen3.5:9b", True),
        ("evil.example/library/qwen3.5:9b", "qwen3.5:9b", False),
        ("evil/qwen3.5:9b", "qwen3.5*", False),
        ("qwen3.5fan/llama:1b", "qwen3.5*", False),
        ("qwen3.evil.example/a/b:c", "qwen3*", False),
        ("qwen3.evil.example/a/b:c", "*", True),
        ("hf.co/unsloth/Qwen3-8B-GGUF:Q4_K_M", "hf.co/*", True),
        ("qwen3.5:9b-64k-agentlaunch", "qwen3.5:9b", True),  # a tag of ours for it
        ("hf.co/unsloth/Qwen3-8B-GGUF:Q4_K_M", "hf.co/unsloth/*", True),
        ("/home/me/qwen3.5-9b.gguf", "qwen3.5-9b", True),
        ("/home/qwen3.5/evil.gguf", "qwen3.5*", False),
        ("C:\\models\\a.gguf", "a.gguf", True),
        ("claude-sonnet-4-5-20250929", "claude-sonnet-4-5", True),
        ("gpt-5-2025-08-07", "gpt-5", True),
        ("gpt-5-mini", "gpt-5", False),
        ("Qwen/Qwen3-Coder-30B-A3B-Instruct", "qwen/qwen3-coder*", True),
        ("al-main", "al-[ms]*", True),
        ("x", "", False),
    ],
)
def test_a_model_is_allowed_by_any_of_its_names(name: str, pattern: str, allowed: bool) -> None:
    found = ruled.model(_policy("allowed_models", pattern.lower()), name, KNOWN)
    assert (found is None) is allowed


def test_two_lists_of_models_leave_what_stands_in_both() -> None:
    both = Policy(
        (_rule("allowed_models", ("qwen3*", "gpt-oss*")), _rule("allowed_models", ("*:8b",)))
    )
    assert ruled.model(both, "qwen3:8b", KNOWN) is None
    assert ruled.model(both, "gpt-oss:20b", KNOWN) is not None
    assert ruled.model(both, "llama3:8b", KNOWN) is not None


# ---- agents ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("entries", "version", "allowed"),
    [
        (("claude-code",), None, True),
        (("claude-code >=2.1.100,<3",), "2.1.197", True),
        (("claude-code >=2.1.100,<3",), "2.1.99", False),
        (("claude-code >=2.1.100,<3",), "3.0.0", False),
        (("claude-code >=2.1.100,<3",), None, False),
        (("claude-code >=2.1.100,<3",), "nightly", False),
        (("claude-code ==1.0", "claude-code >=2"), "2.5", True),
        (("claude-code", "claude-code >=9"), "2.5", True),
        (("codex >=9", "claude-code"), "2.5", True),
    ],
)
def test_an_agent_is_allowed_in_the_versions_that_are_asked_for(
    entries: tuple[str, ...], version: str | None, allowed: bool
) -> None:
    policy = _policy("allowed_agents", *entries)
    assert judging.agent(policy, "claude-code") is None
    found = judging.agent_version(policy, "claude-code", version, versions.matches)
    assert (found is None) is allowed
    if found is not None:
        assert "agentlaunch agents show claude-code" in found.hint


def test_every_name_and_alias_of_an_agent_is_understood() -> None:
    for agent in AGENTS.values():
        for word in (agent.name, *agent.aliases, agent.name.upper().replace("-", "_")):
            assert rules.agent_word(word) == agent.name


# ---- money ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("cap", "managed", "kept", "priced", "says"),
    [
        (5.0, False, None, False, None),
        (5.0, True, 5.0, True, None),
        (5.0, True, 4.0, True, None),
        (5.0, True, None, True, "without a gateway nothing keeps the cap"),
        (5.0, True, 6.0, True, "without a gateway nothing keeps the cap"),
        (5.0, True, 5.0, False, "is not known, so no cap holds"),
        (0.0, True, 0.0, True, "nothing may be spent"),
        (0.0, False, None, True, None),
    ],
)
def test_a_cap_is_kept_by_a_gateway_that_knows_the_price(
    cap: float, managed: bool, kept: float | None, priced: bool, says: str | None
) -> None:
    server = Server("openrouter", "https://openrouter.ai/api", managed=managed)
    policy = Policy((_rule("max_spend_per_day", cap),))
    found = judging.spend(policy, server, kept_usd=kept, priced=priced)
    assert (found is None) is (says is None)
    assert found is None or says in found.message  # type: ignore[operator] # None was asked for above
    assert judging.spend(FREE, server, kept_usd=None, priced=False) is None


# ---- rules only tighten ---------------------------------------------------------------------

_SERVERS = (
    HERE,
    FAR,
    ruled.ollama_at("http://127.0.0.1:11434"),
    ruled.ollama_at("http://10.0.0.1:11434"),
    *(ruled.server_of(presets.resolve(name)) for name in presets.PRESETS),
    ruled.server_of(presets.resolve("http://127.0.0.1:9"), "vllm"),
)
_ENTRIES = st.lists(
    st.sampled_from(["embedded", "ollama", "https://llm.example.com", *presets.PRESETS]), max_size=4
)
_MODELS = ("qwen3.5:9b", "gpt-oss:20b-cloud", "evil/x:1", "/x/a.gguf", "claude-sonnet-4-5")
_RULES = st.one_of(
    st.sampled_from(["local-only", "any"]).map(lambda v: _rule("data", v)),
    _ENTRIES.map(lambda v: _rule("allowed_engines", tuple(v))),
    st.lists(st.sampled_from(["*", "qwen*", "*:9b", "a", "claude*"]), max_size=3).map(
        lambda v: _rule("allowed_models", tuple(v))
    ),
    st.lists(
        st.sampled_from(["claude-code", "claude-code >=2,<3", "codex", "codex >=1"]), max_size=3
    ).map(lambda v: _rule("allowed_agents", tuple(v))),
    st.floats(0, 10).map(lambda v: _rule("max_spend_per_day", v)),
)


def _allowed(policy: Policy) -> set[str]:
    """Everything that these rules let pass, of all that we can think of."""
    found = set()
    for server in _SERVERS:
        key = f"{server.shown} {server.url}"
        if judging.engine(policy, server) is None and judging.data(policy, server) is None:
            found.add(key)
        for kept in (None, 0.0, 1.0, 9.0):
            for priced in (True, False):
                if judging.spend(policy, server, kept_usd=kept, priced=priced) is None:
                    found.add(f"{key} {kept} {priced}")
    for name in _MODELS:
        if ruled.model(policy, name, KNOWN) is None:
            found.add(name)
        if judging.cloud(policy, name) is None:
            found.add(f"cloud {name}")
    for name in ("claude-code", "codex", "pi"):
        for version in (None, "0.9", "2.5", "3.0"):
            if judging.agent(policy, name) is None and (
                judging.agent_version(policy, name, version, versions.matches) is None
            ):
                found.add(f"{name} {version}")
    return found


@given(st.lists(_RULES, max_size=4), st.lists(_RULES, max_size=4))
def test_more_rules_never_allow_more(some: list[Rule], more: list[Rule]) -> None:
    before, after = Policy(tuple(some)), Policy((*some, *more))
    assert _allowed(after) <= _allowed(before)
    assert _allowed(after) == _allowed(before) & _allowed(Policy(tuple(more)))
    assert _allowed(replace(after, rules=after.rules[::-1])) == _allowed(after)
