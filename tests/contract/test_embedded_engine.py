"""The embedded engine for real: llama.cpp from PyPI, managed, with a real small model."""

from __future__ import annotations

import concurrent.futures
import contextlib
import http.client
import json
import os
import resource
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import psutil
import pytest

import small_model
from agentlaunch import files, process, web
from agentlaunch.engines.base import EngineState, Loaded, Served, ServeRequest
from agentlaunch.engines.llama_cpp import VERSION, WIRES, LlamaCpp, Timing
from agentlaunch.errors import AgentlaunchError, EngineFailed, MachineCannot, NotSupported, Refused
from agentlaunch.models.sampling import Sampling, Thinking, Tuning
from agentlaunch.progress import finish
from agentlaunch.settings import Paths
from places import as_words, paths_below
from waiting import wait_until

CONTEXT = 2048
QUICK = Timing(idle_s=600, sleep_s=600, watch_s=0.1, answer_s=2.0)


@pytest.fixture(scope="module")
def request_() -> ServeRequest:
    return ServeRequest("smollm2:135m", small_model.small_model(), CONTEXT)


def hosts(paths: Paths) -> list[psutil.Process]:
    """Every background process that lives in these places, loading or serving."""
    found = []
    for each in psutil.process_iter():
        try:
            mine = "llama_cpp_host" in " ".join(each.cmdline())
            if mine and Path(each.cwd()).is_relative_to(paths.runtime):
                found.append(each)
        except psutil.Error:
            continue
    return found


def places_without_leftovers(folder: Path) -> Iterator[Paths]:
    """Places of an engine whose processes all end with the test."""
    places = small_model.engine_paths(folder)
    yield places
    engine = LlamaCpp(places)
    for found in engine.running():
        engine.stop(found.key, force=True)
    assert hosts(places) == []


@pytest.fixture
def paths(tmp_path: Path) -> Iterator[Paths]:
    yield from places_without_leftovers(tmp_path)


@pytest.fixture(scope="module")
def shared_paths(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Paths]:
    yield from places_without_leftovers(tmp_path_factory.mktemp("engine"))


@pytest.fixture(scope="module")
def served(shared_paths: Paths, request_: ServeRequest) -> Served:
    return finish(LlamaCpp(shared_paths, QUICK).serve(request_))


def drop_lease(paths: Paths, key: str) -> None:
    """End this process's session, as if the process had ended."""
    (paths.runtime / "engines" / f"{key}.leases" / str(process.identity())).unlink()


def ask(served: Served, text: str = "Say hello") -> dict[str, Any]:
    body = {"model": served.endpoint.model, "max_tokens": 4}
    body["messages"] = [{"role": "user", "content": text}]
    reply = web.request(
        "POST",
        f"{served.endpoint.base_url}/v1/messages",
        json_body=body,
        headers={"Authorization": f"Bearer {served.endpoint.token}"},
        deadline_s=60,
    )
    assert reply.status == 200, reply.body
    answer: dict[str, Any] = reply.json()
    return answer


# --- what is served ----------------------------------------------------------------------------


def test_the_context_is_read_back_and_the_template_has_no_tools(served: Served) -> None:
    endpoint = served.endpoint
    assert served == Served(
        engine="embedded",
        endpoint=endpoint,
        context_tokens=CONTEXT,
        version=VERSION,
        reused=False,
        sessions=0,
        tools=False,
    )
    assert endpoint.is_loopback
    assert (endpoint.model, endpoint.wires) == ("smollm2:135m", WIRES)
    assert len(endpoint.token) >= 32


def test_a_messages_request_is_answered(served: Served) -> None:
    answer = ask(served)
    assert answer["role"] == "assistant"
    assert answer["usage"]["output_tokens"] == 4


@pytest.mark.parametrize("header", ["Authorization", "x-api-key"])
def test_the_token_opens_by_both_headers(served: Served, header: str) -> None:
    token = served.endpoint.token
    value = f"Bearer {token}" if header == "Authorization" else token
    reply = web.request("GET", f"{served.endpoint.base_url}/v1/models", headers={header: value})
    assert [row["id"] for row in reply.json()["data"]] == ["smollm2:135m"]


