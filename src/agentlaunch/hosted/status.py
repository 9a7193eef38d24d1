"""Is a team's model up: pods as kubectl tells them, and what the engine itself says.

Seen with kubectl 1.32.4 (its words for no cluster, no login and no right, and the exit status 1 of
all of them). Which fields mean what: the Pod of the Kubernetes API v1.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from agentlaunch import process, web
from agentlaunch.engines import live
from agentlaunch.engines.remote_facts import RemoteFacts
from agentlaunch.errors import AgentlaunchError, AuthNeeded, EngineFailed, NotSupported

MANAGED = "app.kubernetes.io/managed-by=agentlaunch"
NAME = "app.kubernetes.io/name"
"""The labels that manifests of ours put on every pod."""

ANSWER_S = 5
"""How long the cluster may take for one answer; kubectl asks twice."""
KUBECTL_S = 20.0
LONGEST_TEXT = 300

_ITS_OWN = ("error: ", "Error from server", "Error in ", "Unable to connect", "The connection to")
"""How the line begins in which kubectl says what is wrong; logs and advice may stand around it."""
_NO_LOGIN = (
    "must be logged in",
    "provide credentials",
    "Unauthorized",
    "token has expired",
    "getting credentials",
)
_NO_CONTEXT = ("context was not found", "error loading config file")
_NO_CLUSTER = ("was refused", "Unable to connect", "no such host", "deadline exceeded", "timed out")


@dataclass(frozen=True, slots=True)
class Restart:
    """How a container of a pod ended the last time."""

    reason: str | None
    """`OOMKilled`, `Error`, …"""
    exit_code: int | None
    finished_at: str | None


@dataclass(frozen=True, slots=True)
class Pod:
    """One pod, as it is now."""

    name: str
    ready: bool
    phase: str | None
    restarts: int
    last_restart: Restart | None
    reason: str | None
    """Why it is not ready: `Unschedulable`, `CrashLoopBackOff`, `ImagePullBackOff`, …"""
    message: str | None
    node: str | None
    age_s: int | None

    @property
    def finished(self) -> bool:
        """A job that did its work is not waited for."""
        return self.phase == "Succeeded"


@dataclass(frozen=True, slots=True)
class Server:
    """What the engine says; None is what it does not tell."""

    url: str
    kind: str
    version: str | None
    healthy: bool | None
    models: tuple[tuple[str, int | None], ...]
    """Each with its context in tokens."""
    running: int | None = None
    waiting: int | None = None
    cache_full: float | None = None
    """Share of the memory for contexts that is in use."""
    prefix_hits: float | None = None
    """Share of all prompts' tokens that came from the cache, since it started."""

    @property
    def ready(self) -> bool:
        """Does it serve at least one model, and is not unwell?"""
        return bool(self.models) and self.healthy is not False


# --- the cluster ---------------------------------------------------------------------------------


def selector(name: str | None) -> str:
    """The labels of one served model, or of all that manifests of ours made."""
    return f"{MANAGED},{NAME}={name}" if name else MANAGED


def pods(labels: str, namespace: str | None, now: datetime | None = None) -> tuple[Pod, ...]:
    """The pods with these labels, in kubectl's own namespace where none is named.

    Raises `NotSupported` without kubectl, `AuthNeeded` without login or right, `EngineFailed`
    where no cluster answers.
    """
    program = process.find_program("kubectl")
    if program is None:
        raise NotSupported(
            "kubectl is not installed",
            hint="ask the engine alone: agentlaunch hosted status --url http://HOST:8000",
            code="no-kubectl",
        )
    try:
        done = process.run(_arguments(program, labels, namespace), timeout_s=KUBECTL_S)
    except process.ToolTimeout as error:
        raise _silent(f"kubectl said nothing within {KUBECTL_S:g} s") from error
    if done.rc != 0:
        raise _fault(done.stderr, namespace)
    try:
        found = json.loads(done.stdout)
    except (ValueError, RecursionError) as error:
        raise EngineFailed("kubectl gave no JSON", hint="kubectl version") from error
    return read_pods(found, now or datetime.now(timezone.utc))


def _arguments(program: Path, labels: str, namespace: str | None) -> list[str]:
    words = [str(program), "get", "pods", f"--selector={labels}", "--output=json"]
    words.append(f"--request-timeout={ANSWER_S}s")
    return [*words, f"--namespace={namespace}"] if namespace else words


def _fault(said: str, namespace: str | None) -> AgentlaunchError:
    lines = [row.strip() for row in said.splitlines() if row.strip()]
    own = [row for row in lines if row.startswith(_ITS_OWN)]
    text = (own or lines or ["it said nothing"])[-1][:LONGEST_TEXT]
    if "(Forbidden)" in text:
        where = f" --namespace {namespace}" if namespace else ""
        return AuthNeeded(
            f"the cluster does not let you see its pods: {text}",
            hint=f"kubectl auth can-i list pods{where}",
            code="forbidden",
        )
    if any(words in text for words in _NO_LOGIN):
        return AuthNeeded(
            f"the cluster wants a login: {text}", hint="log in to it, then: kubectl get pods"
        )
    if any(words in text for words in _NO_CONTEXT):
        return EngineFailed(
            f"no cluster is chosen: {text}", hint="kubectl config get-contexts", code="no-cluster"
        )
    if any(words in text for words in _NO_CLUSTER):
        return _silent(text)
    return AgentlaunchError(f"kubectl failed: {text}", hint="kubectl get pods", code="kubectl")


def _silent(text: str) -> EngineFailed:
    hint = "kubectl config current-context"
    return EngineFailed(f"no cluster answers: {text}", hint=hint, code="no-cluster")


