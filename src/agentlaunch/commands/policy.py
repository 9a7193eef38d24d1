"""`agentlaunch policy`: the rules that hold here, in sentences, and whether settings keep them."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from agentlaunch import settings, survey
from agentlaunch.agents import AGENTS, versions
from agentlaunch.agents import find as find_agent
from agentlaunch.commands import ruling
from agentlaunch.commands.result import Result
from agentlaunch.engines import presets, remote
from agentlaunch.errors import AgentlaunchError
from agentlaunch.gateway.routes import HERE, SETTINGS, Word, parse
from agentlaunch.models import catalog
from agentlaunch.policy import judging
from agentlaunch.policy.judging import Refusal, Server
from agentlaunch.policy.rules import ANY, Origin, Policy, Rule, RuleName
from agentlaunch.settings import Value
from agentlaunch.survey import ruled
from agentlaunch.talk import Talk
from agentlaunch.units import plural

Status = Literal["ok", "refused", "unknown"]
MARKS: Mapping[Status, str] = {"ok": "ok", "refused": "REFUSED", "unknown": "?"}


@dataclass(frozen=True, slots=True)
class Finding:
    """What one rule says of one thing that is set or named here."""

    rule: RuleName
    subject: str
    """The setting or the flag; empty where nothing is set that the rule judges."""
    status: Status
    message: str
    origin: str
    remedy: str | None = None


# ---- check ----------------------------------------------------------------------------------


def check(
    talk: Talk, agent: str | None = None, *, engine: str | None = None, model: str | None = None
) -> Result:
    """Judge what is set, or named here, without asking anybody; status 3 when a rule forbids it.

    Raises `Refused` for a file of settings or rules that is not understood, `UsageError` for a name
    that means nothing.
    """
    flags = {"agent": agent, "engine": engine, "model": model}
    values = settings.load(flags=flags, user_file=ruling.user_file())
    policy = ruling.here()
    judged = _judged(policy, values)
    findings = tuple(row for _rule, rows in judged for row in rows)
    data = {
        "rules": _rules_json(policy),
        "findings": [dataclasses.asdict(row) for row in findings],
    }
    refused = [row for row in findings if row.status == "refused"]

    def draw(talk: Talk) -> None:
        if not policy.rules:
            talk.answer_folded(_NONE, indent=2)
            return
        for rule, rows in judged:
            talk.answer_folded(f"{rule} ({rule.origin})", indent=2)
            for row in rows:
                text = row.message + (f" ({row.remedy})" if row.remedy else "")
                talk.answer_folded(f"  {MARKS[row.status]:7}  {text}", indent=11)
        count = plural(len(policy.rules), "rule")
        talk.say(f"{len(refused)} refused by {count}" if refused else f"nothing breaks {count}")

    return Result("agentlaunch/policy-check/1", data, draw, exit_code=3 if refused else 0)


def broken(values: Mapping[str, Value]) -> tuple[tuple[str, str | None], ...]:
    """What is set here against a rule, each with the way out; nothing where that cannot be told."""
    try:
        judged = _judged(ruling.here(), values)
    except AgentlaunchError:  # a file or a name that is not understood, which others tell
        return ()
    return tuple(
        (f"{row.message}: {rule} in {rule.origin}", row.remedy)
        for rule, rows in judged
        for row in rows
        if row.status == "refused"
    )


def _judged(
    policy: Policy, values: Mapping[str, Value]
) -> tuple[tuple[Rule, tuple[Finding, ...]], ...]:
    """Each rule with what it says of everything that is set."""
    subjects = tuple(_subjects(values))
    known = catalog.load()
    return tuple(
        (
            rule,
            tuple(row for subject in subjects for row in subject.judged(rule, known))
            or (_of(rule, "", "ok", "nothing that is set here is its business"),),
        )
        for rule in policy.rules
    )


def _of(rule: Rule, subject: str, status: Status, text: str, remedy: str | None = None) -> Finding:
    return Finding(rule.name, subject, status, text, rule.origin, remedy)


@dataclass(frozen=True, slots=True)
class _Subject:
    """Something that is set or named, as far as rules care."""

    name: str
    agent: str | None = None
    server: Server | None = None
    local: bool = False
    """An engine of this machine, whichever a launch would choose."""
    model: str | None = None
    model_server: str = ""

    def judged(self, rule: Rule, known: catalog.Catalog) -> Iterator[Finding]:
        """What one rule says of it; nothing where that is not its business."""
        alone = Policy((rule,))
        if self.agent is not None and rule.name == "allowed_agents":
            yield self._finding(rule, self.agent, judging.agent(alone, self.agent))
            yield from self._version(alone, rule, self.agent)
        if self.local and rule.name == "allowed_engines":
            refusal = judging.engine(alone, ruled.EMBEDDED)
            other = judging.engine(alone, _server("ollama", {}))
            yield self._finding(rule, "local", refusal if other is not None else None)
        if self.server is not None:
            said = {
                "allowed_engines": judging.engine(alone, self.server),
                "data": judging.data(alone, self.server),
            }
            if rule.name in said:
                yield self._finding(rule, self.server.shown, said[rule.name])
            if rule.name == "max_spend_per_day" and self.server.managed:
                # As a launch does it: behind a gateway, which keeps the cap and knows the price.
                yield self._finding(
                    rule, self.server.shown, judging.spend(alone, self.server, kept_usd=rule.usd)
                )
        if self.model is not None and rule.name in ("allowed_models", "data"):
            refusal = ruling.model(alone, self.model, known, served_by=self.model_server)
            if rule.name == "allowed_models" or refusal is not None:
                yield self._finding(rule, self.model, refusal)

    def _version(self, alone: Policy, rule: Rule, name: str) -> Iterator[Finding]:
        if judging.agent(alone, name) is not None or not judging.demands_version(alone, name):
            return
        state = survey.find_agent(AGENTS[name], settings.paths(), node=False)
        version = state.version
        if not state.installed and state.agent.package is not None:
            version = state.agent.package.version
        if version is None and state.installed:
            text = f"which version of {name} this is shows only when it runs; a launch judges it"
            yield _of(rule, self.name, "unknown", text)
            return
        refusal = judging.agent_version(alone, name, version, versions.matches)
        yield self._finding(rule, f"{name} {version}", refusal)

    def _finding(self, rule: Rule, shown: str, refusal: Refusal | None) -> Finding:
        if refusal is not None:
            return _of(rule, self.name, "refused", f"{self.name}: {refusal.text}", refusal.hint)
        said = "may be paid for, through a gateway that keeps the cap"
        text = said if rule.name == "max_spend_per_day" else "is allowed"
        return _of(rule, self.name, "ok", f"{self.name}: {shown} {text}")


def _subjects(values: Mapping[str, Value]) -> Iterator[_Subject]:
    """Everything that is set, each under the name of its setting, with the place that says so."""
    agent, engine, model = (values[name] for name in ("agent", "engine", "model"))
    if agent.value is not None:
        yield _Subject(_named("agent", agent), agent=find_agent(str(agent.value)).name)
    named = str(engine.value).lower() if engine.value is not None else ""
    if named == "local":
        yield _Subject(_named("engine", engine), local=True)
    elif named not in ("", "auto"):
        yield _Subject(_named("engine", engine), server=_server(str(engine.value), values))
    if model.value is not None and str(model.value).lower() != "auto":
        # Only Ollama has a cloud of its own, and where none is named it may be what serves.
        by = "ollama" if named in ("", "auto", "local", "embedded") else named
        yield _Subject(_named("model", model), model=str(model.value), model_server=by)
    for setting in SETTINGS.values():
        for word in parse(str(values[setting].value or ""), values[setting].origin):
            yield _routed(_named(setting, values[setting]), word, values)
    hosted = values[presets.HOSTED_SETTING]
    if hosted.value is not None:
        yield _Subject(
            _named(presets.HOSTED_SETTING, hosted), server=_server(presets.HOSTED, values)
        )


def _routed(name: str, word: Word, values: Mapping[str, Value]) -> _Subject:
    server = None if word.name == "local" else _server(word.name, values)
    by = "ollama" if word.name in HERE else word.name
    local = server is None
    return _Subject(name, server=server, local=local, model=word.model, model_server=by)


def _named(setting: str, value: Value) -> str:
    return setting if value.source in ("default", "flag") else f"{setting} (set in {value.origin})"


def _server(name: str, values: Mapping[str, Value]) -> Server:
    if name.lower() == "embedded":
        return ruled.EMBEDDED
    if name.lower() == "ollama":
        return ruled.ollama_at(survey.ollama_url(os.environ))
    target = remote.resolve(name, {row: value.value for row, value in values.items()})
    return ruled.server_of(target)


# ---- explain --------------------------------------------------------------------------------


_NONE = (
    "no rule holds here, so every agent, engine and model may be used; a rule is a line in "
    'agentlaunch.toml of the project, such as: data = "local-only"'
)
_MEANS: Mapping[RuleName, str] = {
    "data": "where prompts and code may go",
    "allowed_engines": "which engines may serve",
    "allowed_models": "which models may be used",
    "allowed_agents": "which agents may be started",
    "max_spend_per_day": "US dollars a day that calls paid by the token may cost",
}
_NOTHING = "; it loosens nothing that another file says"
_WHO: Mapping[Origin, str] = {
    "machine": "only whoever administers this machine can change it",
    "user": "your own file",
    "project": "whoever keeps this project can change it",
}


def explain(talk: Talk) -> Result:
    """The rules that hold here, each with its file, and what they leave. Raises `Refused` for a
    file that is not understood."""
    policy = ruling.here()
    left = _left(policy)
    data = {"rules": _rules_json(policy), **left}

    def draw(talk: Talk) -> None:
        for line in _sentences(policy, left):
            talk.answer_folded(line, indent=2)

    return Result("agentlaunch/policy/1", data, draw)


def _rules_json(policy: Policy) -> list[dict[str, Any]]:
    return [
        {
            "name": row.name,
            "value": list(row.value) if isinstance(row.value, tuple) else row.value,
            "source": row.source,
            "origin": row.origin,
        }
        for row in policy.rules
    ]


def _left(policy: Policy) -> dict[str, Any]:
    """What all rules together leave; None where none speaks of it."""
    known = catalog.load()
    cap = policy.cap
    return {
        "local_only": policy.local_only is not None,
        "agents": _agents(policy) if policy.of("allowed_agents") else None,
        "engines": _engines(policy) if policy.of("allowed_engines") else None,
        "models": [row.id for row in known.models if ruled.model(policy, row.id, known) is None]
        if policy.of("allowed_models")
        else None,
        "max_spend_per_day_usd": cap.usd if cap is not None else None,
    }


def _agents(policy: Policy) -> list[str]:
    return [
        name
        for name, agent in AGENTS.items()
        if agent.local and judging.agent(policy, name) is None
    ]


def _engines(policy: Policy) -> list[str]:
    values = settings.load(user_file=ruling.user_file())
    words = dict.fromkeys(word for rule in policy.of("allowed_engines") for word in rule.names)
    return [word for word in words if ruling.server(policy, _server(word, values)) is None]


def _sentences(policy: Policy, left: Mapping[str, Any]) -> Iterator[str]:
    if not policy.rules:
        yield _NONE
        return
    for origin in dict.fromkeys(rule.origin for rule in policy.rules):
        rows = [rule for rule in policy.rules if rule.origin == origin]
        yield f"{origin} rules ({_WHO[rows[0].source]}):"
        for rule in rows:
            yield f"- {rule}: {_MEANS[rule.name]}{_NOTHING if rule.value == ANY else ''}"
    yield "All rules of all files hold at once, and no flag beats them. What they leave:"
    if left["local_only"]:
        yield (
            "- Nothing leaves this machine: no server elsewhere, no model in Ollama's cloud, "
            "whatever hosts are allowed in settings or by --allow-remote."
        )
    yield from _lists(policy, left)
    cap = policy.cap
    if cap is not None and cap.usd == 0:
        yield "- No service that is paid by the token may be used."
    elif cap is not None:
        yield (
            f"- Services that are paid by the token may cost {cap.usd:g} US dollars a day; they "
            "are asked through a gateway, which counts."
        )


def _lists(policy: Policy, left: Mapping[str, Any]) -> Iterator[str]:
    demands = {
        name: [word for rule in policy.of("allowed_agents") for word in rule.names
               if judging.demands_version(Policy((rule,)), name) and word.startswith(f"{name} ")]
        for name in left["agents"] or ()
    }  # fmt: skip
    agents, engines = left["agents"], left["engines"]
    yield f"- Agents: {_listed(agents)}."
    for rows in demands.values():
        if rows:
            yield f"  Of these, only {' and '.join(rows)}."
    yield f"- Engines: {_listed(engines)}."
    models = left["models"]
    if models is None:
        yield "- Models: every one."
    elif models:
        yield f"- Models: of those in the catalog, {', '.join(models)}; others by their names."
    else:
        yield "- Models: none of those in the catalog; others by their names."


def _listed(names: list[str] | None) -> str:
    if names is None:
        return "every one"
    return ", ".join(names) or "none"