ROUTES = """
    GET /v1/models, GET /models, GET /props, POST /props, GET /metrics, GET /slots, GET /api/tags
    GET /lora-adapters, GET /v1, GET /unknown, POST /v1/messages, POST /v1/messages/count_tokens
    POST /v1/chat/completions, POST /chat/completions, POST /v1/completions, POST /completion
    POST /completions, POST /v1/responses, POST /responses, POST /v1/embeddings, POST /embedding
    POST /rerank, POST /v1/rerank, POST /infill, POST /tokenize, POST /detokenize
    POST /apply-template, POST /lora-adapters, POST /api/chat, POST /api/show
    POST /slots/0?action=save, POST /models/load, POST /v1/audio/transcriptions, GET /tools
    POST /tools, GET /cors-proxy, POST /cors-proxy, DELETE /v1/models
"""


def test_no_route_but_health_answers_without_the_token(served: Served) -> None:
    routes = [word.strip().split(" ") for word in ROUTES.replace("\n", ",").split(",")]
    statuses = {
        f"{method} {path} {header}": web.request(
            method, served.endpoint.base_url + path, json_body={}, headers={"x-api-key": header}
        ).status
        for method, path in (route for route in routes if len(route) == 2)
        for header in ("", "wrong")
    }
    assert len(statuses) == 2 * 38
    assert set(statuses.values()) == {401}, statuses
    health = web.request("GET", f"{served.endpoint.base_url}/health")
    assert (health.status, health.json()) == (200, {"status": "ok"})


def test_a_web_page_may_not_read_an_answer(served: Served) -> None:
    address = urlsplit(served.endpoint.base_url)
    connection = http.client.HTTPConnection(str(address.hostname), address.port, timeout=5)
    try:
        connection.request("OPTIONS", "/v1/messages", headers={"Origin": "https://evil.example"})
        allowed = connection.getresponse().getheader("Access-Control-Allow-Origin")
    finally:
        connection.close()
    assert not allowed


def test_the_token_is_in_the_state_file_alone(
    served: Served, shared_paths: Paths, request_: ServeRequest
) -> None:
    ask(served)
    engine = LlamaCpp(shared_paths)
    token = served.endpoint.token
    roots = {shared_paths.runtime, shared_paths.state}
    everything = [path for root in roots for path in root.rglob("*") if path.is_file()]
    holders = [path for path in everything if token.encode() in path.read_bytes()]
    assert [path.name for path in holders] == [f"{engine.key(request_)}.json"]
    assert engine.logs(engine.key(request_)) in everything
    for each in hosts(shared_paths):
        assert token not in " ".join(each.cmdline())
        assert token not in " ".join(each.environ().values())
    assert token not in repr(served)


def test_our_files_are_private(served: Served, shared_paths: Paths) -> None:
    assert served.endpoint.token
    modes = {
        path.name: path.stat().st_mode & 0o077
        for root in (shared_paths.runtime, shared_paths.state)
        for path in root.rglob("*")
        if path.is_file() or path.name == "engines"
    }
    assert set(modes.values()) == {0}, modes


def test_a_second_launch_shares_the_process(
    served: Served, shared_paths: Paths, request_: ServeRequest
) -> None:
    other = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    engine = LlamaCpp(shared_paths, QUICK)
    who = process.identity(other.pid)
    assert who is not None
    engine.take_lease(engine.key(request_), who)
    again = finish(engine.serve(request_))
    other.communicate(b"\n")
    assert again == Served("embedded", served.endpoint, CONTEXT, VERSION, True, 1, False)
    assert len(hosts(shared_paths)) == 1


def test_sampling_is_the_servers_default_and_another_is_another_process(
    paths: Paths, request_: ServeRequest
) -> None:
    sampling = Sampling(0.6, 0.8, 20, 0.0, 1.5, 1.05)
    thinking = Thinking("on", True, "a reason", "https://example.org")
    tuned = replace(request_, tuning=Tuning(sampling, "all uses", "https://example.org", thinking))
    engine = LlamaCpp(paths, QUICK)
    keys = {
        engine.key(request_),
        engine.key(tuned),
        engine.key(replace(tuned, tuning=Tuning(sampling))),
    }
    assert len(keys) == 3
    served = finish(engine.serve(tuned))
    reply = web.request(
        "GET",
        f"{served.endpoint.base_url}/props",
        headers={"Authorization": f"Bearer {served.endpoint.token}"},
        deadline_s=10,
    )
    values = reply.json()["default_generation_settings"]["params"]
    assert {name: pytest.approx(values[name]) for name in sampling.given} == sampling.given


