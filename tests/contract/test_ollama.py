"""Ollama's API: one suite against the fake and, where `AGENTLAUNCH_TEST_OLLAMA` names the address
of a real server, against that; the faults of the wild only against the fake."""

from __future__ import annotations

import contextlib
import json
import os
import re
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import pytest

import ollama_server
import registry_server
import small_model
from agentlaunch import web
from agentlaunch.engines.ollama.client import Client
from agentlaunch.engines.ollama.derive import Derived, derive, list_ours, remove
from agentlaunch.engines.ollama.keep import KEEP_ALIVE
from agentlaunch.engines.ollama.pull import failed, pull
from agentlaunch.engines.ollama.replies import Version, cpu_share, same_model
from agentlaunch.errors import (
    AgentlaunchError,
    AuthNeeded,
    EngineFailed,
    MachineCannot,
    ModelUnavailable,
    NotSupported,
    Refused,
)
from agentlaunch.models.manifest import parse_manifest
from agentlaunch.progress import finish
from gguf_writer import small_llama, write_gguf
from ollama_server import Fault, OllamaServer

REAL = os.environ.get("AGENTLAUNCH_TEST_OLLAMA", "")
CONTEXT = 2048


@dataclass(frozen=True)
class Bench:
    """A server, and a model that it can pull."""

    client: Client
    model: str
    total_bytes: int
    registry: registry_server.RegistryServer

    def ask(self, method: str, path: str, body: object = None, **headers: str) -> web.Reply:
        """A plain exchange, where the very shape of the answer matters."""
        url = self.client.url + path
        return web.request(method, url, json_body=body, headers=headers)

    def error(self, method: str, path: str, body: object = None) -> tuple[int, object]:
        reply = self.ask(method, path, body)
        return reply.status, reply.json()["error"]


@contextlib.contextmanager
def _registry(weights: bytes) -> Iterator[tuple[registry_server.RegistryServer, str, int]]:
    with registry_server.running() as registry:
        registry.redirect_blobs_to = "http://localhost:{port}/cdn/{digest}"
        config = json.dumps({"model_format": "gguf", "model_family": "llama",
                             "model_type": "135M", "file_type": "Q4_1"}).encode()  # fmt: skip
        layers = {"model": weights, "template": b"{{ .Prompt }}"}
        name = registry.add("ns/small:q4", layers, config=config)
        yield registry, name, parse_manifest(registry.manifests["ns/small:q4"]).total_bytes


@pytest.fixture(
    scope="module", params=["fake", pytest.param("real", marks=pytest.mark.needs_ollama)]
)
def bench(request: pytest.FixtureRequest) -> Iterator[Bench]:
    if request.param == "fake":
        served = _registry(b"weights" * 1000)
        with served as (registry, name, total), ollama_server.running() as fake:
            fake.registry = registry
            yield Bench(Client(fake.url), name, total, registry)
        return
    if not REAL:
        pytest.skip("AGENTLAUNCH_TEST_OLLAMA names no real server")
    client = Client(REAL)
    with _registry(small_model.small_model().read_bytes()) as (registry, name, total):
        yield Bench(client, name, total, registry)
        for tag in client.tags():
            if tag.name.lower().startswith(name.rpartition(":")[0]):
                client.delete(tag.name)


@pytest.fixture
def pulled(bench: Bench) -> Bench:
    finish(pull(bench.client, bench.model, insecure=True))
    return bench


@pytest.fixture
def fake() -> Iterator[OllamaServer]:
    with ollama_server.running() as server:
        yield server


def _fails(work: Any, kind: type[AgentlaunchError]) -> tuple[str, int]:
    with pytest.raises(kind) as caught:
        finish(work)
    assert caught.value.hint
    return caught.value.code, caught.value.exit_code


# --- the same for both -----------------------------------------------------------------------


def test_it_says_which_version_it_is(bench: Bench) -> None:
    assert bench.client.version().wires == (
        "anthropic_messages", "openai_responses", "openai_chat",
    )  # fmt: skip


def test_a_pull_counts_all_layers_in_one_total_and_ends_with_all_of_it(bench: Bench) -> None:
    bench.client.delete(bench.model)
    manifest = parse_manifest(bench.registry.manifests["ns/small:q4"])
    layers = {blob.digest: (0, blob.size_bytes) for blob in manifest.blobs}
    seen = list(pull(bench.client, bench.model, insecure=True, layers=layers))
    assert {report.total_bytes for report in seen} == {bench.total_bytes}
    done = [report.done_bytes or 0 for report in seen]
    assert (done[0], done[-1], done) == (0, bench.total_bytes, sorted(done))


def test_a_second_pull_finds_everything_there(pulled: Bench) -> None:
    last = list(pull(pulled.client, pulled.model, insecure=True))[-1]
    assert (last.done_bytes, last.total_bytes) == (pulled.total_bytes, pulled.total_bytes)


def test_an_unknown_model_is_an_error_inside_a_good_stream(bench: Bench) -> None:
    unknown = bench.model.replace("small", "nosuch")
    work = pull(bench.client, unknown, insecure=True)
    assert _fails(work, ModelUnavailable) == ("unknown-model", 7)


