"""A rehearsal ends well however the agent behaves, and keeps nothing but what it was asked for."""

from __future__ import annotations

import dataclasses
import json
import os
import stat
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from agentlaunch import process
from agentlaunch.agents import AGENTS
from agentlaunch.agents.base import PROMPT, Agent, Handover, Link, PrivateFile, Rehearsal, Target
from agentlaunch.context import make_context
from agentlaunch.endpoint import Endpoint, Wire
from agentlaunch.engines.base import Served
from agentlaunch.launch import rehearsal
from agentlaunch.plan import LaunchPlan, Places, Wish, handover
from agentlaunch.plan.sizing import Chosen
from agentlaunch.progress import Work, finish
from agentlaunch.proof.recording import WORD, Recording
from agentlaunch.settings import Paths
from agentlaunch.survey import AgentState
from places import paths_below

pytestmark = pytest.mark.skipif(os.name != "posix", reason="the fake agents are POSIX programs")

ASKS = """
import json, os, sys, urllib.request

def ask(path, body):
    data = json.dumps(body).encode()
    token = json.load(open(sys.argv[1]))["token"]
    headers = {"authorization": f"Bearer {token}", "content-type": "application/json"}
    request = urllib.request.Request(os.environ["URL"] + path, data, headers)
    return json.load(urllib.request.urlopen(request))

TOOLS = [{"name": "read"}]
def messages(**more):
    said = [{"role": "user", "content": "Please: " + sys.argv[-1]}]
    return {"model": "m", "system": "You are.", "messages": said, "tools": TOOLS} | more
"""
WELL = "ask('/v1/messages', messages())"
FORKS = """
import subprocess
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
open(os.environ["NOTE"], "w").write(str(child.pid))
"""
HANGS = "import time; time.sleep(600)"
OPENS_A_TERMINAL = "assert os.isatty(0) and os.isatty(1), 'no terminal'\n"


@dataclasses.dataclass(frozen=True)
class Stand:
    """A launch of a fake agent, as far as a rehearsal looks at it."""

    plan: LaunchPlan
    served: Served
    paths: Paths
    where: Places

    def record(self, limit_s: float = 30) -> Work[Recording | None]:
        return rehearsal.record(self.plan, self.served, self.paths, self.where, limit_s=limit_s)

    def stage(self) -> rehearsal.Stage:
        made = rehearsal.stage(self.plan, self.served, self.paths, self.where, limit_s=30)
        assert made is not None
        return made

    @property
    def found(self) -> Recording | None:
        return rehearsal.find(self.plan, self.paths, self.where)

    @property
    def note(self) -> Path:
        return Path(self.where.environ["NOTE"])


Make = Callable[..., Stand]


@pytest.fixture
def make(tmp_path: Path) -> Make:
    def made(
        does: str,
        *,
        shown: bool = False,
        wires: tuple[Wire, ...] = ("anthropic_messages",),
        clean: bool = False,
    ) -> Stand:
        program, home, project = tmp_path / "agent.py", tmp_path / "home", tmp_path / "project"
        program.write_text(ASKS + does)
        for folder in (home, project):
            folder.mkdir(exist_ok=True)
        agent = fake(program)
        paths = paths_below(tmp_path / "ours")
        where = Places(
            runtime=paths.runtime / "launches",
            homes=paths.data / "homes",
            run_name=str(process.identity()),
            environ={"HOME": str(home), "PATH": os.defpath, "NOTE": str(tmp_path / "note")},
            project=project,
        )
        state = AgentState(agent, Path(sys.executable), "1.2.3", managed=True)
        context = make_context(agent.tiers, agent.compaction, 65_536)
        endpoint = Endpoint("http://127.0.0.1:9", wires, "m", "real-secret")
        args = (PROMPT,) if shown else ("-p", PROMPT)
        wish = Wish(agent, args=args, home="clean" if clean else "own")
        plan = LaunchPlan(
            wish=wish,
            agent=state,
            engine="embedded",
            url=None,
            model=Chosen("m", None, None),
            remote=None,
            context=context,
            steps=(),
            handover=handover(wish, state, endpoint, context, where),
            because=(),
        )
        return Stand(plan, Served("embedded", endpoint, 65_536, None, reused=True), paths, where)

    return made


