"""What an Ollama store holds beside the catalog is described once, in time, or left out aloud."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import ollama_server
from agentlaunch.engines.ollama.client import Client
from agentlaunch.engines.ollama.facts import OllamaFacts
from agentlaunch.engines.ollama.replies import Tag
from agentlaunch.errors import NotSupported
from agentlaunch.models import catalog, gguf
from agentlaunch.models.refs import parse_ref
from agentlaunch.survey import Weights, installed
from gguf_writer import small_llama, write_gguf
from model_headers import ALL
from ollama_server import Fault, OllamaServer

CATALOG = catalog.load()
TOOLS = ("completion", "tools")
NINE = CATALOG.get("qwen3.5:9b").variant


@pytest.fixture
def server() -> Iterator[OllamaServer]:
    with ollama_server.running() as fake:
        yield fake


def put(server: OllamaServer, name: str, header: Any = None, **about: Any) -> None:
    server.add(name, **{"capabilities": TOOLS, **about})
    server.shapes[server.models[ollama_server.full(name)].weights] = header or small_llama()


def look(server: OllamaServer, cache: Path, **more: Any) -> installed.Described:
    client = Client(server.url)
    return installed.look(client, client.tags(), CATALOG, cache, **more)


def asked(server: OllamaServer) -> list[tuple[str, bool]]:
    return [(row["model"], row["verbose"]) for row in server.bodies("/api/show")]


def tag(name: str, digest: str = "0" * 64, **more: Any) -> Tag:
    about = {"size_bytes": 1, "parent": None, "quant": None, "context_tokens": None}
    return Tag(**{"name": name, "digest": digest, "capabilities": None, "cloud": False, **about,
                  **more})  # fmt: skip


def test_a_model_that_the_catalog_does_not_know_is_described_by_the_short_reply(
    server: OllamaServer, tmp_path: Path
) -> None:
    put(server, "own:7b")
    found = look(server, tmp_path)
    header = gguf.read_model(write_gguf(tmp_path / "m.gguf", *small_llama()))
    assert found.files["own:7b"].shape == header.shape
    assert found.files["own:7b"].takes_tools is True
    assert found.note is None
    assert asked(server) == [("own:7b", False)]


def test_only_where_a_list_is_needed_the_long_reply_is_asked_for(
    server: OllamaServer, tmp_path: Path
) -> None:
    header = ALL["gemma 4 E4B"]()
    put(server, "own:e4b", header)
    found = look(server, tmp_path, limit_s=10.0)
    whole = gguf.read_model(write_gguf(tmp_path / "m.gguf", *header))
    assert found.files["own:e4b"].shape == whole.shape
    assert asked(server) == [("own:e4b", False), ("own:e4b", True)]


def test_what_was_described_once_is_not_asked_for_again(
    server: OllamaServer, tmp_path: Path
) -> None:
    put(server, "own:7b")
    first = look(server, tmp_path)
    assert look(server, tmp_path) == first
    assert len(asked(server)) == 1
    (kept,) = (tmp_path / "shapes").iterdir()
    assert kept.stat().st_mode & 0o777 == 0o600
    assert kept.stem == Client(server.url).tags()[0].digest


@pytest.mark.parametrize(
    "change",
    [
        lambda data: b"",
        lambda data: b"\xff{",
        lambda data: b"[" * 100_000,
        lambda data: json.dumps({**data, "format": 0}).encode(),
        lambda data: json.dumps({**data, "by": "0.0.1"}).encode(),
        lambda data: json.dumps({**data, "capabilities": "all"}).encode(),
        lambda data: json.dumps({**data, "file": {**data["file"], "shape": {}}}).encode(),
    ],
)
def test_a_broken_memory_is_ignored_and_written_anew(
    server: OllamaServer, tmp_path: Path, change: Any
) -> None:
    put(server, "own:7b")
    first = look(server, tmp_path)
    (kept,) = (tmp_path / "shapes").iterdir()
    whole = kept.read_bytes()
    kept.write_bytes(change(json.loads(whole)))
    assert look(server, tmp_path) == first
    assert len(asked(server)) == 2
    assert kept.read_bytes() == whole


def test_nothing_else_is_asked_about(server: OllamaServer, tmp_path: Path) -> None:
    server.add("glm-5:cloud", capabilities=TOOLS)
    server.add("remote:7b", capabilities=TOOLS, remote_host="https://ollama.com:443")
    server.add("nomic-embed-text", capabilities=("embedding",))
    server.add("qwen3.5:9b", capabilities=TOOLS)
    server.add("own:7b-64k-agentlaunch", capabilities=TOOLS)
    assert look(server, tmp_path) == installed.Described()
    assert asked(server) == []


def test_an_embedding_model_of_an_old_server_is_left_out_once_it_is_described(
    server: OllamaServer, tmp_path: Path
) -> None:
    server.version = "0.20.0"
    put(server, "embed", capabilities=("embedding",))
    assert look(server, tmp_path) == look(server, tmp_path) == installed.Described()


def test_a_model_that_is_slow_to_be_described_is_left_out_and_named(
    server: OllamaServer, tmp_path: Path
) -> None:
    put(server, "own:7b")
    server.fault("/api/show", Fault(silent=True))
    found = look(server, tmp_path, limit_s=0.2)
    assert found.files == {}
    assert found.note == "not ranked: Ollama did not describe own:7b in time"
    assert list(look(server, tmp_path).files) == ["own:7b"]


@pytest.mark.parametrize(
    "fault",
    [
        Fault(500, b'{"error":"unable to load"}'),
        Fault(404, b'{"error":"model \'own:7b\' not found"}'),
        Fault(200, b"<html>sign in</html>"),
        Fault(200, b'{"model_info":{}}'),
        Fault(200, b"{", cut=True),
        Fault(200, b'{"details":{"format":"safetensors"},"model_info":{"a":1}}'),
        Fault(302, headers=(("Location", "http://127.0.0.1:1/"),)),
    ],
)
def test_a_description_that_is_none_costs_nobody_else_anything(
    server: OllamaServer, tmp_path: Path, fault: Fault
) -> None:
    put(server, "own:7b")
    server.fault("/api/show", fault)
    client = Client(server.url)
    found = installed.look(client, client.tags(), CATALOG, tmp_path)
    assert found.files == {}
    assert found.note == "not ranked: what Ollama says of own:7b does not tell a size"
    put(server, "other:7b")
    assert sorted(look(server, tmp_path).files) == ["other:7b", "own:7b"]


def test_without_tensors_the_size_in_the_list_is_an_estimate(
    server: OllamaServer, tmp_path: Path
) -> None:
    put(server, "own:7b", (small_llama()[0], []), size=4_000_000_000)
    file = look(server, tmp_path).files["own:7b"]
    assert (file.size_bytes, file.shape.weights) == (4_000_000_000, None)


def test_the_same_bytes_under_two_names_are_one_model(server: OllamaServer, tmp_path: Path) -> None:
    for name in ("b:latest", "b:7b", "c:7b"):
        put(server, name)
    client = Client(server.url)
    tags = [replace(row, digest=row.name[0] * 64) for row in client.tags()]
    assert sorted(installed.look(client, tags, CATALOG, tmp_path).files) == ["b:7b", "c:7b"]


@pytest.mark.parametrize("digest", [None, "", "../../x", "sha256:1", "A" * 64])
def test_what_is_no_digest_names_no_file(
    server: OllamaServer, tmp_path: Path, digest: str | None
) -> None:
    put(server, "own:7b")
    client = Client(server.url)
    tags = [replace(row, digest=digest) for row in client.tags()]
    for _ in range(2):
        found = installed.look(client, tags, CATALOG, tmp_path / "cache")
        assert list(found.files) == ["own:7b"]
    assert list(tmp_path.iterdir()) == []


def test_a_cache_that_cannot_be_written_costs_only_time(
    server: OllamaServer, tmp_path: Path
) -> None:
    put(server, "own:7b")
    (tmp_path / "shapes").write_text("a file where a folder belongs")
    for _ in range(2):
        assert list(look(server, tmp_path).files) == ["own:7b"]


# ---- what the catalog knows ----------------------------------------------------------------


def test_a_build_of_the_catalog_is_known_by_name_or_by_the_digest_of_its_manifest() -> None:
    copy = NINE.digest_prefix + "0" * 52
    tags = (
        tag("qwen3.5:9b"),
        tag("mine:latest", copy),
        tag("also:latest", f"sha256:{copy}"),
        tag("qwen3.5:9b-64k-agentlaunch", copy),
        tag("cloudy:1", copy, cloud=True),
        tag("own:7b"),
    )
    found = installed.of_catalog(tags, CATALOG)
    assert {name: entry.model.id for name, entry in found.items()} == {
        "qwen3.5:9b": "qwen3.5:9b",
        "mine:latest": "qwen3.5:9b",
        "also:latest": "qwen3.5:9b",
    }
    assert found["mine:latest"].variant.digest_prefix == NINE.digest_prefix


# ---- what was asked for by name ------------------------------------------------------------


def wanted(name: str) -> Weights:
    ref = parse_ref(name)
    return Weights(str(ref), ref, None, None, None, None, CATALOG.find(name), "catalog")


def facts(server: OllamaServer, **changes: Any) -> OllamaFacts:
    client = Client(server.url)
    tags = tuple(replace(row, **changes) for row in client.tags())
    return OllamaFacts(client, client.version(), tags)


def test_a_model_that_only_the_server_has_is_described_by_it_and_kept(
    server: OllamaServer, tmp_path: Path
) -> None:
    put(server, "own:7b", capabilities=(*TOOLS, "thinking", "vision"))
    for _ in range(2):
        seen = installed.described(wanted("own:7b"), facts(server), CATALOG, tmp_path)
        assert seen.file is not None
        assert seen.file.shape.weights is not None
        assert (seen.source, seen.size_bytes, seen.entry) == ("ollama", 1000, None)
        assert seen.capabilities == frozenset({*TOOLS, "thinking", "vision"})
    assert len(asked(server)) == 1


def test_an_installed_model_of_the_catalog_gets_its_exact_shape(
    server: OllamaServer, tmp_path: Path
) -> None:
    put(server, "qwen3.5:9b")
    seen = installed.described(wanted("qwen3.5:9b"), facts(server), CATALOG, tmp_path)
    assert seen.entry == CATALOG.get("qwen3.5:9b")
    assert seen.file is not None


def test_a_copy_of_a_model_of_the_catalog_is_that_model(
    server: OllamaServer, tmp_path: Path
) -> None:
    put(server, "mine")
    known = facts(server, digest=NINE.digest_prefix + "0" * 52)
    seen = installed.described(wanted("mine"), known, CATALOG, tmp_path)
    assert seen.entry is not None
    assert seen.entry.model.id == "qwen3.5:9b"


def test_a_model_that_the_server_runs_elsewhere_is_refused(
    server: OllamaServer, tmp_path: Path
) -> None:
    server.add("remote:7b", remote_host="https://ollama.com:443")
    with pytest.raises(NotSupported, match="runs in Ollama's cloud") as caught:
        installed.described(wanted("remote:7b"), facts(server), CATALOG, tmp_path)
    assert caught.value.code == "cloud-model"


def test_what_the_server_does_not_have_stays_as_it_was(
    server: OllamaServer, tmp_path: Path
) -> None:
    weights = wanted("qwen3.5:9b")
    assert installed.described(weights, facts(server), CATALOG, tmp_path) is weights
    assert installed.described(weights, None, CATALOG, tmp_path) is weights
