"""The catalog's refresh against a registry that serves headers in the true shape of models."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from agentlaunch.errors import ModelUnavailable
from agentlaunch.machine import simulate
from agentlaunch.models import catalog, gguf
from agentlaunch.models.catalog import Catalog
from agentlaunch.models.fit import fit
from agentlaunch.models.gguf_header import BadGguf, parse_header
from agentlaunch.models.memory import Allocation
from agentlaunch.models.refs import parse_ref
from agentlaunch.models.registry import Registry
from agentlaunch.models.remote import FIRST_BYTES, RemoteModel, read_remote
from agentlaunch.models.shape import ModelShape
from gguf_writer import header_bytes
from model_headers import HEADERS
from registry_server import Fault, RegistryServer, digest_of, layer_row, running

ROOT = Path(__file__).parents[2]
SCRIPT = ROOT / "scripts" / "refresh_catalog.py"
TAGS = ("qwen3:4b-instruct", "qwen3-coder:30b", "gpt-oss:20b")
WORDS = 151_936


@pytest.fixture
def registry() -> Iterator[RegistryServer]:
    with running() as server:
        yield server


class Refresh:
    """The script, asking for three models, with files of its own."""

    def __init__(self, folder: Path, port: int) -> None:
        self.headers, self.target = folder / "headers.json", folder / "catalog.json"
        self.base = f"http://127.0.0.1:{port}/library/"

    def run(self, *more: str) -> subprocess.CompletedProcess[str]:
        files = ["--headers-file", str(self.headers), "--target", str(self.target)]
        line = [sys.executable, str(SCRIPT), *files, "--registry", self.base, *more]
        return subprocess.run(line, capture_output=True, text=True, check=False)

    def catalog(self) -> Catalog:
        return catalog.read(self.target)


@pytest.fixture
def refresh(tmp_path: Path, registry: RegistryServer) -> Refresh:
    return Refresh(tmp_path, registry.port)


def offer(server: RegistryServer, tag: str, name: str, **metadata: Any) -> tuple[ModelShape, int]:
    """A true header under a tag, its tensors never sent; gives its shape and the blobs' bytes."""
    keys, tensors = HEADERS[name]()
    head, data_bytes = header_bytes(keys | metadata, tensors)
    header = parse_header(head, name=name)
    assert isinstance(header, gguf.Header)
    blob, config = head.ljust(2 * FIRST_BYTES, b"\0"), b"{}"
    server.blobs[digest_of(blob)] = blob
    weights = layer_row("model", blob, size=len(head) + data_bytes)
    document = {"layers": [weights], "config": layer_row("config", config)}
    server.add_manifest(f"library/{tag}", json.dumps(document).encode())
    return gguf.describe(header, name=name).shape, len(head) + data_bytes + len(config)


def test_a_build_whose_header_was_read_is_exact(registry: RegistryServer, refresh: Refresh) -> None:
    offered = {
        "qwen3:4b-instruct": offer(registry, "qwen3:4b-instruct", "qwen 3 4B"),
        "qwen3-coder:30b": offer(registry, "qwen3-coder:30b", "qwen 3 30B-A3B"),
        "gpt-oss:20b": offer(registry, "gpt-oss:20b", "gpt-oss 20B"),
    }
    done = refresh.run("--headers", *TAGS)
    assert (done.returncode, done.stderr) == (0, "")
    machine = simulate.from_spec("gpu=RTX 3090:24GiB,ram=64GiB")
    for tag, (shape, size_bytes) in offered.items():
        entry = refresh.catalog().get(tag)
        assert entry.variant.evidence == "exact"
        assert entry.variant.size_bytes == size_bytes
        known = entry.model.shape_of(entry.variant)
        assert (known.layers, known.weights) == (shape.layers, shape.weights)
        asked = Allocation(32_768)
        ours = fit(machine, known, asked, published_bytes=size_bytes)
        theirs = fit(machine, shape, asked, published_bytes=size_bytes)
        assert ours == theirs
        assert ours.evidence == "exact"
        assert shape.weights is not None
        assert ours.weights_bytes == shape.weights.total_bytes
    asked_for = {seen.range for seen in registry.seen if "/blobs/" in seen.path}
    assert asked_for == {f"bytes=0-{FIRST_BYTES - 1}"}


def test_a_header_longer_than_the_first_piece_is_asked_for_again(
    registry: RegistryServer, refresh: Refresh
) -> None:
    words = [f"a word that is quite long, number {i}" for i in range(WORDS)]
    offer(registry, "qwen3:4b-instruct", "qwen 3 4B", **{"tokenizer.ggml.tokens": words})
    refresh.run("--headers", *TAGS)
    assert refresh.catalog().get("qwen3:4b-instruct").variant.evidence == "exact"
    assert f"bytes=0-{2 * FIRST_BYTES - 1}" in [seen.range for seen in registry.seen]


