"""`agentlaunch engines --watch`, as it is typed: beside the real embedded engine with a real small
model, beside servers of every shape, on a pipe and on a terminal."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
import threading
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path

import pytest

import launcher
import ollama_server
import small_model
from agentlaunch import process, settings, web
from agentlaunch.engines.base import Served, ServeRequest
from agentlaunch.engines.llama_cpp import LlamaCpp, Timing
from agentlaunch.progress import finish
from ollama_server import OllamaServer
from shaped_server import ShapedServer
from terminal import Terminal
from waiting import wait_until

CONTEXT = 4096
SLEEP_S = 3
RECORDED = Path(__file__).parents[1] / "data" / "metrics"
LIST = {"data": [{"id": "m", "owned_by": "llamacpp", "meta": {"n_ctx": 8192}}]}
PROPS = {"is_sleeping": False, "build_info": "b12000-abc",
         "default_generation_settings": {"n_ctx": 8192}}  # fmt: skip
ESC = "\x1b"


def recorded(name: str) -> bytes:
    return (RECORDED / name).read_bytes()


class Watch:
    """A watch on a pipe, read as it goes."""

    def __init__(self, env: Mapping[str, str], *words: str) -> None:
        self.child = subprocess.Popen(
            [str(launcher.PROGRAM), "engines", "--watch", *words],
            env=dict(env),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self.lines: list[str] = []
        self.errors = ""
        self._readers = [threading.Thread(target=self._read), threading.Thread(target=self._hear)]
        for reader in self._readers:
            reader.start()

    def _read(self) -> None:
        assert self.child.stdout is not None
        for line in self.child.stdout:
            self.lines.append(line)

    def _hear(self) -> None:
        assert self.child.stderr is not None
        self.errors = self.child.stderr.read()

    def wait_for(self, pattern: str, *, start: int = 0) -> str:
        """The first line, from the given one on, in which the pattern is found."""
        found: list[str] = []

        def there() -> bool:
            found.extend(line for line in self.lines[start:] if re.search(pattern, line))
            return bool(found) or self.child.poll() is not None

        wait_until(there, limit_s=180, what=f"{pattern!r} did not appear")
        assert found, (self.lines, self.errors)
        return found[0]

    def end(self, sign: signal.Signals = signal.SIGINT) -> int:
        self.child.send_signal(sign)
        status = self.child.wait(timeout=30)
        self.close()
        return status

    def close(self) -> None:
        if self.child.poll() is None:
            self.child.kill()
        self.child.wait(timeout=30)
        for reader in self._readers:
            reader.join(timeout=10)
        for stream in (self.child.stdout, self.child.stderr):
            if stream is not None:
                stream.close()


@pytest.fixture
def env(home: Path) -> dict[str, str]:
    """A shell in this test's home, without an Ollama."""
    run = {"XDG_RUNTIME_DIR": os.environ["XDG_RUNTIME_DIR"]}
    return launcher.shell_environment(home, OLLAMA_HOST="127.0.0.1:9", **run)


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Served]:
    """The embedded engine, where a shell in this test's home finds it."""
    shared = small_model.engine_paths(tmp_path)
    paths = replace(settings.paths(), data=shared.data, cache=shared.cache)
    engine = LlamaCpp(paths, Timing(idle_s=600, sleep_s=SLEEP_S, watch_s=0.5, answer_s=2.0))
    request = ServeRequest("smollm2:135m", small_model.small_model(), CONTEXT)
    yield finish(engine.serve(request))
    for found in engine.running():
        engine.stop(found.key, force=True)


@contextlib.contextmanager
def watching(env: Mapping[str, str]) -> Iterator[Watch]:
    watch = Watch(env)
    try:
        yield watch
    finally:
        watch.close()


@pytest.fixture
def watch(env: dict[str, str]) -> Iterator[Watch]:
    with watching(env) as watch:
        yield watch


def ask(served: Served, text: str, tokens: int) -> Mapping[str, int]:
    reply = web.request(
        "POST",
        f"{served.endpoint.base_url}/v1/messages",
        json_body={
            "model": served.endpoint.model,
            "max_tokens": tokens,
            "messages": [{"role": "user", "content": text}],
        },
        headers=served.endpoint.key_headers,
        deadline_s=120,
    )
    usage: Mapping[str, int] = reply.json()["usage"]
    return usage


@contextlib.contextmanager
def writing(served: Served, text: str) -> Iterator[None]:
    """A request that goes on until its reader leaves."""
    body = {"model": served.endpoint.model, "stream": True, "ignore_eos": True, "max_tokens": 3000,
            "messages": [{"role": "user", "content": text}]}  # fmt: skip
    exchange = web.stream(
        "POST",
        f"{served.endpoint.openai_url}/chat/completions",
        json_body=body,
        headers=served.endpoint.key_headers,
        read_s=180,
    )
    with exchange as (reply, _chunks):
        assert reply.status == 200
        yield