def test_the_process_is_nobodys_child_and_has_no_key_of_the_user(
    served: Served, shared_paths: Paths
) -> None:
    assert served.endpoint.token
    (holder,) = hosts(shared_paths)
    assert holder.ppid() != os.getpid()
    assert os.getsid(holder.pid) != os.getsid(0)
    assert not any("KEY" in name or "TOKEN" in name for name in holder.environ())


def test_the_state_tells_what_runs(
    served: Served, shared_paths: Paths, request_: ServeRequest
) -> None:
    (holder,) = hosts(shared_paths)
    engine = LlamaCpp(shared_paths)
    states = engine.states()
    size = states[0].loaded[0].size_bytes
    assert request_.path is not None
    assert (size or 0) > request_.path.stat().st_size / 2
    assert states == (
        EngineState(
            name="embedded",
            state="running",
            version=VERSION,
            url=served.endpoint.base_url,
            wires=WIRES,
            loaded=(Loaded(request_.model, CONTEXT, size, None, "f16", request_.path),),
            pid=holder.pid,
            sessions=1,
        ),
    )
    (found,) = engine.running()
    assert (found.key, found.path) == (engine.key(request_), request_.path)


def test_an_engine_in_use_is_not_stopped(
    served: Served, shared_paths: Paths, request_: ServeRequest
) -> None:
    assert served.endpoint.token
    engine = LlamaCpp(shared_paths, QUICK)
    with pytest.raises(Refused, match="1 running session"):
        engine.stop(engine.key(request_))
    assert len(hosts(shared_paths)) == 1


# --- living and dying --------------------------------------------------------------------------


def test_stop_ends_it_and_leaves_only_the_log(paths: Paths, request_: ServeRequest) -> None:
    engine = LlamaCpp(paths, QUICK)
    key = engine.key(request_)
    finish(engine.serve(request_))
    drop_lease(paths, key)
    assert engine.stop(key) is True
    assert hosts(paths) == []
    assert [path.name for path in (paths.runtime / "engines").iterdir()] == [f"{key}.lock"]
    assert engine.logs(key).is_file()
    assert engine.stop(key) is False
    assert [row.state for row in engine.states()] == ["installed"]


def test_a_killed_engine_is_started_again(paths: Paths, request_: ServeRequest) -> None:
    engine = LlamaCpp(paths, QUICK)
    first = finish(engine.serve(request_))
    (holder,) = hosts(paths)
    holder.kill()
    wait_until(lambda: hosts(paths) == [])
    assert [row.state for row in engine.states()] == ["installed"]
    second = finish(engine.serve(request_))
    assert (second.reused, second.context_tokens) == (False, CONTEXT)
    assert second.endpoint.token != first.endpoint.token
    assert ask(second)["role"] == "assistant"
    older = engine.logs(engine.key(request_)).with_suffix(".log.1")
    assert "listening" in older.read_text()


@contextlib.contextmanager
def killed_under_a_session(
    engine: LlamaCpp, paths: Paths, request_: ServeRequest
) -> Iterator[Served]:
    """An engine that died while another process, which lives on, had a lease on it."""
    first = finish(engine.serve(request_))
    (holder,) = hosts(paths)
    with subprocess.Popen(["sleep", "600"]) as session:
        try:
            owner = process.identity(session.pid)
            assert owner is not None
            engine.take_lease(engine.key(request_), owner)
            holder.kill()
            wait_until(lambda: hosts(paths) == [])
            yield first
        finally:
            session.kill()


def test_sessions_of_a_killed_engine_find_the_next_one_at_its_address(
    paths: Paths, request_: ServeRequest
) -> None:
    engine = LlamaCpp(paths, QUICK)
    with killed_under_a_session(engine, paths, request_) as first:
        second = finish(engine.serve(request_))
    assert second.endpoint == first.endpoint
    assert (second.reused, second.sessions) == (False, 1)
    assert ask(first)["role"] == "assistant"  # what the older session still holds is true again


def test_a_taken_port_of_a_killed_engine_is_not_waited_for(
    paths: Paths, request_: ServeRequest
) -> None:
    engine = LlamaCpp(paths, QUICK)
    with killed_under_a_session(engine, paths, request_) as first:
        port = int(first.endpoint.base_url.rpartition(":")[2])
        taken: list[socket.socket] = []
        wait_until(lambda: _take(port, taken))
        with taken[0]:
            second = finish(engine.serve(request_))
    assert second.endpoint.base_url != first.endpoint.base_url
    assert ask(second)["role"] == "assistant"