def test_a_registry_without_tls_is_told_apart(bench: Bench) -> None:
    bench.client.delete(bench.model)
    assert _fails(pull(bench.client, bench.model), ModelUnavailable) == ("registry-insecure", 7)


def test_installed_models_are_listed_with_size_and_capabilities(pulled: Bench) -> None:
    (tag,) = (t for t in pulled.client.tags() if same_model(t.name, pulled.model))
    assert (tag.size_bytes, tag.cloud) == (pulled.total_bytes, False)
    assert tag.capabilities is not None
    assert "completion" in tag.capabilities


def test_a_model_that_is_not_there_is_no_engine_failure(bench: Bench) -> None:
    with pytest.raises(ModelUnavailable) as caught:
        bench.client.show("no-such-model")
    assert (caught.value.code, caught.value.hint) == (
        "unknown-model", "agentlaunch models pull no-such-model",
    )  # fmt: skip
    assert _fails(bench.client.load("no-such-model"), ModelUnavailable) == ("unknown-model", 7)
    assert bench.client.delete("no-such-model") is False


def test_a_derived_tag_pins_the_context_shares_the_weights_and_is_reused(pulled: Bench) -> None:
    client = pulled.client
    made = finish(derive(client, pulled.model, context_tokens=CONTEXT, batch=256))
    name = f"{pulled.model}-2k-agentlaunch"
    assert made == Derived(name, pulled.model, CONTEXT, created=True)
    shown, base = client.show(name), client.show(pulled.model)
    assert (shown.number("num_ctx"), shown.number("num_batch")) == (CONTEXT, 256)
    assert shown.weights == base.weights != frozenset()
    again = finish(derive(client, pulled.model, context_tokens=CONTEXT, batch=256))
    assert again == Derived(name, pulled.model, CONTEXT)
    assert name in [found.name for found in list_ours(client)]
    assert remove(client, name) is True
    assert remove(client, name) is False
    assert client.show(pulled.model) == base


def test_another_batch_makes_the_tag_anew(pulled: Bench) -> None:
    finish(derive(pulled.client, pulled.model, context_tokens=CONTEXT, batch=256))
    again = finish(derive(pulled.client, pulled.model, context_tokens=CONTEXT, batch=128))
    assert again.created
    assert pulled.client.show(again.name).number("num_batch") == 128


def test_sampling_is_written_where_the_base_has_none_and_follows_it(pulled: Bench) -> None:
    """Facts B5: what the base sets is inherited, and with it the user's own words."""
    client = pulled.client

    def made(**parameters: float) -> tuple[Derived, dict[str, tuple[str, ...]]]:
        work = derive(client, pulled.model, context_tokens=CONTEXT, parameters=parameters)
        found = finish(work)
        return found, dict(client.show(found.name).parameters)

    first, shown = made(temperature=0.6, top_k=20)
    assert (shown["temperature"], shown["top_k"]) == (("0.6",), ("20",))
    assert made(temperature=0.6, top_k=20)[0] == replace(first, created=False)
    other, shown = made(temperature=0.7)
    assert other.created
    assert shown["temperature"] == ("0.7",)
    assert "top_k" not in shown
    body = {"model": pulled.model, "from": pulled.model, "parameters": {"temperature": 0.33}}
    for _event in client.events("/api/create", {**body, "stream": True}, silence_s=30.0):
        pass  # the user writes a value of their own into the base
    again, shown = made(temperature=0.7)
    assert again.created
    assert shown["temperature"] == ("0.33",)
    assert not made(temperature=0.7)[0].created


def _create(client: Client, name: str, base: str, **about: Any) -> None:
    """As `ollama create` does."""
    body = {"model": name, "from": base, **about}
    events = list(client.events("/api/create", body, silence_s=60))
    assert events[-1].status == "success"


def _made(bench: Bench, base: str) -> bool:
    return finish(derive(bench.client, base, context_tokens=CONTEXT)).created


@pytest.mark.parametrize(
    "about",
    [
        {"system": 'Be "brief".\nTwo lines'},
        {"template": "{{ .System }} {{ .Prompt }}"},
        {"renderer": "qwen3-coder", "parser": "qwen3-coder"},
    ],
)
def test_a_tag_is_made_anew_when_its_base_speaks_otherwise_and_only_then(
    pulled: Bench, about: dict[str, str]
) -> None:
    base = f"{pulled.model}-voice"
    _create(pulled.client, base, pulled.model)
    assert _made(pulled, base)
    assert not _made(pulled, base)
    _create(pulled.client, base, pulled.model, **about)
    assert _made(pulled, base)
    assert not _made(pulled, base)
    name = f"{base}-2k-agentlaunch"
    assert pulled.client.show(name).voice == pulled.client.show(base).voice
    for tag in (name, base):
        pulled.client.delete(tag)


