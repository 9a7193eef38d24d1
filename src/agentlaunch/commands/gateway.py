"""`agentlaunch gateway`: the router of hybrid mode; what it routes, and why it routes so now."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta, timezone
from typing import Any

from agentlaunch import plan, settings
from agentlaunch.commands import deciding, engine_logs, looking, ruling, up
from agentlaunch.commands.result import Result
from agentlaunch.endpoint import Endpoint
from agentlaunch.engines.base import Served
from agentlaunch.errors import AgentlaunchError, EngineFailed, UsageError
from agentlaunch.gateway import config as configuration
from agentlaunch.gateway import events, life, status_line
from agentlaunch.gateway.package import VERSION
from agentlaunch.gateway.routes import routes_of
from agentlaunch.gateway.spec import MODEL_NAMES, Spec
from agentlaunch.gateway.state import Stop
from agentlaunch.settings import Paths
from agentlaunch.talk import Talk
from agentlaunch.units import format_tokens, plural

SHOWN_SWITCHES = 5
SWITCHES_FOR = timedelta(days=1)
LATER = "http://127.0.0.1:0"
"""The address of an engine of this machine that is not started yet."""
HOW = "a launch starts it where the routes name several endpoints"
ROUTES = 'agentlaunch config set routes.main "hosted, local"'


@dataclass(frozen=True, slots=True)
class Account:
    """What is told of the gateways that run, and of today."""

    running: tuple[life.Running, ...]
    now: Mapping[str, Mapping[str, Any]]
    """By the folder of each: where every role is, as the gateway itself says."""
    switches: tuple[events.Switch, ...]
    spent_usd: float
    unpriced: bool
    """There were calls whose price is not known: that sum is the least that was spent."""


def status(talk: Talk) -> Result:
    """What runs, who answers now, the last switches and their reasons, and today's money."""
    paths = settings.paths()
    found = _look(paths)
    _warn_of_other_routes(talk, found.running)
    data = {
        "running": [_as_json(row, found.now[row.folder.name]) for row in found.running],
        "switches": [_switch_json(row) for row in found.switches],
        "spent_today_usd": None if found.unpriced else round(found.spent_usd, 6),
    }
    return Result("agentlaunch/gateway/1", data, lambda t: _draw(t, found))


def _look(paths: Paths) -> Account:
    now = datetime.now(timezone.utc)
    today = now.astimezone().date()
    recent = events.read(paths.state, now - SWITCHES_FOR)
    running = life.find(paths)
    costs = [
        row.cost_usd
        for row in recent
        if isinstance(row, events.Request)
        and row.managed
        and row.hop
        and row.at.astimezone().date() == today
    ]
    return Account(
        running=running,
        now={row.folder.name: _places(row) for row in running},
        switches=tuple(row for row in recent if isinstance(row, events.Switch))[-SHOWN_SWITCHES:],
        spent_usd=math.fsum(cost for cost in costs if cost is not None),
        unpriced=None in costs,
    )


def _places(running: life.Running) -> dict[str, Any]:
    """Where each role is, as the gateway's own account says; what is no account says nothing."""
    told = (status_line.read_status(str(running.status_file)) or {}).get("roles")
    rows = told.items() if isinstance(told, dict) else ()
    return {name: row for name, row in rows if isinstance(row, dict)}


# ---- for a person -----------------------------------------------------------------------------


def _draw(talk: Talk, found: Account) -> None:
    if not found.running:
        talk.answer(f"no gateway runs; {HOW}")
    for row in found.running:
        _draw_one(talk, row, found.now[row.folder.name])
    for switch in found.switches:
        text = f"{_when(switch.at)} {switch.role}: {switch.before} → {switch.after}"
        talk.answer_folded(f"{text} ({switch.reason})", indent=6)
    cap = next((row for row in found.running if row.cap_usd is not None), None)
    if cap is not None and cap.cap_usd is not None:
        text = f"{_spent(found)} of ${cap.cap_usd:.2f} ({cap.cap_origin})"
        talk.answer_folded(text, indent=6)
    elif (
        found.spent_usd
        or found.unpriced
        or any(
            stop.managed for row in found.running for chain in row.chains.values() for stop in chain
        )
    ):
        talk.answer(f"{_spent(found)}, no cap")


def _spent(found: Account) -> str:
    least = "at least " if found.unpriced else ""
    return f"spent today {least}${found.spent_usd:.2f}"


