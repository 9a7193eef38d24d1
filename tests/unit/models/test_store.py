"""The model stores: ours, which changes under lock, and Ollama's, which never does."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from agentlaunch import files
from agentlaunch.errors import AgentlaunchError, MachineCannot, ModelUnavailable, Refused
from agentlaunch.models.manifest import BrokenManifest, parse_manifest
from agentlaunch.models.refs import parse_ref
from agentlaunch.models.store import (
    Leftover,
    Store,
    StoredModel,
    disk_fault,
    find_stored,
    stores,
)
from places import paths_below
from registry_server import digest_of, layer_row


def put(store: Store, name: str, layers: dict[str, bytes]) -> bytes:
    """Write a model as Ollama lays it out; gives the manifest's bytes."""
    (store.root / "blobs").mkdir(parents=True, exist_ok=True)
    for data in layers.values():
        store.blob_path(digest_of(data)).write_bytes(data)
    rows = [layer_row(kind, data) for kind, data in layers.items()]
    raw = json.dumps({"schemaVersion": 2, "layers": rows}).encode()
    path = store.manifest_path(parse_ref(name))
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(raw)
    return raw


def tree(root: Path) -> dict[str, bytes]:
    return {str(p.relative_to(root)): p.read_bytes() for p in root.rglob("*") if p.is_file()}


@pytest.fixture
def ours(tmp_path: Path) -> Store:
    return Store(tmp_path / "ours", ours=True)


@pytest.fixture
def foreign(tmp_path: Path) -> Store:
    return Store(tmp_path / "ollama", ours=False)


def test_a_whole_model_is_found_with_all_that_an_engine_needs(ours: Store) -> None:
    put(ours, "m:t", {"model": b"weights", "projector": b"eyes", "template": "é {{x}}".encode()})
    assert ours.find(parse_ref("m:t")) == StoredModel(
        ref=parse_ref("m:t"),
        model_path=ours.blob_path(digest_of(b"weights")),
        projector_path=ours.blob_path(digest_of(b"eyes")),
        size_bytes=len(b"weights") + len(b"eyes") + len("é {{x}}".encode()),
        store=ours,
    )


def test_a_model_without_projector_is_whole_too(ours: Store) -> None:
    put(ours, "m", {"model": b"w"})
    found = ours.find(parse_ref("m"))
    assert found is not None
    assert found.projector_path is None


@pytest.mark.parametrize("damage", ["missing", "shorter", "longer", "folder"])
def test_half_a_model_is_not_found(ours: Store, damage: str) -> None:
    put(ours, "m", {"model": b"weights", "params": b"p"})
    blob = ours.blob_path(digest_of(b"p"))
    blob.unlink()
    if damage in ("shorter", "longer"):
        blob.write_bytes(b"" if damage == "shorter" else b"pp")
    elif damage == "folder":
        (blob / "x").mkdir(parents=True)
    assert ours.find(parse_ref("m")) is None
    assert ours.list() == ()


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"\xff\x00",
        b"[]",
        b"{}",
        b'{"layers": {}}',
        b'{"layers": [1]}',
        b'{"layers": []}',
        b"[" * 100_000,
        b'{"layers": [{"mediaType": 1, "digest": "sha256:' + b"0" * 64 + b'", "size": 1}]}',
        b'{"layers": [{"mediaType": "x", "digest": "sha256:../../etc/passwd", "size": 1}]}',
        b'{"layers": [{"mediaType": "x", "digest": "sha256:'
        + b"0" * 64
        + b'", "size": '
        + b"9" * 5000
        + b"}]}",
    ],
)
def test_a_broken_manifest_is_passed_over(ours: Store, raw: bytes) -> None:
    put(ours, "good", {"model": b"w"})
    path = ours.manifest_path(parse_ref("bad"))
    path.parent.mkdir(parents=True)
    path.write_bytes(raw)
    assert ours.find(parse_ref("bad")) is None
    assert [str(model.ref) for model in ours.list()] == ["good:latest"]