def fake(program: Path) -> Agent:
    def prepare(target: Target) -> Handover:
        file = target.runtime_folder / f"fake-{target.run_name}.json"
        document = json.dumps(
            {"token": target.endpoint.token, "hooks": True, "ui": {"dark": True}}
        ).encode()
        seed = target.home_folder / "seed.json"
        return Handover(
            argv=(*target.command, str(program), str(file), *target.args),
            env={"URL": target.endpoint.base_url},
            files=(PrivateFile(file, document),),
            seeds=(PrivateFile(seed, b"{}"),) if target.home == "clean" else (),
            links=(Link(target.runtime_folder / "shared", Path(target.environ["HOME"])),),
        )

    return dataclasses.replace(
        AGENTS["claude-code"],
        name="fake",
        title="Fake",
        prepare=prepare,
        trust=None,
        watched=(),
        rehearsal=Rehearsal(
            args=("-p", PROMPT),
            interactive=(PROMPT,),
            env={"THROWAWAY": "{folder}/db"},
            settings={"hooks": False, "ui": {"tips": False}},
        ),
    )


def last(work: Work[Recording | None]) -> tuple[Recording | None, str | None]:
    """What came of it, and its last report."""
    detail = None
    while True:
        try:
            detail = next(work).detail
        except StopIteration as stop:
            return stop.value, detail


def is_gone(pid: int) -> bool:
    limit = time.monotonic() + 10
    while process.identity(pid) is not None and time.monotonic() < limit:
        time.sleep(0.02)
    return process.identity(pid) is None


def leftovers(stand: Stand) -> list[Path]:
    return list((stand.paths.runtime / "launches").iterdir())


@pytest.mark.parametrize("shown", [False, True])
def test_the_first_request_is_kept_without_the_word_that_was_asked(make: Make, shown: bool) -> None:
    stand = make((OPENS_A_TERMINAL if shown else "") + WELL, shown=shown)

    found = finish(stand.record())

    said = [{"role": "user", "content": f"Please: {WORD}"}]
    body = {"model": "m", "system": "You are.", "messages": said, "tools": [{"name": "read"}]}
    assert found == Recording("fake", "1.2.3", "anthropic_messages", body)
    assert stand.found == found
    assert leftovers(stand) == []
    (kept,) = (stand.paths.cache / "recordings").iterdir()
    assert "hello-" not in kept.read_text()
    assert stat.S_IMODE(kept.stat().st_mode) == 0o600


def test_what_comes_beside_it_is_kept_too(make: Make) -> None:
    title = "ask('/v1/messages', messages(tools=[], system='A title for ' + sys.argv[-1]))"
    found = finish(make(f"{title}\n{WELL}").record())

    assert found is not None
    assert [body["system"] for body in found.beside] == [f"A title for {WORD}"]


def test_the_rehearsal_has_its_own_settings_and_a_clean_home_its_first_files(make: Make) -> None:
    looks = (
        "settings = json.load(open(sys.argv[1]))\n"
        "seen = [settings['hooks'], settings['ui'], os.environ['THROWAWAY'],\n"
        " os.path.realpath(os.path.join(os.path.dirname(sys.argv[1]), 'shared'))]\n"
        "open(os.environ['NOTE'], 'w').write(json.dumps(seen))\n"
    )
    stand = make(looks + WELL, clean=True)

    assert finish(stand.record()) is not None
    hooks, ui, throwaway, shared = json.loads(stand.note.read_text())
    assert (hooks, ui) == (False, {"dark": True, "tips": False})
    assert Path(throwaway).parent.name.startswith("rehearsal-")
    assert shared == stand.where.environ["HOME"]
    assert (stand.where.homes / "fake" / "seed.json").read_bytes() == b"{}"


@pytest.mark.parametrize(
    "does",
    [
        "",
        "sys.exit(3)",
        "os.kill(os.getpid(), 11)",
        "ask('/v1/messages', messages(tools=[]))",  # a title alone is no first request
        "ask('/v1/chat/completions', messages())",  # the engine does not speak that
        "ask('/v1/messages', {'tools': TOOLS})",
    ],
)
@pytest.mark.parametrize("shown", [False, True])
def test_an_agent_that_asks_nothing_usable_leaves_nothing(
    make: Make, does: str, shown: bool
) -> None:
    stand = make(does, shown=shown)

    assert last(stand.record()) == (None, "Fake sent no request")
    assert stand.found is None
    assert leftovers(stand) == []


