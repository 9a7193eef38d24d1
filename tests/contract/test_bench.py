"""`agentlaunch bench` against the real embedded engine, and against servers that misbehave."""

from __future__ import annotations

import io
import itertools
import json
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
from pytest_mock import MockerFixture

import bench_server
import schemas
import small_model
from agentlaunch import launch, plan, records, survey
from agentlaunch.agents import find as find_agent
from agentlaunch.commands import bench, looking
from agentlaunch.commands.result import render
from agentlaunch.endpoint import Endpoint, Wire
from agentlaunch.engines.base import ServeRequest
from agentlaunch.engines.llama_cpp import VERSION, LlamaCpp
from agentlaunch.errors import AgentlaunchError, ModelUnavailable, UsageError
from agentlaunch.machine import simulate
from agentlaunch.machine.facts import LiveFacts
from agentlaunch.machine.probe import probe
from agentlaunch.models import identity, measured
from agentlaunch.progress import finish
from agentlaunch.proof import timed
from agentlaunch.settings import Paths
from agentlaunch.settings import paths as settings_paths
from agentlaunch.talk import Policy, Talk
from bench_server import Answer, BenchServer, Body, events
from longer import beyond
from places import as_words, paths_below
from waiting import wait_until

CONTEXT = 1536


def told(ref: str | None, *, runs: int = 1, **flags: str) -> dict[str, Any]:
    """The JSON document of a bench, which fits its schema."""
    talk = Talk(Policy(json=True), out=io.StringIO(), err=io.StringIO())
    result = bench.run(talk, ref, flags, runs=runs)
    assert render(result, talk) == 0
    assert isinstance(talk.out, io.StringIO)
    document = json.loads(talk.out.getvalue())
    schemas.check(document)
    assert isinstance(document, dict)
    return document


def failure(ref: str | None, *, runs: int = 1, **flags: str) -> AgentlaunchError:
    with pytest.raises(AgentlaunchError) as caught:
        told(ref, runs=runs, **flags)
    assert "\n" not in caught.value.message
    return caught.value


# --- the real engine -----------------------------------------------------------------------------


def hosts(paths: Paths) -> list[int]:
    """Every background process that lives in these places."""
    found = []
    for each in psutil.process_iter():
        try:
            mine = "llama_cpp_host" in " ".join(each.cmdline())
            if mine and Path(each.cwd()).is_relative_to(paths.runtime):
                found.append(each.pid)
        except psutil.Error:
            continue
    return found


@pytest.fixture
def paths(tmp_path: Path, mocker: MockerFixture) -> Iterator[Paths]:
    """Our places, with the engine that all tests share, and nothing that runs afterwards."""
    places = small_model.engine_paths(tmp_path)
    mocker.patch("agentlaunch.settings.paths", return_value=places)
    yield places
    engine = LlamaCpp(places)
    for found in engine.running():
        engine.stop(found.key, force=True)
    assert hosts(places) == []


