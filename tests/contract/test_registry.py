"""The registry client against a real HTTP registry that misbehaves in every way we know."""

from __future__ import annotations

import contextlib
import json
import os
import random
import shutil
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from pytest_mock import MockerFixture

from agentlaunch import files
from agentlaunch.errors import MachineCannot, ModelUnavailable, Refused
from agentlaunch.models.download import Patience
from agentlaunch.models.refs import parse_ref
from agentlaunch.models.registry import Registry
from agentlaunch.models.registry_http import next_url
from agentlaunch.models.store import Store, StoredModel
from agentlaunch.progress import Progress, Work, finish
from registry_server import Fault, RegistryServer, digest_of, layer_row, running

WEIGHTS = random.Random(1).randbytes(300_000)
DIGEST = digest_of(WEIGHTS)
TEMPLATE = b"{{ prompt }}"
CONFIG = b'{"a": 1}'
TOTAL = len(WEIGHTS) + len(TEMPLATE) + len(CONFIG)

PULL = """
import json, resource, sys
from pathlib import Path
from agentlaunch.errors import AgentlaunchError
from agentlaunch.models.download import Patience
from agentlaunch.models.refs import parse_ref
from agentlaunch.models.registry import Registry
from agentlaunch.models.store import Store
name, root, largest = sys.argv[1], Path(sys.argv[2]), int(sys.argv[3])
if largest:
    resource.setrlimit(resource.RLIMIT_FSIZE, (largest, largest))
work = Registry(insecure=True, patience=Patience(sleep=lambda s: None)).pull(
    parse_ref(name), Store(root, ours=True)
)
try:
    for report in work:
        print(json.dumps([report.done_bytes, report.detail]), flush=True)
except AgentlaunchError as error:
    print(json.dumps([error.exit_code, error.message, error.hint]), flush=True)
    sys.exit(error.exit_code)
"""


@pytest.fixture
def server() -> Iterator[RegistryServer]:
    with running() as registry:
        yield registry


@pytest.fixture
def waits() -> list[float]:
    return []


@pytest.fixture
def client(waits: list[float]) -> Registry:
    return Registry(insecure=True, patience=Patience(silence_s=5, sleep=waits.append))


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "models", ours=True)


def offered(server: RegistryServer) -> str:
    return server.add("ns/m:t", {"model": WEIGHTS, "template": TEMPLATE}, config=CONFIG)


def watched(work: Work[StoredModel]) -> tuple[list[Progress], StoredModel]:
    seen = []
    while True:
        try:
            seen.append(next(work))
        except StopIteration as stop:
            return seen, stop.value


def refusal(work: Work[StoredModel]) -> ModelUnavailable:
    with pytest.raises(ModelUnavailable) as caught:
        finish(work)
    assert caught.value.exit_code == 7
    assert caught.value.hint
    return caught.value


def assert_whole(store: Store, name: str) -> None:
    model = store.find(parse_ref(name))
    assert model is not None
    assert model.model_path.read_bytes() == WEIGHTS


def pulling(name: str, root: Path, *, largest: int = 0) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", PULL, name, str(root), str(largest)],
        stdout=subprocess.PIPE,
        text=True,
    )


def half(store: Store) -> bytes:
    return store.partial_path(DIGEST).read_bytes()


# --- all is well ---------------------------------------------------------------------------------


@pytest.mark.parametrize("way", ["200 direct", "307 to another host name"])
def test_a_model_is_pulled_whole_and_found_in_our_store(
    server: RegistryServer, client: Registry, store: Store, way: str
) -> None:
    if way != "200 direct":
        server.redirect_blobs_to = "http://localhost:{port}/cdn/{digest}"
    ref = parse_ref(offered(server))
    reports, model = watched(client.pull(ref, store))
    assert model == StoredModel(
        ref=ref,
        model_path=store.blob_path(DIGEST),
        projector_path=None,
        size_bytes=TOTAL,
        store=store,
    )
    assert model.model_path.read_bytes() == WEIGHTS
    assert store.manifest_path(ref).read_bytes() == server.manifests["ns/m:t"]
    assert store.leftovers() == ()
    assert reports[-1] == Progress(f"downloading {ref}", TOTAL, TOTAL)
    done = [report.done_bytes for report in reports if report.done_bytes is not None]
    assert done == sorted(done)
    hosts = {seen.host for seen in server.seen if seen.path.startswith("/cdn/")}
    assert hosts == (set() if way == "200 direct" else {f"localhost:{server.port}"})