def _gguf(path: Path, kind: str, **more: Any) -> bytes:
    metadata, tensors = small_llama(template="{{ messages }}")
    about = {key.replace("llama", kind): value for key, value in metadata.items()}
    about |= {"general.architecture": kind} | more
    return write_gguf(path, about, tensors).read_bytes()


def test_a_projector_counts_among_the_weights(bench: Bench, tmp_path: Path) -> None:
    weights = _gguf(tmp_path / "m.gguf", "llama")
    for projector in ("one", "two"):
        sees = _gguf(tmp_path / "p.gguf", "clip", **{"general.name": projector})
        name = bench.registry.add("ns/small:seeing", {"model": weights, "projector": sees})
        finish(pull(bench.client, name, insecure=True))
        assert len(bench.client.show(name).weights) == 2
        assert _made(bench, name)
        assert not _made(bench, name)


def test_a_kind_that_gets_a_renderer_of_its_own_is_made_once(bench: Bench, tmp_path: Path) -> None:
    """Seen with 0.33: a create adds it, and with it the template that is told is another."""
    weights = _gguf(tmp_path / "m.gguf", "gemma4")
    name = bench.registry.add("ns/small:gemma", {"model": weights})
    finish(pull(bench.client, name, insecure=True))
    assert _made(bench, name)
    assert not _made(bench, name)
    base, tag = bench.client.show(name), bench.client.show(f"{name}-2k-agentlaunch")
    assert tag.voice != base.voice
    assert tag.weights == base.weights


def test_a_tag_of_the_users_own_with_a_name_of_ours_is_not_overwritten(pulled: Bench) -> None:
    client, name = pulled.client, f"{pulled.model}-2k-agentlaunch"
    _create(client, name, pulled.model, parameters={"num_ctx": 512})
    before = client.show(name)
    work = derive(client, pulled.model, context_tokens=CONTEXT)
    assert _fails(work, Refused) == ("not-ours", 8)
    assert client.show(name) == before
    client.delete(name)


def test_a_tag_of_ours_tells_what_it_was_made_from(pulled: Bench) -> None:
    """By this it is ours still when the base has got other weights."""
    assert _made(pulled, pulled.model)
    name = f"{pulled.model}-2k-agentlaunch"
    assert pulled.client.show(name).parent == pulled.model
    pulled.client.delete(name)


def test_a_model_that_needs_a_newer_ollama_is_refused_before_anything_is_made(
    pulled: Bench,
) -> None:
    base = f"{pulled.model}-newer"
    _create(pulled.client, base, pulled.model, requires="99.1.0")
    work = derive(pulled.client, base, context_tokens=CONTEXT)
    assert _fails(work, NotSupported) == ("ollama-too-old", 5)
    assert f"{base}-2k-agentlaunch" not in [tag.name for tag in pulled.client.tags()]
    _create(pulled.client, base, pulled.model, requires="0.14.0")
    assert _made(pulled, base)
    for tag in (f"{base}-2k-agentlaunch", base):
        pulled.client.delete(tag)


def test_a_load_never_shortens_what_another_asked_for(pulled: Bench) -> None:
    client = pulled.client

    def left_h(keep_alive: str | int) -> float:
        (row,) = [finish(client.load(pulled.model, keep_alive=keep_alive))]
        assert row.expires_at is not None
        return (row.expires_at - datetime.now(timezone.utc)).total_seconds() / 3600

    assert left_h("5m") == pytest.approx(1 / 12, abs=0.02)
    assert left_h("2h") == pytest.approx(2, abs=0.02)
    assert left_h("5m") == pytest.approx(2, abs=0.02)
    assert left_h(-1) > 10_000
    assert left_h("2h") > 10_000
    client.unload(pulled.model)


def test_a_base_that_is_not_there_is_not_pulled_in_passing(bench: Bench) -> None:
    bench.client.delete(bench.model)
    work = derive(bench.client, bench.model, context_tokens=CONTEXT)
    assert _fails(work, ModelUnavailable) == ("unknown-model", 7)
    assert bench.model not in [tag.name for tag in bench.client.tags()]


def test_only_tags_of_ours_are_removed(pulled: Bench) -> None:
    with pytest.raises(Refused, match="was not made by agentlaunch"):
        remove(pulled.client, pulled.model)
    assert pulled.model in [tag.name for tag in pulled.client.tags()]


def test_the_derived_tag_is_loaded_with_its_context_and_unloaded(pulled: Bench) -> None:
    client = pulled.client
    name = finish(derive(client, pulled.model, context_tokens=CONTEXT, batch=256)).name
    loaded = finish(client.load(name, keep_alive="5m"))
    assert (loaded.model, loaded.context_tokens) == (name, CONTEXT)
    assert loaded.size_bytes is not None
    assert loaded.size_bytes > 0
    assert client.loaded() == (loaded,)
    client.unload(name)
    limit = time.monotonic() + 10
    while client.loaded():
        assert time.monotonic() < limit
        time.sleep(0.1)


