"""Serve on Ollama: started, pulled, the context pinned in a tag, loaded, and read back."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import time

from agentlaunch import records
from agentlaunch.endpoint import Endpoint
from agentlaunch.engines.base import Loaded, Served
from agentlaunch.engines.ollama import derive, keep, life, replies
from agentlaunch.engines.ollama.client import Client
from agentlaunch.engines.ollama.facts import NAME, TOKEN, OllamaFacts
from agentlaunch.errors import (
    AgentlaunchError,
    EngineFailed,
    MachineCannot,
    Refused,
)
from agentlaunch.launch import pull
from agentlaunch.plan import Derive, LaunchPlan, Pull
from agentlaunch.plan.ollama import smaller
from agentlaunch.settings import Paths
from agentlaunch.talk import Talk
from agentlaunch.units import format_memory, format_seconds

SPILL_SHARE = 0.01
SMALLER_TRIES = 2
HARDLY_LESS = 0.9
"""With more than this of the last spill, still less context is not worth another load."""
UNLOAD_S = 5.0
"""How long an end that frees memory may take: a server that is still loading answers after it."""


def serve(
    plan: LaunchPlan,
    facts: OllamaFacts,
    talk: Talk,
    paths: Paths,
    *,
    insecure: bool,
    limit_bytes: int | None = None,
    undo: contextlib.ExitStack | None = None,
) -> tuple[Served, LaunchPlan]:
    """Every step of the plan that is Ollama's; gives back the plan as it came true, which may have
    a smaller context. `--yes` agrees to no download of more than `limit_bytes`.

    What it loaded and made is taken back when it fails, and by `undo` when what comes after fails.

    Raises `EngineFailed` for less context than planned, `MachineCannot` where it does not fit as
    planned and no smaller plan is left, and what each step raises.
    """
    begun = time.monotonic()
    found = life.Found(facts.client, facts.version) if facts.version is not None else None
    if found is None:
        found = talk.follow(life.start(os.environ, paths))
        talk.say(f"started Ollama {found.version.text}; it goes on when the agent ends")
    fetch = next((step for step in plan.steps if isinstance(step, Pull)), None)
    if fetch is not None:
        _pull(fetch, facts, found, talk, paths, insecure=insecure, limit_bytes=limit_bytes)
    with contextlib.ExitStack() as mine:
        tries = Tries(found.client, keep.chosen(os.environ))
        mine.callback(tries.take_back)
        plan, name, held = _load(plan, tries, talk)
        _compare(plan, held, talk, paths)
        took = format_seconds(time.monotonic() - begun)
        stays = keep.in_words(held)
        free = f"; {stays}; free it: agentlaunch engines stop ollama" if stays else ""
        talk.say(f"loaded {name} with {held.context_tokens or 0:,} tokens ({took}){free}")
        token = found.client.key or TOKEN
        endpoint = Endpoint(found.client.url, found.version.wires, name, token)
        shown = found.client.show(name)
        tools = None if shown.capabilities is None else "tools" in shown.capabilities
        served = Served(
            NAME,
            endpoint,
            held.context_tokens,
            found.version.text,
            False,
            tools=tools,
            digest=_digest(plan.model.id, found.client),
        )
        kept = mine.pop_all()
        if undo is not None:
            undo.enter_context(kept)
    return served, plan


@dataclasses.dataclass(slots=True)
class Tries:
    """What this run made and loaded on the server, and so may take back; what stood or was loaded
    before is another's."""

    client: Client
    keep_alive: str | int
    made: list[str] = dataclasses.field(default_factory=list)
    """Tags of ours that were not there before, so that nobody else uses them."""
    loaded: str | None = None
    """What this run loaded last; each load of the same weights takes the place of the last."""

    def load(self, plan: LaunchPlan, talk: Talk) -> tuple[str, Loaded | MachineCannot]:
        """Pin and load: the tag, and what is held or why it does not fit."""
        step = next(step for step in plan.steps if isinstance(step, Derive))
        tag = talk.follow(
            derive.derive(
                self.client,
                step.base,
                context_tokens=step.context_tokens,
                batch=step.batch,
                parameters=step.parameters,
            )
        )
        is_held = self.client.held(tag.name) is not None
        if tag.created and not tag.replaced and not is_held:
            self.made.append(tag.name)
        self.loaded = None if is_held else tag.name
        try:
            return tag.name, talk.follow(self.client.load(tag.name, keep_alive=self.keep_alive))
        except MachineCannot as error:  # it says so itself: out of memory
            return tag.name, error

    def clear(self, name: str | None = None) -> None:
        """Remove the tags that were made, all but this one."""
        for tag in self.made:
            if tag != name:
                with contextlib.suppress(AgentlaunchError):
                    derive.remove(self.client, tag)
        self.made = [tag for tag in self.made if tag == name]

    def take_back(self) -> None:
        """After a launch that ended without its agent: free the memory, remove the tags. A load
        that still goes on is given up by Ollama when our process, and its request, end (0.33)."""
        with contextlib.suppress(AgentlaunchError):
            if self.loaded is not None and self.client.held(self.loaded) is not None:
                self.client.unload(self.loaded, limit_s=UNLOAD_S)
        self.clear()


