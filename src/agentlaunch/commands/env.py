"""`agentlaunch env`: what `up` would set, for a shell or an IDE, with the engine that runs now."""

from __future__ import annotations

import hashlib
import re
import shlex
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from agentlaunch import launch, plan, settings
from agentlaunch.agents.base import Handover, Unset
from agentlaunch.commands import deciding, looking, project
from agentlaunch.commands.result import Result
from agentlaunch.context import ContextPlan
from agentlaunch.endpoint import Endpoint
from agentlaunch.engines import llama_cpp
from agentlaunch.engines.base import Served
from agentlaunch.engines.ollama.facts import TOKEN, OllamaFacts
from agentlaunch.errors import EngineFailed, NotSupported, UsageError
from agentlaunch.talk import Talk


def run(
    talk: Talk,
    flags: Mapping[str, object | None],
    args: Sequence[str],
    *,
    shell: str | None,
    allow_remote: bool = False,
) -> Result:
    """Exports, unsets and a function, with real values, the token among them.

    The settings file that the agent is pointed at stays, readable by this user alone: one for an
    engine of ours is swept when that engine has ended, `agentlaunch clean` removes the others.
    Raises `EngineFailed` when no engine runs with this model, `NotSupported` without the agent.
    """
    kind = shell or ("json" if talk.policy.json else "bash")
    if kind not in {*SHELLS, "json"}:
        raise UsageError(f"--shell: {kind!r} is not one of {', '.join((*SHELLS, 'json'))}")
    asked = replace(looking.look(talk, flags, args), allow_remote=allow_remote)
    project.check(talk, asked, starts=False)
    made = deciding.decide(talk, asked)
    for code, message in launch.version_remarks(made.agent):
        talk.warn(message, code=code)
    agent = made.wish.agent
    if made.agent.path is None:
        raise NotSupported(
            f"{agent.title} is not installed", hint=f"agentlaunch agents install {agent.name}"
        )
    found = _find(made, asked.paths)
    where = replace(
        asked.places, runtime=asked.paths.runtime / launch.ENVIRONMENTS, run_name=found.run_name
    )
    given = plan.handover(
        made.wish, made.agent, found.endpoint, found.context, where, roles=found.roles
    )
    launch.sweep(asked.paths)
    launch.write_files(given, asked.paths)
    data = as_json(given)
    if kind == "json":
        return Result("agentlaunch/env/1", data, lambda t: t.result("agentlaunch/env/1", data))
    text = SHELLS[kind](given, agent.binary)
    return Result("agentlaunch/env/1", data, lambda t: t.answer(text))


@dataclass(frozen=True, slots=True)
class _Found:
    """The engine that a shell is pointed at; `run_name` tells its settings file from others."""

    endpoint: Endpoint
    context: ContextPlan
    run_name: str
    roles: plan.Roles = field(default_factory=plan.Roles)


def _find(made: plan.LaunchPlan, paths: settings.Paths) -> _Found:
    """The engine that runs now with this very model. Raises `EngineFailed`."""
    wish, home = made.wish, made.wish.home
    if made.hybrid is not None:
        return _behind_gateway(made, made.hybrid, paths)
    if made.remote is not None:
        model = made.remote.pick(wish.model)
        wire = made.remote.wire(wish.agent.wires)
        endpoint = made.remote.endpoint(model.name, wire, made.remote.key)
        words = f"{made.remote.url} {model.name} {made.context.engine_tokens} {home}"
        return _Found(endpoint, made.context, hashlib.sha256(words.encode()).hexdigest()[:16])
    if made.ollama is not None:
        return _on_ollama(made, made.ollama)
    name = plan.served_name(made.model.id)
    path = made.model.weights.path if made.model.weights is not None else None
    for running in llama_cpp.LlamaCpp(paths).running():
        same = running.model == name and path in {None, running.path}
        if not (running.answers and same):
            continue
        if (wish.context_tokens or 0) > running.context_tokens:
            raise EngineFailed(
                f"the engine with {name} has {running.context_tokens:,} tokens, fewer than asked",
                hint=f"leave --context away, or start it anew: agentlaunch up {wish.agent.name}",
                code="less-context",
            )
        context = plan.context_for(wish, running.context_tokens, running.kv_cache_type)
        return _Found(running.endpoint, context, f"{home}-{running.identity}")
    raise EngineFailed(
        f"no engine runs with {name}",
        hint=f"start it with a launch: agentlaunch up {wish.agent.name}",
        code="engine-not-running",
    )


