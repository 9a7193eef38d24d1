"""The menu: an agent, a model, then `up` with both; here by numbers, as on a plain terminal."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from pytest_mock import MockerFixture

import ollama_server
import schemas
from agentlaunch import records, survey
from agentlaunch.agents import AGENTS
from agentlaunch.cli import main
from agentlaunch.commands import menu
from agentlaunch.commands.menu import Offer, command_line, fitted
from agentlaunch.machine.facts import Machine
from agentlaunch.models import catalog
from agentlaunch.settings import paths
from agentlaunch.survey import AgentState, Survey
from gguf_writer import small_llama, write_gguf
from ollama_server import OllamaServer
from shaped_server import WIRES, ShapedServer

GIB = 1 << 30


class _Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@dataclass(frozen=True)
class Person:
    """Somebody at a terminal, who types a text and sees the answer (stdout) and the talk."""

    capsys: pytest.CaptureFixture[str]
    monkeypatch: pytest.MonkeyPatch

    def types(self, text: str, *, status: int = 0) -> str:
        screen = _Terminal()
        with self.monkeypatch.context() as patch:
            patch.setattr("sys.stdin", _Terminal(text))
            patch.setattr("sys.stderr", screen)
            patch.setenv("TERM", "dumb")
            patch.setenv("COLUMNS", "140")
            patch.setenv(
                "HTTPS_PROXY", "http://127.0.0.1:1"
            )  # no registry: the catalog knows sizes
            assert main([]) == status
        assert self.capsys.readouterr().out == ""  # a question is talk
        return screen.getvalue()


@pytest.fixture
def person(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, mocker: MockerFixture
) -> Person:
    """At a machine with 24 GiB that has everything but the model."""
    machine = Machine("linux", "x86_64", "cpu", 8, 24 * GIB, 20 * GIB, None, 10**12, False, False)
    claude = AgentState(AGENTS["claude-code"], Path("/usr/bin/true"), "2.1.197", managed=False)
    seen = Survey(machine, (), {"claude-code": claude}, catalog.load(), (), engine_installed=True)
    mocker.patch("agentlaunch.survey.look", return_value=seen)
    return Person(capsys, monkeypatch)


@pytest.fixture
def ollama(monkeypatch: pytest.MonkeyPatch) -> Iterator[OllamaServer]:
    monkeypatch.setenv("AGENTLAUNCH_ENGINE", "ollama")
    with ollama_server.running() as server:
        monkeypatch.setenv("OLLAMA_HOST", server.url)
        yield server


def _rows(talk: str) -> list[str]:
    """The models that were offered."""
    return talk.partition("looking at this machine\n")[2].partition("Which model")[0].splitlines()


def _named(talk: str) -> list[str]:
    return [row.split()[1] for row in _rows(talk)]


def _marked(talk: str) -> dict[str, str]:
    words = ("recommended", "faster", "smarter", "last time")
    return {word: row.split()[1] for row in _rows(talk) for word in words if word in row}


# --- choosing ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("answer", "word"), [("", "recommended"), ("1", "recommended"), ("2", "smarter")]
)
def test_the_model_is_chosen_after_the_agent(answer: str, word: str, person: Person) -> None:
    talk = person.types(f"\n{answer}\nn\n")
    marked = _marked(talk)
    assert list(marked) == ["recommended", "smarter"]  # nothing good is faster here
    # The pick is what `up` takes by itself: named, it would overrule what a launch refuses.
    named = "" if word == "recommended" else f" --model {marked[word]}"
    assert f"the same as: agentlaunch up claude-code{named}\n" in talk
    assert f"model    {marked[word]}," in talk
    assert talk.endswith("nothing was done\n")


@pytest.mark.parametrize(("answer", "looks"), [("1", 1), ("2", 2)])
def test_what_was_looked_at_for_the_menu_is_not_looked_at_again_for_the_pick(
    answer: str, looks: int, person: Person
) -> None:
    person.types(f"\n{answer}\nn\n")
    assert survey.look.call_count == looks  # type: ignore[attr-defined] # a mock here


@pytest.mark.parametrize("text", ["q\n", "7\n", "\nq\n", "\n999\n", "", "\n", "\n²\n", "-1\n"])
def test_anything_else_does_nothing(text: str, person: Person) -> None:
    talk = person.types(text)
    assert talk.splitlines()[-1].endswith("nothing was done")
    assert "the same as" not in talk


def test_every_model_that_fits_is_offered_with_what_it_takes(person: Person) -> None:
    rows = _rows(person.types("\nq\n"))
    assert len(rows) > 10
    for row in rows[1:3]:
        assert " to download" in row
        assert " needs " in row
        assert " first word " in row


def test_a_model_of_the_settings_is_not_asked_for(person: Person) -> None:
    paths().user_file.parent.mkdir(parents=True)
    paths().user_file.write_text('model = "qwen3.5:4b"\n')
    talk = person.types("\nn\n")
    assert "Which model" not in talk
    assert "the same as: agentlaunch up claude-code\n" in talk
    assert "model    qwen3.5:4b," in talk


def test_an_agent_that_cannot_be_launched_here_is_not_offered(
    person: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    far = replace(AGENTS["claude-code"], name="far", title="Far Away", local=False)
    monkeypatch.setattr(menu, "AGENTS", {"far": far, **AGENTS})
    talk = person.types("q\n")
    assert "Far Away" not in talk
    assert "1. Claude Code" in talk


# --- what was chosen last time -------------------------------------------------------------


def _remember(**choice: str) -> None:
    records.Records(paths().state).remember("choices", "last", {"agent": "claude-code", **choice})


def test_the_last_choice_is_marked_and_the_pick_stays_on_top(person: Person) -> None:
    fresh = _named(person.types("\nq\n"))
    _remember(model=fresh[4], engine="embedded")
    talk = person.types("\nq\n")
    assert talk.splitlines()[0].endswith("last time")  # the agent
    assert _named(talk) == fresh
    assert _marked(talk)["last time"] == fresh[4]


def test_the_last_agent_stands_on_top(person: Person, monkeypatch: pytest.MonkeyPatch) -> None:
    other = replace(AGENTS["claude-code"], name="other", title="Other", package=None)
    monkeypatch.setattr(menu, "AGENTS", {"other": other, **AGENTS})
    _remember(model="qwen3.5:4b", engine="embedded")
    talk = person.types("q\n")
    assert [row.split()[1] for row in talk.splitlines()[:2]] == ["Claude", "Other"]


def test_a_file_that_was_launched_is_offered_by_its_path(
    person: Person, tmp_path: Path, mocker: MockerFixture
) -> None:
    up = mocker.patch("agentlaunch.commands.up.run", return_value=None)
    file = write_gguf(tmp_path / "my model.gguf", *small_llama())
    _remember(model=file.name, engine="embedded", path=str(file))
    talk = person.types("\nq\n")
    (row,) = [row for row in _rows(talk) if "last time" in row]
    assert "my model.gguf  last time  " in row
    talk = person.types(f"\n{row.split('.')[0]}\n")
    assert f"--model '{file}'" in talk
    assert up.call_args.args[1] == {"agent": "claude-code", "model": str(file)}


def test_a_file_that_is_gone_is_not_offered(person: Person, tmp_path: Path) -> None:
    _remember(model="x.gguf", engine="embedded", path=str(tmp_path / "x.gguf"))
    assert "last time" not in "".join(_rows(person.types("\nq\n")))


# --- servers -------------------------------------------------------------------------------


def test_what_ollama_holds_is_already_here(ollama: OllamaServer, person: Person) -> None:
    ollama.add("qwen3.5:4b", capabilities=("completion", "tools"))
    talk = person.types("\nq\n")
    (row,) = [row for row in _rows(talk) if row.split()[1] == "qwen3.5:4b"]
    assert "already here" in row


def test_of_what_only_ollama_knows_the_usable_is_offered(
    ollama: OllamaServer, person: Person
) -> None:
    tools = ("completion", "tools")
    ollama.add("mine:latest", capabilities=tools)
    ollama.add("mine:64k-agentlaunch", capabilities=tools)
    ollama.add("mine:latest-64k-agentlaunch", capabilities=tools)
    ollama.add("embed:latest", capabilities=("embedding",))
    ollama.add("far:cloud", capabilities=tools, remote_host="https://ollama.com")
    names = _named(person.types("\nq\n"))
    own = {name for name in names if name.split(":")[0] in {"mine", "embed", "far"}}
    assert own <= {"mine:latest", "mine:64k-agentlaunch"}
    assert "mine:latest" in own


def _server(*rows: dict[str, object]) -> ShapedServer:
    listed = {"data": [{"owned_by": "vllm", "max_model_len": 131_072, **row} for row in rows]}
    return ShapedServer({"GET /v1/models": (200, listed), **WIRES})


def test_of_a_server_with_several_models_one_is_asked_for(
    person: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    with _server({"id": "small"}, {"id": "large", "max_model_len": 200_000}) as server:
        monkeypatch.setenv("AGENTLAUNCH_ENGINE", server.url)
        _remember(model="large", engine="remote")
        talk = person.types("\nq\n")
    assert _rows(talk) == ["1. small  128k tokens", "2. large  200,000 tokens, last time"]


def test_a_server_with_one_model_leaves_nothing_to_ask(
    person: Person, monkeypatch: pytest.MonkeyPatch, mocker: MockerFixture
) -> None:
    up = mocker.patch("agentlaunch.commands.up.run", return_value=None)
    with _server({"id": "only"}) as server:
        monkeypatch.setenv("AGENTLAUNCH_ENGINE", server.url)
        talk = person.types("\n")
    assert "Which model" not in talk
    assert up.call_args.args[1] == {"agent": "claude-code"}


EVIL = "a\x1b[2J\n2. b\r\u202ec"
SHOWN = r"a\x1b[2J 2. b \u202ec"


def test_a_servers_name_cannot_move_the_cursor_or_forge_a_row(
    person: Person, monkeypatch: pytest.MonkeyPatch, mocker: MockerFixture
) -> None:
    mocker.patch("agentlaunch.commands.up.run", return_value=None)
    with _server({"id": EVIL}, {"id": "good"}) as server:
        monkeypatch.setenv("AGENTLAUNCH_ENGINE", server.url)
        talk = person.types("\n1\n")
    assert "good" in talk
    assert not {"\x1b", "\r", "\u202e"} & set(talk)
    assert "\n2. b" not in talk


def test_what_is_shown_of_a_servers_name_is_one_visible_line() -> None:
    assert fitted([Offer(EVIL).layouts], 80) == [SHOWN]
    flags: dict[str, object | None] = {"agent": "pi", "model": EVIL}
    assert command_line(flags) == f"agentlaunch up pi --model '{SHOWN}'"


def test_a_server_that_does_not_answer_is_an_error_of_the_engine(
    person: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AGENTLAUNCH_ENGINE", "http://127.0.0.1:9")
    assert "127.0.0.1:9" in person.types("\n", status=6)


# --- rows ----------------------------------------------------------------------------------

OFFERS = [
    Offer("qwen3.5:9b", ("recommended",), 6_600_000_000, memory="8.4 GiB", first_word="6-15 s"),
    Offer("a-model-with-a-long-name:30b-q4_K_M", ("last time",), here=True, memory="19.0 GiB"),
]


@pytest.mark.parametrize(
    ("width", "rows"),
    [
        (
            120,
            [
                "qwen3.5:9b                           recommended  6.6 GB to download  "
                "needs 8.4 GiB   first word 6-15 s",
                "a-model-with-a-long-name:30b-q4_K_M  last time    already here        "
                "needs 19.0 GiB",
            ],
        ),
        (
            96,
            [
                "qwen3.5:9b                    recommended  6.6 GB to download  needs 8.4 GiB   "
                "first word 6-15 s",
                "a-model-with-..me:30b-q4_K_M  last time    already here        needs 19.0 GiB",
            ],
        ),
        (
            56,
            [
                "qwen3.5:9b                       recommended  get 6.6 GB",
                "a-model-with-a-..ame:30b-q4_K_M  last time    here",
            ],
        ),
        (36, ["qwen3.5:9b               recommended", "a-model-wit..30b-q4_K_M  last time"]),
        (16, ["qwen3.5:9b", "a-model..-q4_K_M"]),
    ],
)
def test_rows_say_less_where_the_terminal_is_narrow(width: int, rows: list[str]) -> None:
    made = fitted([offer.layouts for offer in OFFERS], width)
    assert max(map(len, made)) <= width
    assert made == rows


def test_no_rows_need_no_room() -> None:
    assert fitted([], 80) == []


def test_a_command_line_can_be_typed_as_it_stands() -> None:
    flags: dict[str, object | None] = {"agent": "claude-code", "model": "/my files/m.gguf"}
    assert command_line(flags) == "agentlaunch up claude-code --model '/my files/m.gguf'"
    assert command_line({"agent": "pi", "model": None}) == "agentlaunch up pi"
    assert command_line({"agent": "pi"}, offline=True) == "agentlaunch up pi --offline"


# --- nobody to ask -------------------------------------------------------------------------


@pytest.mark.parametrize("argv", [[], ["--no-input"], ["--yes"]])
def test_without_a_person_it_says_what_to_type(
    argv: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(argv) == 0
    out = capsys.readouterr().out.splitlines()
    assert out[-1].startswith("next: agentlaunch up claude-code ")
    assert out[0].startswith("1. Claude Code (")


def test_the_state_as_json(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    schemas.check(document)
    assert document["data"]["next"] == "agentlaunch up claude-code"