def test_the_real_engine_is_measured_at_two_lengths_and_left_as_it_was(paths: Paths) -> None:
    model = small_model.small_model()
    document = told(str(model), runs=2, context=str(CONTEXT))
    data, warnings = document["data"], document["warnings"]
    rows = data.pop("runs")
    lengths = [row["prompt_tokens"] for row in rows]  # a busy machine gets shorter ones, and fewer
    short, long = lengths[0], lengths[-1]
    assert [*dict.fromkeys(lengths)] == [short, long]
    assert max(map(lengths.count, lengths)) <= 2
    assert 64 <= short <= 512
    assert 2 * short <= long <= CONTEXT - 64  # with its reply it lies in the context
    assert {row["cached_tokens"] for row in rows} == {0}  # the same text, read anew
    assert {row["decode_tokens"] for row in rows} <= set(range(16, 65))
    assert {row["code"] for row in warnings} <= {"uneven-runs", "fewer-runs"}
    memory = data.pop("memory")
    assert memory["measured_bytes"] > model.stat().st_size / 2
    assert memory["predicted_bytes"] == pytest.approx(memory["measured_bytes"], rel=0.5)
    assert data.pop("estimated")["decode_tokens_per_s"] is not None
    prefill, decode = data.pop("prefill_tokens_per_s"), data.pop("decode_tokens_per_s")
    machine = measured.machine_key(probe(LiveFacts(paths.models)))
    assert data == {
        "model": model.name,
        "engine": "embedded",
        "engine_version": VERSION,
        "machine_key": machine,
        "context_tokens": CONTEXT,
        "kv_cache_type": "f16",
        "method": "server",
        "stored": True,
    }
    key = measured.key(identity.digest_of(model), "embedded", VERSION, machine)
    kept = measured.from_json(records.Records(paths.state).recall("measurements", key))
    assert kept is not None
    assert [point.prompt_tokens for point in kept.prefill] == [short, long]
    assert kept.prefill[1].tokens_per_s == pytest.approx(prefill, abs=0.01)
    assert kept.decode[1].tokens_per_s == pytest.approx(decode, abs=0.01)
    assert hosts(paths) == []
    assert [path.suffix for path in (paths.runtime / "engines").iterdir()] == [".lock"]


def test_an_engine_that_runs_is_measured_as_it_is_and_goes_on(paths: Paths) -> None:
    model = small_model.small_model()
    engine = LlamaCpp(paths)
    request = ServeRequest("another-name", model, 512, "q8_0")
    finish(engine.serve(request))
    engine.drop_lease(engine.key(request))
    (before,) = engine.running()
    data = told(str(model))["data"]
    assert (data["context_tokens"], data["kv_cache_type"]) == (512, "q8_0")
    assert data["memory"]["measured_bytes"] > model.stat().st_size / 2
    (after,) = engine.running()
    assert (after.identity, after.sessions) == (before.identity, 0)


@pytest.mark.long
def test_a_session_of_another_on_the_engine_is_told_and_kept(paths: Paths) -> None:
    model = small_model.small_model()
    engine = LlamaCpp(paths)
    request = ServeRequest(plan.served_name(model.name), model, 512)
    finish(engine.serve(request))
    engine.drop_lease(engine.key(request))
    with subprocess.Popen(["sleep", "60"]) as session:
        from agentlaunch import process

        owner = process.identity(session.pid)
        assert owner is not None
        engine.take_lease(engine.key(request), owner)
        warnings = told(str(model), context="512")["warnings"]
        assert [row["code"] for row in warnings] == ["engine-shared"]
        assert [found.sessions for found in engine.running()] == [1]
        session.kill()


BENCH = """
import sys
from pathlib import Path
from agentlaunch import settings
from agentlaunch.settings import Paths
from agentlaunch.settings import paths as settings_paths
paths = Paths(*[Path(word) for word in sys.argv[2:]])
settings.paths = lambda: paths
from agentlaunch.commands import bench
from agentlaunch.talk import Policy, Talk
bench.run(Talk(Policy()), sys.argv[1], {"context": "8192"}, runs=3)
"""


@pytest.mark.parametrize("word", ["loading", "measuring"])
def test_ctrl_c_leaves_no_engine(paths: Paths, word: str) -> None:
    child = subprocess.Popen(
        [sys.executable, "-c", BENCH, str(small_model.small_model()), *as_words(paths)],
        stderr=subprocess.PIPE,
        text=True,
    )
    with child:
        assert child.stderr is not None
        next(line for line in child.stderr if line.startswith(word))
        child.send_signal(signal.SIGINT)
        child.communicate(timeout=60)
    wait_until(lambda: hosts(paths) == [])
    assert not (paths.state / "measurements.json").exists()
    left = [path.suffix for path in (paths.runtime / "engines").iterdir()]
    assert left == [".lock"]