def test_a_context_beyond_the_training_is_allocated_shorter_and_seen(pulled: Bench) -> None:
    name = finish(derive(pulled.client, pulled.model, context_tokens=16384)).name
    assert finish(pulled.client.load(name)).context_tokens == 8192
    pulled.client.unload(name)


def test_its_root_says_what_it_is_and_so_does_a_look_without_a_body(bench: Bench) -> None:
    """Facts A2."""
    assert bench.ask("GET", "/").body == b"Ollama is running"
    for path in ("/", "/api/version"):
        reply = bench.ask("HEAD", path)
        assert (reply.status, reply.body) == (200, b"")


def test_a_foreign_host_name_gets_an_empty_403(bench: Bench) -> None:
    """Facts A2: the guard against rebound names, where it listens on loopback."""
    reply = bench.ask("GET", "/api/version", host="website.example")
    assert (reply.status, reply.body) == (403, b"")
    port = bench.client.url.rpartition(":")[2]
    assert bench.ask("GET", "/api/version", host=f"localhost:{port}").status == 200


def test_a_page_of_another_website_gets_a_403_and_one_of_this_machine_does_not(
    bench: Bench,
) -> None:
    assert bench.ask("GET", "/api/version", origin="https://website.example").status == 403
    assert bench.ask("GET", "/api/version", origin="http://localhost:3000").status == 200


@pytest.mark.parametrize("path", ["/api/show", "/api/pull", "/api/create", "/api/generate"])
def test_a_request_without_a_body_or_with_half_a_name_is_refused(bench: Bench, path: str) -> None:
    """Facts B0."""
    assert bench.error("POST", path) == (400, "missing request body")
    odd = {"model": "../x", "from": "y"}
    assert bench.error("POST", path, odd) == (400, "invalid model name")


def test_what_is_not_there_is_a_404_in_words_that_tell_it_from_a_missing_page(
    bench: Bench,
) -> None:
    for method, path in (
        ("POST", "/api/show"), ("POST", "/api/generate"), ("DELETE", "/api/delete"),
    ):  # fmt: skip
        status, said = bench.error(method, path, {"model": "no-such"})
        assert status == 404
        assert re.fullmatch("model 'no-such(:latest)?' not found", str(said))
    for method, path in (("GET", "/api/nothing"), ("POST", "/v1/messages/count_tokens")):
        reply = bench.ask(method, path)
        assert (reply.status, reply.body) == (404, b"404 page not found")
    assert bench.ask("GET", "/api/show").status == 405


def test_a_create_from_nothing_is_refused(bench: Bench) -> None:
    """Facts B5."""
    said = bench.error("POST", "/api/create", {"model": "x"})
    assert said == (400, "neither 'from' or 'files' was specified")


def test_a_cloud_model_where_the_cloud_is_off_is_told_as_such(bench: Bench) -> None:
    """Facts B0; a real server must run with OLLAMA_NO_CLOUD=1 for it."""
    for path in ("/api/show", "/api/generate"):
        status, said = bench.error("POST", path, {"model": "gpt-oss:20b-cloud"})
        assert (status, str(said).partition(":")[0]) == (403, "ollama cloud is disabled")
    assert bench.ask("GET", "/api/status").json() == {"cloud": {"disabled": True, "source": "env"}}
    work = bench.client.load("gpt-oss:20b-cloud")
    assert _fails(work, NotSupported) == ("cloud-model", 5)
    with pytest.raises(NotSupported):
        bench.client.show("gpt-oss:20b-cloud")


def test_a_row_of_the_list_says_what_the_facts_name(pulled: Bench) -> None:
    """Facts B1."""
    (row,) = (
        row for row in pulled.ask("GET", "/api/tags").json()["models"]
        if row["name"] == pulled.model
    )  # fmt: skip
    assert {"name", "model", "modified_at", "size", "digest", "details", "capabilities"} <= set(row)
    assert {
        "parent_model", "format", "family", "families", "parameter_size", "quantization_level",
        "context_length", "embedding_length",
    } <= set(row["details"])  # fmt: skip


def test_a_loaded_row_says_what_the_facts_name(pulled: Bench) -> None:
    """Facts B3; all of it lies in main memory on a machine without a GPU."""
    finish(pulled.client.load(pulled.model))
    (row,) = pulled.ask("GET", "/api/ps").json()["models"]
    assert {
        "name", "model", "size", "digest", "details", "expires_at", "size_vram", "context_length",
    } <= set(row)  # fmt: skip
    pulled.client.unload(pulled.model)


def test_loading_and_unloading_say_so_and_answer_nothing(pulled: Bench) -> None:
    """Facts B6."""
    body = {"model": pulled.model, "stream": False}
    for more, reason in (({}, "load"), ({"keep_alive": 0}, "unload")):
        reply = web.request(
            "POST", f"{pulled.client.url}/api/generate", json_body={**body, **more}, deadline_s=60
        ).json()
        assert (reply["done"], reply["done_reason"], reply["response"]) == (True, reason, "")