def test_weights_may_be_read_by_others_and_are_written_only_by_us(
    server: RegistryServer, client: Registry, store: Store
) -> None:
    old = os.umask(0o022)
    try:
        model = finish(client.pull(parse_ref(offered(server)), store))
    finally:
        os.umask(old)
    assert model.model_path.stat().st_mode & 0o777 == 0o644
    assert store.manifest_path(model.ref).stat().st_mode & 0o777 == 0o644


def test_what_is_here_already_is_not_asked_for_again(
    server: RegistryServer, client: Registry, store: Store
) -> None:
    ref = parse_ref(offered(server))
    first = finish(client.pull(ref, store))
    server.seen.clear()
    assert finish(client.pull(ref, store)) == first
    assert [seen.path for seen in server.seen] == ["/v2/ns/m/manifests/t"]


def test_a_pull_in_another_case_reuses_the_stored_name(
    server: RegistryServer, client: Registry, store: Store
) -> None:
    offered(server)
    server.manifests["NS/M:T"] = server.manifests["ns/m:t"]
    first = finish(client.pull(parse_ref(f"{server.host}/ns/m:t"), store))
    assert finish(client.pull(parse_ref(f"{server.host}/NS/M:T"), store)) == first
    assert store.list() == (first,)


def test_an_empty_blob_needs_no_request(
    server: RegistryServer, client: Registry, store: Store
) -> None:
    name = server.add("ns/m:t", {"model": b"w", "system": b""})
    assert finish(client.pull(parse_ref(name), store)).size_bytes == 1 + len(CONFIG)
    assert server.ranges(digest_of(b"")) == []


def test_the_first_bytes_of_a_blob_are_fetched_by_range(
    server: RegistryServer, client: Registry
) -> None:
    server.redirect_blobs_to = "http://localhost:{port}/cdn/{digest}"
    ref = parse_ref(offered(server))
    layer = client.manifest(ref).blobs[0]
    assert client.head_bytes(ref, layer, 1000) == WEIGHTS[:1000]
    assert client.head_bytes(ref, layer, 10**9) == WEIGHTS
    assert client.head_bytes(ref, layer, 0) == b""
    assert server.ranges(DIGEST) == ["bytes=0-999", f"bytes=0-{len(WEIGHTS) - 1}"]


@pytest.mark.parametrize(
    "fault", [Fault(ignore_range=True), Fault(status=500), Fault(cut_after=10)]
)
def test_the_first_bytes_come_in_spite_of_faults(
    server: RegistryServer, client: Registry, fault: Fault
) -> None:
    ref = parse_ref(offered(server))
    layer = client.manifest(ref).blobs[0]
    server.fault(DIGEST, fault)
    assert client.head_bytes(ref, layer, 70_000) == WEIGHTS[:70_000]


# --- cut, slow, silent ---------------------------------------------------------------------------


def test_a_cut_download_resumes_where_it_stopped(
    server: RegistryServer, client: Registry, store: Store, waits: list[float]
) -> None:
    server.fault(DIGEST, Fault(cut_after=100_000), Fault(cut_after=50_001))
    model = finish(client.pull(parse_ref(offered(server)), store))
    assert model.model_path.read_bytes() == WEIGHTS
    assert server.ranges(DIGEST) == [None, "bytes=100000-", "bytes=150001-"]
    assert waits == [1.0, 2.0]


