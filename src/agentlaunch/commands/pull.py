"""`agentlaunch models pull` and `prune`: what is downloaded, and what only we made, removed."""

from __future__ import annotations

import os

from agentlaunch import launch, settings, survey
from agentlaunch.commands import up
from agentlaunch.commands.result import Result
from agentlaunch.errors import ModelUnavailable
from agentlaunch.models import catalog
from agentlaunch.models.refs import parse_ref
from agentlaunch.talk import Talk
from agentlaunch.units import format_bytes, plural


def pull(talk: Talk, ref: str, *, insecure: bool) -> None:
    """Download a model into our store, exact size said first; with `--json` one event a line.

    Raises `ModelUnavailable`, `MachineCannot` without disk, `Refused` above the limit of `--yes`.
    """
    talk.events = True  # for the command line `models --agent A pull`, which `cli` cannot foresee
    paths, limit = settings.paths(), settings.load()["max_download"].value
    name, known = parse_ref(ref), catalog.load()
    weights = survey.look_at_model(ref, known, paths)
    up.refuse_description(weights)
    if weights.path is None:
        if talk.policy.offline:
            raise ModelUnavailable(
                f"{name} is not here, and nothing is downloaded offline",
                hint="run the same command once without --offline",
                code="offline",
            )
        weights = survey.ask_registry(weights, known, insecure=insecure)
        up.agree_to_download(talk, weights.size_bytes or 0, int(limit))
        question = f"Download {ref} ({format_bytes(weights.size_bytes)}) into {paths.models}?"
        if not talk.ask(question, flag="--yes"):
            talk.say("nothing was done")
            return
        launch.pull_model(ref, talk, paths, insecure=insecure)
    talk.event("done", ref=str(name), size_bytes=weights.size_bytes)
    talk.say(f"{name} is here")


def prune(talk: Talk) -> Result:
    """Remove the tags that launches made on Ollama, after asking; weights of the base stay.

    Raises `EngineFailed` where no Ollama answers, `UsageError` where nobody can be asked.
    """
    from agentlaunch.engines.ollama import derive, life

    client = life.find(os.environ).client
    found = derive.list_ours(client)
    removed: list[str] = []
    if found:
        for row in found:
            talk.say(f"  {row.name}: {row.base} with {row.context_tokens:,} tokens")
        if talk.ask(f"Remove {plural(len(found), 'tag')} from Ollama?", flag="--yes"):
            removed = [row.name for row in found if derive.remove(client, row.name)]
    text = f"removed {', '.join(removed)}" if removed else "nothing was removed"
    data = {"removed": removed}
    return Result("agentlaunch/models-prune/1", data, lambda t: t.answer(text))