def test_a_model_and_its_derived_tag_share_one_place_in_memory(pulled: Bench) -> None:
    """Facts B6: never both at once."""
    client = pulled.client
    name = finish(derive(client, pulled.model, context_tokens=CONTEXT)).name
    for model in (pulled.model, name, pulled.model):
        assert same_model(finish(client.load(model)).model, model)
        assert len(client.loaded()) == 1
    client.unload(pulled.model)


def test_a_context_asked_for_at_load_does_not_last(pulled: Bench) -> None:
    """Facts B6: the next request without one gets the default; hence a tag of ours."""
    client = pulled.client
    body = {"model": pulled.model, "stream": False, "options": {"num_ctx": 1024}}
    url = f"{client.url}/api/generate"
    assert web.request("POST", url, json_body=body, deadline_s=60).status == 200
    assert [row.context_tokens for row in client.loaded()] == [1024]
    assert finish(client.load(pulled.model)).context_tokens == 4096
    client.unload(pulled.model)


def test_the_parameter_of_a_tag_outranks_the_servers_default(pulled: Bench) -> None:
    """Facts C1."""
    name = finish(derive(pulled.client, pulled.model, context_tokens=1024)).name
    assert finish(pulled.client.load(name)).context_tokens == 1024
    pulled.client.unload(name)


def test_a_create_tells_its_steps_and_keeps_what_the_base_had(pulled: Bench) -> None:
    """Facts B5: the weights' layer is shared, parameters add up, a second one overrides."""
    client, tag = pulled.client, f"{pulled.model}-steps"
    for base, parameters in ((pulled.model, {"num_ctx": 1024}), (tag, {"num_batch": 64})):
        body = {"model": tag, "from": base, "parameters": parameters}
        seen = [event.status for event in client.events("/api/create", body, silence_s=60)]
        assert seen[-2:] == ["writing manifest", "success"]
        assert any(status.startswith("using existing layer sha256:") for status in seen)
    shown = client.show(tag)
    assert (shown.number("num_ctx"), shown.number("num_batch")) == (1024, 64)
    assert shown.weights == client.show(pulled.model).weights
    assert client.delete(tag) is True
    assert client.show(pulled.model).weights == shown.weights


def test_the_list_of_openais_shape_names_the_same_models(pulled: Bench) -> None:
    """Facts B7; seen with 0.33: the owner is the name's own namespace."""
    rows = pulled.ask("GET", "/v1/models").json()["data"]
    (row,) = (row for row in rows if row["id"] == pulled.model)
    assert (row["object"], row["owned_by"]) == ("model", "ns")


def test_names_are_found_without_their_case(pulled: Bench) -> None:
    """Facts E: the case of a stored name is used again."""
    name = pulled.model.upper().replace(":Q4", ":q4")
    assert pulled.client.show(name) == pulled.client.show(pulled.model)


def test_a_name_without_a_tag_is_the_latest(pulled: Bench) -> None:
    """Facts B1: `x` lists as `x:latest`."""
    bare = pulled.model.rpartition(":")[0]
    reply = pulled.ask("POST", "/api/copy", {"source": pulled.model, "destination": bare})
    assert (reply.status, reply.body) == (200, b"")
    (tag,) = (tag for tag in pulled.client.tags() if tag.name == f"{bare}:latest")
    assert same_model(tag.name, bare)
    assert pulled.client.show(bare) == pulled.client.show(tag.name)
    assert pulled.client.delete(bare) is True
    assert pulled.client.delete(bare) is False


def test_what_is_to_be_copied_must_be_there(bench: Bench) -> None:
    said = bench.error("POST", "/api/copy", {"source": "no-such", "destination": "x"})
    assert said == (404, 'model "no-such" not found')


def test_a_pull_tells_its_steps_in_order(bench: Bench) -> None:
    """Facts B4."""
    bench.client.delete(bench.model)
    body = {"model": bench.model, "insecure": True}
    seen = list(bench.client.events("/api/pull", body, silence_s=60))
    steps = dict.fromkeys(event.status for event in seen)
    fixed = ("pulling manifest", "verifying sha256 digest", "writing manifest", "success")
    assert tuple(step for step in steps if step in fixed) == fixed
    layers = {event.digest for event in seen if event.digest is not None}
    assert all(event.status == f"pulling {event.digest[7:19]}" for event in seen if event.digest)
    assert layers


@pytest.mark.parametrize(
    ("status", "code"),
    [(403, "registry-refused"), (412, "ollama-too-old"), (500, "registry-failed")],
)
def test_a_registry_that_refuses_is_an_error_line_with_its_number(
    bench: Bench, status: int, code: str
) -> None:
    """Facts B0: folded into the text, with status 200."""
    bench.client.delete(bench.model)
    fault = registry_server.Fault(status=status, body=b'{"errors": []}')
    bench.registry.fault(bench.model.rpartition(":")[2], fault)
    body = {"model": bench.model, "insecure": True}
    last = list(bench.client.events("/api/pull", body, silence_s=60))[-1]
    assert last.error == f'pull model manifest: {status}: {{"errors": []}}'
    assert last.error is not None
    assert failed(bench.model, last.error).code == code