def test_a_download_that_is_cut_again_and_again_keeps_its_part_and_says_how_to_go_on(
    server: RegistryServer, client: Registry, store: Store, waits: list[float]
) -> None:
    server.fault(DIGEST, *[Fault(cut_after=1000)] * 6)
    ref = parse_ref(offered(server))
    error = refusal(client.pull(ref, store))
    assert error.hint == "run the same command to resume"
    assert error.message.startswith(f"the download of {ref} stopped at 6.0 kB of 300 kB: ")
    assert waits == [1.0, 2.0, 4.0, 8.0, 16.0]
    assert half(store) == WEIGHTS[:6000]
    assert store.find(ref) is None
    assert store.list() == ()
    model = finish(client.pull(ref, store))
    assert model.model_path.read_bytes() == WEIGHTS
    assert server.ranges(DIGEST)[-1] == "bytes=6000-"


def test_an_answer_without_a_length_that_ends_early_is_resumed(
    server: RegistryServer, client: Registry, store: Store
) -> None:
    server.fault(DIGEST, Fault(cut_after=777, no_length=True))
    finish(client.pull(parse_ref(offered(server)), store))
    assert server.ranges(DIGEST) == [None, "bytes=777-"]


def test_kill_minus_9_in_the_middle_is_resumed_by_the_next_process(
    server: RegistryServer, store: Store
) -> None:
    server.fault(DIGEST, Fault(drip_s=0.02, drip_bytes=5000))
    name = offered(server)
    with pulling(name, store.root) as first:
        assert first.stdout is not None
        for line in first.stdout:
            if (json.loads(line)[0] or 0) >= 20_000:
                break
        first.kill()
    there = len(half(store))
    assert 20_000 <= there < len(WEIGHTS)
    assert half(store) == WEIGHTS[:there]
    assert store.find(parse_ref(name)) is None
    with pulling(name, store.root) as second:
        out, _ = second.communicate(timeout=30)
    assert second.returncode == 0, out
    assert server.ranges(DIGEST) == [None, f"bytes={there}-"]
    assert_whole(store, name)


def test_a_slow_download_arrives_and_reports_on_its_way(
    server: RegistryServer, client: Registry, store: Store
) -> None:
    server.fault(DIGEST, Fault(drip_s=0.03, drip_bytes=30_000))
    reports, _ = watched(client.pull(parse_ref(offered(server)), store))
    assert server.ranges(DIGEST) == [None]
    assert len({report.done_bytes for report in reports}) > 3


@pytest.mark.parametrize("fault", [Fault(silent=True), Fault(drip_s=0.05)])
def test_silence_and_a_mere_drip_are_given_up_and_tried_again(
    server: RegistryServer, store: Store, waits: list[float], fault: Fault
) -> None:
    server.fault(DIGEST, fault)
    client = Registry(insecure=True, patience=Patience(silence_s=0.3, sleep=waits.append))
    model = finish(client.pull(parse_ref(offered(server)), store))
    assert model.model_path.read_bytes() == WEIGHTS
    assert waits == [1.0]
    assert len(server.ranges(DIGEST)) == 2


def test_a_manifest_that_drips_runs_out_of_time(
    server: RegistryServer, waits: list[float], mocker: MockerFixture
) -> None:
    mocker.patch("agentlaunch.models.registry._MANIFEST_DEADLINE_S", 0.2)
    ref = parse_ref(offered(server))
    server.fault("t", *[Fault(drip_s=0.05)] * 3)
    client = Registry(insecure=True, patience=Patience(sleep=waits.append))
    with pytest.raises(ModelUnavailable, match="did not finish"):
        client.manifest(ref)
    assert waits == [1.0, 2.0]


def test_a_consumer_that_stops_watching_leaves_a_part_and_no_lock(
    server: RegistryServer, client: Registry, store: Store
) -> None:
    server.fault(DIGEST, Fault(drip_s=0.02, drip_bytes=5000))
    work = client.pull(parse_ref(offered(server)), store)
    with contextlib.closing(work):
        for report in work:
            if report.done_bytes:
                break
    with files.locked(store.lock_path(DIGEST.replace(":", "-")), timeout_s=0, what="a test"):
        assert half(store) == WEIGHTS[: len(half(store))]


# --- what the server says ------------------------------------------------------------------------