def _draw_one(talk: Talk, row: life.Running, now: Mapping[str, Any]) -> None:
    young = (datetime.now(timezone.utc) - row.started_at).total_seconds() < life.START_S
    state = "" if row.answers else f", does not answer{' yet' if young else ''}"
    text = f"gateway at {row.url} since {_when(row.started_at)}, {plural(row.sessions, 'session')}"
    talk.answer_folded(text + state, indent=6)
    rows = [
        (role, stop.name, state, _about(stop))
        for role, chain in row.chains.items()
        for stop, state in zip(chain, _states(chain, now.get(role)), strict=True)
    ]
    talk.table(("ROLE", "ENDPOINT", "NOW", "MODEL AND PLACE"), rows)
    for role, place in now.items():
        silent = place.get("silent")
        if isinstance(silent, dict):
            talk.answer_folded(f"{role}: nobody answers ({silent.get('why')})", indent=6)
    if set(row.chains) == {"main"}:
        talk.answer("small work goes along the main chain")


def _states(chain: Sequence[Stop], place: Mapping[str, Any] | None) -> list[str]:
    """What each endpoint of a chain does now, in a word."""
    here = [at for at, stop in enumerate(chain) if _is_here(stop, place)]
    if not here:
        return ["silent" if place is not None and place.get("silent") else ""] * len(chain)
    words = {-1: "passed over", 0: "answers", 1: "stands by"}
    return [words[(at > here[0]) - (at < here[0])] for at in range(len(chain))]


def _is_here(stop: Stop, place: Mapping[str, Any] | None) -> bool:
    if place is None or place.get("silent"):
        return False
    return (place.get("hop"), place.get("model")) == (stop.name, stop.model)


def _about(stop: Stop) -> str:
    where = "this machine" if stop.local else stop.host + (", managed" if stop.managed else "")
    return f"{stop.model} on {where}, {format_tokens(stop.context_tokens)} tokens"


def _when(at: datetime) -> str:
    """The clock of today; with the day where it was another."""
    local = at.astimezone()
    is_today = local.date() == datetime.now().astimezone().date()
    return local.strftime("%H:%M" if is_today else "%Y-%m-%d %H:%M")


# ---- JSON -------------------------------------------------------------------------------------


def _as_json(row: life.Running, now: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "url": row.url,
        "pid": row.identity.pid,
        "answers": row.answers,
        "started_at": row.started_at.isoformat(timespec="seconds"),
        "sessions": row.sessions,
        "version": VERSION,
        "config": str(row.config_file),
        "log": str(row.log),
        "cap_usd": row.cap_usd,
        "cap_origin": row.cap_origin or None,
        "roles": [
            {
                "role": role,
                "model": MODEL_NAMES["small" if role == "small" else "main"],
                "endpoints": [_stop_json(stop, now.get(role)) for stop in chain],
            }
            for role, chain in row.chains.items()
        ],
    }


def _stop_json(stop: Stop, place: Mapping[str, Any] | None) -> dict[str, Any]:
    return {
        "name": stop.name,
        "model": stop.model,
        "host": stop.host,
        "local": stop.local,
        "managed": stop.managed,
        "context_tokens": stop.context_tokens,
        "answers_now": None if place is None else _is_here(stop, place),
    }


def _switch_json(row: events.Switch) -> dict[str, Any]:
    return {
        "at": row.at.isoformat(timespec="seconds"),
        "role": row.role,
        "before": row.before,
        "after": row.after,
        "reason": row.reason,
    }


# ---- start and stop ---------------------------------------------------------------------------


def start(talk: Talk, *, allow_remote: bool = False) -> Result:
    """Start the gateway of the routes, with every engine of this machine behind it.

    Raises what a launch over the routes raises, and `UsageError` where they need no gateway.
    """
    from agentlaunch.launch import serving  # its rooms cost milliseconds
    from agentlaunch.launch.terms import Terms

    asked, made, hybrid = _planned(talk, allow_remote=allow_remote, rehearsal=False)
    answer = up.agree(talk, made, asked)
    if answer == "other":
        made = _without_an_agent(up.spared(talk, asked, hybrid))
        if made.hybrid is None:
            answer = "no"  # one endpoint is left, which agents ask directly
    if answer == "no":
        return Result("agentlaunch/gateway-start/1", {"running": None}, _say_nothing)
    terms = Terms(
        talk,
        asked.paths,
        asked.places,
        asked.insecure,
        asked.idle_minutes,
        asked.max_download_bytes,
    )
    running = serving.start_gateway(made, terms)
    running = replace(running, sessions=max(0, running.sessions - 1))  # we end now
    now = _places(running)
    data = {"running": {**_as_json(running, now), "reused": running.reused}}

    def draw(t: Talk) -> None:
        _draw_one(t, running, now)
        t.answer(f"it ends after {asked.idle_minutes} minutes without a session and a request")

    return Result("agentlaunch/gateway-start/1", data, draw)


def _say_nothing(talk: Talk) -> None:
    talk.say("nothing was done")


