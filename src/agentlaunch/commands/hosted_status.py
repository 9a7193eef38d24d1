"""`agentlaunch hosted status`: is the team's model up, by the cluster and by the engine itself."""

from __future__ import annotations

import dataclasses
import os
import re
from dataclasses import dataclass
from typing import Any

from agentlaunch import policy, settings, survey
from agentlaunch.commands import permission, ruling
from agentlaunch.commands.result import Result
from agentlaunch.engines import presets, remote
from agentlaunch.errors import AgentlaunchError, CheckFailed, EngineFailed, UsageError
from agentlaunch.hosted import status as looks
from agentlaunch.hosted.status import Pod, Server
from agentlaunch.policy.judging import enforce
from agentlaunch.survey import ruled
from agentlaunch.talk import Talk
from agentlaunch.units import format_tokens, plural

NAMESPACE = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?", re.ASCII)
SELECTOR = re.compile(r"[\w./=!,() -]{1,500}", re.ASCII)


@dataclass(frozen=True, slots=True)
class Where:
    """What the command line says of the place; None is what it leaves away."""

    url: str | None = None
    namespace: str | None = None
    selector: str | None = None
    name: str | None = None

    @property
    def names_cluster(self) -> bool:
        """Was the cluster asked for?"""
        return any((self.namespace, self.selector, self.name))


@dataclass(frozen=True, slots=True)
class Found:
    """What there is; None where it was not asked, or did not answer."""

    pods: tuple[Pod, ...] | None
    server: Server | None
    faults: tuple[AgentlaunchError, ...]

    @property
    def exit_code(self) -> int:
        """0 where everything that was asked is ready."""
        if self.faults:  # half of what was asked has answered
            return CheckFailed.exit_code
        empty = self.pods is not None and not self.pods
        waits = any(looks.unready(self.pods or (), self.server))
        return CheckFailed.exit_code if empty or waits else 0


def status(talk: Talk, where: Where, *, allow_remote: bool = False) -> Result:
    """Readiness and restarts of the pods, the loaded model and the numbers of the engine.

    The engine is the one of `--url`, else of the setting `hosted_url`; the cluster is asked where
    it is named, or where no engine is. Raises the fault of the only thing that was asked.
    """
    values = settings.load()
    url = where.url or values[presets.HOSTED_SETTING].value
    labels = _labels(where)
    in_cluster = where.names_cluster or url is None
    pods, server, faults = None, None, []
    if url is not None:
        try:
            server = _engine(talk, str(url), values, allow_remote=allow_remote)
        except AgentlaunchError as error:
            faults.append(error)
    if in_cluster:
        try:
            pods = looks.pods(labels, where.namespace)
        except AgentlaunchError as error:
            faults.append(error)
    nothing = bool(faults) and len(faults) == in_cluster + (url is not None)
    for fault in faults[1:] if nothing else faults:
        way_out = f" ({fault.hint})" if fault.hint else ""
        talk.warn(fault.message + way_out, code=fault.code)
    if nothing:
        raise faults[0]
    found = Found(pods, server, tuple(faults))
    data = _json(found, labels if in_cluster else None, where.namespace)
    return Result(
        "agentlaunch/hosted-status/1", data, lambda t: _draw(t, found, labels), found.exit_code
    )


def _labels(where: Where) -> str:
    """Raises `UsageError` for what is no name, label or namespace."""
    for flag, text, form in (
        ("--namespace", where.namespace, NAMESPACE),
        ("--selector", where.selector, SELECTOR),
    ):
        if text is not None and not form.fullmatch(text):
            raise UsageError(f"{flag}: {text!r} cannot be used", code="bad-value")
    if where.name is not None and not re.fullmatch(r"[\w][\w.-]{0,62}", where.name, re.ASCII):
        raise UsageError(f"--name: {where.name!r} cannot be used", code="bad-value")
    if where.selector is not None and where.name is not None:
        raise UsageError("--selector and --name exclude each other", hint="leave one away")
    return where.selector or looks.selector(where.name)


