"""The gateway's process with a stand-in for LiteLLM, and each way in which it goes wrong."""

from __future__ import annotations

import json
import os
import signal
import socket
import stat
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from agentlaunch import files, process, web
from agentlaunch.errors import EngineFailed, Refused
from agentlaunch.gateway import life
from agentlaunch.gateway.spec import Spec
from agentlaunch.process import Background
from agentlaunch.progress import finish
from agentlaunch.settings import Paths
from fake_gateway import FakeGateway, drop_own_lease, lease_of, spec
from places import paths_below
from shaped_server import ShapedServer
from waiting import wait_until

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="the gateway is not there yet")


@pytest.fixture
def paths(tmp_path: Path) -> Paths:
    return paths_below(tmp_path)


@pytest.fixture
def fake(paths: Paths) -> Iterator[FakeGateway]:
    made = FakeGateway(paths)
    yield made
    made.end()


@pytest.fixture
def session(tmp_path: Path) -> Iterator[int]:
    """The number of a process that could be an agent."""
    child = Background(["sleep", "60"], log=tmp_path / "sleep.log")
    yield child.pid
    child.kill()


def serve(paths: Paths, asked: Spec | None = None, start_s: float = 20) -> life.Running:
    return finish(life.serve(asked or spec(), paths, idle_s=60, start_s=start_s))


def failed(paths: Paths, start_s: float = 20) -> EngineFailed:
    with pytest.raises(EngineFailed) as caught:
        serve(paths, start_s=start_s)
    assert caught.value.exit_code == 6
    assert "\n" not in caught.value.message
    return caught.value


def kill(running: life.Running) -> None:
    os.kill(running.identity.pid, signal.SIGKILL)
    wait_until(lambda: not process.is_alive(running.identity))


# ---- as it should go --------------------------------------------------------------------------


def test_a_gateway_is_started_once_and_found_again(paths: Paths, fake: FakeGateway) -> None:
    first = serve(paths)
    again = serve(paths)
    assert (first.reused, again.reused, first.answers, again.answers) == (False, True, True, True)
    assert (again.url, again.token, again.identity) == (first.url, first.token, first.identity)
    assert len(fake.starts) == 1
    assert web.request("GET", f"{first.url}/x", headers={"authorization": f"Bearer {first.token}"}
    ).status == 204  # fmt: skip
    assert first.token not in repr(first)
    (found,) = life.find(paths)
    assert (found.url, found.sessions, found.answers) == (first.url, 1, True)
    assert [(stop.name, stop.host, stop.local) for stop in found.chains["main"]] == [
        ("hosted", "hosted.lan", False),
        ("other", "other.lan", False),
    ]
    assert life.current(paths, first.fingerprint) is not None
    assert life.current(paths, "0" * 64) is None


def test_the_process_is_nobodys_child_and_gets_no_key_but_the_endpoints(
    paths: Paths, fake: FakeGateway, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / ".env").write_text("OPENAI_API_KEY=sk-of-the-project\n")
    for name in ("OPENAI_API_KEY", "DATABASE_URL", "HOST", "PORT", "LITELLM_MASTER_KEY", "DEBUG"):
        monkeypatch.setenv(name, "canary")
    monkeypatch.setenv("HTTPS_PROXY", "http://proxy.example:3128")
    running = serve(paths)
    (start,) = fake.starts
    environ = start["environ"]
    assert "canary" not in environ.values()
    assert environ["AL_GATEWAY_KEY"] == running.token
    assert "sk-canary-hop" in environ.values()
    assert environ["AL_GATEWAY_FACTS"] == str(running.folder / "facts.json")
    assert environ["HTTPS_PROXY"] == "http://proxy.example:3128"
    assert "127.0.0.1" in environ["NO_PROXY"].split(",")
    assert start["cwd"] == str(running.folder)
    assert start["argv"] == [
        "--config", str(running.config_file), "--host", "127.0.0.1", "--port", str(running.port),
    ]  # fmt: skip
    stated = Path(f"/proc/{running.identity.pid}/stat")
    if stated.exists():
        parent = int(stated.read_text().rpartition(")")[2].split()[1])
        assert parent != os.getpid()