@pytest.mark.parametrize(
    "row",
    [
        {"digest": "sha256:" + "0" * 63},
        {"digest": "sha256:" + "G" * 64},
        {"digest": "sha256:" + "A" * 64},
        {"digest": "md5:" + "0" * 64},
        {"digest": "sha256:" + "0" * 64 + "\n"},
        {"digest": "../../" + "0" * 64},
        {"digest": None},
        {"size": -1},
        {"size": True},
        {"size": 1.5},
        {"size": "1"},
        {"size": None},
        {"size": 2**60},
        {"mediaType": None},
    ],
)
def test_a_manifest_that_says_impossible_things_is_broken(row: dict[str, object]) -> None:
    good: dict[str, object] = layer_row("model", b"w")
    assert parse_manifest(json.dumps({"layers": [good]}).encode()).total_bytes == 1
    with pytest.raises(BrokenManifest):
        parse_manifest(json.dumps({"layers": [good | row]}).encode())


def test_one_blob_with_two_sizes_is_a_broken_manifest() -> None:
    rows = [layer_row("model", b"w"), layer_row("params", b"w", size=2)]
    with pytest.raises(BrokenManifest, match="two sizes"):
        parse_manifest(json.dumps({"layers": rows}).encode())


def test_a_manifest_counts_a_shared_blob_once_and_puts_the_weights_first() -> None:
    rows = [layer_row("license", b"text"), layer_row("system", b"text"), layer_row("model", b"w")]
    manifest = parse_manifest(json.dumps({"layers": rows, "config": {"digest": ""}}).encode())
    assert [layer.size_bytes for layer in manifest.blobs] == [1, 4]
    assert manifest.total_bytes == 5
    assert manifest.config is None


def test_other_files_among_the_manifests_do_not_disturb(ours: Store) -> None:
    put(ours, "m", {"model": b"w"})
    top = ours.root / "manifests"
    (top / ".DS_Store").write_text("x")
    (top / "registry.ollama.ai" / "library" / "m" / "bad tag").write_text("x")
    (top / "registry.ollama.ai" / "library" / "m" / "folder").mkdir()
    assert [str(model.ref) for model in ours.list()] == ["m:latest"]


def test_an_absent_store_is_empty(ours: Store) -> None:
    assert ours.list() == ()
    assert ours.find(parse_ref("m")) is None
    assert ours.leftovers() == ()


def test_a_stored_name_keeps_its_case(ours: Store) -> None:
    put(ours, "hf.co/User/Repo-GGUF:Q4_K_M", {"model": b"w"})
    found = ours.find(parse_ref("hf.co/user/repo-gguf:q4_k_m"))
    assert found is not None
    assert str(found.ref) == "hf.co/User/Repo-GGUF:Q4_K_M"


def test_a_foreign_letter_that_folds_to_ours_is_another_name(ours: Store) -> None:
    (ours.root / "manifests" / "registry.ollama.ai" / "library" / "\u212aimi").mkdir(parents=True)
    assert ours.stored_name(parse_ref("kimi")) == parse_ref("kimi")


def test_removing_a_model_keeps_the_blobs_that_another_needs(ours: Store) -> None:
    put(ours, "a:1", {"model": b"shared weights", "params": b"aa"})
    put(ours, "b:1", {"model": b"shared weights", "params": b"bbb"})
    assert ours.remove(parse_ref("a:1")) == 2
    assert [str(model.ref) for model in ours.list()] == ["b:1"]
    assert not ours.manifest_path(parse_ref("a:1")).parent.exists()
    assert ours.remove(parse_ref("b:1")) == len(b"shared weights") + 3
    assert list((ours.root / "blobs").iterdir()) == []


def test_while_a_manifest_is_unreadable_no_blob_is_deleted(ours: Store) -> None:
    put(ours, "a", {"model": b"w"})
    broken = ours.manifest_path(parse_ref("b"))
    broken.parent.mkdir(parents=True)
    broken.write_text("{")
    (ours.root / "blobs" / ("sha256-" + "0" * 64)).write_bytes(b"orphan")
    assert ours.leftovers() == ()
    assert ours.remove(parse_ref("a")) == 0
    assert ours.blob_path(digest_of(b"w")).exists()


def test_removing_what_is_not_there_says_so(ours: Store) -> None:
    with pytest.raises(ModelUnavailable):
        ours.remove(parse_ref("nothing"))


def test_nothing_is_ever_changed_in_a_store_that_is_not_ours(foreign: Store) -> None:
    raw = put(foreign, "m", {"model": b"w"})
    (foreign.root / "blobs" / ("sha256-" + "0" * 64 + "-partial")).write_bytes(b"half")
    before = tree(foreign.root)
    with pytest.raises(Refused) as caught:
        foreign.remove(parse_ref("m"))
    assert caught.value.hint == "remove it with: ollama rm m:latest"
    with pytest.raises(Refused):
        foreign.add(parse_ref("n"), parse_manifest(raw))
    assert foreign.leftovers() == ()
    with pytest.raises(Refused):
        foreign.remove_leftovers()
    assert tree(foreign.root) == before


