"""`agentlaunch clean`: engines end only where what they read goes, and all of them or none."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator

import pytest

from agentlaunch import files, process
from agentlaunch.cli import main
from agentlaunch.engines.llama_cpp import LlamaCpp
from agentlaunch.engines.llama_cpp_host import start_mark
from agentlaunch.models.refs import parse_ref
from agentlaunch.models.store import Store
from agentlaunch.settings import paths
from registry_server import digest_of, layer_row

KEYS = ("a", "b")


@pytest.fixture
def engines() -> Iterator[list[subprocess.Popen[bytes]]]:
    """Two processes that our state files call engines."""
    folder = files.private_tree(paths().runtime, paths().runtime / "engines")
    children = [subprocess.Popen(["sleep", "60"]) for _ in KEYS]
    for key, child in zip(KEYS, children, strict=True):
        state = {
            "pid": child.pid, "mark": start_mark(child.pid), "port": 9, "model": key, "token": "t",
            "context_tokens": 1, "path": "/x.gguf", "version": "1", "kv_cache_type": "f16",
        }  # fmt: skip
        files.write_json(folder / f"{key}.json", state)
    yield children
    for child in children:
        child.kill()
        child.wait()


@pytest.fixture(autouse=True)
def things() -> None:
    """A model and a cache."""
    store = Store(paths().models, ours=True)
    files.write_atomic(store.blob_path(digest_of(b"w")), b"w")
    manifest = json.dumps({"layers": [layer_row("model", b"w")]}).encode()
    files.write_atomic(store.manifest_path(parse_ref("m:t")), manifest)
    files.write_atomic(paths().cache / "file", b"x")


def _running(children: list[subprocess.Popen[bytes]]) -> list[bool]:
    return [process.identity(child.pid) is not None for child in children]


def test_a_cache_goes_without_stopping_an_engine(engines: list[subprocess.Popen[bytes]]) -> None:
    assert main(["clean", "cache", "--yes"]) == 0
    assert not paths().cache.exists()
    assert _running(engines) == [True, True]


def test_a_model_goes_after_every_engine_has_ended(engines: list[subprocess.Popen[bytes]]) -> None:
    assert main(["clean", "m:t", "--yes"]) == 0
    assert Store(paths().models, ours=True).list() == ()
    assert _running(engines) == [False, False]


@pytest.mark.parametrize("used", KEYS)
def test_a_session_keeps_every_engine_and_every_thing(
    used: str, engines: list[subprocess.Popen[bytes]], capsys: pytest.CaptureFixture[str]
) -> None:
    me = process.identity()
    assert me is not None
    LlamaCpp(paths()).take_lease(used, me)
    assert main(["clean", "--all", "--yes"]) == 8
    assert f"{used} is in use" in capsys.readouterr().err
    assert _running(engines) == [True, True]
    assert len(Store(paths().models, ours=True).list()) == 1
    assert paths().cache.exists()


@pytest.mark.parametrize(
    ("name", "file"),
    [("prefixes", "0123456789abcdef/fedcba9876543210.kv"), ("recordings", "0123456789abcdef.json")],
)
def test_what_is_dear_of_the_cache_is_an_item_of_its_own(
    name: str, file: str, capsys: pytest.CaptureFixture[str]
) -> None:
    saved = paths().cache / name / file
    files.private_tree(paths().cache, saved.parent)
    saved.write_bytes(bytes(1000))
    assert main(["clean", "--json"]) == 0
    items = json.loads(capsys.readouterr().out)["data"]["items"]
    sizes = {row["name"]: row["size_bytes"] for row in items}
    assert (sizes["cache"], sizes[name]) == (1, 1000)

    assert main(["clean", "cache", "--yes"]) == 0
    assert [path.name for path in paths().cache.iterdir()] == [name]
    assert saved.exists()

    assert main(["clean", name, "--yes"]) == 0
    assert not (paths().cache / name).exists()