def _behind_gateway(made: plan.LaunchPlan, hybrid: plan.Hybrid, paths: settings.Paths) -> _Found:
    """The gateway that a launch started for these very endpoints."""
    from agentlaunch.launch import gateway

    def served(local: plan.LaunchPlan) -> Served:
        found = _find(local, paths)
        tokens = found.context.engine_tokens
        engine = plan.OLLAMA if local.ollama is not None else plan.EMBEDDED
        return Served(engine, found.endpoint, tokens, None, reused=True)

    running = gateway.running(hybrid, served, paths)
    if running is None:
        raise EngineFailed(
            "no gateway runs with these routes",
            hint=f"start it with a launch: agentlaunch up {made.wish.agent.name}",
            code="engine-not-running",
        )
    roles = gateway.roles_of(made, running)
    return _Found(gateway.endpoint_of(running), made.context, str(running.identity), roles)


def _on_ollama(made: plan.LaunchPlan, facts: OllamaFacts) -> _Found:
    """The server with the tag that a launch made; the model is loaded by the first request."""
    step = next(step for step in made.steps if isinstance(step, plan.Derive))
    tag, fault = step.tag, None
    if facts.version is None:
        fault = "Ollama does not run"
    elif facts.tag(tag) is None:
        fault = f"Ollama has no tag {tag}"
    elif facts.client.show(tag).number("num_ctx") != step.context_tokens:
        fault = f"the tag {tag} of Ollama has another context than its name says"
    if fault is not None:
        wish = made.wish
        context = f" --context {wish.context_tokens}" if wish.context_tokens else ""
        raise EngineFailed(
            fault,
            hint="make it with a launch: "
            f"agentlaunch up {wish.agent.name} --engine ollama --model {made.model.id}{context}",
            code="engine-not-running",
        )
    endpoint = Endpoint(facts.client.url, facts.wires, tag, facts.client.key or TOKEN)
    words = f"{facts.client.url} {tag} {made.wish.home}"
    return _Found(endpoint, made.context, hashlib.sha256(words.encode()).hexdigest()[:16])


def as_json(given: Handover) -> dict[str, Any]:
    """argv, env and env_unset with real values (CONTRACT 3)."""
    return {
        "argv": list(given.argv),
        "env": launch_env(given),
        "env_unset": sorted(k for k, v in given.env.items() if isinstance(v, Unset)),
    }


def launch_env(given: Handover) -> dict[str, str]:
    """The variables that are set, without the ones that are removed."""
    return {k: v for k, v in given.env.items() if not isinstance(v, Unset)}


def _unsets(given: Handover) -> list[str]:
    """Variables to remove, as far as a shell can hold them: some are names of the inherited
    environment, and one like `OTEL_$(…)` would be run by the shell that reads our lines."""
    names = sorted(name for name, value in given.env.items() if isinstance(value, Unset))
    return [name for name in names if name.isascii() and name.isidentifier()]


def _posix(given: Handover, program: str) -> str:
    rows = [f"export {k}={shlex.quote(v)}" for k, v in sorted(launch_env(given).items())]
    rows += [f"unset {name}" for name in _unsets(given)]
    # An alias of that name would be put in place of the function's own name, and come first.
    rows.append(f"unalias {program} 2>/dev/null || true")
    return "\n".join([*rows, f'function {program} {{ {shlex.join(given.argv)} "$@"; }}'])


def _fish(given: Handover, program: str) -> str:
    def quoted(text: str) -> str:
        return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"

    rows = [f"set -gx {k} {quoted(v)}" for k, v in sorted(launch_env(given).items())]
    rows += [f"set -e {name}" for name in _unsets(given)]
    call = " ".join(quoted(word) for word in given.argv)
    return "\n".join([*rows, f"function {program}; {call} $argv; end"])


def _powershell(given: Handover, program: str) -> str:
    def quoted(text: str) -> str:
        # It takes typographic quotes for quotes as well.
        return "'" + re.sub("(['\u2018\u2019\u201a\u201b])", r"\1\1", text) + "'"

    rows = [f"$env:{k} = {quoted(v)}" for k, v in sorted(launch_env(given).items())]
    rows += [f"Remove-Item Env:{name} -ErrorAction SilentlyContinue" for name in _unsets(given)]
    call = " ".join(quoted(word) for word in given.argv)
    return "\n".join([*rows, f"function {program} {{ & {call} @args }}"])


SHELLS: dict[str, Callable[[Handover, str], str]] = {
    "bash": _posix,
    "zsh": _posix,
    "fish": _fish,
    "powershell": _powershell,
}