def test_a_registry_without_locations_cannot_be_pulled_from(bench: Bench) -> None:
    """Facts E: a plain registry that answers 200 is not enough."""
    bench.client.delete(bench.model)
    before, bench.registry.redirect_blobs_to = bench.registry.redirect_blobs_to, None
    try:
        work = pull(bench.client, bench.model, insecure=True)
        assert _fails(work, ModelUnavailable) == ("registry-unsupported", 7)
    finally:
        bench.registry.redirect_blobs_to = before


def test_other_bytes_than_promised_are_not_kept(bench: Bench) -> None:
    """Facts E: the digest is checked at the end."""
    name = bench.registry.add("ns/torn:q4", {"model": b"promised"})
    promised = registry_server.digest_of(b"promised")
    bench.registry.blobs[promised] = b"rendered"
    try:
        work = pull(bench.client, name, insecure=True)
        assert _fails(work, ModelUnavailable) == ("digest-wrong", 7)
    finally:
        bench.registry.blobs[promised] = b"promised"
    assert name not in [tag.name for tag in bench.client.tags()]


# --- faults, of the fake alone ---------------------------------------------------------------

TOTAL = {"status": "pulling aa", "digest": "sha256:aa", "total": 100, "completed": 40}


@pytest.mark.parametrize(
    ("error", "code"),
    [
        ("pull model manifest: file does not exist", "unknown-model"),
        ("pull model manifest: 412: newer version required", "ollama-too-old"),
        ("write /m/blobs/x-partial: no space left on device", "no-disk"),
        ('Get "https://r/v2/": dial tcp: lookup r: no such host', "offline"),
        ("pull model manifest: 401: unauthorized", "registry-refused"),
        ("pull model manifest: 403: denied", "registry-refused"),
        ("http: no Location header in response", "registry-unsupported"),
        ('Get "https://r": http: server gave HTTP response to HTTPS client', "registry-insecure"),
        ('Get "https://r": net/http: TLS handshake timeout', "offline"),
        ("max retries exceeded: unexpected EOF", "pull-stopped"),
        ("digest mismatch, file must be downloaded again", "digest-wrong"),
        ("something new", "pull-failed"),
        ("\x1b[2J", "pull-failed"),
        ({"odd": 1}, "pull-failed"),
    ],
)
def test_an_error_line_within_a_good_stream_is_classified(
    fake: OllamaServer, error: object, code: str
) -> None:
    fake.fault("/api/pull", Fault(lines=(TOTAL, {"error": error})))
    assert _fails(pull(Client(fake.url), "m"), ModelUnavailable) == (code, 7)


@pytest.mark.parametrize("fault", [Fault(lines=(TOTAL,)), Fault(lines=(TOTAL,), cut=True), Fault()])
def test_a_pull_without_success_is_a_failure_that_can_be_resumed(
    fake: OllamaServer, fault: Fault
) -> None:
    fake.fault("/api/pull", fault)
    assert _fails(pull(Client(fake.url), "m"), ModelUnavailable) == ("pull-stopped", 7)


def test_a_line_that_comes_in_drops_does_not_hold_us_for_ever(fake: OllamaServer) -> None:
    fake.fault("/api/pull", Fault(body=b"x" * 1000, drip_s=0.05))
    work = pull(Client(fake.url), "m", silence_s=0.3)
    assert _fails(work, ModelUnavailable) == ("pull-stopped", 7)


def test_impossible_numbers_in_a_pull_are_bounded(fake: OllamaServer) -> None:
    odd = (
        {"digest": "a", "total": 10, "completed": 10**30}, {"digest": "b", "total": -5},
        {"digest": "c", "total": True}, {"digest": 7, "total": 5}, {"digest": "d", "total": 10**30},
        {"digest": "a", "total": 10, "completed": 99}, {"status": "success"},
    )  # fmt: skip
    fake.fault("/api/pull", Fault(lines=odd))
    last = list(pull(Client(fake.url), "m"))[-1]
    assert (last.done_bytes, last.total_bytes) == (10, 10)


def test_what_is_no_ndjson_is_no_ollama(fake: OllamaServer) -> None:
    for body in (b"<html>login</html>", b"[" * 100_000, b"[1]", b"\xff\xfe"):
        fake.fault("/api/pull", Fault(body=body))
        assert _fails(pull(Client(fake.url), "m"), EngineFailed) == ("not-ollama", 6)


@pytest.mark.parametrize(
    ("fault", "code"),
    [
        (Fault(body=b"<html>please log in</html>"), "not-ollama"),
        (Fault(body=b""), "not-ollama"),
        (Fault(body=b"[" * 100_000), "not-ollama"),
        (Fault(body=b'{"version": 33}'), "not-ollama"),
        (Fault(body=b'{"version": "\x1b[2J"}'), "not-ollama"),
        (Fault(gzip_zeros=30 << 20), "not-ollama"),
        (Fault(status=404, body=b"404"), "not-ollama"),
        (Fault(status=302, headers=(("Location", "http://portal/"),)), "not-ollama"),
        (Fault(status=403), "host-refused"),
        (Fault(body=b"{    }", drip_s=0.3), "engine-unreachable"),
    ],
)
def test_what_answers_instead_of_ollama_is_told_apart(
    fake: OllamaServer, fault: Fault, code: str
) -> None:
    fake.fault("/api/version", fault)
    with pytest.raises(EngineFailed) as caught:
        Client(fake.url).version(deadline_s=0.8)
    assert (caught.value.code, caught.value.exit_code) == (code, 6)