@pytest.mark.long
@pytest.mark.usefixtures("paths")
def test_what_was_measured_is_told_to_a_person(capsys: pytest.CaptureFixture[str]) -> None:
    talk = Talk(Policy())
    result = bench.run(talk, str(small_model.small_model()), {"context": "512"}, runs=1)
    assert render(result, talk) == 0
    out, err = capsys.readouterr()
    lines = out.splitlines()
    assert lines[0].endswith(f"on embedded {VERSION}, 512 tokens, f16 cache, timed by the server")
    assert [line.split(",")[0] for line in lines[2:4]] == ["short", "long"]
    assert [line.split()[0] for line in lines[4:]] == ["prompt", "reply", "memory"]
    assert all("estimated" in line and "measured" in line for line in lines[4:])
    assert "tokens, run 1 of 1" in err


# --- a llama.cpp server of somebody else ---------------------------------------------------------


@pytest.fixture
def nowhere(tmp_path: Path, mocker: MockerFixture) -> Paths:
    """Places where nothing is yet."""
    places = paths_below(tmp_path)
    mocker.patch("agentlaunch.settings.paths", return_value=places)
    return places


def test_a_remote_llama_cpp_tells_its_own_timings(nowhere: Paths) -> None:
    with BenchServer({"/completion": bench_server.llama_cpp}) as server:
        document = told(None, runs=2, engine=server.url)
        prompts = [body for path, body in server.bodies if path == "/completion"]
    short = {
        "prompt_tokens": 512,
        "cached_tokens": 0,
        "decode_tokens": 64,
        "prefill_tokens_per_s": 400.0,
        "decode_tokens_per_s": 40.0,
    }
    long = short | {
        "prompt_tokens": 3936,
        "prefill_tokens_per_s": 200.0,
        "decode_tokens_per_s": 20.0,
    }
    assert document["data"] == {
        "model": "served",
        "engine": "llama.cpp",
        "engine_version": None,
        "machine_key": None,
        "context_tokens": 4096,
        "kv_cache_type": None,
        "runs": [short, short, long, long],
        "prefill_tokens_per_s": 200.0,
        "decode_tokens_per_s": 20.0,
        "estimated": {"prefill_tokens_per_s": None, "decode_tokens_per_s": None},
        "memory": {"measured_bytes": None, "predicted_bytes": None},
        "method": "server",
        "stored": False,
    }
    assert {(b["cache_prompt"], b["ignore_eos"], b["temperature"]) for b in prompts} == {
        (False, True, 0)
    }
    longest = prompts[-1]["prompt"]
    assert all(body["prompt"] == longest[: len(body["prompt"])] for body in prompts)
    assert not nowhere.state.exists()


def test_a_smaller_context_that_is_asked_for_bounds_the_prompts() -> None:
    with BenchServer({"/completion": bench_server.llama_cpp}) as server:
        data = told(None, engine=server.url, context="1024")["data"]
    assert data["context_tokens"] == 1024
    assert [row["prompt_tokens"] for row in data["runs"]] == [216, 864]


def test_runs_that_differ_much_are_told() -> None:
    paces = itertools.cycle([400.0, 200.0])

    def unevenly(body: Body) -> Answer:
        return bench_server.llama_cpp(body, prompt_per_second=next(paces))

    with BenchServer({"/completion": unevenly}) as server:
        document = told(None, runs=2, engine=server.url)
    assert [row["code"] for row in document["warnings"]] == ["uneven-runs"]
    assert document["data"]["prefill_tokens_per_s"] == 300.0


def test_a_model_that_stops_early_gives_no_speed_of_replies() -> None:
    def stops(body: Body) -> Answer:
        return bench_server.llama_cpp(body, predicted_n=5)

    with BenchServer({"/completion": stops}) as server:
        document = told(None, engine=server.url)
    assert document["data"]["decode_tokens_per_s"] is None
    assert document["data"]["prefill_tokens_per_s"] == 200.0
    assert {row["decode_tokens_per_s"] for row in document["data"]["runs"]} == {None}
    (warning,) = document["warnings"]
    assert warning["code"] == "few-tokens"
    assert "5 tokens" in warning["message"]