def read_pods(value: Any, now: datetime) -> tuple[Pod, ...]:
    """The pods of a list, by name; what is no pod is left out."""
    items = value.get("items") if isinstance(value, dict) else None
    rows = items if isinstance(items, list) else []
    found = (_pod(row, now) for row in rows if isinstance(row, dict))
    return tuple(sorted((row for row in found if row is not None), key=lambda row: row.name))


def _pod(row: Mapping[str, Any], now: datetime) -> Pod | None:
    about, state = _table(row, "metadata"), _table(row, "status")
    name = _text(about.get("name"))
    if name is None:
        return None
    containers = [*_rows(state, "initContainerStatuses"), *_rows(state, "containerStatuses")]
    ready = _condition(state, "Ready").get("status") == "True"
    reason, message = (None, None) if ready else _why(about, state, containers)
    return Pod(
        name=name,
        ready=ready,
        phase=_text(state.get("phase")),
        restarts=sum(_whole(one.get("restartCount")) or 0 for one in containers),
        last_restart=_last(containers),
        reason=reason,
        message=message,
        node=_text(_table(row, "spec").get("nodeName")),
        age_s=_age_s(_text(about.get("creationTimestamp")), now),
    )


def _why(
    about: Mapping[str, Any], state: Mapping[str, Any], containers: Sequence[Mapping[str, Any]]
) -> tuple[str | None, str | None]:
    if about.get("deletionTimestamp"):
        return "Terminating", None
    placed = _condition(state, "PodScheduled")
    tellers = [_table(_table(one, "state"), kind) for one in containers for kind in _TELLING]
    if placed.get("status") == "False":
        tellers.insert(0, placed)
    told = [(reason, row) for row in (*tellers, state) if (reason := _text(row.get("reason")))]
    told.sort(key=lambda one: one[0] == _WAITS_FOR_OTHERS)
    for reason, row in told:
        if reason != _DONE:
            return reason, _text(row.get("message"))
    if state.get("phase") == "Running":
        return "Loading", None  # it runs, and its probe has not been through yet
    return None, None


_TELLING = ("waiting", "terminated")
_WAITS_FOR_OTHERS, _DONE = "PodInitializing", "Completed"
"""Of a container whose pod has others that come first, and of those."""


def _last(containers: Sequence[Mapping[str, Any]]) -> Restart | None:
    ends = [_table(_table(one, "lastState"), "terminated") for one in containers]
    found = [
        Restart(_text(end.get("reason")), _whole(end.get("exitCode")), _text(end.get("finishedAt")))
        for end in ends
        if end
    ]
    return max(found, key=lambda row: row.finished_at or "", default=None)


def _condition(state: Mapping[str, Any], kind: str) -> Mapping[str, Any]:
    return next((row for row in _rows(state, "conditions") if row.get("type") == kind), {})


def _age_s(stamp: str | None, now: datetime) -> int | None:
    try:
        began = datetime.strptime(stamp or "", "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=timezone.utc)
    except ValueError:
        return None
    return max(0, int((now - began).total_seconds()))


def _table(row: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    value = row.get(name)
    return value if isinstance(value, dict) else {}


def _rows(row: Mapping[str, Any], name: str) -> list[dict[str, Any]]:
    value = row.get(name)
    return [one for one in value if isinstance(one, dict)] if isinstance(value, list) else []


def _text(value: object) -> str | None:
    return value[:LONGEST_TEXT] if isinstance(value, str) and value else None


def _whole(value: object) -> int | None:
    return value if type(value) is int and 0 <= value < 2**31 else None


# --- the engine ----------------------------------------------------------------------------------


def not_yet(url: str) -> Server:
    """A server that answers, but only that it is busy or starting (502, 503, 504)."""
    return Server(url, "unknown", None, healthy=False, models=())


def server(facts: RemoteFacts) -> Server:
    """What a server that was probed says beside its models: its health and its numbers.

    Only vLLM is asked: LiteLLM's `/health` sends a paid request to everything behind it.
    """
    models = tuple((row.name, row.context_tokens) for row in facts.models)
    found = Server(facts.url, facts.kind, facts.version, None, models)
    if facts.kind != "vllm":
        return found
    headers = {"authorization": f"Bearer {facts.key}"} if facts.key else {}
    counts = _counts(facts.url, headers)
    share = None
    if counts.cached_tokens is not None and counts.whole_tokens:
        share = min(1.0, counts.cached_tokens / counts.whole_tokens)
    return Server(
        facts.url,
        facts.kind,
        facts.version,
        _healthy(facts.url, headers),
        models,
        counts.running,
        counts.waiting,
        counts.cache_full,
        share,
    )


def _healthy(url: str, headers: Mapping[str, str]) -> bool | None:
    """None where a router in front of it has no such page."""
    try:
        status = web.request("GET", f"{url}/health", headers=headers).status
    except web.WebFault:
        return False
    return None if status in {401, 403, 404, 405} else status == 200


def _counts(url: str, headers: Mapping[str, str]) -> live.Counts:
    try:
        return live.vllm(url, headers).counts
    except web.WebFault:
        return live.Counts()


def unready(found: Sequence[Pod], engine: Server | None) -> Iterator[str]:
    """What is not ready, in words."""
    if engine is not None and not engine.ready:
        what = "is not healthy" if engine.healthy is False else "serves no model"
        yield f"{engine.url} {what}"
    alive = [pod for pod in found if pod.phase != "Failed"]
    for pod in alive or found:  # one that was evicted stays in the list, beside the one after it
        if not pod.ready and not pod.finished:
            yield f"pod {pod.name}: {pod.reason or pod.phase or 'not ready'}"