@pytest.mark.parametrize("status", [429, 500, 502, 503, 504])
def test_a_registry_that_stumbles_is_asked_again(
    server: RegistryServer, client: Registry, store: Store, waits: list[float], status: int
) -> None:
    name = offered(server)
    server.fault("t", Fault(status=status))
    server.fault(DIGEST, Fault(status=status))
    assert finish(client.pull(parse_ref(name), store)).size_bytes == TOTAL
    assert waits == [1.0, 1.0]


@pytest.mark.parametrize(
    ("fault", "code", "message"),
    [
        (Fault(status=401), "registry-refused", "refused"),
        (Fault(status=403), "registry-refused", "refused"),
        (Fault(status=404), "unknown-model", "has no model"),
        (Fault(status=412), "too-old", "a client as old as this"),
        (Fault(status=418), "registry-failed", "HTTP 418"),
        (
            Fault(
                status=200, body=b"<!doctype html>login", headers=(("Content-Type", "text/html"),)
            ),
            "web-page",
            "web page",
        ),
        (Fault(status=200, body=b" <html>login"), "web-page", "web page"),
        (Fault(status=200, body=b""), "bad-manifest", "not JSON"),
        (Fault(status=200, body=b"\x1b[31mhi"), "bad-manifest", "not JSON"),
        (Fault(status=200, body=b'{"manifests": []}'), "bad-manifest", "no layers"),
        (Fault(status=200, body=b"[" * 200_000), "bad-manifest", "not JSON"),
        (Fault(status=200, body=b" " * (5 << 20)), "registry-too-large", "more than"),
    ],
)
def test_each_refusal_of_a_manifest_is_told_apart(
    server: RegistryServer,
    client: Registry,
    store: Store,
    waits: list[float],
    fault: Fault,
    code: str,
    message: str,
) -> None:
    name = offered(server)
    server.fault("t", fault)
    error = refusal(client.pull(parse_ref(name), store))
    assert error.code == code
    assert message in error.message
    assert waits == []
    assert not store.root.exists()


def test_an_unknown_model_names_the_command_that_lists_models(
    server: RegistryServer, client: Registry, store: Store
) -> None:
    error = refusal(client.pull(parse_ref(f"{server.host}/ns/nothing:t"), store))
    assert error.hint == "agentlaunch models"


@pytest.mark.parametrize(
    ("layers", "message"),
    [
        ({"template": b"x"}, "no GGUF weights"),
        ({"tensor": b"x"}, "no GGUF weights"),
    ],
)
def test_a_model_without_gguf_weights_is_refused_before_any_download(
    server: RegistryServer, client: Registry, store: Store, layers: dict[str, bytes], message: str
) -> None:
    name = server.add("ns/m:cloud", layers)
    assert message in refusal(client.pull(parse_ref(name), store)).message
    assert len(server.seen) == 1


def test_a_model_in_several_pieces_is_refused(
    server: RegistryServer, client: Registry, store: Store
) -> None:
    rows = [layer_row("model", b"a"), layer_row("model", b"b")]
    name = server.add_manifest("ns/m:t", json.dumps({"layers": rows}).encode())
    assert "several pieces" in refusal(client.pull(parse_ref(name), store)).message


@pytest.mark.parametrize(
    "digest", ["sha256:../../../../etc/passwd", "sha256:" + "0" * 64 + "/..", "../x", "", 7]
)
def test_a_digest_that_is_a_path_is_refused(
    server: RegistryServer, client: Registry, store: Store, tmp_path: Path, digest: object
) -> None:
    row = layer_row("model", WEIGHTS) | {"digest": digest}
    name = server.add_manifest("ns/m:t", json.dumps({"layers": [row]}).encode())
    assert refusal(client.pull(parse_ref(name), store)).code == "bad-manifest"
    assert list(tmp_path.iterdir()) == []


# --- wrong bytes ---------------------------------------------------------------------------------


def test_a_wrong_digest_deletes_the_blob_and_fails(
    server: RegistryServer, client: Registry, store: Store
) -> None:
    server.fault(DIGEST, Fault(wrong_bytes=True))
    ref = parse_ref(offered(server))
    assert refusal(client.pull(ref, store)).code == "wrong-digest"
    assert list((store.root / "blobs").iterdir()) == []
    assert store.find(ref) is None
    assert finish(client.pull(ref, store)).model_path.read_bytes() == WEIGHTS


