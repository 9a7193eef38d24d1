"""`agentlaunch models pull` and `prune`: what is downloaded, and what only we made, removed."""

from __future__ import annotations

import os

from agentlaunch import survey
from agentlaunch.commands import looking, permission
from agentlaunch.commands.result import Result
from agentlaunch.engines.ollama.facts import OllamaFacts
from agentlaunch.errors import NotSupported
from agentlaunch.launch import pull as fetching
from agentlaunch.talk import Talk
from agentlaunch.units import plural


def pull(talk: Talk, ref: str, *, insecure: bool, engine: str | None = None) -> None:
    """Download a model to where a launch would look for it: exact size, place and room are said
    first; with `--json` one event a line.

    Raises `ModelUnavailable`, `MachineCannot` without disk, `Refused` above the limit of `--yes`,
    `NotSupported` for a server that fetches its models itself.
    """
    talk.events = True  # for the command line `models --agent A pull`, which `cli` cannot foresee
    asked = looking.look(talk, {"model": ref, "engine": engine}, (), insecure=insecure)
    weights = survey.look_at_model(ref, asked.survey.catalog, asked.paths)
    looking.refuse_description(weights)
    facts = goes_to(talk, asked)
    there = facts.tag(weights.id) if facts is not None else None
    if weights.path is not None and (facts is None or weights.ref is None):
        size = weights.size_bytes
    elif there is not None:
        size = there.size_bytes
    else:
        fetching.refuse_offline(weights.id, talk)
        fetch = fetching.look(
            ref,
            asked.paths,
            asked.survey.catalog,
            facts=facts,
            insecure=insecure,
            size_bytes=weights.size_bytes,
        )
        fetching.refuse_without_room(fetch)
        permission.agree_to_download(talk, fetch.size_bytes or 0, asked.max_download_bytes)
        if not talk.ask(fetch.question, flag="--yes"):
            talk.say("nothing was done")
            return
        fetching.run(fetch, talk, asked.paths, limit_bytes=asked.max_download_bytes)
        size = fetch.size_bytes
    talk.event("done", ref=weights.id, size_bytes=size, engine=asked.engine.lower())
    talk.say(f"{weights.id} is here" if facts is None else f"Ollama has {weights.id}")


def goes_to(talk: Talk, asked: looking.Asked) -> OllamaFacts | None:
    """The Ollama that a launch would serve on; None for our own store.

    Raises `NotSupported` for a server that fetches its models itself, `Refused` for one elsewhere
    that the user does not want.
    """
    if asked.server is not None:
        raise NotSupported(
            f"{asked.engine} fetches its models itself",
            hint="name where to: --engine ollama, or --engine embedded",
        )
    facts = looking.ollama_of(asked)
    if facts is not None and not facts.is_here:
        looking.permit(talk, asked, facts.client.url)
    return facts


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