@pytest.mark.parametrize("shown", [False, True])
def test_an_agent_that_hangs_is_ended_with_all_that_it_has_started(make: Make, shown: bool) -> None:
    stand = make(FORKS + HANGS, shown=shown)

    assert last(stand.record(limit_s=1.5)) == (None, "Fake sent no request")
    assert is_gone(int(stand.note.read_text()))
    assert leftovers(stand) == []


@pytest.mark.parametrize("shown", [False, True])
def test_what_an_agent_leaves_running_ends_with_it(make: Make, shown: bool) -> None:
    stand = make(FORKS + WELL, shown=shown)

    assert finish(stand.record()) is not None
    assert is_gone(int(stand.note.read_text()))


def test_on_a_terminal_the_first_request_is_enough(make: Make) -> None:
    stand = make(f"{WELL}\n{HANGS}", shown=True)

    assert finish(stand.record()) is not None


@pytest.mark.parametrize("shown", [False, True])
def test_whoever_loses_interest_ends_the_agent(make: Make, shown: bool) -> None:
    stand = make(FORKS + HANGS, shown=shown)
    work = stand.record()
    while not (stand.note.exists() and stand.note.read_text()):
        next(work)

    work.close()

    assert is_gone(int(stand.note.read_text()))
    assert leftovers(stand) == []


def test_a_word_that_cannot_be_taken_out_keeps_nothing(make: Make) -> None:
    stand = make("ask('/v1/messages', messages(metadata={sys.argv[-1]: 1}))")

    found, detail = last(stand.record())

    assert (found, stand.found) == (None, None)
    assert detail == "not recorded: the prompt stands where it cannot be taken out"


def test_a_stage_goes_through_json_and_is_played_by_another_process(make: Make) -> None:
    stand = make(WELL)
    stage = stand.stage()
    text = json.dumps(stage.as_json())
    assert rehearsal.Stage.from_json(json.loads(text)) == stage
    assert "real-secret" not in text

    played = finish(rehearsal.play(rehearsal.Stage.from_json(json.loads(text)), {}))

    assert played is not None
    assert stand.found == played
    assert leftovers(stand) == []


def test_a_stage_tells_no_secret_by_its_repr(make: Make) -> None:
    stage = make(WELL).stage()

    assert stage.token in json.dumps(stage.as_json())
    assert stage.token not in repr(stage)


def test_a_port_that_somebody_took_meanwhile_starts_no_agent(make: Make) -> None:
    import socket

    stand = make("open(os.environ['NOTE'], 'w')")
    stage = stand.stage()
    with socket.socket() as other:
        other.bind(("127.0.0.1", stage.port))
        other.listen()
        found, detail = last(rehearsal.play(stage, stand.where.environ))

    assert found is None
    assert detail is not None
    assert detail.startswith("not recorded: ")
    assert not stand.note.exists()


def test_an_agent_that_is_not_there_is_no_fault_of_the_launch(make: Make) -> None:
    stand = make(WELL)
    gone = dataclasses.replace(stand.plan.agent, path=Path("/nowhere/agent"))
    plan = dataclasses.replace(stand.plan, agent=gone)

    found, detail = last(rehearsal.record(plan, stand.served, stand.paths, stand.where))

    assert found is None
    assert detail == "not recorded: /nowhere/agent could not be started: No such file or directory"
    assert leftovers(stand) == []


def test_an_agent_that_leaves_traces_is_not_rehearsed(make: Make) -> None:
    stand = make(WELL)
    agent = dataclasses.replace(stand.plan.wish.agent, rehearsal=None)
    wish = dataclasses.replace(stand.plan.wish, agent=agent)
    plan = dataclasses.replace(stand.plan, wish=wish)
    rest = (stand.served, stand.paths, stand.where)

    found, detail = last(rehearsal.record(plan, *rest))

    assert (found, detail) == (None, "Fake cannot be rehearsed without traces")
    assert rehearsal.stage(plan, *rest) is None
    assert rehearsal.find(plan, stand.paths, stand.where) is None


def test_only_so_many_recordings_are_kept_and_the_oldest_go(make: Make) -> None:
    stand = make(WELL)
    folder = stand.paths.cache / "recordings"
    folder.mkdir(parents=True, mode=0o700)
    for number in range(60):
        (folder / f"{number}.json").write_text("{}")
        os.utime(folder / f"{number}.json", (number, number))

    assert finish(stand.record()) is not None

    names = {path.name for path in folder.iterdir()}
    assert len(names) == 50
    assert stand.found is not None
    assert names >= {f"{number}.json" for number in range(11, 60)}