@pytest.mark.parametrize("value", [None, 0, -1.0, "fast", True, float("nan"), float("inf")])
def test_a_speed_that_is_none_is_null(value: object) -> None:
    def odd(body: Body) -> Answer:
        return bench_server.llama_cpp(body, prompt_per_second=value, predicted_per_second=value)

    with BenchServer({"/completion": odd}) as server:
        data = told(None, engine=server.url)["data"]
    assert (data["prefill_tokens_per_s"], data["decode_tokens_per_s"]) == (None, None)


Routes = dict[str, Callable[[Body], Answer]]


def _always(answer: Answer) -> Routes:
    return {"/completion": lambda _body: answer}


HTML = (b"<html><body>Sign in to the guest network</body></html>",)
TOKEN = {"content": "a", "stop": False, "tokens_predicted": 1}
JSON = "application/json"


@pytest.mark.parametrize(
    ("answer", "status", "code"),
    [
        (Answer(HTML, kind="text/html"), 6, "not-a-stream"),
        (Answer((), kind="text/event-stream"), 6, "not-a-stream"),
        (Answer((b'{"error": {"message": "no memory"}}',), 500, JSON), 6, "engine-error"),
        (Answer(HTML, 502, "text/html"), 6, "engine-error"),
        (Answer((b"[" * 100_000,), 500, JSON), 6, "engine-error"),
        (Answer((b'{"error": "key"}',), 401, JSON), 9, "auth-needed"),
        (Answer((b"no",), 403, "text/plain"), 9, "auth-needed"),
        (Answer((), 302, location="http://127.0.0.1:1/elsewhere"), 6, "engine-failed"),
        (Answer(events(TOKEN, TOKEN), cut=True), 6, "reply-cut"),
        (Answer(events(TOKEN, TOKEN)), 6, "reply-cut"),
        (Answer((b'data: {"stop": fal',)), 6, "not-a-stream"),
        (Answer(events(TOKEN, '{"stop": tr')), 6, "reply-broken"),
        (Answer(events("[" * 100_000)), 6, "reply-broken"),
        (Answer(events("[1, 2]")), 6, "engine-failed"),
        (Answer(events(TOKEN, {"error": {"message": "out of memory"}})), 6, "engine-error"),
        (Answer(events({"stop": True})), 6, "no-timings"),
        (Answer(events({"stop": True, "timings": [1]})), 6, "no-timings"),
        (Answer(events({"stop": True, "timings": {"prompt_n": "many"}})), 6, "no-timings"),
        (Answer((b"data: " + b"x" * (5 << 20),)), 6, "engine-failed"),
    ],
)
def test_what_a_server_should_not_answer_is_an_error_in_words(
    answer: Answer, status: int, code: str
) -> None:
    with BenchServer(_always(answer)) as server:
        error = failure(None, engine=server.url)
    assert (error.exit_code, error.code) == (status, code)
    assert error.hint or code in {"engine-error", "reply-broken", "no-timings", "engine-failed"}
    assert len(error.message) < 500


@pytest.mark.parametrize(
    "answer",
    [
        Answer(HTML, kind="text/html"),
        Answer((b'{"tokens": []}',), kind=JSON),
        Answer((b'{"tokens": ["a"]}',), kind=JSON),
        Answer((b"[]",), kind=JSON),
        Answer((b'{"error": "no"}',), 500, JSON),
    ],
)
def test_a_server_that_cannot_count_tokens_is_an_error(answer: Answer) -> None:
    routes: Routes = {"/completion": bench_server.llama_cpp, "/tokenize": lambda _body: answer}
    with BenchServer(routes) as server:
        assert failure(None, engine=server.url).exit_code == 6


def test_a_key_is_sent_and_a_wrong_one_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    with BenchServer({"/completion": bench_server.llama_cpp}, token="right") as server:
        assert failure(None, engine=server.url).exit_code == 9
        monkeypatch.setenv("AGENTLAUNCH_ENGINE_KEY", "right")
        assert told(None, engine=server.url)["ok"] is True


def test_nobody_at_the_address_is_said() -> None:
    with BenchServer({}) as server:
        url = server.url
    assert failure(None, engine=url).exit_code == 6


# --- other servers, by the clock -----------------------------------------------------------------