def test_a_damaged_part_from_last_time_costs_one_clean_try(
    server: RegistryServer, client: Registry, store: Store
) -> None:
    ref = parse_ref(offered(server))
    store.partial_path(DIGEST).parent.mkdir(parents=True)
    store.partial_path(DIGEST).write_bytes(b"\0" * 1000)
    assert finish(client.pull(ref, store)).model_path.read_bytes() == WEIGHTS
    assert server.ranges(DIGEST) == ["bytes=1000-", None]


@pytest.mark.parametrize(
    ("there", "ranges"),
    [
        (WEIGHTS, []),
        (WEIGHTS + b"x", [None]),
        (b"\0" * len(WEIGHTS), [None]),
        (b"", [None]),
    ],
)
def test_whatever_part_lies_there_ends_in_the_right_bytes(
    server: RegistryServer, client: Registry, store: Store, there: bytes, ranges: list[None]
) -> None:
    ref = parse_ref(offered(server))
    store.partial_path(DIGEST).parent.mkdir(parents=True)
    store.partial_path(DIGEST).write_bytes(there)
    assert finish(client.pull(ref, store)).model_path.read_bytes() == WEIGHTS
    assert server.ranges(DIGEST) == ranges


def test_a_whole_blob_of_the_wrong_size_is_replaced(
    server: RegistryServer, client: Registry, store: Store
) -> None:
    ref = parse_ref(offered(server))
    store.blob_path(DIGEST).parent.mkdir(parents=True)
    store.blob_path(DIGEST).write_bytes(b"cut by a full disk")
    assert finish(client.pull(ref, store)).model_path.read_bytes() == WEIGHTS


def test_a_server_that_ignores_ranges_is_read_from_the_start(
    server: RegistryServer, client: Registry, store: Store
) -> None:
    server.fault(DIGEST, Fault(cut_after=100_000), Fault(ignore_range=True))
    model = finish(client.pull(parse_ref(offered(server)), store))
    assert model.model_path.read_bytes() == WEIGHTS
    assert server.ranges(DIGEST) == [None, "bytes=100000-"]


def test_a_range_that_nobody_asked_for_is_not_taken(
    server: RegistryServer, client: Registry, store: Store, waits: list[float]
) -> None:
    server.fault(DIGEST, Fault(cut_after=100_000), Fault(start_elsewhere=True))
    model = finish(client.pull(parse_ref(offered(server)), store))
    assert model.model_path.read_bytes() == WEIGHTS
    assert waits == [1.0, 2.0]


@pytest.mark.parametrize(
    ("fault", "code"),
    [
        (Fault(extra=b"xyz"), "wrong-size"),
        (Fault(extra=b"xyz" * 99_999, no_length=True), "wrong-size"),
        (Fault(less=3), "wrong-size"),
        (Fault(status=404), "unknown-model"),
        (Fault(status=403), "registry-refused"),
        (Fault(status=200, body=b"<html>", headers=(("Content-Type", "text/html"),)), "web-page"),
    ],
)
def test_a_blob_that_is_not_what_was_stated_is_refused(
    server: RegistryServer,
    client: Registry,
    store: Store,
    waits: list[float],
    fault: Fault,
    code: str,
) -> None:
    server.fault(DIGEST, fault)
    ref = parse_ref(offered(server))
    assert refusal(client.pull(ref, store)).code == code
    assert waits == []
    assert store.find(ref) is None


@pytest.mark.parametrize("stated", [len(WEIGHTS) - 1, len(WEIGHTS) + 1, 0])
def test_a_manifest_that_lies_about_a_size_is_found_out(
    server: RegistryServer, client: Registry, store: Store, stated: int
) -> None:
    server.blobs[DIGEST] = WEIGHTS
    row = layer_row("model", WEIGHTS, size=stated)
    name = server.add_manifest("ns/m:t", json.dumps({"layers": [row]}).encode())
    assert refusal(client.pull(parse_ref(name), store)).code in ("wrong-size", "wrong-digest")
    assert store.list() == ()


