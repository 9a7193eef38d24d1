"""Where an Ollama server's models lie: by its own variables, or by what lies there."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from pytest_mock import MockerFixture

from agentlaunch import files
from agentlaunch.engines.ollama import store
from agentlaunch.engines.ollama.replies import Tag
from agentlaunch.models import store as layout
from agentlaunch.models.manifest import parse_manifest
from agentlaunch.models.refs import parse_ref

LISTENS = """
import socket
server = socket.create_server(("127.0.0.1", 0))
print(server.getsockname()[1], flush=True)
server.accept()
"""
TAG = Tag("qwen3.5:4b", None, None, None, None, None, None, cloud=False)
URL = "http://127.0.0.1:9"


@pytest.mark.parametrize(
    ("environ", "folder"),
    [
        ({"HOME": "/home/me"}, "/home/me/.ollama/models"),
        ({"HOME": "/home/me", "OLLAMA_MODELS": " '/big/models' "}, "/big/models"),
        ({"HOME": "/home/me", "OLLAMA_MODELS": ""}, "/home/me/.ollama/models"),
        ({"HOME": "/home/me", "OLLAMA_MODELS": "below/where/it/runs"}, None),
        ({}, None),
    ],
)
def test_the_folder_follows_the_variables(environ: dict[str, str], folder: str | None) -> None:
    assert store.folder_of(environ) == (Path(folder) if folder else None)


def test_a_server_that_we_would_start_gets_our_variables(tmp_path: Path) -> None:
    found = store.find(URL, {"OLLAMA_MODELS": str(tmp_path / "not" / "yet")}, running=False)
    assert found is not None
    assert found.path == tmp_path / "not" / "yet"
    free = files.disk_free_bytes(tmp_path)  # the nearest folder that is there lies on that disk
    assert free is not None
    assert found.free_bytes is not None
    assert abs(found.free_bytes - free) < 10**9


@pytest.fixture
def server(tmp_path: Path) -> Iterator[int]:
    """The port of a process called `ollama` with variables of its own."""
    program = tmp_path / "ollama"
    program.write_text(f"#!{sys.executable}\n{LISTENS}")
    program.chmod(0o755)
    env = {"HOME": "/home/other", "OLLAMA_MODELS": str(tmp_path / "theirs"), "PATH": "/usr/bin"}
    with subprocess.Popen([str(program)], env=env, stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None
        yield int(child.stdout.readline())
        child.kill()


@pytest.mark.skipif(sys.platform != "linux", reason="a script has its own name there alone")
def test_a_server_that_runs_is_asked_for_its_own_variables(server: int, tmp_path: Path) -> None:
    ours = {"OLLAMA_MODELS": str(tmp_path / "ours")}
    found = store.find(f"http://127.0.0.1:{server}", ours, running=True)
    assert found is not None
    assert found.path == tmp_path / "theirs"


@pytest.mark.skipif(sys.platform != "linux", reason="containers are processes there alone")
def test_the_folder_of_a_server_in_a_container_is_none_of_ours(
    server: int, mocker: MockerFixture
) -> None:
    mocker.patch("agentlaunch.process._same_root", return_value=False)
    assert store.find(f"http://127.0.0.1:{server}", {"HOME": "/root"}, running=True) is None


def test_where_the_process_is_closed_a_store_is_known_by_what_it_holds(
    tmp_path: Path, mocker: MockerFixture
) -> None:
    service = tmp_path / "service"
    mocker.patch.object(store, "SERVICE_HOME", service)
    home = {"HOME": str(tmp_path / "me")}
    assert store.find(URL, home, [TAG], running=True) is None  # neither is there
    theirs = service / ".ollama" / "models"
    manifest = layout.Store(theirs, ours=False).manifest_path(parse_ref(TAG.name))
    manifest.parent.mkdir(parents=True)
    found = store.find(URL, home, (), running=True)
    assert found is not None  # it has no models yet
    assert found.path == theirs
    assert store.find(URL, home, [TAG], running=True) is None  # another server's store
    manifest.write_text("{}")
    found = store.find(URL, home, [TAG], running=True)
    assert found is not None
    assert found.path == theirs
    mine = layout.Store(tmp_path / "me/.ollama/models", ours=False).manifest_path(
        parse_ref(TAG.name)
    )
    mine.parent.mkdir(parents=True)
    mine.write_text("{}")
    found = store.find(URL, home, [TAG], running=True)
    assert found is not None
    assert found.path == tmp_path / "me/.ollama/models"


def test_what_a_stopped_download_left_is_counted(tmp_path: Path) -> None:
    blobs = tmp_path / "blobs"
    blobs.mkdir()
    digests = [f"sha256:{letter * 64}" for letter in "abc"]
    rows = [{"mediaType": "x", "digest": d, "size": 100} for d in digests]
    manifest = parse_manifest(json.dumps({"layers": rows}).encode())
    whole, half, _ = (digest.replace(":", "-") for digest in digests)
    (blobs / whole).write_bytes(b"x" * 100)
    (blobs / f"{half}-partial").write_bytes(b"\0" * 100)  # as long as all of it from the start
    for number, noted in enumerate(('{"Completed": 30}', '{"Completed": 12}', "{", '["x"]')):
        (blobs / f"{half}-partial-{number}").write_text(noted)
    (blobs / f"{half}-partial-9").write_text('{"Completed": -5}')
    (blobs / f"{half}-partial-x").write_text('{"Completed": 1000}')
    found = store.find(URL, {"OLLAMA_MODELS": str(tmp_path)}, running=False)
    assert found is not None
    assert found.partial_bytes == 42
    assert found.layers_here(manifest) == {
        digests[0]: (100, 100), digests[1]: (42, 100), digests[2]: (0, 100),
    }  # fmt: skip
