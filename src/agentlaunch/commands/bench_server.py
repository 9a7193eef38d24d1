"""`agentlaunch bench` on a server: Ollama with a tag of ours, or somebody else's by its address."""

from __future__ import annotations

from dataclasses import replace

from agentlaunch import plan, policy, records
from agentlaunch.commands import looking
from agentlaunch.commands.benched import Bench, keep, measure
from agentlaunch.engines import remote
from agentlaunch.engines.base import ServeRequest
from agentlaunch.engines.ollama.facts import NAME
from agentlaunch.errors import EngineFailed, ModelUnavailable
from agentlaunch.launch import ollama as launch_ollama
from agentlaunch.models import measured
from agentlaunch.plan.remote import context_of
from agentlaunch.proof import speed as proof
from agentlaunch.talk import Talk


def of_remote(talk: Talk, asked: looking.Asked, facts: remote.RemoteFacts, runs: int) -> Bench:
    """Nothing is kept: which weights and which machine stand behind an address is not known."""
    model = facts.pick(asked.wish.model)
    context = context_of(facts, model, asked.wish.context_tokens)
    for code, said in policy.host_warnings(facts.url, facts.key, what="a made-up text"):
        talk.warn(said, code=code)
    served = talk.follow(remote.Remote(facts).serve(ServeRequest(model.name, None, context)))
    subject = proof.subject_of(
        served.endpoint, llama_cpp=facts.kind == "llama.cpp", ignore_eos=facts.kind == "vllm"
    )
    result = measure(talk, asked, subject, context, runs)
    return Bench(
        model=model.name,
        engine=facts.kind if facts.kind != "unknown" else "remote",
        engine_version=None,
        machine_key=None,
        context_tokens=context,
        kv_cache_type=None,
        measured=result,
    )


def of_ollama(talk: Talk, asked: looking.Asked, runs: int) -> Bench:
    """A model of the server's store, loaded as a launch would load it; it stays loaded.

    Raises `ModelUnavailable` for a model that is not there: nothing is downloaded to be measured.
    """
    wish = asked.wish
    if wish.model is None:
        last = records.Records(asked.paths.state).recall("choices", "last") or {}
        if last.get("engine") == NAME and isinstance(last.get("model"), str):
            wish = replace(wish, model=last["model"])
    asked = replace(asked, wish=wish)
    made = looking.on_one_engine(talk, asked)
    facts = made.ollama
    if facts is None:
        raise EngineFailed("no Ollama is here", hint="add --engine embedded", code="engine-missing")
    if any(isinstance(step, plan.Pull) for step in made.steps):
        raise ModelUnavailable(
            f"Ollama does not have {made.model.id}, and bench downloads no model",
            hint=f"agentlaunch models pull {made.model.id}, or name one that is there: "
            "agentlaunch bench REF",
            code="not-downloaded",
        )
    served, made = launch_ollama.serve(made, facts, talk, asked.paths, insecure=asked.insecure)
    context = made.context.engine_tokens
    subject = proof.subject_of(served.endpoint, llama_cpp=False)
    result = measure(talk, replace(asked, wish=made.wish), subject, context, runs)
    held = next((row for row in facts.client.loaded() if row.model == served.endpoint.model), None)
    tag = facts.tag(made.model.id)
    bench = Bench(
        model=made.model.id,
        engine=NAME,
        engine_version=served.version,
        machine_key=measured.machine_key(asked.survey.machine) if facts.is_here else None,
        context_tokens=context,
        kv_cache_type=made.context.kv_cache_type,
        measured=result,
        memory_bytes=held.size_bytes if held is not None else None,
        predicted_bytes=made.fit.total_bytes if made.fit is not None else None,
    )
    return replace(bench, stored=keep(talk, asked, bench, tag.digest if tag else None))