def test_a_login_page_in_the_middle_does_not_cost_the_part(
    server: RegistryServer, client: Registry, store: Store
) -> None:
    page = Fault(status=200, body=b"<html>", headers=(("Content-Type", "text/html"),))
    server.fault(DIGEST, Fault(cut_after=100_000), page)
    assert refusal(client.pull(parse_ref(offered(server)), store)).code == "web-page"
    assert half(store) == WEIGHTS[:100_000]


# --- redirects and tokens ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("target", "code"),
    [
        ("http://169.254.169.254/latest/meta-data", "address-refused"),
        ("http://2852039166/", "address-refused"),
        ("http://[fe80::1]/", "address-refused"),
        ("http://[::ffff:169.254.169.254]/", "address-refused"),
        ("http://[fd00:ec2::254]/", "address-refused"),
        ("http://0.0.0.0:{port}/cdn/{digest}", "address-refused"),
        ("ftp://localhost/x", "redirect-refused"),
        ("file:///etc/passwd", "redirect-refused"),
        ("http://user:secret@localhost:{port}/cdn/{digest}", "redirect-refused"),
        ("http://[", "redirect-refused"),
        ("http://localhost:99999/", "redirect-refused"),
        ("/v2/ns/m/blobs/{digest}", "redirect-loop"),
    ],
)
def test_a_redirect_to_where_no_model_lies_is_refused(
    server: RegistryServer, client: Registry, store: Store, target: str, code: str
) -> None:
    server.redirect_blobs_to = target
    error = refusal(client.pull(parse_ref(offered(server)), store))
    assert error.code == code
    assert "secret" not in error.message
    asked = [seen for seen in server.seen if "/blobs/" in seen.path]
    assert len(asked) == (6 if code == "redirect-loop" else 1)


def test_a_name_that_resolves_to_a_metadata_address_is_refused(
    server: RegistryServer, client: Registry, store: Store, mocker: MockerFixture
) -> None:
    real = socket.getaddrinfo

    def resolve(host: str, *rest: Any, **named: Any) -> object:
        return real("169.254.169.254" if host == "inside.test" else host, *rest, **named)

    mocker.patch("socket.getaddrinfo", resolve)
    server.redirect_blobs_to = "http://inside.test/x"
    assert refusal(client.pull(parse_ref(offered(server)), store)).code == "address-refused"


@pytest.mark.parametrize(
    ("location", "target"),
    [
        ("https://cdn.test/x?sig=1", "https://cdn.test/x?sig=1"),
        ("/y", "https://registry.test/y"),
        ("http://127.0.0.1:1/x", "http://127.0.0.1:1/x"),
        ("http://cdn.test/x", None),
        ("http://registry.test/v2", None),
        ("https://:443/x", None),
        ("javascript:alert(1)", None),
    ],
)
def test_https_is_not_left_for_plain_http_but_on_this_machine(
    location: str, target: str | None, mocker: MockerFixture
) -> None:
    mocker.patch("socket.getaddrinfo", side_effect=socket.gaierror(-2, "Name or service not known"))
    if target is not None:
        assert next_url("https://registry.test/v2/x", location, plain_allowed=False) == target
        return
    with pytest.raises(ModelUnavailable) as caught:
        next_url("https://registry.test/v2/x", location, plain_allowed=False)
    assert caught.value.code == "redirect-refused"


def test_the_anonymous_token_is_fetched_once_and_never_leaves_the_registry(
    server: RegistryServer, client: Registry, store: Store
) -> None:
    server.token = "given-to-anybody"
    server.redirect_blobs_to = "http://localhost:{port}/cdn/{digest}"
    finish(client.pull(parse_ref(offered(server)), store))
    assert [seen.path for seen in server.seen].count("/token?service=x&scope=pull") == 1
    for seen in server.seen[2:]:
        wanted = "Bearer given-to-anybody" if seen.path.startswith("/v2/") else None
        assert seen.authorization == wanted