def endpoint_of(server: BenchServer, wire: Wire) -> Endpoint:
    return Endpoint(server.url, (wire,), "served", "")


def ticking(*ends: float) -> Callable[[], float]:
    """A clock that shows these seconds, then goes on by a tenth."""
    last = ends[-1] if ends else 0.0
    return itertools.chain(ends, itertools.count(last + 0.1, 0.1)).__next__


WIRES: list[tuple[Wire, str, Callable[[Body], Answer]]] = [
    ("openai_chat", "/v1/chat/completions", bench_server.chat),
    ("anthropic_messages", "/v1/messages", bench_server.messages),
]


@pytest.mark.parametrize(("wire", "path", "reply"), WIRES)
def test_other_servers_are_timed_by_the_clock(
    wire: Wire, path: str, reply: Callable[[Body], Answer]
) -> None:
    def slowly(body: Body) -> Answer:
        return reply(body)

    with BenchServer({path: slowly}, owner="somebody") as server:
        data = told(None, engine=server.url)["data"]
        (first, second) = [body for _path, body in server.bodies][-2:]
    assert (data["engine"], data["method"], data["stored"]) == ("remote", "clock", False)
    short, long = data["runs"]
    assert 400 < short["prompt_tokens"] < 600
    assert 3400 < long["prompt_tokens"] <= 4096 - 64
    assert long["prefill_tokens_per_s"] > 0
    assert (first["temperature"], first["max_tokens"]) == (0, 64)
    # Nothing of a prompt can be in a cache: each begins with words of its own.
    starts = [body["messages"][0]["content"][:16] for body in (first, second)]
    assert starts[0] != starts[1]
    assert "ignore_eos" not in first


@pytest.mark.parametrize(("wire", "path", "reply"), WIRES)
def test_the_clock_counts_to_the_first_and_to_the_last_token(
    wire: Wire, path: str, reply: Callable[[Body], Answer]
) -> None:
    with BenchServer({path: reply}) as server:
        subject = timed.ByTheClock(endpoint_of(server, wire), clock=ticking(0.0, 2.0))
        run = finish_run(subject.ask(400, 16, deadline_s=10))
    # How the pieces fell into reads is the network's: the first was read at 2.0 s.
    assert run.prefill_tokens_per_s is not None
    assert run.prompt_tokens / run.prefill_tokens_per_s == pytest.approx(2.0, abs=0.11)
    assert run.decode_tokens == 16


@pytest.mark.parametrize("wire", beyond(["openai_chat", "anthropic_messages"], "openai_chat"))
def test_the_real_engine_says_on_each_wire_what_the_clock_needs(paths: Paths, wire: Wire) -> None:
    request = ServeRequest("m", small_model.small_model(), 2048)
    served = finish(LlamaCpp(paths).serve(request))
    endpoint = Endpoint(served.endpoint.base_url, (wire,), "m", served.endpoint.token)
    subject = timed.ByTheClock(endpoint)
    runs = [finish_run(subject.ask(tokens, 32, deadline_s=60)) for tokens in (300, 300)]
    for run in runs:
        assert 250 < run.prompt_tokens < 600
        assert run.cached_tokens < 64  # the chat template, never the words
        assert run.prefill_tokens_per_s is not None
        assert 0 < run.decode_tokens <= 32


def finish_run(asking: timed.Asking) -> timed.Run:
    while True:
        try:
            next(asking)
        except StopIteration as stop:
            run: timed.Run = stop.value
            return run


def test_what_a_cache_held_is_not_counted_as_read() -> None:
    def half(body: Body) -> Answer:
        return bench_server.messages(body, cached=100)

    with BenchServer({"/v1/messages": half}) as server:
        endpoint = endpoint_of(server, "anthropic_messages")
        run = finish_run(timed.ByTheClock(endpoint, clock=ticking(0, 2)).ask(400, 16, deadline_s=9))
    assert run.cached_tokens == 100
    assert run.prefill_tokens_per_s == pytest.approx((run.prompt_tokens - 100) / 2, rel=0.06)