def asleep(served: Served) -> object:
    endpoint = served.endpoint
    reply = web.request("GET", f"{endpoint.base_url}/props", headers=endpoint.key_headers)
    return reply.json()["is_sleeping"]


# --- the real engine -------------------------------------------------------------------------

PROMPT = "the quick brown fox jumps over the lazy dog " * 20 + "Count on: 1, 2, 3, 4, 5, 6, 7, 8,"


def test_while_it_works_its_speeds_context_and_cache_are_shown(
    served: Served, watch: Watch
) -> None:
    watch.wait_for("smollm2:135m (running|asleep), context .*prompt . tokens/s, reply . tokens/s,")
    with writing(served, PROMPT):
        busy = watch.wait_for(r"reply [\d.]+ tokens/s, cached 0 %.*requests 1")
    assert re.search(r"prompt [\d.,]+ tokens/s", busy)
    used = re.search(r"context ([\d,]+) of 4,096,", busy)
    assert used is not None
    at = len(watch.lines)
    done = watch.wait_for(r"requests 0", start=at)
    assert re.search(r"reply [\d.]+ tokens/s last, cached 0 % last", done)
    again = ask(served, PROMPT, 4)
    assert again["cache_read_input_tokens"] > 0
    assert int(used[1].replace(",", "")) > again["cache_read_input_tokens"]
    watch.wait_for(r"cached 99 %", start=at)


def test_it_sleeps_on_while_it_is_watched(served: Served, watch: Watch) -> None:
    ask(served, "hello", 4)
    watch.wait_for("smollm2:135m running")
    watch.wait_for("smollm2:135m asleep")
    start = len(watch.lines)
    wait_until(lambda: len(watch.lines) >= start + 10, limit_s=60)
    assert ["asleep" in line for line in watch.lines[start:]] == [True] * len(watch.lines[start:])
    assert asleep(served) is True
    assert "of 4,096" not in watch.lines[-1]  # nothing is in its context now


def test_an_engine_that_dies_is_shown_as_gone(served: Served, watch: Watch, tmp_path: Path) -> None:
    watch.wait_for("smollm2:135m running")
    (found,) = LlamaCpp(settings.paths()).running()
    os.kill(found.identity.pid, signal.SIGKILL)
    wait_until(lambda: not process.is_alive(found.identity))
    watch.wait_for("embedded smollm2:135m gone")
    assert watch.end() == 130
    assert watch.errors == ""


# --- a pipe ----------------------------------------------------------------------------------