def _load(plan: LaunchPlan, tries: Tries, talk: Talk) -> tuple[LaunchPlan, str, Loaded]:
    """Pin and load, with less context where it did not fit as planned: the plan, its tag, what
    is held."""
    now, left = plan, SMALLER_TRIES
    loaded: list[tuple[LaunchPlan, str, Loaded]] = []
    while True:
        name, held = tries.load(now, talk)
        spilled_bytes = None if isinstance(held, MachineCannot) else _spilled_bytes(now, held)
        hardly = False
        if isinstance(held, Loaded):
            if not spilled_bytes:
                tries.clear(name)
                return now, name, held
            before_bytes = _spilled_bytes(now, loaded[-1][2]) if loaded else None
            hardly = before_bytes is not None and (spilled_bytes or 0) > before_bytes * HARDLY_LESS
            loaded.append((now, name, held))
        less = smaller(now, spilled_bytes, last=left == 1) if left and not hardly else None
        if less is None:
            break
        text = f"lies {_share(held)} in main memory" if isinstance(held, Loaded) else "does not fit"
        talk.say(f"{name} {text}: trying {less.context.engine_tokens:,} tokens of context instead")
        now, left = less, left - 1
    if not loaded:
        assert isinstance(held, MachineCannot)
        raise held
    _refuse_spilled(now, loaded[-1][2])
    first, name, there = loaded[0]
    if first is not now:
        talk.say(f"less context does not help: back to {first.context.engine_tokens:,} tokens")
        name, held = tries.load(first, talk)
        if isinstance(held, MachineCannot):
            raise held
        there = held
    tries.clear(name)
    return first, name, there


def _digest(model: str, client: Client) -> str | None:
    """Which weights these are: by the base, since every context has a tag of its own."""
    with contextlib.suppress(AgentlaunchError):
        return next(
            (row.digest for row in client.tags() if replies.same_model(row.name, model)), None
        )
    return None


def _spilled_bytes(plan: LaunchPlan, held: Loaded) -> int:
    """How much lies in main memory although it was planned for the graphics. On a machine that is
    not known, a part is a spill, and all of it a server without graphics."""
    share = replies.cpu_share(held)
    if share is None or share <= SPILL_SHARE or held.size_bytes is None:
        return 0
    placement = plan.fit.placement if plan.fit is not None else None
    if placement == "gpu" or (placement is None and share < 1):
        return held.size_bytes - (held.vram_bytes or 0)
    return 0


def _refuse_spilled(plan: LaunchPlan, held: Loaded) -> None:
    """Raise `MachineCannot`, unless the user chose model or context and so takes it as it is."""
    if plan.wish.model is not None or plan.wish.context_tokens is not None:
        return
    choice = plan.choice
    other = choice.fast if choice is not None and choice.fast is not None else None
    raise MachineCannot(
        f"{_share(held)} of {held.model} lies in main memory, so it would be slow, and "
        f"{plan.wish.agent.title} needs {plan.wish.agent.min_context_tokens:,} tokens to work",
        hint="close programs that use the graphics, or "
        + (f"take a smaller model: --model {other.id}" if other else "name one with --model")
        + f"; --model {plan.model.id} goes on anyway",
        code="spilled-to-cpu",
    )


def _share(held: Loaded) -> str:
    return f"{replies.cpu_share(held) or 0:.0%}"


def _pull(
    step: Pull,
    facts: OllamaFacts,
    found: life.Found,
    talk: Talk,
    paths: Paths,
    *,
    insecure: bool,
    limit_bytes: int | None,
) -> None:
    pull.refuse_offline(step.ref, talk)
    there = dataclasses.replace(facts, client=found.client, version=found.version)
    fetch = pull.look(
        step.ref, paths, None, facts=there, insecure=insecure, size_bytes=step.size_bytes
    )
    pull.run(fetch, talk, paths, limit_bytes=limit_bytes)


def _compare(plan: LaunchPlan, held: Loaded, talk: Talk, paths: Paths) -> None:
    """What was planned and what was allocated, said and remembered."""
    planned = plan.context.engine_tokens
    if held.context_tokens is not None and held.context_tokens < planned:
        raise EngineFailed(
            f"Ollama allocated {held.context_tokens:,} tokens of context, {planned:,} were planned",
            hint=f"ask for less: --context {held.context_tokens}",
            code="less-context",
        )
    predicted = plan.fit.total_bytes if plan.fit is not None else None
    share = replies.cpu_share(held)
    if held.size_bytes is not None:
        talk.say(f"memory {format_memory(held.size_bytes)}, {format_memory(predicted)} expected")
        row = {"predicted_bytes": predicted, "allocated_bytes": held.size_bytes, "cpu_share": share}
        with contextlib.suppress(Refused, OSError):  # comfort: forgetting it stops no launch
            records.Records(paths.state).remember("allocations", held.model, row)
    if _spilled_bytes(plan, held):
        talk.warn(
            f"{_share(held)} of the model lies in main memory, so it is slow: close programs that "
            "use the graphics, or ask for a smaller --context",
            code="spilled-to-cpu",
        )