def _planned(
    talk: Talk, *, allow_remote: bool, rehearsal: bool
) -> tuple[looking.Asked, plan.LaunchPlan, plan.Hybrid]:
    """The launch over the routes, without an agent that would have to be installed first."""
    asked = looking.look(talk, {}, ())
    asked = replace(asked, allow_remote=allow_remote, rehearsal=rehearsal)
    if asked.routes is None:
        raise UsageError(
            "the gateway needs routes, and none are set", hint=ROUTES, code="no-routes"
        )
    made = deciding.decide(talk, asked)
    if made.hybrid is None:
        left_out = [text for code, text in made.warnings if code.startswith("endpoint-")]
        if left_out:
            raise EngineFailed(
                f"one endpoint of the routes is left, and needs no gateway: {'; '.join(left_out)}",
                hint="start the others, or go on with what is left: agentlaunch up",
                code="no-gateway",
            )
        raise UsageError(
            "the routes need no gateway: agents ask one endpoint directly",
            hint=f"agentlaunch up, or name several: {ROUTES}",
            code="no-gateway",
        )
    return asked, _without_an_agent(made), made.hybrid


def _without_an_agent(made: plan.LaunchPlan) -> plan.LaunchPlan:
    package = made.agent.agent.package
    steps = tuple(
        step
        for step in made.steps
        if not (isinstance(step, plan.Install) and step.package == package)
    )
    return replace(made, steps=steps)


def stop(talk: Talk, *, force: bool) -> Result:
    """End every gateway; `Refused` while a session uses one, but for `force`."""
    ended = life.stop(settings.paths(), force=force)
    sessions = sum(row.sessions for row in ended)
    if sessions:
        text = f"{plural(sessions, 'running session')} can reach no engine any more: start anew"
        talk.warn(text, code="sessions-cut")
    data = {"stopped": [{"url": row.url, "pid": row.identity.pid} for row in ended]}
    urls = ", ".join(row.url for row in ended)
    text = f"stopped the gateway at {urls}" if ended else "no gateway was running"
    return Result("agentlaunch/gateway-stop/1", data, lambda t: t.answer(text))


# ---- what it reads and writes -----------------------------------------------------------------


def logs(talk: Talk, *, watch: bool) -> Result | None:
    """The end of the newest gateway's log."""
    log = life.log_path(settings.paths())
    if not log.is_file():
        raise EngineFailed("no gateway has run yet", hint="agentlaunch gateway start")
    return engine_logs.show(talk, log, "agentlaunch/gateway-logs/1", watch=watch)


def config(talk: Talk, *, allow_remote: bool = False) -> Result:
    """LiteLLM's configuration as it runs, else as it would be; keys are names of variables in it.

    Raises what a launch over the routes raises where none runs.
    """
    running = life.find(settings.paths())
    _warn_of_other_routes(talk, running)
    if running:
        first, *others = running
        text = first.config_file.read_text("utf-8")
        path: str | None = str(first.config_file)
        notes = [path or "", *(f"also {row.config_file}" for row in others)]
    else:
        path, text = None, configuration.text(_rehearsed(talk, allow_remote=allow_remote))
        notes = ["no gateway runs; it would be started with this, and with the engines' own ports"]
    for note in notes:
        talk.say(note)
    data = {"running": bool(running), "path": path, "text": text}
    return Result("agentlaunch/gateway-config/1", data, lambda t: t.answer(text.rstrip("\n")))


def _warn_of_other_routes(talk: Talk, running: Sequence[life.Running]) -> None:
    """Where the settings name other endpoints than any gateway that runs."""
    try:
        routes = routes_of(settings.load(user_file=ruling.user_file()))
    except AgentlaunchError:  # others tell of it
        return
    if not running or routes is None:
        return
    wanted = {role: [word.shown for word in words] for role, words in routes.chains.items()}
    for row in running:
        if {role: [stop.name for stop in chain] for role, chain in row.chains.items()} == wanted:
            return
    names = "; ".join(f"{role}: {' → '.join(chain)}" for role, chain in wanted.items())
    text = f"the routes say {names} now: a launch starts a gateway for them"
    talk.warn(text, code="routes-changed")


def _rehearsed(talk: Talk, *, allow_remote: bool) -> Spec:
    from agentlaunch.launch import gateway as starting

    _asked, _made, hybrid = _planned(talk, allow_remote=allow_remote, rehearsal=True)
    return starting.spec_of(hybrid, _unserved)


def _unserved(made: plan.LaunchPlan) -> Served:
    """An engine of this machine before it is started."""
    engine = plan.OLLAMA if made.ollama is not None else plan.EMBEDDED
    endpoint = Endpoint(made.url or LATER, (), plan.served_name(made.model.id))
    return Served(engine, endpoint, made.context.engine_tokens, None, reused=False)