def _take(port: int, taken: list[socket.socket]) -> bool:
    """Sit on a port as soon as the killed process has given it back."""
    with contextlib.suppress(OSError):
        taken.append(socket.create_server(("127.0.0.1", port)))
    return bool(taken)


def hang(holder: psutil.Process) -> None:
    """Stop it; on a busy machine its threads answer for a moment yet."""
    holder.suspend()
    wait_until(lambda: holder.status() == psutil.STATUS_STOPPED)


def test_an_engine_that_hangs_is_replaced(paths: Paths, request_: ServeRequest) -> None:
    engine = LlamaCpp(paths, QUICK)
    finish(engine.serve(request_))
    (holder,) = hosts(paths)
    hang(holder)
    second = finish(engine.serve(request_))
    assert second.reused is False
    assert [each.pid for each in hosts(paths)] != [holder.pid]


@pytest.fixture
def session() -> Iterator[process.Identity]:
    """Another living process, which may hold a lease."""
    with subprocess.Popen(["sleep", "60"]) as child:
        who = process.identity(child.pid)
        assert who is not None
        yield who
        child.kill()


def test_an_engine_that_hangs_is_not_ended_under_a_session(
    paths: Paths, request_: ServeRequest, session: process.Identity
) -> None:
    engine = LlamaCpp(paths, replace(QUICK, answer_s=0.5))
    finish(engine.serve(request_))
    engine.take_lease(engine.key(request_), session)
    (holder,) = hosts(paths)
    hang(holder)
    with pytest.raises(EngineFailed, match="1 running session") as caught:
        finish(engine.serve(request_))
    assert "agentlaunch engines stop --force" in (caught.value.hint or "")
    assert [each.pid for each in hosts(paths)] == [holder.pid]
    holder.resume()
    assert finish(engine.serve(request_)).reused is True


def test_a_new_engine_ends_those_without_a_session_and_no_others(
    paths: Paths, request_: ServeRequest, session: process.Identity
) -> None:
    engine = LlamaCpp(paths, QUICK)
    used, unused, new = (replace(request_, context_tokens=tokens) for tokens in (512, 768, 1024))
    finish(engine.serve(used))
    engine.take_lease(engine.key(used), session)
    finish(engine.serve(unused))
    for request in (used, unused):
        drop_lease(paths, engine.key(request))
    activities = [report.activity for report in engine.serve(new)]
    assert activities[0] == "stopping smollm2:135m, which no session uses"
    assert set(activities[1:]) == {"loading smollm2:135m"}
    assert {row.context_tokens for row in engine.running()} == {512, 1024}
    assert len(hosts(paths)) == 2


def test_an_engine_that_another_launch_takes_just_now_is_not_ended(
    paths: Paths, request_: ServeRequest
) -> None:
    engine = LlamaCpp(paths, QUICK)
    finish(engine.serve(request_))
    key = engine.key(request_)
    drop_lease(paths, key)
    with files.locked(paths.runtime / "engines" / f"{key}.lock", timeout_s=1, what="a launch"):
        finish(engine.serve(replace(request_, context_tokens=512)))
    assert len(hosts(paths)) == 2


def test_a_state_file_in_a_folder_of_somebody_else_is_not_believed(
    paths: Paths, request_: ServeRequest, tmp_path: Path
) -> None:
    engine = LlamaCpp(paths, QUICK)
    finish(engine.serve(request_))
    linked = replace(paths, runtime=tmp_path / "linked")
    linked.runtime.symlink_to(paths.runtime)
    assert LlamaCpp(linked).running() == ()
    with pytest.raises(Refused, match="not a folder"):
        finish(LlamaCpp(linked, QUICK).serve(request_))
    assert len(engine.running()) == 1


@pytest.mark.parametrize(
    "garbage",
    [
        b"",
        b"\xff\x00 half a docu",
        b"[1]",
        b'{"pid": "x"}',
        b'{"pid": @me@, "mark": "another start", "port": 1}',
        json.dumps({"pid": -1, "mark": None}).encode(),
    ],
)
def test_a_state_file_that_means_nothing_never_blocks(
    paths: Paths, request_: ServeRequest, garbage: bytes
) -> None:
    engine = LlamaCpp(paths, QUICK)
    folder = paths.runtime / "engines"
    folder.mkdir(parents=True)
    (folder / f"{engine.key(request_)}.json").write_bytes(
        garbage.replace(b"@me@", b"%d" % os.getpid())
    )
    assert [row.state for row in engine.states()] == ["installed"]
    assert engine.stop(engine.key(request_)) is False
    (folder / f"{engine.key(request_)}.json").write_bytes(garbage)
    work = engine.serve(request_)
    assert next(work).activity == "loading smollm2:135m"
    work.close()
    assert hosts(paths) == []


