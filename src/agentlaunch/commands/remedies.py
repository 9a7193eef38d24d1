"""`doctor --fix`: the remedies that are safe to run, each asked for: what is missing is started,
raised or fetched. What a remedy says and what it does stand in one row."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from agentlaunch import policy, survey, user_file
from agentlaunch.agents import find
from agentlaunch.checks import Finding
from agentlaunch.commands import looking, permission, ruling
from agentlaunch.commands.mend import MENDED
from agentlaunch.engines.ollama import life
from agentlaunch.errors import AgentlaunchError
from agentlaunch.launch import pull
from agentlaunch.models.refs import looks_like_path
from agentlaunch.policy.judging import enforce
from agentlaunch.settings import Paths, Value
from agentlaunch.survey import Survey
from agentlaunch.talk import Talk
from agentlaunch.units import format_bytes


@dataclass(frozen=True, slots=True)
class Remedy:
    """One thing that can be done: what is wrong, the question, and the deed, which says what was
    done and may raise any `AgentlaunchError`."""

    finding: str
    fault: str
    question: str
    command: str
    act: Callable[[Talk], str]


def safe(
    values: Mapping[str, Value], seen: Survey, wanted: Collection[str], paths: Paths
) -> Iterator[Remedy]:
    """What can be run here; nothing of the user's but his own setting of the context is touched."""
    yield from _start_ollama(values, seen, paths)
    yield from _raise_context(values, wanted)
    yield from _pull_model(values, seen, paths)


def findings(
    values: Mapping[str, Value], seen: Survey, wanted: Collection[str], paths: Paths
) -> tuple[Finding, ...]:
    """The same as a doctor tells it without `--fix`, where no other check tells it."""
    rows = (*_raise_context(values, wanted), *_pull_model(values, seen, paths))
    return tuple(Finding(row.finding, "warning", row.fault, row.command) for row in rows)


def run(talk: Talk, remedies: Iterator[Remedy]) -> tuple[Finding, ...]:
    """Ask for each and do it; a deed that fails is a finding, and the others still happen.

    Raises `UsageError` where there is something to ask and nobody may be asked.
    """
    rows = []
    for remedy in remedies:
        if not talk.ask(f"{remedy.fault}. {remedy.question}", flag="--yes"):
            continue
        try:
            rows.append(Finding(remedy.finding, "ok", MENDED + remedy.act(talk)))
        except AgentlaunchError as error:
            text = f"could not be mended: {error.message}"
            rows.append(Finding(remedy.finding, "warning", text, error.hint or remedy.command))
        except OSError as error:
            text = f"could not be mended: {error}"
            rows.append(Finding(remedy.finding, "warning", text, remedy.command))
    return tuple(rows)


# --- each of them --------------------------------------------------------------------------------


def _start_ollama(values: Mapping[str, Value], seen: Survey, paths: Paths) -> Iterator[Remedy]:
    """Ollama is what the settings name, it is installed, and it does not run."""
    wanted = str(values["engine"].value or "").lower() == looking.OLLAMA
    if not wanted or seen.ollama is None or seen.ollama.version is not None:
        return

    def act(talk: Talk) -> str:
        found = talk.follow(life.start(os.environ, paths))
        return f"started Ollama {found.version.text} at {found.client.url}"

    yield Remedy("ollama", "Ollama does not run", "Start it?", "ollama serve", act)


def _raise_context(values: Mapping[str, Value], wanted: Collection[str]) -> Iterator[Remedy]:
    """The user's own setting is too small for an agent that he wants."""
    value = values["context"]
    if not isinstance(value.value, int) or value.source != "user":
        return
    agents = [find(name) for name in sorted(wanted)]
    needing = [agent for agent in agents if agent.min_context_tokens > value.value]
    if not needing:
        return
    most = max(needing, key=lambda agent: agent.min_context_tokens)
    tokens = most.min_context_tokens
    fault = (
        f"the context of {value.value:,} tokens in {value.origin} is too small for {most.title}, "
        f"which needs {tokens:,}"
    )

    def act(_talk: Talk) -> str:
        file = user_file.write("context", str(tokens))
        return f"the context is {tokens:,} tokens now ({file})"

    command = f"agentlaunch config set context {tokens}"
    yield Remedy("context", fault, f"Raise it to {tokens:,}?", command, act)


def _pull_model(values: Mapping[str, Value], seen: Survey, paths: Paths) -> Iterator[Remedy]:
    """The model of the settings is a name, and lies nowhere here."""
    value = values["model"]
    ref = str(value.value or "")
    engine = str(values["engine"].value or looking.OLLAMA).lower()
    if not ref or looks_like_path(ref) or engine not in (looking.OLLAMA, looking.EMBEDDED):
        return
    try:
        looking.refuse_project_endpoint(value)
        enforce(ruling.model(ruling.here(), ref, seen.catalog))
        weights = survey.look_at_model(ref, seen.catalog, paths)
    except AgentlaunchError:  # told by another finding
        return
    server = seen.ollama if engine == looking.OLLAMA else None
    there = server is not None and (server.version is None or server.tag(weights.id) is not None)
    if weights.path is not None or weights.source == "show-reply" or there:
        return
    if server is not None and not (server.is_here or _allowed(values, server.client.url)):
        return

    def act(talk: Talk) -> str:
        pull.refuse_offline(weights.id, talk)
        limit = int(values["max_download"].value)
        fetch = pull.look(ref, paths, seen.catalog, facts=server, insecure=False)
        pull.refuse_without_room(fetch)
        permission.agree_to_download(talk, fetch.size_bytes or 0, limit)
        pull.run(fetch, talk, paths, limit_bytes=limit if talk.policy.yes else None)
        return f"{weights.id} is here"

    fault = f"the model {ref} ({value.origin}) is not here"
    size = f" ({format_bytes(weights.size_bytes)})" if weights.size_bytes else ""
    command = f"agentlaunch models pull {ref}"
    yield Remedy("model-missing", fault, f"Download it{size}?", command, act)


def _allowed(values: Mapping[str, Any], url: str) -> bool:
    return policy.allows(values[policy.SETTING].value, url)
