"""`up --engine ollama` against the fake: pulled, pinned, loaded, read back, handed over."""

from __future__ import annotations

import hashlib
import json
import signal
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from pytest_mock import MockerFixture

import ollama_server
import registry_server
import schemas
from agentlaunch import files, records
from agentlaunch.cli import main
from agentlaunch.engines.ollama.client import Client
from agentlaunch.machine import simulate
from agentlaunch.models.refs import parse_ref
from agentlaunch.models.store import Store
from agentlaunch.progress import Progress
from agentlaunch.settings import paths
from gguf_writer import small_llama, write_gguf
from launcher import fake_agent
from ollama_server import Fault, OllamaServer

TOOLS = ("completion", "tools")


@pytest.fixture
def ollama(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mocker: MockerFixture
) -> Iterator[OllamaServer]:
    """A server at OLLAMA_HOST with one small model, and a Claude Code on PATH that never runs."""
    folder = fake_agent(tmp_path / "bin", "")
    header = small_llama(template="{{ tools }}")
    weights = write_gguf(tmp_path / "m.gguf", *header).read_bytes()
    with registry_server.running() as registry, ollama_server.running() as fake:
        registry.redirect_blobs_to = "http://localhost:{port}/cdn/{digest}"  # Ollama wants one
        registry.add("ns/small:q4", {"model": weights})
        fake.registry = registry
        fake.shapes[hashlib.sha256(weights).hexdigest()] = header
        monkeypatch.setenv("PATH", str(folder))
        monkeypatch.setenv("OLLAMA_HOST", fake.url)
        mocker.patch("os.execvpe", side_effect=SystemExit)
        # What is handed over gets the signals of a fresh process; the tests want theirs back.
        before = {sign: signal.getsignal(sign) for sign in (signal.SIGTERM, signal.SIGPIPE)}
        yield fake
        for sign, handler in before.items():
            signal.signal(sign, handler)


def ref(server: OllamaServer) -> str:
    assert server.registry is not None
    return f"{server.registry.host}/ns/small:q4"


def launch(server: OllamaServer, *more: str) -> int:
    argv = ["up", "claude-code", "--engine", "ollama", "--model", ref(server), "--context", "4096"]
    try:
        return main([*argv, "--insecure", "--yes", "--skip-proof", *more])
    except SystemExit:
        return 0