def test_what_lies_in_the_folder_is_private_and_holds_no_key_of_an_endpoint(
    paths: Paths, fake: FakeGateway
) -> None:
    running = serve(paths)
    assert stat.S_IMODE(running.folder.stat().st_mode) == 0o700
    held = {path.name: path for path in running.folder.iterdir() if path.is_file()}
    assert {"config.yaml", "facts.json", "litellm_hooks.py", "state.json"} <= set(held)
    for path in held.values():
        assert "sk-canary-hop" not in path.read_text()
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
    facts = json.loads(held["facts.json"].read_text())
    assert facts["leases"] == str(running.folder / "leases")
    assert facts["state"] == str(running.status_file)
    assert running.log.read_text().strip().endswith("the banner\x1b[0m")
    assert stat.S_IMODE(running.log.stat().st_mode) == 0o600


def test_another_chain_is_another_gateway_and_the_first_is_left_to_its_sessions(
    paths: Paths, fake: FakeGateway
) -> None:
    first, second = serve(paths), serve(paths, spec("hosted"))
    assert first.identity != second.identity
    assert {row.fingerprint for row in life.find(paths)} == {first.fingerprint, second.fingerprint}
    assert serve(paths).identity == first.identity
    third = serve(paths, spec(token="sk-another"))
    assert third.fingerprint not in {first.fingerprint, second.fingerprint}


def test_two_launches_at_once_start_one(paths: Paths, fake: FakeGateway) -> None:
    fake.behave(slow_s=0.3)
    with ThreadPoolExecutor(2) as pool:
        both = [pool.submit(serve, paths) for _ in range(2)]
        first, second = (one.result(timeout=30) for one in both)
    assert first.identity == second.identity
    assert {first.reused, second.reused} == {True, False}
    assert len(fake.starts) == 1


# ---- faults of its start ----------------------------------------------------------------------


def test_one_that_dies_is_told_with_its_own_last_error_and_leaves_nothing(
    paths: Paths, fake: FakeGateway
) -> None:
    fake.behave(dies="the file is no good")
    error = failed(paths)
    assert error.code == "gateway-died"
    assert error.message.endswith("ValueError: the file is no good")
    assert error.hint == "agentlaunch gateway logs"
    assert life.find(paths) == ()
    assert [path for path in (paths.runtime / "gateway").iterdir() if path.is_dir()] == []
    fake.behave()
    assert serve(paths).answers


def test_one_that_never_answers_is_ended_after_its_time(paths: Paths, fake: FakeGateway) -> None:
    fake.behave(hangs=True)
    assert failed(paths, start_s=0.5).code == "gateway-timeout"
    (start,) = fake.starts
    assert process.identity(start["pid"]) is None


def test_a_package_that_is_missing_is_said_with_the_way_out(paths: Paths) -> None:
    error = failed(paths)
    assert (error.code, "agentlaunch gateway start" in (error.hint or "")) == (
        "gateway-missing",
        True,
    )


def test_a_program_that_cannot_be_run_at_all_is_told(paths: Paths, fake: FakeGateway) -> None:
    program = fake.how_file.parent / "bin" / "litellm"
    program.write_text("#!/nonexistent/python\n")
    fault = failed(paths)
    assert fault.code == "gateway-died"
    assert fault.hint is not None
    assert fault.hint.startswith("agentlaunch clean litellm@1.")