def test_what_cannot_be_read_stays_an_estimate_and_is_said(
    registry: RegistryServer, refresh: Refresh
) -> None:
    offer(registry, "qwen3-coder:30b", "qwen 3 30B-A3B")
    registry.add("library/gpt-oss:20b", {"model": b"no gguf at all".ljust(99)})
    done = refresh.run("--headers", *TAGS)
    assert done.returncode == 0
    assert "library/gpt-oss:20b is not a usable .gguf" in done.stdout
    assert "qwen3:4b-instruct: 127.0.0.1" in done.stdout
    made = refresh.catalog()
    known = {tag: made.get(tag).variant.evidence for tag in TAGS}
    assert known == {
        "qwen3:4b-instruct": "estimated",
        "qwen3-coder:30b": "exact",
        "gpt-oss:20b": "estimated",
    }
    unread = made.get("qwen3-coder:30b-a3b-q8_0")
    shape = unread.model.shape_of(unread.variant)
    assert (unread.variant.evidence, shape.weights) == ("estimated", None)
    assert (shape.architecture, shape.tied, len(shape.expert_layers)) == ("qwen3moe", False, 48)
    entry = made.get("gpt-oss:20b")
    shipped = catalog.load().get("gpt-oss:20b")
    assert entry.model.shape_of(entry.variant) == shipped.model.shape_of(shipped.variant)


def test_headers_once_read_outlive_a_registry_out_of_reach(
    registry: RegistryServer, refresh: Refresh
) -> None:
    offer(registry, "qwen3-coder:30b", "qwen 3 30B-A3B")
    refresh.run("--headers", *TAGS)
    before = refresh.target.read_bytes()
    refresh.base = "http://127.0.0.1:9/library/"
    done = refresh.run("--headers", *TAGS)
    assert done.returncode == 0
    assert done.stdout.count("stays as it is") == 1
    assert "0 headers read" in done.stdout
    assert refresh.target.read_bytes() == before
    assert refresh.run("--check").returncode == 0


def test_builds_of_the_same_bytes_are_asked_for_once(
    registry: RegistryServer, refresh: Refresh
) -> None:
    offer(registry, "qwen3-coder:30b", "qwen 3 30B-A3B")
    refresh.run("--headers", *TAGS)
    manifests = [seen.path for seen in registry.seen if "/qwen3-coder/manifests/" in seen.path]
    assert len(manifests) == len(set(manifests))
    rows = refresh.catalog().get("qwen3-coder:30b").model.variants
    same = [row for row in rows if row.default]
    assert len(same) > 1
    assert {row.evidence for row in same} == {"exact"}


def test_a_fault_that_passes_is_tried_again(registry: RegistryServer, refresh: Refresh) -> None:
    offer(registry, "qwen3-coder:30b", "qwen 3 30B-A3B")
    registry.fault("30b", Fault(cut_after=10))
    refresh.run("--headers", *TAGS)
    assert refresh.catalog().get("qwen3-coder:30b").variant.evidence == "exact"


def test_the_check_fails_on_a_stale_catalog(refresh: Refresh) -> None:
    assert refresh.run().returncode == 0
    assert refresh.run("--check").returncode == 0
    refresh.target.write_text("{}", encoding="utf-8")
    done = refresh.run("--check")
    assert (done.returncode, done.stderr.strip()) == (
        1,
        "catalog.json is stale: run scripts/refresh_catalog.py",
    )


def remote(registry: RegistryServer, tag: str) -> RemoteModel:
    ref = parse_ref(f"http://{registry.host}/library/{tag}")
    return read_remote(Registry(insecure=True), ref)


def test_a_model_in_a_registry_is_described_without_its_tensors(registry: RegistryServer) -> None:
    shape, size_bytes = offer(registry, "qwen3-coder:30b", "qwen 3 30B-A3B")
    found = remote(registry, "qwen3-coder:30b")
    assert found.file.shape == shape
    assert found.manifest.total_bytes == size_bytes
    sent = [len(registry.blobs[seen.path.rpartition("/")[2]]) for seen in registry.seen[1:]]
    assert sum(sent) < size_bytes // 100


def test_weights_in_another_format_are_refused(registry: RegistryServer) -> None:
    registry.add("library/cloud:1b", {"license": b"free"})
    with pytest.raises(ModelUnavailable, match="no single file of GGUF weights"):
        remote(registry, "cloud:1b")


def test_a_header_that_never_ends_is_refused(registry: RegistryServer) -> None:
    keys, tensors = HEADERS["qwen 3 4B"]()
    head, _ = header_bytes(keys, tensors)
    registry.add("library/cut:1b", {"model": head[: len(head) // 2]})
    with pytest.raises(BadGguf, match="its header has no end"):
        remote(registry, "cut:1b")