def test_a_launch_pulls_pins_loads_and_reads_back(
    ollama: OllamaServer, mocker: MockerFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    import os

    assert launch(ollama) == 0
    tag = f"{ref(ollama)}-4k-agentlaunch"
    (created,) = ollama.bodies("/api/create")
    assert (created["model"], created["from"]) == (tag, ref(ollama))
    assert created["parameters"] == {"num_ctx": 4096, "num_batch": 512}
    assert ollama.loaded == {tag: 4096}
    said = capsys.readouterr().err
    assert f"loaded {tag} with 4,096 tokens" in said
    assert "expected" in said  # what was predicted stands beside what was allocated
    kept = records.Records(paths().state).recall("allocations", tag)
    assert kept is not None
    assert kept["predicted_bytes"] > 0
    (call,) = os.execvpe.call_args_list  # type: ignore[attr-defined]
    argv = call.args[1]
    assert argv[argv.index("--model") + 1] == tag


def test_a_second_launch_pulls_and_pins_nothing(ollama: OllamaServer) -> None:
    assert launch(ollama) == launch(ollama) == 0
    assert len(ollama.bodies("/api/pull")) == len(ollama.bodies("/api/create")) == 1


def test_the_dry_run_names_the_tag_and_changes_nothing(
    ollama: OllamaServer, capsys: pytest.CaptureFixture[str]
) -> None:
    assert launch(ollama, "--dry-run", "--json") == 0
    document = json.loads(capsys.readouterr().out)
    schemas.check(document)
    steps = {step["kind"]: step for step in document["data"]["steps"]}
    assert steps["derive"]["tag"] == f"{ref(ollama)}-4k-agentlaunch"
    assert steps["derive"]["context_tokens"] == 4096
    changing = {"/api/pull", "/api/create", "/api/generate", "/api/delete"}
    assert changing.isdisjoint(seen.path for seen in ollama.seen)


@pytest.mark.parametrize(
    ("path", "fault", "status", "code"),
    [
        (
            "/api/pull",
            Fault(lines=({"status": "pulling manifest"}, {"error": "no space left on device"})),
            7,
            "no-disk",
        ),
        ("/api/pull", Fault(lines=({"status": "pulling manifest"},)), 7, "pull-stopped"),
        ("/api/create", Fault(lines=({"status": "writing manifest"},)), 6, "derive-failed"),
        ("/api/generate", Fault(503, b'{"error":"server busy"}'), 6, "engine-busy"),
        ("/api/generate", Fault(500, b'{"error":"out of memory"}'), 4, "no-memory"),
    ],
)
def test_each_step_that_fails_ends_with_its_status_and_no_hand_over(
    ollama: OllamaServer, tmp_path: Path, path: str, fault: Fault, status: int, code: str
) -> None:
    import os

    ollama.fault(path, fault)
    file = tmp_path / "status.json"
    assert launch(ollama, "--status-file", str(file)) == status
    assert json.loads(file.read_text())["exit"] == status
    assert os.execvpe.call_args_list == []  # type: ignore[attr-defined]


def test_less_context_than_planned_is_refused(
    ollama: OllamaServer, capsys: pytest.CaptureFixture[str]
) -> None:
    ollama.allocate = 2048
    assert launch(ollama) == 6
    said = capsys.readouterr().err
    assert "allocated 2,048 tokens of context, 4,096 were planned" in said
    assert "--context 2048" in said


CARD = "ram=32GiB,gpu=RTX 4060 Laptop:8GiB"


@pytest.fixture
def beside_a_card(
    ollama: OllamaServer, mocker: MockerFixture, monkeypatch: pytest.MonkeyPatch
) -> OllamaServer:
    """The server with the model that a card of 8 GiB gets; nobody names an engine."""
    mocker.patch("agentlaunch.survey.probe.probe", return_value=simulate.load(CARD))
    monkeypatch.delenv("AGENTLAUNCH_ENGINE")
    ollama.add("qwen3.5:4b", size=10**7, capabilities=TOOLS)
    ollama.trained_tokens = 262_144
    return ollama


def choose(*more: str) -> int:
    try:
        return main(["up", "claude-code", "--yes", *more])
    except SystemExit:
        return 0


def test_a_running_ollama_is_chosen_by_itself(
    beside_a_card: OllamaServer, capsys: pytest.CaptureFixture[str]
) -> None:
    assert choose("--dry-run", "--json") == 0
    data = json.loads(capsys.readouterr().out)["data"]
    assert (data["engine"], data["model"]) == ("ollama", "qwen3.5:4b")
    assert data["handover"]["env"]
    assert f"Ollama 0.33.0 runs at {beside_a_card.url}" in data["because"]


def test_a_file_is_served_by_the_embedded_engine_although_ollama_runs(
    beside_a_card: OllamaServer, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert choose("--model", str(tmp_path / "m.gguf"), "--dry-run", "--json") == 0
    assert json.loads(capsys.readouterr().out)["data"]["engine"] == "embedded"


def test_what_spills_over_the_card_is_loaded_with_less_context(
    beside_a_card: OllamaServer, capsys: pytest.CaptureFixture[str]
) -> None:
    import os

    beside_a_card.vram_bytes = 10**7 + 49_152 * 100
    assert choose() == 0
    said = capsys.readouterr().err
    assert "qwen3.5:4b-64k-agentlaunch lies 0% in main memory" not in said
    names = [body["model"] for body in beside_a_card.bodies("/api/create")]
    assert names[0] == "qwen3.5:4b-64k-agentlaunch"
    assert list(beside_a_card.loaded) == [names[-1]] != names[:1]
    assert names[:-1] == [body["model"] for body in beside_a_card.bodies("/api/delete")]
    (call,) = os.execvpe.call_args_list  # type: ignore[attr-defined]
    argv = call.args[1]
    assert argv[argv.index("--model") + 1] == names[-1]


def test_what_never_fits_the_card_is_refused_with_the_way_out(
    beside_a_card: OllamaServer, capsys: pytest.CaptureFixture[str]
) -> None:
    beside_a_card.vram_bytes = 10**6
    assert choose() == 4
    said = capsys.readouterr().err
    assert "% of qwen3.5:4b" in said
    assert "--model qwen3.5:4b goes on anyway" in said


def test_who_names_the_model_gets_it_with_a_warning(
    beside_a_card: OllamaServer, capsys: pytest.CaptureFixture[str]
) -> None:
    beside_a_card.vram_bytes = 10**6
    assert choose("--model", "qwen3.5:4b") == 0
    assert "lies in main memory, so it is slow" in capsys.readouterr().err


SPILLS_A_LITTLE = 10**7 + 45_056 * 100
"""The fake takes 100 bytes a token: 48k spill a little, 40k not at all."""


def test_two_smaller_contexts_are_tried_at_most(
    beside_a_card: OllamaServer, capsys: pytest.CaptureFixture[str]
) -> None:
    beside_a_card.vram_bytes = 10**7 + 30_000 * 100
    assert choose() == 4
    assert tried(beside_a_card) == ["64k", "48k", "40k"]
    assert capsys.readouterr().err.count("tokens of context instead") == 2
    assert beside_a_card.loaded == {}
    assert list(beside_a_card.models) == ["qwen3.5:4b"]


def test_who_names_the_model_gets_the_first_context_where_less_does_not_help(
    beside_a_card: OllamaServer, capsys: pytest.CaptureFixture[str]
) -> None:
    beside_a_card.vram_bytes = 10**7 + 30_000 * 100
    assert choose("--model", "qwen3.5:4b") == 0
    assert tried(beside_a_card) == ["64k", "48k", "40k"]
    said = capsys.readouterr().err
    assert "less context does not help: back to 65,536 tokens" in said
    assert "lies in main memory, so it is slow" in said
    assert beside_a_card.loaded == {"qwen3.5:4b-64k-agentlaunch": 65536}
    assert list(beside_a_card.models) == ["qwen3.5:4b", "qwen3.5:4b-64k-agentlaunch"]


def test_no_third_context_is_tried_where_the_second_hardly_helps(
    beside_a_card: OllamaServer,
) -> None:
    beside_a_card.models["qwen3.5:4b"] = replace(beside_a_card.models["qwen3.5:4b"], size=5 * 10**7)
    beside_a_card.vram_bytes = 10**7
    assert choose() == 4
    assert tried(beside_a_card) == ["64k", "48k"]


def test_where_memory_runs_out_twice_the_least_context_is_tried(
    beside_a_card: OllamaServer,
) -> None:
    beside_a_card.vram_share = 1.0
    beside_a_card.fault("/api/generate", *[Fault(500, b'{"error":"out of memory"}')] * 2)
    assert choose() == 0
    assert tried(beside_a_card) == ["64k", "48k", "31k"]


def tried(server: OllamaServer) -> list[str]:
    """The contexts of the tags that were made."""
    return [body["model"].split("-")[1] for body in server.bodies("/api/create")]


@pytest.mark.parametrize("base_changed", [False, True])
def test_a_tag_that_stood_before_is_not_removed_when_it_spills(
    beside_a_card: OllamaServer, base_changed: bool
) -> None:
    beside_a_card.vram_share = 1.0
    assert choose() == 0
    beside_a_card.loaded.clear()
    if base_changed:  # then the tag is made anew, and may be another session's all the same
        beside_a_card.add("qwen3.5:4b", size=10**7, capabilities=TOOLS, system="new")
    beside_a_card.vram_bytes = SPILLS_A_LITTLE
    assert choose() == 0
    assert beside_a_card.bodies("/api/delete") == [{"model": "qwen3.5:4b-48k-agentlaunch"}]
    assert beside_a_card.loaded == {"qwen3.5:4b-40k-agentlaunch": 40960}


def nothing_is_left(server: OllamaServer) -> bool:
    return server.loaded == {} and [name for name in server.models if "agentlaunch" in name] == []


def test_a_refusal_gives_the_memory_back_and_removes_its_tag(ollama: OllamaServer) -> None:
    ollama.allocate = 2048
    assert launch(ollama) == 6
    assert nothing_is_left(ollama)


def test_a_template_that_drops_tools_leaves_nothing_loaded(
    beside_a_card: OllamaServer, capsys: pytest.CaptureFixture[str]
) -> None:
    beside_a_card.vram_share = 1.0
    beside_a_card.add("qwen3.5:4b", size=10**7)
    assert choose("--model", "qwen3.5:4b") == 3
    assert "ignores tools" in capsys.readouterr().err
    assert nothing_is_left(beside_a_card)


@pytest.mark.parametrize(("fault", "status"), [(KeyboardInterrupt(), 130), (OSError("no"), 1)])
def test_an_agent_that_does_not_come_leaves_nothing_loaded(
    ollama: OllamaServer, mocker: MockerFixture, fault: BaseException, status: int
) -> None:
    mocker.patch("os.execvpe", side_effect=fault)
    assert launch(ollama) == status
    assert nothing_is_left(ollama)


def test_an_interruption_while_it_loads_leaves_nothing_loaded(
    ollama: OllamaServer, mocker: MockerFixture
) -> None:
    def interrupted(self: Client, model: str, **_more: Any) -> Any:
        self._post("/api/generate", {"model": model})
        yield Progress("loading")
        raise KeyboardInterrupt

    mocker.patch.object(Client, "load", interrupted)
    assert launch(ollama) == 130
    assert nothing_is_left(ollama)


def test_what_was_loaded_before_stays_after_a_refusal(
    ollama: OllamaServer, mocker: MockerFixture
) -> None:
    assert launch(ollama) == 0
    held = dict(ollama.loaded)
    mocker.patch("os.execvpe", side_effect=OSError("no"))
    assert launch(ollama) == 1
    assert ollama.loaded == held
    assert set(held) < set(ollama.models)


def test_it_says_how_long_the_model_stays_and_how_to_free_it(
    ollama: OllamaServer, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert launch(ollama) == 0
    said = " ".join(capsys.readouterr().err.split())
    assert "; stays loaded 2 h after the last word; free it: agentlaunch engines stop" in said
    monkeypatch.setenv("OLLAMA_KEEP_ALIVE", "24h")
    assert launch(ollama) == 0
    assert "stays loaded 24 h after the last word" in " ".join(capsys.readouterr().err.split())
    asked = [body.get("keep_alive") for body in ollama.bodies("/api/generate")]
    assert asked == ["2h", "24h"]
    monkeypatch.delenv("OLLAMA_KEEP_ALIVE")
    assert launch(ollama) == 0
    assert "keep_alive" not in ollama.bodies("/api/generate")[-1]


def test_memory_that_runs_out_at_load_leads_to_less_context(
    beside_a_card: OllamaServer, capsys: pytest.CaptureFixture[str]
) -> None:
    beside_a_card.vram_share = 1.0
    beside_a_card.fault("/api/generate", Fault(500, b'{"error":"out of memory"}'))
    assert choose() == 0
    assert "does not fit: trying 49,152 tokens" in capsys.readouterr().err
    assert list(beside_a_card.loaded) == ["qwen3.5:4b-48k-agentlaunch"]


def test_offline_nothing_is_pulled(
    ollama: OllamaServer, capsys: pytest.CaptureFixture[str]
) -> None:
    assert launch(ollama, "--offline") == 7
    assert ollama.bodies("/api/pull") == []


def test_what_launches_made_is_pruned_and_nothing_else(
    ollama: OllamaServer, capsys: pytest.CaptureFixture[str]
) -> None:
    ollama.add("mine:latest")
    assert launch(ollama) == 0
    ollama.loaded.clear()
    assert prune(capsys) == {"removed": [f"{ref(ollama)}-4k-agentlaunch"], "kept": []}
    assert set(ollama.models) == {"mine:latest", ref(ollama)}


def prune(capsys: pytest.CaptureFixture[str], *more: str) -> Any:
    capsys.readouterr()
    assert main(["models", "prune", "--yes", "--json", *more]) == 0
    document: Any = json.loads(capsys.readouterr().out)
    schemas.check(document)
    kept = document["data"]["kept"]
    assert [row["code"] for row in document["warnings"]] == ["tag-kept"] * len(kept)
    return document["data"]


def test_what_is_loaded_is_pruned_only_by_force(
    ollama: OllamaServer, capsys: pytest.CaptureFixture[str]
) -> None:
    assert launch(ollama) == 0
    tag = f"{ref(ollama)}-4k-agentlaunch"
    reason = "it is loaded now; --force removes it all the same"
    assert prune(capsys) == {"removed": [], "kept": [{"name": tag, "reason": reason}]}
    assert tag in ollama.models
    assert prune(capsys, "--force") == {"removed": [tag], "kept": []}


def test_a_tag_that_only_looks_like_ours_stops_no_pruning(
    ollama: OllamaServer, capsys: pytest.CaptureFixture[str]
) -> None:
    ollama.add("a:1b-8k-agentlaunch", parameters={"num_ctx": 4096})
    ollama.add("b:1b-8k-agentlaunch", parameters={"num_ctx": 8192})
    reason = "a:1b-8k-agentlaunch was not made by agentlaunch"
    assert prune(capsys) == {
        "removed": ["b:1b-8k-agentlaunch"],
        "kept": [{"name": "a:1b-8k-agentlaunch", "reason": reason}],
    }
    assert list(ollama.models) == ["a:1b-8k-agentlaunch"]


def test_yes_agrees_to_no_larger_download_that_comes_to_light_on_the_way(
    beside_a_card: OllamaServer, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    beside_a_card.models.clear()
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:1")  # so the catalog's size is asked about
    monkeypatch.setenv("AGENTLAUNCH_MAX_DOWNLOAD", "8GB")
    layer = {"status": "pulling aa", "digest": "sha256:aa", "total": 9 * 10**9, "completed": 0}
    beside_a_card.fault("/api/pull", Fault(lines=(layer, layer)))
    assert choose("--engine", "ollama", "--model", "qwen3.5:4b") == 8
    assert "more than the 8.0 GB that --yes agrees to" in capsys.readouterr().err


def test_engines_tells_what_ollama_holds(
    ollama: OllamaServer, capsys: pytest.CaptureFixture[str]
) -> None:
    assert launch(ollama) == 0
    capsys.readouterr()
    assert main(["engines", "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)["data"]["engines"]
    (row,) = [row for row in rows if row["name"] == "ollama"]
    assert (row["state"], row["version"], row["url"]) == ("running", "0.33.0", ollama.url)
    assert row["loaded"][0]["context_tokens"] == 4096


def test_a_shell_is_pointed_at_the_tag_that_a_launch_made(
    ollama: OllamaServer, capsys: pytest.CaptureFixture[str]
) -> None:
    ask = ["env", "claude-code", "--engine", "ollama", "--model", ref(ollama), "--context", "4096"]
    assert launch(ollama) == 0
    capsys.readouterr()
    assert main([*ask, "--shell", "json"]) == 0
    given = json.loads(capsys.readouterr().out)["data"]
    assert f"{ref(ollama)}-4k-agentlaunch" in given["argv"]
    del ollama.models[f"{ref(ollama)}-4k-agentlaunch"]
    assert main([*ask, "--shell", "json"]) == 6


def test_models_are_ranked_with_what_the_server_has(
    ollama: OllamaServer, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    ollama.add("qwen3.5:4b")
    monkeypatch.setenv("AGENTLAUNCH_ENGINE", "ollama")
    assert main(["models", "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)["data"]["candidates"]
    assert [row["id"] for row in rows if row["installed"]] == ["qwen3.5:4b"]
    monkeypatch.setenv("OLLAMA_HOST", "127.0.0.1:1")
    assert main(["models", "--json"]) == 0
    assert [row["code"] for row in json.loads(capsys.readouterr().out)["warnings"]] == [
        "engine-missing"
    ]


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("169.254.169.254:80", 8),  # link-local: no model server lives there
        ("http://me:secret@127.0.0.1:11434", 2),
        ("127.0.0.1:1", 6),
    ],
)
def test_an_address_that_no_launch_may_use_is_refused(
    host: str, status: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("OLLAMA_HOST", host)
    monkeypatch.setenv("PATH", "/nowhere")
    assert main(["up", "claude-code", "--engine", "ollama", "--dry-run"]) == status
    said = capsys.readouterr().err
    assert "hint: " in said
    assert "secret" not in said


def test_offline_it_is_said_at_once_what_cannot_be_brought(
    beside_a_card: OllamaServer, capsys: pytest.CaptureFixture[str]
) -> None:
    beside_a_card.models.clear()
    assert choose("--offline", "--dry-run", "--json") == 0
    warnings = json.loads(capsys.readouterr().out)["warnings"]
    assert [row["code"] for row in warnings] == ["offline"]
    assert choose("--offline") == 7


def test_a_tag_of_ours_is_its_model_at_its_context(
    beside_a_card: OllamaServer, capsys: pytest.CaptureFixture[str]
) -> None:
    assert choose("--model", "qwen3.5:4b-32k-agentlaunch", "--dry-run", "--json") == 0
    data = json.loads(capsys.readouterr().out)["data"]
    assert data["model"] == "qwen3.5:4b"
    assert data["context"]["engine_tokens"] == 32_768


def test_what_cannot_talk_is_refused(
    beside_a_card: OllamaServer, capsys: pytest.CaptureFixture[str]
) -> None:
    beside_a_card.add("embed:1b", capabilities=("embedding",))
    assert choose("--model", "embed:1b", "--context", "4096") == 5
    assert "embed:1b cannot talk: Ollama says that it can do embedding" in capsys.readouterr().err


def test_an_ollama_in_trouble_ends_the_launch_and_brings_nothing(
    beside_a_card: OllamaServer, capsys: pytest.CaptureFixture[str]
) -> None:
    beside_a_card.fault("/api/ps", *[Fault(500, b'{"error":"boom"}')] * 2)
    assert choose("--model", "qwen3.5:4b") == 6
    assert "boom" in capsys.readouterr().err


def test_the_models_of_a_server_that_is_stopped_are_known_from_its_store(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    store = Store(tmp_path / "store", ours=False)
    data = write_gguf(tmp_path / "w.gguf", *small_llama(template="{{ tools }}")).read_bytes()
    files.write_atomic(store.blob_path(registry_server.digest_of(data)), data)
    row = registry_server.layer_row("model", data)
    files.write_atomic(
        store.manifest_path(parse_ref("mine:latest")), json.dumps({"layers": [row]}).encode()
    )
    (store.root / "manifests").chmod(0o755)
    folder = fake_agent(tmp_path / "bin", "")
    (folder / "ollama").write_text("#!/bin/sh\nexit 1\n")
    (folder / "ollama").chmod(0o755)
    monkeypatch.setenv("PATH", str(folder))
    monkeypatch.setenv("OLLAMA_HOST", "127.0.0.1:1")
    monkeypatch.setenv("OLLAMA_MODELS", str(store.root))
    monkeypatch.delenv("AGENTLAUNCH_ENGINE")
    assert choose("--model", "mine", "--context", "4096", "--dry-run", "--json") == 0
    document = json.loads(capsys.readouterr().out)
    assert document["data"]["engine"] == "ollama"
    kinds = [step["kind"] for step in document["data"]["steps"]]
    assert kinds == ["start-engine", "derive", "load", "prove", "warm", "hand-over"]