@pytest.fixture
def foreign() -> Iterator[socket.socket]:
    """Another program's server, on a port of its own."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server


def test_a_port_that_another_program_took_first_is_replaced_once(
    paths: Paths, fake: FakeGateway, foreign: socket.socket, monkeypatch: pytest.MonkeyPatch
) -> None:
    taken, real = foreign.getsockname()[1], life._free_port
    ports = iter([taken, real()])
    monkeypatch.setattr(life, "_free_port", lambda: next(ports))
    running = serve(paths)
    assert running.port != taken
    assert len(fake.starts) == 2


def test_ports_that_are_taken_again_and_again_are_an_error_that_can_be_repeated(
    paths: Paths, fake: FakeGateway, foreign: socket.socket, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(life, "_free_port", lambda: foreign.getsockname()[1])
    assert failed(paths).code == "gateway-port"
    assert len(fake.starts) == 2


def test_another_server_that_answers_in_its_place_is_not_believed(
    paths: Paths, fake: FakeGateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake.behave(slow_s=0.5)
    with ShapedServer({}, otherwise=(200, {})) as foreign:
        port, real = urlsplit(foreign.url).port, life._free_port
        ports = iter([port, real()])
        monkeypatch.setattr(life, "_free_port", lambda: next(ports))
        running = serve(paths)
    assert running.port != port
    assert foreign.requests != []
    assert all("authorization" not in request.headers for request in foreign.requests)


# ---- faults of one that was there -------------------------------------------------------------


def test_one_that_was_killed_is_swept_and_started_anew(paths: Paths, fake: FakeGateway) -> None:
    first = serve(paths)
    drop_own_lease(first)
    kill(first)
    assert life.find(paths) == ()
    assert not first.folder.exists()
    second = serve(paths)
    assert second.token != first.token
    assert not second.reused


def test_one_that_was_killed_under_a_session_comes_back_at_its_address(
    paths: Paths, fake: FakeGateway, session: int
) -> None:
    first = serve(paths)
    lease_of(first.folder, session)
    kill(first)
    assert life.find(paths) == ()
    second = serve(paths)
    assert (second.url, second.token) == (first.url, first.token)
    assert second.identity != first.identity


def test_where_another_program_has_the_old_port_it_comes_elsewhere_and_never_talks_to_it(
    paths: Paths, fake: FakeGateway, session: int
) -> None:
    first = serve(paths)
    lease_of(first.folder, session)
    kill(first)
    with socket.create_server(("127.0.0.1", first.port)) as foreign:
        foreign.settimeout(0.1)
        second = serve(paths)
        assert second.port != first.port
        with pytest.raises(TimeoutError):
            foreign.accept()


def test_a_launch_that_was_stopped_in_its_start_leaves_one_that_the_next_takes_up(
    paths: Paths, fake: FakeGateway
) -> None:
    first = serve(paths)
    state = files.read_json(first.folder / "state.json") or {}
    files.write_json(first.folder / "state.json", {**state, "ready": False})
    (found,) = life.find(paths)
    assert not found.answers
    second = serve(paths)
    assert (second.identity, second.reused) == (first.identity, True)
    (found,) = life.find(paths)
    assert found.answers


def test_work_that_is_broken_off_ends_what_it_started(paths: Paths, fake: FakeGateway) -> None:
    fake.behave(hangs=True)
    work = life.serve(spec(), paths, idle_s=60)
    while not fake.starts:
        next(work)
    work.close()
    assert process.identity(fake.starts[0]["pid"]) is None
    assert life.find(paths) == ()


@pytest.mark.parametrize(
    "content",
    [b"", b"{", b"[]", b'{"pid": 1}', b"\xff\xfe", b'{"pid": [], "started": {}, "port": "x"}',
     b'{"pid": 1, "started": "1", "port": 1e999, "cap_usd": null}'],
)  # fmt: skip
def test_a_broken_state_file_is_as_none_and_swept(paths: Paths, content: bytes) -> None:
    folder = files.private_tree(paths.runtime, paths.runtime / "gateway" / ("0" * 16))
    (folder / "state.json").write_bytes(content)
    assert life.current(paths, "0" * 64) is None
    assert life.find(paths) == ()
    assert not folder.exists()


def test_over_a_broken_state_file_a_new_one_is_started(paths: Paths, fake: FakeGateway) -> None:
    first = serve(paths)
    drop_own_lease(first)
    kill(first)
    (first.folder / "state.json").write_bytes(b"{")
    assert serve(paths).answers


def test_one_that_hangs_is_replaced_where_nobody_uses_it(
    paths: Paths, fake: FakeGateway, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(life, "ANSWER_S", 0.2)
    fake.behave(silent_after=str(tmp_path / "hang"))
    first = serve(paths)
    (tmp_path / "hang").touch()
    fake.behave()
    second = serve(paths)
    assert second.identity != first.identity
    assert not process.is_alive(first.identity)


def test_one_that_hangs_under_a_session_is_left_and_named(
    paths: Paths, fake: FakeGateway, session: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(life, "ANSWER_S", 0.2)
    fake.behave(silent_after=str(tmp_path / "hang"))
    first = serve(paths)
    lease_of(first.folder, session)
    (tmp_path / "hang").touch()
    error = failed(paths)
    assert (error.code, error.hint) == (
        "gateway-hangs",
        "try again, or end it under them: agentlaunch gateway stop --force",
    )
    assert process.is_alive(first.identity)


def test_a_runtime_folder_that_cannot_be_written_is_a_plain_error(
    paths: Paths, fake: FakeGateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    paths.runtime.mkdir(mode=0o700)
    blocked = paths.runtime / "gateway"
    blocked.write_text("a file where the folder would be")
    with pytest.raises(Refused) as caught:
        serve(paths)
    assert str(blocked) in caught.value.message
    assert fake.starts == []
    assert life.find(paths) == ()


def test_a_read_only_runtime_folder_is_the_systems_own_error(
    paths: Paths, fake: FakeGateway
) -> None:
    paths.runtime.mkdir(mode=0o500)
    if os.access(paths.runtime, os.W_OK):
        pytest.skip("this user may write everywhere")
    try:
        with pytest.raises(PermissionError):
            serve(paths)
        assert life.find(paths) == ()
    finally:
        paths.runtime.chmod(0o700)
    assert fake.starts == []


# ---- leases and the end -----------------------------------------------------------------------


def test_it_is_not_stopped_under_a_session_but_by_force(paths: Paths, fake: FakeGateway) -> None:
    running = serve(paths)
    with pytest.raises(Refused) as caught:
        life.stop(paths)
    assert caught.value.hint == "end them first, or: agentlaunch gateway stop --force"
    assert process.is_alive(running.identity)
    (ended,) = life.stop(paths, force=True)
    assert ended.identity == running.identity
    assert not process.is_alive(running.identity)
    assert not running.folder.exists()
    assert life.stop(paths) == ()


def test_a_lease_ends_with_its_process(paths: Paths, fake: FakeGateway, tmp_path: Path) -> None:
    running = serve(paths)
    drop_own_lease(running)
    child = Background(["sleep", "60"], log=tmp_path / "sleep.log")
    lease_of(running.folder, child.pid)
    assert life.find(paths)[0].sessions == 1
    child.kill()
    assert life.find(paths)[0].sessions == 0
    assert [row.identity for row in life.stop(paths)] == [running.identity]


def test_a_lease_of_this_process_is_taken_once(paths: Paths, fake: FakeGateway) -> None:
    serve(paths)
    serve(paths)
    assert life.find(paths)[0].sessions == 1


def test_logs_of_earlier_gateways_are_kept_beside_the_newest(
    paths: Paths, fake: FakeGateway
) -> None:
    for _ in range(4):
        running = serve(paths)
        running.log.write_text(f"of {running.identity.pid}")
        life.stop(paths, force=True)
    names = sorted(path.name for path in paths.logs.iterdir())
    assert names == ["gateway.log", "gateway.log.1", "gateway.log.2"]