def test_nothing_at_the_address_is_unreachable() -> None:
    with pytest.raises(EngineFailed) as caught:
        Client("http://127.0.0.1:1").version()
    assert caught.value.code == "engine-unreachable"


def test_a_server_that_wants_a_key_is_asked_with_the_key_it_was_given(fake: OllamaServer) -> None:
    assert Client(fake.url, "canary").version() == Version("0.33.0", (0, 33, 0))
    assert fake.seen[-1].authorization == "Bearer canary"
    fake.fault("/api/version", Fault(status=401, body=b"{}"))
    with pytest.raises(AuthNeeded, match="rejected the key") as caught:
        Client(fake.url, "canary").version()
    assert "canary" not in str(caught.value)
    assert "canary" not in repr(Client(fake.url, "canary"))


@pytest.mark.parametrize(
    ("fault", "kind", "code"),
    [
        (Fault(503, b'{"error": "server busy, please try again"}'), EngineFailed, "engine-busy"),
        (Fault(500, b'{"error": "model requires more system memory"}'), MachineCannot, "no-memory"),
        (Fault(500, b'{"error": "runner: OOM, killed"}'), MachineCannot, "no-memory"),
        (Fault(500, b'{"error": "no room: bloom zooms"}'), EngineFailed, "engine-error"),
        (Fault(500, b'{"error": "unable to load model"}'), EngineFailed, "engine-error"),
        (Fault(400, b'{"error": "m cannot generate"}'), ModelUnavailable, "model-refused"),
    ],
)  # fmt: skip
def test_a_load_that_fails_says_why(
    fake: OllamaServer, fault: Fault, kind: type[AgentlaunchError], code: str
) -> None:
    fake.add("m")
    fake.fault("/api/generate", fault)
    with pytest.raises(kind) as caught:
        finish(Client(fake.url).load("m"))
    assert caught.value.code == code


def test_a_load_that_allocates_less_is_seen_with_its_share_of_main_memory(
    fake: OllamaServer,
) -> None:
    fake.add("m", size=1_000_000, parameters={"num_ctx": 8192})
    fake.allocate, fake.vram_share = 4096, 0.75
    loaded = finish(Client(fake.url).load("m"))
    assert loaded.context_tokens == 4096
    assert cpu_share(loaded) == pytest.approx(0.25, abs=1e-5)
    assert fake.bodies("/api/generate") == [
        {"model": "m", "keep_alive": KEEP_ALIVE, "stream": False}
    ]


def test_a_model_displaced_right_after_its_load_is_not_called_loaded(fake: OllamaServer) -> None:
    fake.add("m")
    fake.fault("/api/ps", *[Fault(body=b'{"models": []}')] * 3)
    assert _fails(Client(fake.url).load("m"), EngineFailed) == ("not-loaded", 6)


def test_a_model_that_runs_under_another_tags_name_is_known_by_its_weights(
    fake: OllamaServer,
) -> None:
    for name in ("one", "two"):
        fake.add(name, weights="a" * 64, parameters={"num_ctx": 4096})
    client = Client(fake.url)
    first, second = (finish(client.load(name)) for name in ("one", "two"))
    assert [row.model for row in client.loaded()] == ["one:latest"]
    assert (second.model, second.context_tokens) == ("two", first.context_tokens)


def test_a_model_whose_weights_are_not_named_is_not_taken_for_another(fake: OllamaServer) -> None:
    for name in ("one", "two"):
        fake.add(name, named=False, parameters={"num_ctx": 4096})
    client = Client(fake.url)
    finish(client.load("one"))
    assert client.held("two") is None
    assert finish(client.load("two")).model == "two:latest"


def test_a_tag_without_named_weights_is_made_anew_only_after_its_base(fake: OllamaServer) -> None:
    fake.add("m:1b", named=False)
    client = Client(fake.url)

    def made() -> bool:
        return finish(derive(client, "m:1b", context_tokens=CONTEXT)).created

    assert [made(), made()] == [True, False]
    fake.add("m:1b", named=False)  # pulled again
    assert [made(), made()] == [True, False]


def test_a_tag_of_anothers_weights_with_our_name_and_context_is_not_overwritten(
    fake: OllamaServer,
) -> None:
    fake.add("m:1b")
    mine = {"weights": "e" * 64, "parameters": {"num_ctx": CONTEXT}, "parent": "mine:1b"}
    fake.add("m:1b-2k-agentlaunch", **mine)
    work = derive(Client(fake.url), "m:1b", context_tokens=CONTEXT)
    assert _fails(work, Refused) == ("not-ours", 8)
    assert fake.bodies("/api/create") == []


