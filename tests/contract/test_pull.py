"""`models pull`, to Ollama's store and to ours: said before, watched, stopped, gone on with."""

from __future__ import annotations

import json
import os
import random
import re
import signal
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from pytest_mock import MockerFixture

import launcher
import ollama_server
import registry_server
import schemas
from agentlaunch import launch, plan
from agentlaunch.agents.claude_code import AGENT
from agentlaunch.cli import main
from agentlaunch.engines.ollama.client import Client
from agentlaunch.engines.ollama.pull import pull
from agentlaunch.errors import Refused
from agentlaunch.machine import simulate
from agentlaunch.models import catalog
from agentlaunch.models.refs import parse_ref
from agentlaunch.models.store import Store
from agentlaunch.progress import Progress
from agentlaunch.settings import paths
from agentlaunch.survey import AgentState, Survey
from agentlaunch.talk import Policy, Talk
from gguf_writer import small_llama, write_gguf
from launcher import PROGRAM, Launcher
from ollama_server import Fault, OllamaServer
from registry_server import RegistryServer
from terminal import Terminal
from waiting import wait_until

LAYERS = {
    "model": b"GGUF" + random.Random(1).randbytes(400_000),
    "projector": random.Random(2).randbytes(90_000),
    "template": b"{{ prompt }}",
}
CONFIG = b'{"model_format": "gguf", "model_family": "llama"}'
TOTAL = sum(map(len, LAYERS.values())) + len(CONFIG)
WAYS = ["ollama", "embedded"]


@pytest.fixture
def registry() -> Iterator[RegistryServer]:
    with registry_server.running() as server:
        server.redirect_blobs_to = "http://localhost:{port}/cdn/{digest}"
        yield server


@pytest.fixture
def ollama(registry: RegistryServer, monkeypatch: pytest.MonkeyPatch) -> Iterator[OllamaServer]:
    with ollama_server.running() as server:
        server.registry = registry
        monkeypatch.setenv("OLLAMA_HOST", server.url)
        monkeypatch.delenv("AGENTLAUNCH_ENGINE", raising=False)
        yield server


@pytest.fixture
def ref(registry: RegistryServer) -> str:
    return registry.add("team/coder:4b", LAYERS, config=CONFIG)


@pytest.fixture
def world(tmp_path: Path, ollama: OllamaServer) -> Launcher:
    return launcher.make_launcher(tmp_path / "world", OLLAMA_HOST=ollama.url)


def events(text: str) -> list[dict[str, Any]]:
    """The lines of a pull, each as its schema promises."""
    rows = [json.loads(line) for line in text.splitlines()]
    for row in rows:
        schemas.check(row, "models-pull")
    return rows


def is_there(way: str, ref: str, ollama: OllamaServer, home: Path) -> bool:
    if way == "ollama":
        return ref in ollama.models
    ours = Store(home / ".local/share/agentlaunch/models", ours=True)
    return ours.find(parse_ref(ref)) is not None


# --- where it goes, what is said before -------------------------------------------------------


