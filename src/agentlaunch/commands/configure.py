"""`agentlaunch up AGENT --config`: a plain start of the agent, or an IDE, uses the model too.

The only command that changes files of the user's, and only the named keys that it shows before.
`restore` gives them back.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from agentlaunch import plan
from agentlaunch.agents.base import Target, own_folder
from agentlaunch.changes import place
from agentlaunch.changes.edit import Edit, SetKeys
from agentlaunch.changes.journal import Change, Journal
from agentlaunch.changes.text import shown
from agentlaunch.commands import deciding, looking, restore, screen
from agentlaunch.commands.result import Result
from agentlaunch.endpoint import HIDDEN, Endpoint
from agentlaunch.engines.ollama import derive, life
from agentlaunch.engines.ollama.facts import OllamaFacts
from agentlaunch.errors import EngineFailed, ModelUnavailable, NotSupported, Refused, UsageError
from agentlaunch.models import sampling
from agentlaunch.policy import judging
from agentlaunch.survey import ruled
from agentlaunch.talk import Talk
from agentlaunch.units import format_bytes, plural

SCHEMA = "agentlaunch/up-config/1"

_SECRET = re.compile(
    r"""((?:key|token|secret|passw|auth|credential|cookie|header)[\w.-]*["']?\s*[:=]\s*)"""
    r"""("(?:[^"\\]|\\.)+"|'[^']+'|[^\s"'{\[,#][^\s,#]*)""",
    re.IGNORECASE,
)
_KEY = re.compile(r"\b(?:(?:sk|pk|ghp|gho|xox[bp])[-_]|AIza)[\w-]{8,}|\bey[\w-]{20,}\.[\w.-]+")
_REFERENCE = re.compile(r"""\{env:(\w+)\}|env_?[kK]ey["']?\s*[:=]\s*["'](\w+)""")
"""How settings name the variable that holds a key: OpenCode's way, Codex's and Qwen Code's."""
_HARMLESS = frozenset({"agentlaunch", "ollama", "true", "false", "null", "on", "off", ""})


def run(
    talk: Talk,
    flags: Mapping[str, object | None],
    args: Sequence[str],
    *,
    dry_run: bool,
    insecure: bool,
    allow_remote: bool = False,
) -> Result | None:
    """Write the agent's own configuration, after one question; `dry_run` only shows it.

    Raises `NotSupported` for an engine without a stable address and for an agent that cannot be
    configured so, `Refused` for a file that we may not or cannot edit.
    """
    if args:
        raise UsageError(
            f"--config launches nothing, so {args[0]!r} has no meaning here", hint="leave it away"
        )
    asked = looking.look(talk, flags, (), insecure=insecure)
    asked = replace(asked, allow_remote=allow_remote, rehearsal=dry_run)
    _refuse(asked)
    made = deciding.decide(talk, asked)
    _refuse_download(made)
    for code, message in made.warnings:
        talk.warn(message, code=code)
    endpoint = _endpoint(made)
    edits = _edits(asked, made, endpoint)
    journal = Journal(asked.paths.state, restore.home())
    changes = journal.preview(made.wish.agent.name, edits)
    _refuse_own_rows(edits, changes)
    _warn_readable(talk, changes)
    if dry_run:
        return _result(made, endpoint, changes, written=False)
    if any(change.changes for change in changes):
        for line in _lines(made, endpoint, changes):
            talk.say(line)
        if not talk.ask(_question(changes), flag="--yes"):
            talk.say("nothing was done")
            return None
    if made.ollama is not None:
        _pin(talk, made, made.ollama, asked)
    changes = journal.apply(made.wish.agent.name, edits)
    for name in _variables(changes) if endpoint.token else ():
        text = f"the key itself is not written: a plain start needs it in the variable {name}"
        talk.warn(text, code="key-by-variable")
    return _result(made, endpoint, changes, written=True)


def undo(agent: str) -> str:
    """The command that gives it all back."""
    return f"agentlaunch restore {agent}"


# ---- what may be configured ----------------------------------------------------------------


def _refuse(asked: looking.Asked) -> None:
    agent = asked.wish.agent
    if agent.configure is None:
        reason = agent.local_reason or ("agentlaunch knows no tested way to write its settings")
        raise NotSupported(
            f"{agent.title} cannot be configured for a plain start: {reason}",
            hint=f"launch it: agentlaunch up {agent.name}" if agent.local else None,
            code="no-configuration",
        )
    if asked.routes is not None:
        raise NotSupported(
            "a gateway has another address and key at each start, so nothing can be configured "
            "for the routes of your settings",
            hint=f"name one engine: agentlaunch up {agent.name} --config --engine NAME|URL",
            code="no-stable-address",
        )
    if asked.server is not None:  # a plain start goes past the gateway that would keep a cap
        judging.enforce(judging.spend(asked.rules, ruled.server_of(asked.server), kept_usd=None))
    if asked.server is None and asked.wish.engine != plan.OLLAMA:
        raise NotSupported(
            "the embedded engine has another address and key at each start, and ends when no "
            "launch uses it, so nothing can be configured for it",
            hint=f"use Ollama or a server: agentlaunch up {agent.name} --config --engine ollama",
            code="no-stable-address",
        )


def _refuse_download(made: plan.LaunchPlan) -> None:
    fetch = next((step for step in made.steps if isinstance(step, plan.Pull)), None)
    if fetch is not None:
        size = f" ({format_bytes(fetch.size_bytes)})" if fetch.size_bytes else ""
        raise ModelUnavailable(
            f"{fetch.ref}{size} is not downloaded yet",
            hint=f"agentlaunch models pull {fetch.ref}, then this again",
            code="not-downloaded",
        )


def _endpoint(made: plan.LaunchPlan) -> Endpoint:
    """Where the model answers. Its token is a real key or nothing: dummies are the agent's."""
    if made.remote is not None:
        model = made.remote.pick(made.wish.model)
        wire = made.remote.wire(made.wish.agent.wires)
        return made.remote.endpoint(model.name, wire, made.remote.key)
    if made.ollama is None:
        raise EngineFailed("no engine was chosen", hint="agentlaunch doctor")
    step = next(step for step in made.steps if isinstance(step, plan.Derive))
    return Endpoint(made.ollama.client.url, made.ollama.wires, step.tag, made.ollama.client.key)


def _edits(asked: looking.Asked, made: plan.LaunchPlan, endpoint: Endpoint) -> tuple[Edit, ...]:
    """What the agent wants written. Raises `NotSupported` where that would hold a real key."""
    agent, places = made.wish.agent, asked.places
    assert agent.configure is not None
    target = Target(
        binary=str(made.agent.path or agent.binary),
        endpoint=endpoint,
        context=made.context,
        home="own",
        home_folder=places.homes / agent.name,
        runtime_folder=places.runtime,
        run_name=places.run_name,
        environ=places.environ,
        own_folder=own_folder(agent, places.environ),
        project=places.project,
        thinking_off=sampling.for_model(endpoint.model).thinking_off,
    )
    edits = tuple(_in_the_users_file(edit) for edit in agent.configure(target))
    if endpoint.token and any(_holds(edit, endpoint.token) for edit in edits):
        raise NotSupported(
            f"{agent.title} could keep the key of {endpoint.base_url} only in plain text",
            hint=f"launch it, then the key stays out of every file: agentlaunch up {agent.name}",
            code="key-in-plain-text",
        )
    return edits


def _in_the_users_file(edit: Edit) -> Edit:
    """The same edit in the file that the user has, for an agent that reads one of several."""
    if not isinstance(edit, SetKeys) or os.path.lexists(edit.path):
        return edit
    return replace(edit, path=next(filter(os.path.lexists, edit.rather), edit.path))


def _refuse_own_rows(edits: Sequence[Edit], changes: Sequence[Change]) -> None:
    """A list of rows of the user's own would lose them: raises `Refused` with the row to add."""
    for edit in edits:
        if not isinstance(edit, SetKeys):
            continue
        replaced = {key for change in changes if change.path == edit.path and change.changes
                    for key in change.replaced}  # fmt: skip
        for key, value in edit.values.items():
            rows = value if isinstance(value, list) else []
            if key in replaced and any(isinstance(row, Mapping) for row in rows):
                row = ", ".join(json.dumps(row) for row in rows)
                raise Refused(
                    f"you have your own `{shown(key)}` in {edit.path}",
                    hint=f"add this row yourself: {row}",
                    code="own-rows",
                )


def _holds(value: Any, token: str) -> bool:
    """Does a value, at any depth, contain this text?"""
    if isinstance(value, str):
        return token in value
    if isinstance(value, bytes):
        return token.encode() in value
    if isinstance(value, Mapping):
        return any(_holds(inner, token) for inner in value.values())
    if isinstance(value, list | tuple):
        return any(_holds(inner, token) for inner in value)
    inner = getattr(value, "values", None) or getattr(value, "content", None)
    return isinstance(inner, Mapping | bytes) and _holds(inner, token)


def _pin(talk: Talk, made: plan.LaunchPlan, facts: OllamaFacts, asked: looking.Asked) -> None:
    """The tag with the context stands on the server; nothing is loaded."""
    client = facts.client
    if facts.version is None:
        found = talk.follow(life.start(os.environ, asked.paths))
        talk.say(f"started Ollama {found.version.text}")
        client = found.client
    step = next(step for step in made.steps if isinstance(step, plan.Derive))
    tag = talk.follow(
        derive.derive(
            client,
            step.base,
            context_tokens=step.context_tokens,
            batch=step.batch,
            parameters=step.parameters,
        )
    )
    talk.detail(f"{tag.name} {'was made' if tag.created else 'stands'} at {client.url}")


def _variables(changes: Sequence[Change]) -> tuple[str, ...]:
    """Variables that these files name for a key, each once."""
    texts = (change.after.decode(errors="replace") for change in changes)
    found = (match[1] or match[2] for text in texts for match in _REFERENCE.finditer(text))
    return tuple(dict.fromkeys(found))


# ---- what is shown -------------------------------------------------------------------------


def _warn_readable(talk: Talk, changes: Sequence[Change]) -> None:
    for change in changes:
        mode = place.mode_of(change.real)
        text = (change.before or b"").decode(errors="replace")
        if mode is not None and mode & 0o077 and os.name != "nt" and _secrets(text):
            talk.warn(
                f"{change.path} holds a key, and others may read it: chmod 600 {change.path}",
                code="readable-key",
            )


def _secrets(text: str) -> bool:
    return bool(_KEY.search(text)) or any(_is_secret(row[2]) for row in _SECRET.finditer(text))


def _is_secret(value: str) -> bool:
    """May it be a key? No number, no switch, no dummy of ours, in a header or not."""
    word = value.strip("\"'").rpartition(" ")[2].lower()
    return word not in _HARMLESS and not word.isdecimal()


def masked(text: str) -> str:
    """Lines of a settings file without what may be a key."""

    def hidden(match: re.Match[str]) -> str:
        if not _is_secret(match[2]):
            return match[0]
        quote = match[2][0] if match[2][0] in "\"'" else ""
        return f"{match[1]}{quote}{HIDDEN}{quote}"

    return _KEY.sub(HIDDEN, _SECRET.sub(hidden, text))


def diff(change: Change) -> str:
    """Our own keys as they become; "" where nothing does. Of the user's own text no value stands
    there: any of it may be a secret, whatever its name."""
    if not change.changes:
        return ""
    before = str(change.path) if change.before is not None else "/dev/null"
    rows = [f"--- {before}", f"+++ {change.path}"]
    for key, value in zip(change.keys, change.ours, strict=True):
        rows += [f'-  "{shown(key)}": {HIDDEN}'] if key in change.replaced else []
        rows.append(masked(f'+  "{shown(key)}": {json.dumps(value)}'))
    if not change.keys:
        text = change.after.decode("utf-8-sig", "replace")
        rows += [masked(f"+{line}") for line in text.splitlines()]
    return "\n".join(rows)


def _question(changes: Sequence[Change]) -> str:
    changed = [change for change in changes if change.changes]
    texts = [
        f"{plural(len(change.keys), 'key')} into {change.path}" if change.keys else str(change.path)
        for change in changed
    ]
    return f"Write {' and '.join(texts)}?"


def _lines(made: plan.LaunchPlan, endpoint: Endpoint, changes: Sequence[Change]) -> tuple[str, ...]:
    rows = [f"{made.wish.agent.title} will use {endpoint.model} at {endpoint.base_url}"]
    for change in changes:
        if change.changes:
            names = restore.grouped(change.keys) or "the whole file"
            rows.append(f"  {change.path}{' (new)' if change.is_new else ''}: {names}")
            if change.replaced:
                names = ", ".join(map(shown, change.replaced))
                rows.append(f"  instead of your own, which `restore` gives back: {names}")
    return tuple(rows)


def _result(
    made: plan.LaunchPlan, endpoint: Endpoint, changes: Sequence[Change], *, written: bool
) -> Result:
    agent = made.wish.agent.name
    data = {
        "agent": agent,
        "model": endpoint.model,
        "engine": made.engine,
        "url": endpoint.base_url,
        "context": screen.as_json(made)["context"],
        "written": written,
        "changes": [
            {
                "path": str(change.path),
                "created": change.is_new,
                "keys": [shown(key) for key in change.keys],
                "diff": diff(change),
            }
            for change in changes
        ],
        "undo": undo(agent),
    }

    def draw(talk: Talk) -> None:
        if not any(change.changes for change in changes):
            talk.answer(f"{made.wish.agent.title} is configured so already")
            return
        for change in changes:
            if not change.changes:
                continue
            if not written:
                talk.answer(diff(change))
                continue
            what = plural(len(change.keys), "key") if change.keys else "the whole file"
            talk.answer(f"wrote {what}: {change.path}")
        if written:
            talk.answer(f"undo: {undo(agent)}")

    return Result(SCHEMA, data, draw)