def test_rows_that_make_no_sense_are_passed_over(fake: OllamaServer) -> None:
    fake.add("good")
    rows = [7, {}, {"name": 3}, {"name": ""}, {"name": "odd", "size": "big", "details": []}]
    fake.fault("/api/tags", Fault(body=json.dumps({"models": rows}).encode()))
    (tag,) = Client(fake.url).tags()
    assert (tag.name, tag.size_bytes, tag.capabilities) == ("odd", None, None)
    fake.fault("/api/tags", Fault(body=b'{"models": {}}'))
    with pytest.raises(EngineFailed, match="does not say"):
        Client(fake.url).tags()


def test_a_cloud_model_is_called_what_it_is_and_not_derived(fake: OllamaServer) -> None:
    fake.add("big:cloud", remote_host="https://ollama.com")
    assert [tag.cloud for tag in Client(fake.url).tags()] == [True]
    work = derive(Client(fake.url), "big:cloud", context_tokens=CONTEXT)
    assert _fails(work, NotSupported) == ("cloud-model", 5)


def test_a_tag_of_ours_with_the_weights_of_yesterday_is_made_anew(fake: OllamaServer) -> None:
    fake.add("m:1b")
    client = Client(fake.url)
    finish(derive(client, "m:1b", context_tokens=CONTEXT))
    fake.add("m:1b", weights="f" * 64)
    again = finish(derive(client, "m:1b", context_tokens=CONTEXT))
    assert again.created
    assert client.show(again.name).weights == {f"sha256:{'f' * 64}"}


def test_a_create_that_breaks_off_or_lies_is_a_failure(fake: OllamaServer) -> None:
    fake.add("m")
    for fault in (
        Fault(lines=({"status": "writing manifest"},)),
        Fault(lines=({"status": "writing manifest"},), cut=True),
    ):
        fake.fault("/api/create", fault)
        work = derive(Client(fake.url), "m", context_tokens=CONTEXT)
        assert _fails(work, EngineFailed) == ("derive-failed", 6)


def test_a_pull_that_is_closed_closes_its_connection(fake: OllamaServer) -> None:
    fake.fault("/api/pull", Fault(body=json.dumps(TOTAL).encode() + b"\n" + b"x" * 99, drip_s=0.01))
    work = pull(Client(fake.url), "m")
    reports = [next(work), next(work)]
    work.close()
    assert (reports[-1].done_bytes, reports[-1].total_bytes) == (40, 100)


@pytest.mark.needs_ollama
@pytest.mark.skipif(not REAL, reason="AGENTLAUNCH_TEST_OLLAMA names no real server")
@pytest.mark.parametrize("bench", ["real"], indirect=True)
def test_a_message_to_the_derived_tag_keeps_its_context_and_does_not_reload(pulled: Bench) -> None:
    client = pulled.client
    name = finish(derive(client, pulled.model, context_tokens=CONTEXT, batch=256)).name
    before = finish(client.load(name))
    body = {"model": name, "max_tokens": 4, "messages": [{"role": "user", "content": "hi"}]}
    reply = web.request("POST", client.url + "/v1/messages", json_body=body, deadline_s=120)
    assert reply.status == 200
    assert client.loaded() == (before,)


@pytest.mark.needs_ollama
@pytest.mark.skipif(not REAL, reason="AGENTLAUNCH_TEST_OLLAMA names no real server")
@pytest.mark.parametrize("bench", ["real"], indirect=True)
def test_long_lists_come_only_on_request_and_every_tensor_always(pulled: Bench) -> None:
    """Facts B2; seen with 0.33: the tensors stand in the short reply too."""
    replies = [
        web.request(
            "POST", pulled.client.url + "/api/show", limit_bytes=64 << 20,
            json_body={"model": pulled.model, "verbose": verbose},
        ).json()
        for verbose in (False, True)
    ]  # fmt: skip
    short, long = (reply["model_info"]["tokenizer.ggml.tokens"] for reply in replies)
    assert not short
    assert len(long) > 1000
    assert len(replies[0]["tensors"]) == len(replies[1]["tensors"]) > 100


@pytest.mark.needs_ollama
@pytest.mark.skipif(not REAL, reason="AGENTLAUNCH_TEST_OLLAMA names no real server")
@pytest.mark.parametrize("bench", ["real"], indirect=True)
def test_a_message_without_room_for_an_answer_is_refused_in_anthropics_shape(
    pulled: Bench,
) -> None:
    """Facts B0 and B7."""
    messages = [{"role": "user", "content": "hi"}]
    body = {"model": pulled.model, "max_tokens": 0, "messages": messages}
    reply = pulled.ask("POST", "/v1/messages", body)
    assert (reply.status, reply.json()["error"]["type"]) == (400, "invalid_request_error")
    reply = pulled.ask("POST", "/v1/messages", {**body, "model": "no-such", "max_tokens": 4})
    assert (reply.status, reply.json()["error"]["type"]) == (404, "not_found_error")
