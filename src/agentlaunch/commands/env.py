"""`agentlaunch env`: what `up` would set, for a shell or an IDE, with the engine that runs now."""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from agentlaunch import files, plan, settings
from agentlaunch.agents.base import Handover, Unset
from agentlaunch.commands import up
from agentlaunch.commands.result import Result
from agentlaunch.endpoint import Endpoint
from agentlaunch.engines import llama_cpp
from agentlaunch.errors import EngineFailed, UsageError
from agentlaunch.talk import Talk


def run(
    talk: Talk, flags: Mapping[str, object | None], args: Sequence[str], *, shell: str | None
) -> Result:
    """Exports, unsets and a function, with real values. Raises `EngineFailed` when nothing runs.

    The token is part of it: the settings file that the agent is pointed at stays, readable by this
    user alone, until the engine ends.
    """
    kind = shell or ("json" if talk.policy.json else "bash")
    if kind not in {*SHELLS, "json"}:
        raise UsageError(f"--shell: {kind!r} is not one of {', '.join((*SHELLS, 'json'))}")
    asked = up.look(talk, flags, args)
    made = up.decide(talk, asked)
    where = plan.Places(
        runtime=asked.paths.runtime / "env",
        homes=asked.places.homes,
        run_name="env",
        environ=asked.places.environ,
    )
    given = plan.handover(made.wish, made.agent, _endpoint(made, asked.paths), made.context, where)
    for file in given.files:
        files.private_dir(file.path.parent)
        files.write_atomic(file.path, file.content)
    for seed in given.seeds:
        if not seed.path.exists():
            files.write_atomic(seed.path, seed.content)
    data = as_json(given)
    if kind == "json":
        return Result("agentlaunch/env/1", data, lambda t: t.result("agentlaunch/env/1", data))
    text = SHELLS[kind](given, made.wish.agent.binary)
    return Result("agentlaunch/env/1", data, lambda t: t.answer(text))


def _endpoint(made: plan.LaunchPlan, paths: settings.Paths) -> Endpoint:
    """The engine that runs now with this model. Raises `EngineFailed`."""
    if made.remote is not None:
        model = made.remote.pick(made.wish.model)
        return Endpoint(made.remote.url, made.remote.wires, model.name, made.remote.key)
    name = plan.served_name(made.model.id)
    for running in llama_cpp.LlamaCpp(paths).running():
        if running.answers and running.model == name:
            return running.endpoint
    raise EngineFailed(
        f"no engine runs with {name}",
        hint=f"start it with a launch: agentlaunch up {made.wish.agent.name}",
        code="engine-not-running",
    )


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
