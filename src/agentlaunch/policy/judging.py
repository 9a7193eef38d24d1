"""What the rules say of one engine, host, model, agent or bill: nothing, or why not. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from fnmatch import fnmatchcase

from agentlaunch.errors import Refused
from agentlaunch.policy.hosts import leaves, origin
from agentlaunch.policy.reading import split_agent
from agentlaunch.policy.rules import Policy, Rule

CODE = "policy"


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why something is not allowed, by which rule, and the way out."""

    rule: Rule
    text: str
    remedy: str

    @property
    def message(self) -> str:
        """With the rule and its file."""
        return f"{self.text}: {self.rule} in {self.rule.origin}"

    @property
    def hint(self) -> str:
        """With who can change the rule."""
        return f"{self.remedy}; {who(self.rule)}" if self.remedy else who(self.rule)

    @property
    def error(self) -> Refused:
        """As the end of a command."""
        return Refused(self.message, hint=self.hint, code=CODE)


def enforce(*refusals: Refusal | None) -> None:
    """Raise `Refused` for the first that is one."""
    for refusal in refusals:
        if refusal is not None:
            raise refusal.error


def who(rule: Rule) -> str:
    """Who can change it."""
    if rule.source == "machine":
        return f"only whoever administers this machine can change {rule.origin}"
    if rule.source == "project":
        return f"whoever keeps this project can change {rule.origin}"
    return f"the rule is your own, in {rule.origin}"


@dataclass(frozen=True, slots=True)
class Server:
    """An engine as rules see it."""

    shown: str
    """As the person called it."""
    url: str | None = None
    """None for the engine that we bring, which always runs here."""
    words: frozenset[str] = field(default_factory=frozenset)
    """The names that it counts as. Before it was asked: all that it may turn out to be."""
    relays: str = ""
    """Where it passes on what it gets, who knows where to: the way out. Empty where it does not."""
    managed: bool = False
    """Is it a company's service that is paid by the token?"""

    @property
    def here(self) -> bool:
        """Does nothing that it gets leave this machine, as far as its address tells?"""
        return self.url is None or not leaves(self.url)

    @property
    def names(self) -> frozenset[str]:
        """What an entry of a rule may call it."""
        return self.words if self.url is None else self.words | {origin(self.url)}


def engine(policy: Policy, server: Server) -> Refusal | None:
    """May this engine serve?"""
    for rule in policy.of("allowed_engines"):
        if not server.names.intersection(rule.names):
            return Refusal(rule, f"{server.shown} is not an allowed engine", _instead(rule))
    return None


def data(policy: Policy, server: Server) -> Refusal | None:
    """May code go there?"""
    rule = policy.local_only
    if rule is None:
        return None
    if server.url is not None and not server.here:
        text = (
            f"{server.shown} is not this machine ({origin(server.url)}), and nothing may leave it"
        )
        if server.shown == origin(server.url):
            text = f"{server.shown} is not this machine, and nothing may leave it"
        return Refusal(rule, text, "use an engine of this machine")
    if server.relays:
        text = (
            f"{server.shown} can pass on what it gets, where to is not seen from here, "
            "and nothing may leave this machine"
        )
        return Refusal(rule, text, server.relays)
    return None


def cloud(policy: Policy, name: str) -> Refusal | None:
    """May a model be used that its server runs elsewhere?"""
    rule = policy.local_only
    if rule is None:
        return None
    text = f"{name} runs in the cloud of its server, and nothing may leave this machine"
    return Refusal(rule, text, "choose a model that runs here: agentlaunch models")


def model(policy: Policy, shown: str, names: Iterable[str]) -> Refusal | None:
    """May this model be used? `names` are all that it is known by; one that matches will do."""
    known = {name.lower() for name in names}
    for rule in policy.of("allowed_models"):
        if not any(_is_called(name, pattern) for name in known for pattern in rule.names):
            return Refusal(rule, f"{shown} is not an allowed model", _instead(rule))
    return None


def _is_called(name: str, pattern: str) -> bool:
    """Does a name match? `*` goes over no `/`, so that a pattern of names lets in no other owner
    and no other registry; `*` alone is any name, and one at the end whatever lies below."""
    parts, words = pattern.split("/"), name.split("/")
    if parts[-1] == "*" and len(words) > len(parts):
        words = words[: len(parts)]
    return len(parts) == len(words) and all(map(fnmatchcase, words, parts))


def agent(policy: Policy, name: str) -> Refusal | None:
    """May this agent be used, in whatever version?"""
    for rule in policy.of("allowed_agents"):
        if name not in {split_agent(word)[0] for word in rule.names}:
            return Refusal(rule, f"{name} is not an allowed agent", _instead(rule))
    return None


def agent_version(
    policy: Policy, name: str, version: str | None, matches: Callable[[str, str], bool]
) -> Refusal | None:
    """May this version of it be used? One that is not known is none of those that were asked."""
    for rule in policy.of("allowed_agents"):
        wanted = [versions for word, versions in map(split_agent, rule.names) if word == name]
        if not wanted or any(
            not row or (version is not None and matches(version, row)) for row in wanted
        ):
            continue
        asked = " or ".join(wanted)
        if version is None:
            text = f"it is not known which version of {name} this is, and {asked} is asked for"
        else:
            text = f"{name} {version} is not an allowed version"
        return Refusal(rule, text, f"have {name} {asked}: agentlaunch agents show {name}")
    return None


def demands_version(policy: Policy, name: str) -> bool:
    """Does any rule ask which version of this agent it is?"""
    rows = [split_agent(word) for rule in policy.of("allowed_agents") for word in rule.names]
    return any(word == name and versions for word, versions in rows)


def spend(
    policy: Policy, server: Server, *, kept_usd: float | None, priced: bool = True
) -> Refusal | None:
    """May calls there be paid for? `kept_usd` is the cap that a gateway before it keeps."""
    rule = policy.cap
    if rule is None or not server.managed:
        return None
    if rule.usd == 0:
        return Refusal(
            rule, f"{server.shown} is paid by the token, and nothing may be spent", _FREE
        )
    if kept_usd is None or kept_usd > rule.usd:
        return Refusal(
            rule,
            f"{server.shown} is paid by the token, and without a gateway nothing keeps the cap",
            _FREE,
        )
    if not priced:
        return Refusal(
            rule, f"what {server.shown} asks for this model is not known, so no cap holds", _PRICED
        )
    return None


_FREE = "use an engine that costs nothing by the token"
_PRICED = "name a model whose price is known"


def _instead(rule: Rule) -> str:
    if not rule.names:
        return "the list is empty, which allows none"
    return "choose what is allowed: agentlaunch policy"