@pytest.mark.parametrize(("sign", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_pipe_gets_one_line_at_a_time_and_no_word_at_the_end(
    sign: signal.Signals, status: int, watch: Watch
) -> None:
    wait_until(lambda: len(watch.lines) >= 3)
    assert watch.end(sign) == status
    assert watch.errors == ""
    assert {re.sub(r"^\d\d:\d\d:\d\d", "", line) for line in watch.lines} == {" no engine runs\n"}


def test_a_reader_that_leaves_ends_it_quietly(env: dict[str, str]) -> None:
    typed = f"{launcher.PROGRAM} engines --watch; echo $? >&2"
    done = subprocess.run(
        ["/bin/bash", "-c", f"({typed}) | head -2"],
        env=env,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert (len(done.stdout.splitlines()), done.stderr) == (2, "141\n")


def test_a_dumb_terminal_gets_lines(env: dict[str, str], tmp_path: Path) -> None:
    argv = [str(launcher.PROGRAM), "engines", "--watch"]
    terminal = Terminal(argv, {**env, "TERM": "dumb"}, tmp_path)
    try:
        terminal.wait_for("no engine runs")
        assert ESC not in terminal.seen
    finally:
        terminal.close()


# --- servers that others run -----------------------------------------------------------------


def named(env: Mapping[str, str], name: str, server: ShapedServer) -> dict[str, str]:
    place = {"AGENTLAUNCH_ENGINE": name}
    place[f"AGENTLAUNCH_{name.upper().replace('-', '_')}_URL"] = server.url
    return {**env, **place}


def test_vllm_tells_its_numbers(env: dict[str, str]) -> None:
    listed = {"data": [{"id": "al-main", "owned_by": "vllm", "max_model_len": 131_072}]}
    answers = {"GET /v1/models": (200, listed), "GET /metrics": (200, recorded("vllm.txt"))}
    with ShapedServer(answers) as server, watching(named(env, "vllm", server)) as watch:
        assert watch.wait_for("vllm al-main remote").split(" ", 1)[1] == (
            "vllm al-main remote, context ? of 131,072, prompt 3,000 tokens/s mean, "
            "reply ? tokens/s, cached 75 % mean, requests 2 (1 waiting), "
            "34 % of the context memory in use\n"
        )
        wait_until(lambda: len(watch.lines) >= 4)
        assert server.asked.count("GET /v1/models") == 1  # what does not move is asked once


def test_a_llama_server_that_could_not_sleep_for_being_asked_is_not_asked(
    env: dict[str, str],
) -> None:
    old = {**PROPS, "build_info": "b8681-abc"}
    answers = {"GET /v1/models": (200, LIST), "GET /props": (200, old)}
    with ShapedServer(answers) as server, watching(named(env, "llama-server", server)) as watch:
        watch.wait_for("llama-server m remote, context 8,192, no numbers: to ask this build")
        server.answers["GET /props"] = (200, {**old, "is_sleeping": True})
        watch.wait_for("llama-server m asleep")
        assert {"GET /metrics", "GET /slots"}.isdisjoint(server.asked)


def test_what_llama_swap_runs_is_shown_without_a_word_to_the_model(env: dict[str, str]) -> None:
    runs = {"running": [{"model": "m", "state": "ready"}]}
    listed = {"data": [{"id": "m", "owned_by": "llama-swap"}]}
    answers = {"GET /v1/models": (200, listed), "GET /running": (200, runs)}
    with ShapedServer(answers) as server, watching(named(env, "llama-swap", server)) as watch:
        watch.wait_for("llama-swap m remote")
        server.answers["GET /running"] = (200, {"running": []})
        watch.wait_for("llama-swap remote")
        asked = [line for line in server.asked if "/upstream/" in line]
        assert len(asked) == 1  # the first look, as `engines` looks


METRICS = (200, recorded("llama_cpp_second.txt"))
LLAMA = {"GET /v1/models": (200, LIST), "GET /props": (200, PROPS), "GET /metrics": METRICS}


def test_a_page_in_place_of_numbers_leaves_the_measured_ones(env: dict[str, str]) -> None:
    with ShapedServer(LLAMA) as server, watching(named(env, "llama-server", server)) as watch:
        watch.wait_for("context . of 8,192, prompt 304 tokens/s mean, .*requests 0")
        server.answers["GET /metrics"] = (200, b"<html>\x1b[2J")
        watch.wait_for("context . of 8,192, prompt 304 tokens/s mean, .*requests .$")
        server.answers["GET /metrics"] = METRICS
        watch.wait_for("prompt 304 tokens/s mean, .*requests 0", start=len(watch.lines))


def test_a_server_that_ends_is_gone(env: dict[str, str]) -> None:
    with contextlib.ExitStack() as life:
        server = life.enter_context(ShapedServer(LLAMA))
        with watching(named(env, "llama-server", server)) as watch:
            watch.wait_for("llama-server m remote")
            life.close()
            watch.wait_for("llama-server m gone, context 8,192, nothing answers at")
            assert watch.end() == 130
            assert watch.errors == ""


HOSTILE = {
    "an escape": f"llamacpp:requests_processing {ESC}[2J\n{ESC}]0;title\x07",
    "numbers": "llamacpp:prompt_tokens_total NaN\nllamacpp:prompt_seconds_total -1\n"
    "llamacpp:tokens_predicted_total 1e308\nllamacpp:requests_processing 999999999999",
    "a page": "<html><title>Sign in</title>" + "x" * 100_000,
    "nothing": "",
}


@pytest.mark.parametrize("page", HOSTILE.values(), ids=HOSTILE)
def test_a_hostile_server_breaks_nothing_and_reaches_no_terminal(
    page: str, env: dict[str, str], tmp_path: Path
) -> None:
    name = f"a{ESC}[2J\u202e | b\r\n{'y' * 200}"
    listed = {"data": [{"id": name, "owned_by": "llamacpp", "meta": {"n_ctx": 8192}}]}
    slots = [{"is_processing": True, "id_task": f"{ESC}[31m", "n_prompt_tokens": 1e300}]
    answers = {
        "GET /v1/models": (200, listed),
        "GET /props": (200, {**PROPS, "model_alias": name}),
        "GET /metrics": (200, page.encode()),
        "GET /slots": (200, slots),
    }
    with ShapedServer(answers) as server:
        typed = named(env, "llama-server", server)
        with watching(typed) as watch:
            wait_until(lambda: sum("llama-server a" in line for line in watch.lines) >= 2)
            assert watch.end() == 130
        assert watch.errors == ""
        assert all(len(line) < 500 for line in watch.lines)
        assert all(line[:-1].isprintable() for line in watch.lines)
        terminal = on_a_terminal(typed, tmp_path)
        try:
            terminal.wait_for("llama-server")
            assert ESC not in re.sub(OURS, "", terminal.seen)
        finally:
            terminal.close()


def test_a_server_that_hangs_holds_up_nobody_else(env: dict[str, str]) -> None:
    free = threading.Event()

    def hang(_request: object) -> None:
        free.wait(20)

    with ShapedServer({}, guard=hang) as server, watching(named(env, "vllm", server)) as watch:
        try:
            wait_until(lambda: len(watch.lines) >= 3)
            assert "vllm asked" in watch.lines[0]
            watch.wait_for("vllm asked, no answer for|vllm unreachable")
        finally:
            free.set()


# --- Ollama ----------------------------------------------------------------------------------


def test_ollama_is_asked_for_what_it_holds_alone_and_shows_no_speed(
    env: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    with ollama_server.running() as server:
        hold(server)
        with watching({**env, "OLLAMA_HOST": server.url}) as watch:
            line = watch.wait_for("ollama qwen3.5:9b running, context 4,096, 1.0 GiB, on the CPU")
            assert "tokens/s" not in line
            monkeypatch.setattr(ollama_server, "EXPIRES", "2126-11-22T18:00:00Z")
            watch.wait_for("used now")  # its stay was set anew
            watch.wait_for(r"used \d+ s ago")
        assert {seen.path for seen in server.seen} == {"/api/version", "/api/ps"}


def test_an_ollama_that_ends_is_gone(env: dict[str, str]) -> None:
    with contextlib.ExitStack() as life:
        server = life.enter_context(ollama_server.running())
        with watching({**env, "OLLAMA_HOST": server.url}) as watch:
            watch.wait_for("ollama running")
            life.close()
            watch.wait_for("ollama gone")


def hold(server: OllamaServer) -> None:
    server.add("qwen3.5:9b", size=1 << 30, parameters={"num_ctx": 4096})
    server.loaded[ollama_server.full("qwen3.5:9b")] = 4096


# --- a terminal ------------------------------------------------------------------------------

OURS = r"\x1b\[(?:\?1049[hl]|\?25[hl]|\?7[hl]|H|2J|2K|J|[0-9;]*m)"
"""The only sequences that may come."""
ENTERED = "\x1b[?1049h\x1b[?25l\x1b[?7l"
LEFT = "\x1b[?7h\x1b[?25h\x1b[?1049l"


def on_a_terminal(env: Mapping[str, str], folder: Path, *, columns: int = 100) -> Terminal:
    argv = [str(launcher.PROGRAM), "engines", "--watch"]
    return Terminal(argv, {**env, "TERM": "xterm"}, folder, columns=columns)


def frames(seen: str) -> list[list[str]]:
    """The lines of each picture, as they are read."""
    inside = seen.partition(ENTERED)[2].partition(LEFT)[0]
    pictures = inside.split("\x1b[H")[1:]
    return [re.sub(OURS, "", picture).replace("\r", "").split("\n") for picture in pictures]


def read_on(terminal: Terminal, what: str, times: int) -> None:
    """Until it came so often more."""
    wanted = terminal.seen.count(what) + times

    def came() -> bool:
        with contextlib.suppress(AssertionError):  # it reads whatever comes meanwhile
            terminal.wait_for("\0", timeout_s=0.2)
        return terminal.seen.count(what) >= wanted

    wait_until(came, limit_s=60, what=f"{what!r} did not come again")


@pytest.mark.parametrize("columns", [40, 60, 80, 120, 240])
def test_a_terminal_of_any_width_is_redrawn_in_place(
    columns: int, env: dict[str, str], tmp_path: Path
) -> None:
    with ShapedServer(LLAMA) as server:
        terminal = on_a_terminal(named(env, "llama-server", server), tmp_path, columns=columns)
        try:
            terminal.wait_for("mean: since")
            read_on(terminal, "\x1b[H", 2)
            terminal.child.send_signal(signal.SIGINT)
            terminal.wait_for(LEFT)
            assert terminal.child.wait(timeout=30) == 130
        finally:
            terminal.close()
    pictures = frames(terminal.seen)
    for picture in pictures:
        assert all(len(line) <= columns for line in picture), picture
        assert len(picture) <= 30
    words = " ".join(" ".join(pictures[-1]).split())
    assert "304 mean" in words
    assert "of 8,192" in words
    assert ESC not in re.sub(OURS, "", terminal.seen)


def test_a_window_that_changes_is_drawn_anew(env: dict[str, str], tmp_path: Path) -> None:
    terminal = on_a_terminal(env, tmp_path, columns=200)
    try:
        terminal.wait_for("REQUESTS")
        terminal.resize(40, 8)
        read_on(terminal, "\x1b[2J", 1)
        terminal.child.send_signal(signal.SIGTERM)
        terminal.wait_for(LEFT)
        assert terminal.child.wait(timeout=30) == 143
    finally:
        terminal.close()
    last = frames(terminal.seen)[-1]
    assert len(last) <= 8
    assert all(len(line) <= 40 for line in last)