def test_a_token_is_not_asked_of_another_host(server: RegistryServer, client: Registry) -> None:
    ref = parse_ref(offered(server))
    realm = f'Bearer realm="http://localhost:{server.port}/token",service="x"'
    server.fault("t", Fault(status=401, headers=(("WWW-Authenticate", realm),)))
    with pytest.raises(ModelUnavailable, match="refused"):
        client.manifest(ref)
    assert len(server.seen) == 1


# --- no network ----------------------------------------------------------------------------------


@pytest.fixture
def no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)


@pytest.mark.usefixtures("no_proxy")
@pytest.mark.parametrize(
    ("number", "text"),
    [
        (socket.EAI_NONAME, "Name or service not known"),
        (socket.EAI_AGAIN, "Temporary failure in name resolution"),
        (8, "nodename nor servname provided, or not known"),
    ],
)
def test_offline_says_that_the_name_is_not_known_and_what_still_works(
    client: Registry, mocker: MockerFixture, number: int, text: str
) -> None:
    mocker.patch("socket.getaddrinfo", side_effect=socket.gaierror(number, text))
    with pytest.raises(ModelUnavailable) as caught:
        client.manifest(parse_ref("qwen3.5:9b"))
    assert caught.value.code == "registry-name"
    assert "registry.ollama.ai is not known" in caught.value.message
    assert "agentlaunch models" in str(caught.value.hint)


@pytest.mark.usefixtures("no_proxy")
@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("SSL_CERT_FILE", "/nowhere/at/all.pem"),
        ("ALL_PROXY", "socks9://127.0.0.1:1"),
    ],
)
def test_unusable_proxy_and_certificate_settings_are_told_as_such(
    client: Registry, monkeypatch: pytest.MonkeyPatch, variable: str, value: str
) -> None:
    monkeypatch.setenv(variable, value)
    with pytest.raises(ModelUnavailable, match="settings are unusable") as caught:
        client.manifest(parse_ref("qwen3.5:9b"))
    assert caught.value.code == "registry-tls"


def test_nothing_listening_says_so(client: Registry) -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        port = closed.getsockname()[1]
        with pytest.raises(ModelUnavailable) as caught:
            client.manifest(parse_ref(f"127.0.0.1:{port}/ns/m"))
    assert caught.value.code == "registry-refused"
    assert caught.value.message == f"nothing answers at 127.0.0.1:{port}"


def test_a_registry_without_tls_needs_the_flag(server: RegistryServer) -> None:
    with pytest.raises(ModelUnavailable) as caught:
        Registry().manifest(parse_ref(offered(server)))
    assert caught.value.code == "registry-tls"
    assert "--insecure" in str(caught.value.hint)


def test_http_in_the_name_is_enough_on_this_machine_alone(server: RegistryServer) -> None:
    assert Registry().manifest(parse_ref("http://" + offered(server))).total_bytes == TOTAL
    with pytest.raises(ModelUnavailable) as caught:
        Registry().manifest(parse_ref("http://registry.test/ns/m:t"))
    assert caught.value.code == "insecure-registry"


@pytest.mark.usefixtures("no_proxy")
def test_the_public_registry_is_asked_over_https_whatever_the_flag(
    client: Registry, mocker: MockerFixture
) -> None:
    resolve = mocker.patch("socket.getaddrinfo", side_effect=socket.gaierror(-2, "getaddrinfo"))
    with pytest.raises(ModelUnavailable):
        client.manifest(parse_ref("http://registry.ollama.ai/library/m:t"))
    assert resolve.call_args.args[:2] == ("registry.ollama.ai", 443)


@pytest.mark.parametrize("address", ["169.254.169.254", "0.0.0.0:80", "100.100.100.200"])
def test_a_registry_at_a_metadata_address_is_not_asked(client: Registry, address: str) -> None:
    with pytest.raises(ModelUnavailable) as caught:
        client.manifest(parse_ref(f"{address}/ns/m:t"))
    assert caught.value.code == "address-refused"


# --- the disk ------------------------------------------------------------------------------------