def _engine(
    talk: Talk, url: str, values: dict[str, settings.Value], *, allow_remote: bool
) -> Server:
    """Raises `Refused` without the user's word for the host, `EngineFailed` where nothing answers,
    `AuthNeeded`."""
    target = remote.resolve(url, {row: value.value for row, value in values.items()})
    enforce(ruling.server(ruling.here(), ruled.server_of(target)))
    allowed = values[policy.SETTING].value
    permission.permit(talk, target.url, allowed=allowed, once=allow_remote)
    try:
        facts = survey.look_at_remote(target, (), os.environ, watched=talk.may_ask)
    except EngineFailed as error:
        if error.code != "engine-busy":
            raise
        return looks.not_yet(target.url)
    return looks.server(facts)


# --- telling -------------------------------------------------------------------------------------


def _json(found: Found, labels: str | None, namespace: str | None) -> dict[str, Any]:
    pods, engine = found.pods, found.server
    return {
        "ready": found.exit_code == 0,
        "not_ready": [
            *looks.unready(pods or (), engine),
            *(["no pod has these labels"] if pods is not None and not pods else []),
            *(fault.message for fault in found.faults),
        ],
        "selector": labels,
        "namespace": namespace,
        "pods": None if pods is None else [dataclasses.asdict(row) for row in pods],
        "server": None if engine is None else _server_json(engine),
    }


def _server_json(engine: Server) -> dict[str, Any]:
    models = [{"name": name, "context_tokens": size} for name, size in engine.models]
    return dataclasses.asdict(engine) | {"models": models, "ready": engine.ready}


def _draw(talk: Talk, found: Found, labels: str) -> None:
    if found.pods is not None:
        _draw_pods(talk, found.pods, labels)
    if found.server is not None:
        _draw_server(talk, found.server)
    waits = list(looks.unready(found.pods or (), found.server))
    if waits:
        talk.say(f"not ready: {'; '.join(waits)}")
    elif found.exit_code == 0:
        talk.say("ready")


def _draw_pods(talk: Talk, pods: tuple[Pod, ...], labels: str) -> None:
    if not pods:
        talk.say(f"no pod has the labels {labels}")
        talk.say("other labels: --selector, another namespace: --namespace")
        return
    rows = [
        (row.name, "yes" if row.ready else "no", str(row.restarts), _age(row.age_s), _about(row))
        for row in pods
    ]
    talk.table(("POD", "READY", "RESTARTS", "AGE", "ABOUT"), rows)


def _about(pod: Pod) -> str:
    parts = [f"on {pod.node}"] if pod.node else []
    if not pod.ready:
        parts.append(pod.reason or pod.phase or "not ready")
        parts += [pod.message] if pod.message else []
    if pod.last_restart is not None:
        end = pod.last_restart
        code = f" (status {end.exit_code})" if end.exit_code is not None else ""
        parts.append(f"last ended: {end.reason or 'unknown'}{code}")
    return ", ".join(parts)


def _age(age_s: int | None) -> str:
    if age_s is None:
        return "?"
    for unit, size in (("d", 86_400), ("h", 3600), ("min", 60)):
        if age_s >= size:
            return f"{age_s // size} {unit}"
    return f"{age_s} s"


def _draw_server(talk: Talk, engine: Server) -> None:
    version = f" {engine.version}" if engine.version else ""
    health = {True: ", healthy", False: ", not healthy", None: ""}[engine.healthy]
    talk.answer(f"{engine.url}: {engine.kind}{version}{health}")
    for name, size in engine.models:
        told = f"{format_tokens(size)} of context" if size is not None else "context unknown"
        talk.answer(f"  {name}: {told}")
    numbers = []
    if engine.running is not None:
        numbers.append(
            f"{plural(engine.running, 'request')} at work, {engine.waiting or 0} waiting"
        )
    if engine.cache_full is not None:
        numbers.append(f"{engine.cache_full:.0%} of the cache in use")
    if engine.prefix_hits is not None:
        numbers.append(f"{engine.prefix_hits:.0%} of the prompts came from it")
    if numbers:
        talk.answer(f"  {', '.join(numbers)}")
