"""`agentlaunch models pull` and `prune`: what is downloaded, and what only we made, removed."""

from __future__ import annotations

from dataclasses import replace

from agentlaunch import policy, process, settings, survey
from agentlaunch.commands import looking, permission
from agentlaunch.commands.result import Result
from agentlaunch.engines.ollama import derive
from agentlaunch.engines.ollama.facts import OllamaFacts
from agentlaunch.engines.ollama.replies import same_model
from agentlaunch.errors import EngineFailed, ModelUnavailable, NotSupported, Refused
from agentlaunch.launch import meanwhile
from agentlaunch.launch import pull as fetching
from agentlaunch.talk import Talk
from agentlaunch.units import plural


def pull(
    talk: Talk,
    ref: str,
    *,
    insecure: bool,
    engine: str | None = None,
    allow_remote: bool = False,
) -> None:
    """Download a model to where a launch would look for it: exact size, place and room are said
    first; with `--json` one event a line. One that is being downloaded already is waited for.

    Raises `ModelUnavailable`, `MachineCannot` without disk, `Refused` above the limit of `--yes`
    and for a server elsewhere without the user's word, `NotSupported` for a server that fetches its
    models itself.
    """
    talk.events = True  # for the command line `models --agent A pull`, which `cli` cannot foresee
    asked = looking.look(talk, {"model": ref, "engine": engine}, (), insecure=insecure)
    asked = replace(asked, allow_remote=allow_remote)
    looking.judge(asked)
    weights = survey.look_at_model(ref, asked.survey.catalog, asked.paths)
    looking.refuse_description(weights)
    facts = goes_to(talk, asked)
    there = facts.tag(weights.id) if facts is not None else None
    if weights.path is not None and (facts is None or weights.ref is None):
        size = weights.size_bytes
    elif there is not None:
        size = there.size_bytes
    elif (going_on := meanwhile.find(ref, asked.paths)) is not None:
        _wait(talk, ref, going_on)
        pull(talk, ref, insecure=insecure, engine=engine, allow_remote=allow_remote)
        return
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


def stop(talk: Talk, ref: str) -> None:
    """End the download of a model in the background; what came stays.

    Raises `ModelUnavailable` where there is none, `Refused` where it cannot be ended.
    """
    talk.events = True
    found = meanwhile.find(ref, settings.paths())
    if found is None:
        raise ModelUnavailable(
            f"no download of {ref} goes on in the background",
            hint="see `agentlaunch engines`",
            code="not-downloading",
        )
    if not process.end(found.who):
        raise Refused(f"the download of {ref} could not be ended (process {found.who.pid})")
    command = f"agentlaunch models pull {ref}"
    talk.event("stopped", done_bytes=None, total_bytes=None, command=command)
    talk.say(f"stopped; this goes on where it stopped: {command}", whole=True)


def _wait(talk: Talk, ref: str, going_on: meanwhile.Download) -> None:
    talk.say(f"{ref} is being downloaded in the background: {going_on.log}")
    try:
        talk.follow(meanwhile.wait(going_on))
    except KeyboardInterrupt:
        talk.say(f"the download goes on; to stop it: agentlaunch models pull {ref} --stop")
        raise


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
    seen = asked.survey.ollama
    if asked.wish.engine != looking.OLLAMA or (seen is not None and seen.is_here):
        return looking.ollama_of(asked)
    return permission.ollama_for(
        talk,
        "It gets the name of the model and downloads it itself; nothing else goes there.",
        allowed=asked.allowed_hosts,
        once=asked.allow_remote,
    )


def prune(talk: Talk, *, force: bool = False, allow_remote: bool = False) -> Result:
    """Remove the tags that launches made on Ollama, after asking; weights of the base stay, and so
    does what is loaded unless `force`.

    Raises `EngineFailed` where no Ollama answers, `UsageError` where nobody can be asked, `Refused`
    for an Ollama elsewhere without the user's word.
    """
    facts = permission.ollama_for(
        talk,
        "Tags that launches made there are removed, which others may use.",
        allowed=settings.load()[policy.SETTING].value,
        once=allow_remote,
    )
    if facts.version is None:
        raise EngineFailed("Ollama does not run", hint="ollama serve", code="engine-unreachable")
    chosen: list[str] = []
    removed: list[str] = []
    kept: dict[str, str] = {}
    for row in derive.ours(tag.name for tag in facts.tags):
        if not force and any(same_model(held.model, row.name) for held in facts.loaded):
            kept[row.name] = "it is loaded now; --force removes it all the same"
        else:
            chosen.append(row.name)
            talk.say(f"  {row.name}: {row.base} with {row.context_tokens:,} tokens")
    if chosen and _may_prune(talk, facts, len(chosen)):
        for name in chosen:
            try:
                if derive.remove(facts.client, name):
                    removed.append(name)
            except (Refused, ModelUnavailable) as error:  # the others are still ours to remove
                kept[name] = error.message
    for name, reason in kept.items():
        talk.warn(f"{name} stays: {reason}", code="tag-kept")
    text = f"removed {', '.join(removed)}" if removed else "nothing was removed"
    data = {
        "removed": removed,
        "kept": [{"name": name, "reason": reason} for name, reason in kept.items()],
    }
    return Result("agentlaunch/models-prune/1", data, lambda t: t.answer(text))


def _may_prune(talk: Talk, facts: OllamaFacts, count: int) -> bool:
    tags = plural(count, "tag")
    if facts.is_here:
        return talk.ask(f"Remove {tags} from Ollama?", flag="--yes")
    where = f"Ollama at {policy.origin(facts.client.url)}"
    return talk.ask(
        f"Remove {tags} from {where}? Others may use them: launches of everybody there share them.",
        flag="--yes",
        default=False,
    )