def test_a_model_larger_than_the_disk_is_refused_with_figures_before_any_download(
    server: RegistryServer, client: Registry, store: Store
) -> None:
    row = layer_row("model", WEIGHTS, size=10**15)
    name = server.add_manifest("ns/m:t", json.dumps({"layers": [row]}).encode())
    with pytest.raises(MachineCannot) as caught:
        finish(client.pull(parse_ref(name), store))
    assert caught.value.exit_code == 4
    assert "needs 1000 TB and 537 MB to spare" in caught.value.message
    assert "are free" in caught.value.message
    assert [seen.path for seen in server.seen] == ["/v2/ns/m/manifests/t"]


def test_a_disk_limit_in_the_middle_is_said_and_the_part_is_kept(
    server: RegistryServer, store: Store
) -> None:
    name = offered(server)
    with pulling(name, store.root, largest=123_456) as child:
        out, _ = child.communicate(timeout=30)
    code, message, hint = json.loads(out.splitlines()[-1])
    assert (child.returncode, code) == (4, 4)
    assert message.startswith(f"no room left in {store.root}")
    assert "run the same command to resume" in hint
    assert half(store) == WEIGHTS[:123_456]
    with pulling(name, store.root) as again:
        again.communicate(timeout=30)
    assert again.returncode == 0
    assert server.ranges(DIGEST) == [None, "bytes=123456-"]


def test_a_full_file_system_is_said_and_the_part_is_kept(
    server: RegistryServer, client: Registry, tmp_path: Path, mocker: MockerFixture
) -> None:
    small = tmp_path / "small"
    small.mkdir()
    if os.geteuid() != 0 or not shutil.which("mount"):
        pytest.skip("only root can mount a small file system")
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=160k", "tmpfs", str(small)],
        capture_output=True,
        check=False,
    )
    if mounted.returncode != 0:
        pytest.skip("no file system may be mounted here")
    try:
        mocker.patch("agentlaunch.files.disk_free_bytes", return_value=None)
        store = Store(small, ours=True)
        with pytest.raises(MachineCannot, match="no room left"):
            finish(client.pull(parse_ref(offered(server)), store))
        there = half(store)
        assert len(there) > 100_000
        assert there == WEIGHTS[: len(there)]
    finally:
        subprocess.run(["umount", str(small)], check=True)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_store_that_may_not_be_written_says_so(
    server: RegistryServer, client: Registry, store: Store
) -> None:
    (store.root / "locks").mkdir(parents=True)
    (store.root / "blobs").mkdir(mode=0o500)
    with pytest.raises(Exception, match="cannot be written") as caught:
        finish(client.pull(parse_ref(offered(server)), store))
    assert type(caught.value).__name__ == "AgentlaunchError"


def test_nothing_is_pulled_into_a_store_that_is_not_ours(
    server: RegistryServer, client: Registry, store: Store
) -> None:
    with pytest.raises(Refused):
        finish(client.pull(parse_ref(offered(server)), replace(store, ours=False)))
    assert server.seen == []
    assert not store.root.exists()


# --- two at once ---------------------------------------------------------------------------------


def test_two_processes_that_pull_at_once_download_once(
    server: RegistryServer, store: Store
) -> None:
    server.fault(DIGEST, Fault(drip_s=0.05, drip_bytes=6000))
    name = offered(server)
    with pulling(name, store.root) as one, pulling(name, store.root) as two:
        outs = [child.communicate(timeout=60)[0] for child in (one, two)]
    assert (one.returncode, two.returncode) == (0, 0), outs
    assert server.ranges(DIGEST) == [None]
    assert any("waiting for that" in out for out in outs)
    assert_whole(store, name)


def test_a_blob_that_another_removes_meanwhile_is_fetched_again(
    server: RegistryServer, client: Registry, store: Store
) -> None:
    ref = parse_ref(offered(server))
    work = client.pull(ref, store)
    while not store.blob_path(DIGEST).exists():
        next(work)
    remover = threading.Thread(target=store.remove_leftovers)
    remover.start()
    remover.join()
    assert not store.blob_path(DIGEST).exists()
    assert finish(work).model_path.read_bytes() == WEIGHTS
    assert server.ranges(DIGEST) == [None, None]