def test_two_launches_at_once_start_one_engine(paths: Paths, request_: ServeRequest) -> None:
    with concurrent.futures.ThreadPoolExecutor() as pool:
        work = [pool.submit(finish, LlamaCpp(paths, QUICK).serve(request_)) for _launch in range(2)]
        both = [each.result() for each in work]
    assert sorted(each.reused for each in both) == [False, True]
    assert both[0].endpoint == both[1].endpoint
    assert len(hosts(paths)) == 1


def test_it_lives_as_long_as_a_lease_and_ends_when_idle(
    paths: Paths, request_: ServeRequest
) -> None:
    engine = LlamaCpp(paths, Timing(idle_s=0.5, sleep_s=600, watch_s=0.1))
    key = engine.key(request_)
    other = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    who = process.identity(other.pid)
    assert who is not None
    finish(engine.serve(request_))
    engine.take_lease(key, who)
    drop_lease(paths, key)
    leases = paths.runtime / "engines" / f"{key}.leases"
    (leases / "4000000-1.00").write_text('{"pid": 4000000, "mark": "long dead"}')
    (leases / "garbage").write_text("{")
    wait_until(lambda: [path.name for path in leases.iterdir()] == [str(who)])
    time.sleep(1.5)  # three times the idle time: a living lease is what keeps it
    assert len(hosts(paths)) == 1
    other.kill()
    other.communicate()
    wait_until(lambda: hosts(paths) == [])
    assert [path.name for path in (paths.runtime / "engines").iterdir()] == [f"{key}.lock"]
    assert "no session lives" in engine.logs(key).read_text()


def test_asleep_it_frees_memory_keeps_its_address_and_wakes_by_itself(
    paths: Paths, request_: ServeRequest
) -> None:
    engine = LlamaCpp(paths, Timing(idle_s=600, sleep_s=1, watch_s=0.1))
    served = finish(engine.serve(request_))
    ask(served)
    (holder,) = hosts(paths)
    awake_bytes = holder.memory_info().rss
    wait_until(lambda: [row.state for row in engine.states()] == ["asleep"])
    assert holder.memory_info().rss < awake_bytes / 2
    again = finish(engine.serve(request_))
    assert (again.reused, again.endpoint) == (True, served.endpoint)
    assert [row.state for row in engine.states()] == ["asleep"]
    assert ask(again)["usage"]["output_tokens"] == 4


def test_terminating_the_process_removes_its_state_file(
    paths: Paths, request_: ServeRequest
) -> None:
    engine = LlamaCpp(paths, QUICK)
    finish(engine.serve(request_))
    (holder,) = hosts(paths)
    holder.terminate()
    wait_until(lambda: hosts(paths) == [])
    assert not (paths.runtime / "engines" / f"{engine.key(request_)}.json").exists()


LAUNCH = """
import sys
from pathlib import Path
from agentlaunch.engines.base import ServeRequest
from agentlaunch.engines.llama_cpp import LlamaCpp
from agentlaunch.settings import Paths

paths = Paths(*[Path(word) for word in sys.argv[2:]])
for report in LlamaCpp(paths).serve(ServeRequest("m", Path(sys.argv[1]), 2048)):
    print(report.activity, flush=True)
"""


@pytest.mark.parametrize("sign", [signal.SIGINT, signal.SIGKILL])
def test_a_launch_that_ends_while_loading_leaves_no_process(
    paths: Paths, request_: ServeRequest, sign: signal.Signals
) -> None:
    launch = subprocess.Popen(
        [sys.executable, "-c", LAUNCH, str(request_.path), *as_words(paths)],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    )
    assert launch.stdout is not None
    assert launch.stdout.readline() == b"loading m\n"
    launch.send_signal(sign)
    launch.communicate()
    wait_until(lambda: hosts(paths) == [])
    assert LlamaCpp(paths).running() == ()


# --- what cannot be loaded ---------------------------------------------------------------------