def test_tokens_that_were_held_back_tell_no_speed() -> None:
    def at_once(body: Body) -> Answer:
        return Answer((b"".join(bench_server.chat(body).pieces),))

    with BenchServer({"/v1/chat/completions": at_once}) as server:
        endpoint = endpoint_of(server, "openai_chat")
        run = finish_run(timed.ByTheClock(endpoint).ask(400, 16, deadline_s=10))
    assert (run.decode_tokens, run.decode_tokens_per_s) == (16, None)


def test_few_tokens_tell_no_speed() -> None:
    def briefly(body: Body) -> Answer:
        return bench_server.chat(body, words=7)

    with BenchServer({"/v1/chat/completions": briefly}, owner="somebody") as server:
        document = told(None, engine=server.url)
    assert document["data"]["decode_tokens_per_s"] is None
    assert [row["code"] for row in document["warnings"]] == ["few-tokens"]


def test_vllm_is_told_to_go_on_writing() -> None:
    with BenchServer({"/v1/chat/completions": bench_server.chat}, owner="vllm") as server:
        told(None, engine=server.url)
        assert {body["ignore_eos"] for _path, body in server.bodies} == {True}


@pytest.mark.parametrize(
    ("answer", "code"),
    [
        (Answer(events({"choices": [{"delta": {"content": "a"}}]}, "[DONE]")), "no-usage"),
        (Answer(events({"choices": []}, "[DONE]")), "reply-cut"),
        (Answer(events("[DONE]")), "reply-cut"),
        (Answer(events({"choices": [{"delta": {"content": "a"}}]}), cut=True), "reply-cut"),
        (Answer(events({"choices": "x", "usage": "y"})), "reply-cut"),
        (Answer(HTML, kind="text/html"), "not-a-stream"),
        (Answer((b'{"error": {"message": "overloaded"}}',), 529, JSON), "engine-error"),
    ],
)
def test_a_stream_without_what_is_needed_is_an_error(answer: Answer, code: str) -> None:
    routes = {"/v1/chat/completions": lambda _body: answer}
    with BenchServer(routes, owner="somebody") as server:
        error = failure(None, engine=server.url)
    assert (error.exit_code, error.code) == (6, code)


def test_a_server_without_a_wire_that_we_speak_is_not_supported() -> None:
    with BenchServer({}, owner="somebody") as server:
        assert failure(None, engine=server.url).exit_code == 5


def test_a_context_that_nobody_knows_must_be_said() -> None:
    with BenchServer({"/v1/chat/completions": bench_server.chat}, owner="somebody") as server:
        del server.models["data"][0]["max_model_len"]
        error = failure(None, engine=server.url)
        assert (error.exit_code, error.code) == (2, "needs-context")
        assert told(None, engine=server.url, context="2048")["data"]["context_tokens"] == 2048


# --- which model ---------------------------------------------------------------------------------


def test_no_run_at_all_is_a_usage_error() -> None:
    assert isinstance(failure("x", runs=0), UsageError)


@pytest.mark.parametrize(
    ("ref", "code"),
    [
        ("qwen3.5:9b", "not-downloaded"),
        ("nobody/knows:this", "not-downloaded"),
        ("/nowhere/x.gguf", "model-unavailable"),
        ("Bad Name!", "bad-model-name"),
    ],
)
def test_a_model_that_is_not_here_is_not_downloaded(nowhere: Paths, ref: str, code: str) -> None:
    error = failure(ref)
    assert (error.exit_code, error.code) == (7, code)
    if code == "not-downloaded":
        assert error.hint == f"agentlaunch models pull {ref}"
    assert not nowhere.data.exists()


def asked(paths: Paths, machine: str, model: str | None = None) -> looking.Asked:
    """What `looking.look` would give on a machine that is described."""
    seen = survey.simulated(simulate.load(machine))
    wish = plan.Wish(find_agent("claude-code"), model=model)
    return looking.Asked(wish, looking.EMBEDDED, seen, paths, launch.places(paths), False, 0, 15)