def test_it_goes_where_a_launch_would_look(
    ollama: OllamaServer, ref: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    ours = Store(paths().models, ours=True)
    typed = ["models", "pull", ref, "--insecure", "--yes"]
    assert main([*typed, "--engine", "embedded"]) == 0
    assert (ollama.models, ours.find(parse_ref(ref)) is None) == ({}, False)
    ours.remove(parse_ref(ref))
    assert main(typed) == 0  # an Ollama that runs is what a launch chooses
    assert ours.find(parse_ref(ref)) is None
    assert list(ollama.models) == [ref]
    ollama.models.clear()
    monkeypatch.setenv("AGENTLAUNCH_ENGINE", "ollama")
    assert main(typed) == 0
    assert list(ollama.models) == [ref]


def test_a_server_of_somebody_else_is_not_pulled_to(
    ref: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["models", "pull", ref, "--engine", "http://127.0.0.1:9", "--yes"]) == 5
    assert "--engine ollama" in capsys.readouterr().err


@pytest.mark.parametrize("way", WAYS)
def test_what_is_there_is_not_pulled_again(
    way: str, ollama: OllamaServer, registry: RegistryServer, tmp_path: Path
) -> None:
    weights = write_gguf(tmp_path / "m.gguf", *small_llama()).read_bytes()
    ref = registry.add("team/whole:1", {"model": weights}, config=CONFIG)
    typed = ["models", "pull", ref, "--insecure", "--yes", "--engine", way]
    assert main(typed) == 0
    asked = len(ollama.bodies("/api/pull"))
    assert main(typed) == 0
    assert main([*typed, "--offline"]) == 0
    assert len(ollama.bodies("/api/pull")) == asked


@pytest.mark.parametrize("way", WAYS)
def test_offline_and_above_the_limit_of_yes_nothing_is_pulled(
    way: str, ollama: OllamaServer, ref: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    typed = ["models", "pull", ref, "--insecure", "--yes", "--engine", way]
    assert main([*typed, "--offline"]) == 7
    monkeypatch.setenv("AGENTLAUNCH_MAX_DOWNLOAD", f"{TOTAL - 1}B")
    assert main(typed) == 8
    assert ollama.bodies("/api/pull") == []
    monkeypatch.setenv("AGENTLAUNCH_MAX_DOWNLOAD", f"{TOTAL}B")
    assert main(typed) == 0


def test_a_size_that_comes_to_light_on_the_way_is_held_against_the_limit(
    ollama: OllamaServer, registry: RegistryServer, ref: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AGENTLAUNCH_MAX_DOWNLOAD", "1000B")
    registry.fault("4b", registry_server.Fault(status=403))  # we are refused, Ollama is not
    assert main(["models", "pull", ref, "--insecure", "--yes"]) == 8
    assert len(ollama.bodies("/api/pull")) == 1
    assert ollama.parts == {}


def test_a_launch_with_yes_stops_at_the_limit_although_it_planned_with_less(
    ref: str,
) -> None:
    world = Survey(simulate.load("ram=32GiB"), (), {}, catalog.load(), (), engine_installed=True)
    where = launch.places(paths())
    agents = {"claude-code": AgentState(AGENT, None, None, managed=False)}
    made = plan.make_plan(replace(world, agents=agents), plan.Wish(AGENT), where)
    made = replace(made, steps=(plan.Pull(ref, 1000),))
    talk = Talk(Policy(yes=True))
    with pytest.raises(Refused, match=r"more than the 2\.0 kB that --yes agrees"):
        launch.prepare(made, talk, paths(), where, insecure=True, max_download_bytes=2000)
    assert Store(paths().models, ours=True).find(parse_ref(ref)) is None


@pytest.mark.parametrize("way", WAYS)
def test_without_room_it_says_the_figures_and_the_place_and_asks_for_nothing(
    way: str,
    ollama: OllamaServer,
    ref: str,
    home: Path,
    mocker: MockerFixture,
    capsys: pytest.CaptureFixture[str],
) -> None:
    ollama.add("known:1")
    theirs = home / ".ollama" / "models"
    manifest = Store(theirs, ours=False).manifest_path(parse_ref("known:1"))
    manifest.parent.mkdir(parents=True)
    manifest.write_text("{}")
    mocker.patch("agentlaunch.files.disk_free_bytes", return_value=1_000_000)
    assert main(["models", "pull", ref, "--insecure", "--yes", "--engine", way]) == 4
    said = capsys.readouterr().err
    place = "Ollama's store ~/.ollama/models"
    if way == "embedded":
        place = "~/.local/share/agentlaunch/models"
    assert f"needs 490 kB and 537 MB to spare in {place}, where 1.0 MB are free" in said
    assert ollama.bodies("/api/pull") == []


def test_the_question_names_size_and_place(
    ollama: OllamaServer, ref: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["models", "pull", ref, "--insecure", "--no-input"]) == 2
    asked = f"Download {ref} (490 kB) into Ollama's store, whose folder and room could not be told?"
    assert asked in capsys.readouterr().err


# --- names ------------------------------------------------------------------------------------


def test_a_name_with_http_needs_no_flag_on_this_machine(ollama: OllamaServer, ref: str) -> None:
    assert main(["models", "pull", f"http://{ref}", "--yes"]) == 0
    (body,) = ollama.bodies("/api/pull")
    assert (body["model"], body["insecure"]) == (ref, True)


def test_a_hub_that_only_the_server_reaches_is_pulled_from_by_the_server(
    ollama: OllamaServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:1")
    layer = {"digest": "sha256:aa", "total": 40, "completed": 40}
    ollama.fault("/api/pull", Fault(lines=(layer, {"status": "success"})))
    assert main(["models", "pull", "hf.co/user/repo:Q4_K_M", "--yes"]) == 0
    (body,) = ollama.bodies("/api/pull")
    assert body == {"model": "hf.co/user/repo:Q4_K_M", "stream": True}


def test_a_cloud_model_is_not_pulled(ollama: OllamaServer) -> None:
    assert main(["models", "pull", "big:cloud", "--yes"]) == 5
    assert ollama.bodies("/api/pull") == []


# --- how it is watched ------------------------------------------------------------------------


@pytest.mark.parametrize("way", WAYS)
def test_a_program_reads_one_event_a_line(
    way: str,
    ollama: OllamaServer,
    registry: RegistryServer,
    ref: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    registry.bytes_per_s = 400_000
    assert main(["models", "pull", ref, "--insecure", "--yes", "--json", "--engine", way]) == 0
    *rows, last = events(capsys.readouterr().out)
    assert last == {"event": "done", "ref": ref, "size_bytes": TOTAL, "engine": way}
    assert {tuple(row) for row in rows} == {
        ("event", "activity", "done_bytes", "total_bytes", "bytes_per_s", "left_s")
    }
    assert {(row["event"], row["total_bytes"]) for row in rows} == {("progress", TOTAL)}
    done = [row["done_bytes"] for row in rows]
    assert done == sorted(done)
    assert done[-1] == TOTAL
    assert len(done) > 2


def test_a_log_gets_a_line_for_each_activity(
    ollama: OllamaServer, registry: RegistryServer, ref: str, capsys: pytest.CaptureFixture[str]
) -> None:
    registry.bytes_per_s = 4_000_000
    assert main(["models", "pull", ref, "--insecure", "--yes"]) == 0
    assert capsys.readouterr().err.splitlines() == [
        f"downloading {ref} · 0 B of 490 kB (0 %)",
        f"verifying {ref} · 490 kB of 490 kB (100 %)",
        f"writing {ref} · 490 kB of 490 kB (100 %)",
        f"finishing {ref} · 490 kB of 490 kB (100 %)",
        f"Ollama has {ref}",
    ]


def test_what_the_server_has_of_each_layer_counts_from_the_start(
    ollama: OllamaServer, registry: RegistryServer, ref: str
) -> None:
    registry.bytes_per_s = 4_000_000
    model, projector, template = (registry_server.digest_of(data) for data in LAYERS.values())
    ollama.parts = {model: 100_000, projector: 90_000}
    layers = {
        model: (100_000, len(LAYERS["model"])),
        projector: (90_000, 90_000),
        template: (0, len(LAYERS["template"])),
        registry_server.digest_of(CONFIG): (0, len(CONFIG)),
    }
    reports = list(pull(Client(ollama.url), ref, layers=layers, insecure=True))
    assert reports[0] == Progress(f"downloading {ref}", 190_000, TOTAL, kept_bytes=190_000)
    assert {(report.total_bytes, report.kept_bytes) for report in reports} == {(TOTAL, 190_000)}
    done = [report.done_bytes or 0 for report in reports]
    assert (done, done[-1]) == (sorted(done), TOTAL)


def test_a_model_of_many_files_is_counted_as_the_server_tells_it(ollama: OllamaServer) -> None:
    one = {"status": "pulling model", "digest": "sha256:model", "total": 500}
    rows = (one | {"completed": 20}, one | {"completed": 500}, {"status": "success"})
    ollama.fault("/api/pull", Fault(lines=rows))
    reports = list(pull(Client(ollama.url), "m", layers={"sha256:aa": (0, 499)}))
    assert [(report.done_bytes, report.total_bytes) for report in reports] == [
        (0, 499), (20, 500), (500, 500), (500, 500),
    ]  # fmt: skip


# --- stopped, and gone on with ----------------------------------------------------------------


@pytest.mark.parametrize("columns", [60, 100])
@pytest.mark.parametrize("way", WAYS)
def test_ctrl_c_says_how_to_go_on_and_the_next_pull_starts_there(
    way: str,
    columns: int,
    world: Launcher,
    ollama: OllamaServer,
    registry: RegistryServer,
    ref: str,
) -> None:
    registry.bytes_per_s = 250_000
    ollama.verify_s = 0.5
    argv = [str(PROGRAM), "models", "pull", ref, "--insecure", "--engine", way]
    env = {**world.env, "TERM": "xterm", "NO_COLOR": "1"}
    terminal = Terminal(argv, env, world.project, columns=columns)
    try:
        terminal.wait_for("[Y/n]")
        terminal.type("y\n")
        terminal.wait_for("/490 kB ")
        terminal.wait_for("left")  # a second of it: rate and time are known
        terminal.type("\x03")
        terminal.wait_for("interrupted")
        assert terminal.child.wait(timeout=20) == 130
    finally:
        terminal.close()
    stopped = re.search(r"stopped at (\d+) % \(([\d.]+) kB of 490 kB\)", terminal.seen)
    assert stopped is not None, terminal.seen
    assert 0 < int(stopped[1]) < 100
    command = f"  agentlaunch models pull {ref} --engine {way} --insecure"
    assert command in terminal.seen.replace("\r\n", "\n").splitlines()
    assert not is_there(way, ref, ollama, world.home)
    registry.bytes_per_s = None if way == "embedded" else 1_000_000
    again = world.run(*argv[1:], "--yes", "--json")
    assert again.returncode == 0, again.stdout
    first, *_, last = events(again.stdout)
    assert first["done_bytes"] >= 1000 * float(stopped[2]) - 1000
    assert last["event"] == "done"
    assert is_there(way, ref, ollama, world.home)
    if way == "embedded":
        assert registry.ranges(registry_server.digest_of(LAYERS["model"]))[-1] is not None


@pytest.mark.parametrize("way", WAYS)
def test_a_termination_says_the_same_and_ends_with_143(
    way: str, world: Launcher, ollama: OllamaServer, registry: RegistryServer, ref: str
) -> None:
    registry.bytes_per_s = 100_000
    argv = ["models", "pull", ref, "--insecure", "--yes", "--json", "--engine", way]
    child = world.start(*argv)
    assert child.stdout is not None
    first = json.loads(child.stdout.readline())
    while first["event"] != "progress":
        first = json.loads(child.stdout.readline())
    child.send_signal(signal.SIGTERM)
    out, _ = child.communicate(timeout=30)
    assert child.returncode == 143
    stopped, failure = events(out.decode())[-2:]
    assert stopped["event"] == "stopped"
    assert stopped["total_bytes"] == TOTAL
    assert stopped["command"] == f"agentlaunch models pull {ref} --engine {way} --insecure"
    assert failure["error"]["exit"] == 143


def test_a_server_that_dies_in_the_middle_leaves_what_came(
    tmp_path: Path, registry: RegistryServer, ref: str
) -> None:
    registry.bytes_per_s = 100_000
    with ollama_server.running() as server:
        server.registry = registry
        world = launcher.make_launcher(tmp_path / "world", OLLAMA_HOST=server.url)
        typed = ("models", "pull", ref, "--insecure", "--yes", "--json", "--engine", "ollama")
        child = world.start(*typed)
        wait_until(lambda: sum(server.parts.values()) > 20_000)
    out, _ = child.communicate(timeout=30)
    error = events(out.decode())[-1]["error"]
    assert (child.returncode, error["code"], error["exit"]) == (7, "pull-stopped", 7)
    assert f"the download of {ref} ended without success at " in error["message"]
    assert "goes on where it stopped" in error["hint"]


def test_a_registry_that_dies_in_the_middle_leaves_what_came(
    tmp_path: Path, mocker: MockerFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    mocker.patch("agentlaunch.models.download.Patience.wait_s", return_value=0.0)
    with registry_server.running() as registry:
        name = registry.add("team/coder:4b", LAYERS, config=CONFIG)
        digest = registry_server.digest_of(LAYERS["model"])
        cut = registry_server.Fault(cut_after=200)
        registry.fault(digest, *[cut] * 6)
        typed = ["models", "pull", name, "--insecure", "--yes", "--engine", "embedded"]
        assert main(typed) == 7
        said = capsys.readouterr().err
        assert f"the download of {name} stopped at 1.2 kB of 490 kB" in said
        assert "hint: run the same command to resume" in said
        assert main(typed) == 0


# --- failures ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("said", "code"),
    [
        ("pull model manifest: file does not exist", "unknown-model"),
        ("file does not exist", "registry-failed"),
        ("pull model manifest: 412: requires a newer version of Ollama", "ollama-too-old"),
        ("write /m/blobs/sha256-1-partial: no space left on device", "no-disk"),
        ("open /m/blobs/sha256-1-partial: permission denied", "store-failed"),
        ('Get "https://r/v2/": dial tcp: lookup r: no such host', "offline"),
        ("pull model manifest: 403: denied", "registry-refused"),
        ("pull model manifest: unauthorized", "registry-refused"),
        ('pull model manifest: realm host "" does not match original host "r"', "registry-refused"),
        ("pull model manifest: 503: try later", "registry-failed"),
        ('Get "https://r": http: server gave HTTP response to HTTPS client', "registry-insecure"),
        ("digest mismatch, file must be downloaded again: want a, got b", "digest-wrong"),
        ("max retries exceeded: unexpected EOF", "pull-stopped"),
        ("a word that nobody foresaw", "pull-failed"),
    ],
)  # fmt: skip
def test_each_failure_of_ollama_has_its_name_and_ends_with_7(
    said: str, code: str, ollama: OllamaServer, ref: str, capsys: pytest.CaptureFixture[str]
) -> None:
    ollama.fault("/api/pull", Fault(lines=({"status": "pulling manifest"}, {"error": said})))
    assert main(["models", "pull", ref, "--insecure", "--yes", "--json"]) == 7
    error = events(capsys.readouterr().out)[-1]["error"]
    assert (error["code"], error["exit"]) == (code, 7)
    assert error["hint"]


def test_a_stream_that_ends_without_success_is_a_failure(
    ollama: OllamaServer, ref: str, capsys: pytest.CaptureFixture[str]
) -> None:
    ollama.fault("/api/pull", Fault(lines=({"status": "writing manifest"},)))
    assert main(["models", "pull", ref, "--insecure", "--yes", "--json"]) == 7
    assert events(capsys.readouterr().out)[-1]["error"]["code"] == "pull-stopped"


@pytest.mark.parametrize(
    ("fault", "code"),
    [
        (registry_server.Fault(status=404), "unknown-model"),
        (registry_server.Fault(status=403), "registry-refused"),
        (registry_server.Fault(status=412), "too-old"),
        (registry_server.Fault(body=b"<html>log in</html>", status=200), "web-page"),
    ],
)
def test_each_refusal_of_a_registry_has_its_name_and_ends_with_7(
    fault: registry_server.Fault,
    code: str,
    registry: RegistryServer,
    ref: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    registry.fault("4b", fault)
    typed = ["models", "pull", ref, "--insecure", "--yes", "--json", "--engine", "embedded"]
    assert main(typed) == 7
    error = events(capsys.readouterr().out)[-1]["error"]
    assert (error["code"], error["exit"]) == (code, 7)


def test_other_bytes_than_promised_end_with_7(
    registry: RegistryServer, ref: str, capsys: pytest.CaptureFixture[str]
) -> None:
    digest = registry_server.digest_of(LAYERS["model"])
    registry.fault(digest, registry_server.Fault(wrong_bytes=True))
    typed = ["models", "pull", ref, "--insecure", "--yes", "--json", "--engine", "embedded"]
    assert main(typed) == 7
    assert events(capsys.readouterr().out)[-1]["error"]["code"] == "wrong-digest"


def test_a_registry_without_tls_wants_the_flag(
    ollama: OllamaServer, ref: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["models", "pull", ref, "--yes"]) == 7
    said = capsys.readouterr().err
    assert "speaks plain http" in said
    assert "--insecure" in said


@pytest.mark.skipif(os.name == "nt", reason="a limit of the shell's")
def test_a_full_disk_in_the_middle_is_said_with_the_way_on(
    world: Launcher, registry: RegistryServer, ref: str
) -> None:
    import subprocess

    line = f"ulimit -f 200; {PROGRAM} models pull {ref} --insecure --yes --json --engine embedded"
    done = subprocess.run(
        ["bash", "-c", line],
        cwd=world.project,
        env=world.env,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    error = events(done.stdout)[-1]["error"]
    assert (done.returncode, error["code"], error["exit"]) == (4, "disk-full", 4)
    assert "run the same command to resume" in error["hint"]
    assert (
        world.run("models", "pull", ref, "--insecure", "--yes", "--engine", "embedded").returncode
        == 0
    )