def test_leftovers_are_halves_and_orphans_with_their_sizes(ours: Store) -> None:
    put(ours, "m", {"model": b"w"})
    half = ours.partial_path(digest_of(b"whole"))
    half.write_bytes(b"who")
    orphan = ours.blob_path(digest_of(b"orphan"))
    orphan.write_bytes(b"orphan")
    assert set(ours.leftovers()) == {Leftover(half, 3, True), Leftover(orphan, 6, False)}
    assert ours.remove_leftovers() == 9
    assert ours.leftovers() == ()
    assert ours.find(parse_ref("m")) is not None


def test_a_half_that_is_being_downloaded_is_not_removed(ours: Store) -> None:
    half = ours.partial_path(digest_of(b"whole"))
    half.parent.mkdir(parents=True)
    half.write_bytes(b"who")
    lock = ours.lock_path(half.name.removesuffix("-partial"))
    with files.locked(lock, timeout_s=1, what="a test"):
        assert ours.remove_leftovers() == 0
    assert half.exists()


def test_a_name_is_given_only_when_all_blobs_are_there(ours: Store) -> None:
    raw = put(ours, "m", {"model": b"w"})
    ours.manifest_path(parse_ref("m")).unlink()
    manifest = parse_manifest(raw)
    assert ours.add(parse_ref("m"), manifest)
    assert ours.manifest_path(parse_ref("m")).read_bytes() == raw
    ours.blob_path(digest_of(b"w")).unlink()
    assert not ours.add(parse_ref("n"), manifest)
    assert not ours.manifest_path(parse_ref("n")).exists()


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="a device that is always full")
def test_a_full_disk_is_the_machines_limit_and_other_faults_are_not() -> None:
    with Path("/dev/full").open("wb", buffering=0) as full, pytest.raises(OSError) as caught:  # noqa: PT011 - any OSError is what we look at
        full.write(b"x")
    fault = disk_fault(caught.value, Path("/models"))
    assert isinstance(fault, MachineCannot)
    assert fault.exit_code == 4
    other = disk_fault(PermissionError(13, "Permission denied"), Path("/models"))
    assert type(other) is AgentlaunchError


def test_our_store_is_looked_at_first_then_each_readable_store_of_ollama(tmp_path: Path) -> None:
    paths = paths_below(tmp_path)
    own = tmp_path / "home" / ".ollama" / "models"
    asked = tmp_path / "big disk"
    environ = {"HOME": str(tmp_path / "home"), "OLLAMA_MODELS": f' "{asked}" '}
    ours = Store(paths.models, ours=True)

    def found() -> tuple[Store, ...]:
        return tuple(s for s in stores(paths, environ) if tmp_path in s.root.parents)

    assert found() == (ours,)
    for root in (own, asked):
        put(Store(root, ours=False), "m", {"model": str(root).encode()})
    assert found() == (ours, Store(asked, ours=False), Store(own, ours=False))
    model = find_stored(found(), parse_ref("m"))
    assert model is not None
    assert model.store.root == asked
    assert find_stored(found(), parse_ref("other")) is None
    environ["OLLAMA_MODELS"] = str(own)
    assert found() == (ours, Store(own, ours=False))


def test_our_own_store_is_never_taken_for_ollamas(tmp_path: Path) -> None:
    paths = paths_below(tmp_path)
    put(Store(paths.models, ours=True), "m", {"model": b"w"})
    link = tmp_path / "link"
    link.symlink_to(paths.models)
    environ = {"HOME": str(tmp_path), "OLLAMA_MODELS": str(link)}
    assert stores(paths, environ)[0] == Store(paths.models, ours=True)
    assert link not in [store.root for store in stores(paths, environ)]


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_store_that_may_not_be_read_is_left_out(tmp_path: Path) -> None:
    paths = paths_below(tmp_path)
    own = Store(tmp_path / ".ollama" / "models", ours=False)
    put(own, "m", {"model": b"w"})
    (own.root / "blobs").chmod(0)
    try:
        assert own not in stores(paths, {"HOME": str(tmp_path)})
    finally:
        (own.root / "blobs").chmod(0o700)
