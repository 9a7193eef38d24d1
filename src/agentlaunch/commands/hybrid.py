"""A launch over the user's routes: every endpoint resolved and asked, then the chains planned."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from agentlaunch import managed, plan, settings, survey
from agentlaunch.checks.finding import Finding
from agentlaunch.commands import looking, ruling
from agentlaunch.endpoint import Wire, is_loopback, without_secrets
from agentlaunch.engines import remote
from agentlaunch.engines.presets import HOSTED, HOSTED_SETTING
from agentlaunch.engines.remote_facts import RemoteFacts, RemoteModel
from agentlaunch.errors import (
    AgentlaunchError,
    EngineFailed,
    MachineCannot,
    ModelUnavailable,
    UsageError,
)
from agentlaunch.gateway import life
from agentlaunch.gateway.package import PACKAGE
from agentlaunch.gateway.routes import SETTINGS, Routes, Word, routes_of
from agentlaunch.gateway.spec import Role
from agentlaunch.plan.remote import context_of
from agentlaunch.policy import origin
from agentlaunch.policy.judging import Refusal
from agentlaunch.records import Records
from agentlaunch.settings import Paths
from agentlaunch.talk import Talk

ASKED: tuple[Wire, ...] = ("openai_chat", "anthropic_messages")
"""The gateway asks by one of these (gateway.config)."""


def decide(talk: Talk, asked: looking.Asked, routes: Routes) -> plan.LaunchPlan:
    """The plan over these routes; one endpoint alone is asked directly, without a gateway.

    Raises what a launch on each endpoint raises. One that is down is left to the gateway, which
    asks it again later, where it is known what it serves; else it is left out and named.
    """
    found = _Found(talk, asked, owner=_owner(asked, routes))
    chains: dict[Role, tuple[plan.PlannedHop, ...]] = {}
    for role, words in routes.chains.items():
        hops = tuple(found.hops(words))
        if not hops:
            raise found.nothing(role)
        chains[role] = hops
    if chains.get("small") == chains["main"]:
        del chains["small"]
    found.warnings = (*found.warnings, *_passed_over(asked, chains["main"]))
    only = {hop.word: hop for chain in chains.values() for hop in chain}
    if not any(hop.answers for hop in chains["main"]):
        raise EngineFailed(
            "no endpoint of the main chain answers: "
            + ", ".join(f"{hop.word.shown} ({hop.place})" for hop in chains["main"]),
            hint="start one of them, or: agentlaunch up --engine NAME",
            code="no-endpoint",
        )
    cap = asked.rules.cap if any(hop.managed for hop in only.values()) else None
    if len(only) == 1 and cap is None:
        made = _direct(asked, *only.values())
        return replace(made, warnings=(*found.warnings, *made.warnings))
    hybrid = plan.Hybrid(
        chains,
        routes.subagent,
        routes.routing,
        cap_usd=cap.usd if cap is not None else None,
        cap_origin=cap.origin if cap is not None else "",
    )
    package = None if managed.installed(PACKAGE, asked.paths) is not None else PACKAGE
    made = plan.make_hybrid(asked.survey, asked.wish, asked.places, hybrid, package=package)
    return replace(made, warnings=(*found.warnings, *made.warnings))


def _passed_over(
    asked: looking.Asked, main: Sequence[plan.PlannedHop]
) -> Iterator[tuple[str, str]]:
    """Settings that the routes leave nothing to say."""
    if asked.routes is None:
        return
    engine, model = asked.said["engine"], asked.said["model"]
    if engine.value is not None:
        text = f"engine = {without_secrets(str(engine.value))} in {engine.origin} is passed over"
        yield "engine-passed-over", f"{text}: the routes are set"
    if model.value is not None and not any(hop.local or hop.word.model for hop in main):
        text = f"model = {model.value} in {model.origin} is passed over: it is for engines of this "
        yield "model-passed-over", f"{text}machine; the routes say NAME#MODEL"


def _owner(asked: looking.Asked, routes: Routes) -> str | None:
    """The origin of `hosted`, where a chain names it."""
    address = asked.said[HOSTED_SETTING].value
    named = any(word.name == HOSTED for chain in routes.chains.values() for word in chain)
    return origin(str(address)) if named and address is not None else None


def _direct(asked: looking.Asked, hop: plan.PlannedHop) -> plan.LaunchPlan:
    if hop.local is not None:
        return hop.local
    wish = replace(
        asked.wish,
        model=hop.model,
        context_tokens=hop.word.context_tokens or asked.wish.context_tokens,
    )
    return plan.make_plan(asked.survey, wish, asked.places, remote=hop.remote)


@dataclass(slots=True)
class _Found:
    """What each endpoint turned out to be, asked once."""

    talk: Talk
    asked: looking.Asked
    known: dict[str, plan.PlannedHop | None] = field(default_factory=dict)
    warnings: tuple[tuple[str, str], ...] = ()
    refusals: tuple[Refusal, ...] = ()
    owner: str | None = None
    """The origin that `AGENTLAUNCH_ENGINE_KEY` is for."""

    def hops(self, words: tuple[Word, ...]) -> Iterator[plan.PlannedHop]:
        """The endpoints of a chain, without those that cannot be had and those that stand there
        already under another name."""
        before: list[plan.PlannedHop] = []
        for word in words:
            key = f"{word}@{word.context_tokens}"
            if key not in self.known:
                self.known[key] = self._hop(word)
            hop = self.known[key]
            if hop is None:
                continue
            twin = next((row for row in before if _same(row, hop)), None)
            if twin is not None:
                text = f"{hop.word.shown} is {twin.word.shown} again, so it is asked once"
                self.warnings = (*self.warnings, ("endpoint-twice", text))
                continue
            before.append(hop)
            yield hop

    def nothing(self, role: Role) -> AgentlaunchError:
        """The end for a chain without an endpoint that can be had."""
        if self.refusals:
            return self.refusals[0].error
        said = "; ".join(text for _code, text in self.warnings)
        chain = SETTINGS[role] if self.asked.routes is not None else self.asked.engine
        return EngineFailed(
            f"no endpoint of {chain} can be had: {said}",
            hint="agentlaunch up --engine NAME uses another one for once",
            code="no-endpoint",
        )

    def _hop(self, word: Word) -> plan.PlannedHop | None:
        """None for what a rule forbids: the chain is shorter then, and nothing of it is asked."""
        target = None if word.is_here else self._target(word)
        if word.name != looking.LOCAL:
            refusal = ruling.engine(self.asked.rules, word.name, target)
            if refusal is None and target is not None:
                refusal = ruling.no_money(self.asked.rules, target)
            if refusal is not None:
                self.refusals = (*self.refusals, refusal)
                text = f"{word.shown} is left out: {refusal.message}"
                self.warnings = (*self.warnings, ("endpoint-not-allowed", text))
                return None
        return self._here(word) if target is None else self._elsewhere(word, target)

    def _target(self, word: Word) -> remote.Target:
        """Raises `UsageError` for a name or an address that is none.

        `AGENTLAUNCH_ENGINE_KEY` is one key, and servers of a chain may have several owners: it goes
        to `hosted`, else to the first server, and beyond that only where nothing leaves.
        """
        try:
            addresses = {name: row.value for name, row in self.asked.said.items()}
            target = remote.resolve(word.name, addresses)
        except UsageError as error:
            error.message = f"routes: {error.message}"
            raise
        owner = self.owner
        if owner is None or owner == target.origin:
            self.owner = target.origin
            return target
        near = is_loopback(owner) and is_loopback(target.url)
        return replace(target, takes_our_key=near)

    def _here(self, word: Word) -> plan.PlannedHop | None:
        asked = self.asked
        wish = replace(
            asked.wish,
            model=word.model or asked.wish.model,
            context_tokens=word.context_tokens or asked.wish.context_tokens,
        )
        chosen = None
        if word.name == looking.LOCAL:
            chosen = ruling.choose_engine(asked.rules, asked.survey, wish, asked.said, local=True)
        engine = word.name if chosen is None else chosen.name
        inner = replace(
            asked, wish=replace(wish, engine=engine), engine=engine, chosen=chosen, routes=None,
            server=None,
        )  # fmt: skip
        looking.judge(inner)
        try:
            made = looking.on_one_engine(self.talk, inner)
        except (EngineFailed, MachineCannot, ModelUnavailable) as error:
            self._leave_out(word, error)
            return None
        return plan.PlannedHop(word, made.model.id, made.context.engine_tokens, local=made)

    def _elsewhere(self, word: Word, target: remote.Target) -> plan.PlannedHop | None:
        asked = self.asked
        answers = True
        try:
            facts = looking.look_at_server(self.talk, asked, target, ASKED)
            remember(asked.paths, word, facts)
        except EngineFailed as error:
            known = recall(asked.paths, word, target)
            if known is None:
                self._leave_out(word, error)
                return None
            facts = replace(known, key=survey.key_of(target, asked.places.environ))
            answers = False
        try:
            model = _pick(facts, word)
        except ModelUnavailable as error:
            if word.model is not None:
                raise
            self._leave_out(word, error)  # nothing is loaded there now
            return None
        return plan.PlannedHop(
            word,
            model.name,
            _context(facts, model, word, asked),
            remote=facts,
            price=facts.price(model),
            answers=answers,
        )

    def _leave_out(self, word: Word, error: AgentlaunchError) -> None:
        text = f"{word.shown} is left out of this session: {error.message}"
        self.warnings = (*self.warnings, ("endpoint-left-out", text))


def _same(one: plan.PlannedHop, other: plan.PlannedHop) -> bool:
    """Would both ask the same model in the same place?"""
    if one.local is not None and other.local is not None:
        return (one.local.engine, one.model) == (other.local.engine, other.model)
    if one.remote is None or other.remote is None:
        return False
    return (one.remote.url, one.model) == (other.remote.url, other.model)


def _pick(facts: RemoteFacts, word: Word) -> RemoteModel:
    try:
        return facts.pick(word.model)
    except UsageError as error:
        raise UsageError(
            error.message, hint=f"choose one in the routes: {word.name}#MODEL", code=error.code
        ) from error


def _context(facts: RemoteFacts, model: RemoteModel, word: Word, asked: looking.Asked) -> int:
    try:
        return context_of(facts, model, word.context_tokens or asked.wish.context_tokens)
    except UsageError as error:
        raise UsageError(
            error.message,
            hint=f"say it in the routes: {word.name}#{model.name}@131072",
            code=error.code,
        ) from error


# ---- what an endpoint served the last time, for when it is down ------------------------------


def remember(paths: Paths, word: Word, facts: RemoteFacts) -> None:
    """Keep what this endpoint serves; a failure to write it stops no launch."""
    try:
        model = facts.pick(word.model)
        Records(paths.state).remember(
            "endpoints",
            f"{facts.url}#{word.model or ''}",
            {
                "kind": facts.kind,
                "model": model.name,
                "context_tokens": model.context_tokens,
                "max_output_tokens": model.max_output_tokens,
                "wires": list(facts.wires),
                "bases": [list(row) for row in facts.bases],
                "token_header": facts.token_header,
            },
        )
    except (AgentlaunchError, OSError):
        return


def recall(paths: Paths, word: Word, target: remote.Target) -> RemoteFacts | None:
    """What it served then; None where that was never seen, or cannot be read."""
    row = Records(paths.state).recall("endpoints", f"{target.url}#{word.model or ''}")
    if row is None:
        return None
    try:
        model = RemoteModel(
            str(row["model"]), row["context_tokens"], max_output_tokens=row["max_output_tokens"]
        )
        return RemoteFacts(
            url=target.url,
            kind=row["kind"],
            wires=tuple(row["wires"]),
            models=(model,),
            bases=tuple((wire, base) for wire, base in row["bases"]),
            token_header=row["token_header"],
        )
    except (KeyError, TypeError, ValueError):
        return None


# ---- for the doctor ---------------------------------------------------------------------------


def findings(values: Mapping[str, settings.Value], paths: Paths) -> tuple[Finding, ...]:
    """Do the routes name endpoints, and does a gateway run? No server is asked."""
    try:
        routes = routes_of(values)
        if routes is None:
            return ()
        addresses = {name: row.value for name, row in values.items()}
        for word in (*routes.main, *routes.small):
            if not word.is_here:
                remote.resolve(word.name, addresses)
    except AgentlaunchError as error:
        hint = error.hint or "agentlaunch config unset routes.main"
        return (Finding("routes", "error", error.message, hint),)
    chains = "; ".join(
        f"{role}: {' → '.join(word.shown for word in words)}"
        for role, words in routes.chains.items()
    )
    running = any(row.answers for row in life.find(paths))
    state = "a gateway runs" if running else "no gateway runs: a launch starts it"
    return (Finding("routes", "ok", f"{chains} ({state})", None),)