def failure(paths: Paths, path: Path | None, **wanted: Any) -> AgentlaunchError:
    request = ServeRequest("broken", path, wanted.pop("context_tokens", CONTEXT), **wanted)
    with pytest.raises(AgentlaunchError) as caught:
        finish(LlamaCpp(paths, QUICK).serve(request))
    assert hosts(paths) == []
    assert "\n" not in caught.value.message
    assert "Traceback" not in caught.value.message
    return caught.value


def test_weights_that_are_cut_short_are_named_as_damaged(
    paths: Paths, request_: ServeRequest, tmp_path: Path
) -> None:
    assert request_.path is not None
    cut = tmp_path / "cut.gguf"
    with request_.path.open("rb") as whole:
        cut.write_bytes(whole.read(5_000_000))
    error = failure(paths, cut)
    assert (error.exit_code, error.code) == (1, "broken-gguf")
    assert error.message == f"{cut} is damaged or incomplete"
    assert error.hint is not None
    assert "engine-" in error.hint


def test_weights_with_a_mad_header_are_damaged(paths: Paths, tmp_path: Path) -> None:
    mad = tmp_path / "mad.gguf"
    mad.write_bytes(b"GGUF" + b"\xff" * 4096)
    assert failure(paths, mad).code in {"broken-gguf", "load-failed"}


def test_a_file_that_is_no_gguf_is_seen_before_anything_starts(
    paths: Paths, tmp_path: Path
) -> None:
    text = tmp_path / "model.gguf"
    text.write_text("<html>")
    assert failure(paths, text).code == "broken-gguf"
    assert failure(paths, tmp_path / "none.gguf").code == "model-unreadable"
    assert failure(paths, None).exit_code == 6
    assert not paths.runtime.exists()


def test_an_unknown_architecture_is_named(
    paths: Paths, request_: ServeRequest, tmp_path: Path
) -> None:
    assert request_.path is not None
    data = request_.path.read_bytes()
    at = data.index(b"llama", data.index(b"general.architecture"))
    odd = tmp_path / "odd.gguf"
    odd.write_bytes(data[:at] + b"zlama" + data[at + 5 :])
    error = failure(paths, odd)
    assert (error.exit_code, error.code) == (1, "unknown-architecture")
    assert "'zlama'" in error.message


def test_more_context_than_the_model_was_trained_for_is_an_error(
    paths: Paths, request_: ServeRequest
) -> None:
    error = failure(paths, request_.path, context_tokens=32_768)
    assert isinstance(error, EngineFailed)
    assert error.message == "broken got a context of 8,192 tokens instead of 32,768"


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux keeps RLIMIT_AS")
def test_too_little_memory_is_said(paths: Paths, request_: ServeRequest) -> None:
    before = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (8 << 30, before[1]))  # the engine inherits it
    try:
        error = failure(paths, request_.path, context_tokens=1_000_000)
    finally:
        resource.setrlimit(resource.RLIMIT_AS, before)
    assert isinstance(error, MachineCannot)
    assert error.message == "not enough memory to load broken at 1,000,000 tokens"


def test_an_unknown_cache_type_is_refused(paths: Paths, request_: ServeRequest) -> None:
    assert isinstance(failure(paths, request_.path, kv_cache_type="q3_x"), NotSupported)


def test_a_quantized_cache_is_another_process_that_answers(
    paths: Paths, request_: ServeRequest
) -> None:
    engine = LlamaCpp(paths, QUICK)
    small = ServeRequest(request_.model, request_.path, 512, kv_cache_type="q8_0")
    assert engine.key(small) != engine.key(request_)
    served = finish(engine.serve(small))
    assert served.context_tokens == 512
    assert ask(served)["role"] == "assistant"


def test_a_missing_package_is_said(tmp_path: Path, request_: ServeRequest) -> None:
    nothing = paths_below(tmp_path)
    engine = LlamaCpp(nothing)
    assert [row.state for row in engine.states()] == ["missing"]
    with pytest.raises(EngineFailed, match="not installed"):
        finish(engine.serve(request_))


def test_a_damaged_environment_is_said(
    paths: Paths, request_: ServeRequest, tmp_path: Path
) -> None:
    source = next((paths.data / "managed" / "pypi").glob("xllamacpp@*"))
    copy = tmp_path / "data" / "managed" / "pypi" / source.name
    shutil.copytree(source, copy, symlinks=True, ignore=shutil.ignore_patterns("xllamacpp*"))
    damaged = replace(paths, data=tmp_path / "data")
    error = failure(damaged, request_.path)
    assert (error.exit_code, error.code) == (6, "engine-missing")