def test_without_a_name_the_pick_is_named_that_would_have_to_come(nowhere: Paths) -> None:
    with pytest.raises(ModelUnavailable) as caught:
        bench._weights(asked(nowhere, "ram=128GiB"))
    assert caught.value.code == "not-downloaded"
    assert (caught.value.hint or "").startswith("agentlaunch models pull ")
    assert "agentlaunch bench REF" in (caught.value.hint or "")


def test_without_a_name_and_without_a_pick_a_name_is_asked_for(nowhere: Paths) -> None:
    with pytest.raises(UsageError) as caught:
        bench._weights(asked(nowhere, "ram=1GiB"))
    assert caught.value.code == "no-model"


def test_the_model_of_the_last_launch_is_measured_when_it_is_still_here(nowhere: Paths) -> None:
    model = small_model.small_model()
    records.Records(nowhere.state).remember(
        "choices", "last", {"model": model.name, "path": str(model), "engine": "embedded"}
    )
    assert bench._weights(asked(nowhere, "ram=128GiB")).path == model


@pytest.mark.parametrize(
    "last",
    [
        {"model": "served-elsewhere", "engine": "remote"},
        {"model": "gone.gguf", "engine": "embedded"},
        {"model": "removed:7b", "engine": "embedded"},
        {"model": 987654, "engine": "embedded"},
    ],
)
def test_a_last_model_that_is_not_here_counts_for_nothing(
    nowhere: Paths, last: dict[str, Any]
) -> None:
    records.Records(nowhere.state).remember("choices", "last", last)
    with pytest.raises(ModelUnavailable) as caught:
        bench._weights(asked(nowhere, "ram=128GiB"))
    assert str(last["model"]) not in caught.value.message


def test_the_engine_is_not_installed_without_a_yes(nowhere: Paths) -> None:
    error = failure(str(small_model.small_model()))
    assert (error.exit_code, error.code) == (2, "needs-input")
    assert error.hint == "say yes with --yes"
    assert not (nowhere.managed).exists()


@pytest.mark.long
def test_a_measurement_that_cannot_be_kept_is_told_all_the_same(
    paths: Paths, mocker: MockerFixture
) -> None:
    mocker.patch.object(records.Records, "remember", side_effect=PermissionError(13, "no"))
    document = told(str(small_model.small_model()), context="512")
    assert document["data"]["stored"] is False
    assert [row["code"] for row in document["warnings"]] == ["not-stored"]


def test_what_was_measured_is_what_models_show_tells(tmp_path: Path) -> None:
    from agentlaunch.commands import models

    places = settings_paths()
    weights = tmp_path / "mine.gguf"
    weights.write_bytes(small_model.small_model().read_bytes())
    here = probe(LiveFacts(places.models))
    seen = measured.Measurement(
        (measured.Point(512, 200.0), measured.Point(4_000, 150.0)), (measured.Point(512, 30.0),)
    )
    key = measured.key(identity.digest_of(weights), "embedded", VERSION, measured.machine_key(here))

    def shown(simulate: str | None = None) -> dict[str, Any]:
        talk = Talk(Policy(json=True, offline=True), out=io.StringIO(), err=io.StringIO())
        engine = models.Engine()
        result = models.show(talk, str(weights), {}, engine, simulate=simulate)
        fit = result.data["fit"]
        assert isinstance(fit, dict)
        return fit

    guessed = shown()
    records.Records(places.state).remember("measurements", key, seen.as_json())
    told = shown()
    assert told["because"][-1] == measured.BECAUSE
    assert told["decode_tokens_per_s"] != guessed["decode_tokens_per_s"]
    assert told["decode_tokens_per_s"]["low"] <= 30 <= told["decode_tokens_per_s"]["high"]
    assert measured.BECAUSE not in shown("ram=16GiB")["because"]  # another machine
    records.Records(places.state).remember("measurements", key + "x", seen.as_json())
    weights.write_bytes(weights.read_bytes() + b"\0")  # other weights
    assert shown()["decode_tokens_per_s"] == guessed["decode_tokens_per_s"]
