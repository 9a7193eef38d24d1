"""The rules of one settings file, read without trust: what is not understood is refused. Pure."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from dataclasses import dataclass

from agentlaunch.endpoint import without_secrets
from agentlaunch.errors import Refused
from agentlaunch.policy.rules import (
    ANY,
    LOCAL_ONLY,
    NAMES,
    TABLE,
    Document,
    Origin,
    Rule,
    RuleName,
)

MOST_ENTRIES = 500
LONGEST_ENTRY = 200
"""Lists beyond these would make every launch slow; no name is as long."""

_AGENT = re.compile(r"([^\s<>=!~,]+)\s*(.*)")
_DOLLARS = re.compile(r"\$?\s*([0-9]+(?:\.[0-9]+)?)\s*(?:USD)?", re.IGNORECASE)
_WORDS = 'a list of texts, such as {name} = ["{example}"]; an empty one allows nothing'
_EXAMPLES: dict[RuleName, str] = {
    "allowed_engines": "embedded",
    "allowed_models": "qwen3*",
    "allowed_agents": "claude-code >=2.1,<3",
}


@dataclass(frozen=True, slots=True)
class Words:
    """What the words of a rule mean, as the rooms above know it. Each raises `ValueError` with the
    way out for a word that means nothing."""

    engine: Callable[[str], str]
    """The one spelling of an engine's name or address."""
    agent: Callable[[str], str]
    """The one name of an agent."""
    versions: Callable[[str], str]
    """Comparisons of versions, such as `>=2.1,<3`."""


def read(
    document: Document, origin: str, source: Origin, words: Words, settings: frozenset[str]
) -> tuple[Rule, ...]:
    """The rules of a file, those of its table behind those at its top.

    `settings` are the other keys that may stand at its top. Raises `Refused` for whatever is not
    understood: a rule that was misspelt must not be a rule that does not hold.
    """
    table = document.get(TABLE, {})
    if not isinstance(table, dict):
        raise _refused(origin, f"{TABLE} is no table", "write [policy] above the rules")
    _refuse_unknown(document, origin, source, settings)
    for key in table:
        if key not in NAMES:
            raise _refused(
                origin, f"{TABLE}.{_shown(key)} is no rule", "rules: " + ", ".join(NAMES)
            )
    return tuple(
        _rule(name, place[name], origin, source, words, prefix)
        for place, prefix in ((document, ""), (table, f"{TABLE}."))
        for name in NAMES
        if name in place
    )


def _refuse_unknown(
    document: Document, origin: str, source: Origin, settings: frozenset[str]
) -> None:
    for key in document:
        if key == TABLE or key in NAMES:
            continue
        if source == "machine":
            raise _refused(
                origin,
                f"{_shown(key)} is no rule, and a machine's file holds nothing else",
                "rules: " + ", ".join(NAMES),
            )
        if key not in settings:
            raise _refused(
                origin,
                f"there is no setting and no rule {_shown(key)}",
                "rules: " + ", ".join(NAMES) + "; settings: agentlaunch config",
            )


def _rule(
    name: RuleName, raw: object, origin: str, source: Origin, words: Words, prefix: str
) -> Rule:
    key = f"{prefix}{name}"
    if name == "data":
        return Rule(name, _data(raw, origin, key), origin, source)
    if name == "max_spend_per_day":
        return Rule(name, _dollars(raw, origin, key), origin, source)
    return Rule(name, _list(name, raw, origin, key, words), origin, source)


def _data(raw: object, origin: str, key: str) -> str:
    if raw not in (LOCAL_ONLY, ANY) or not isinstance(raw, str):
        raise _refused(origin, f"{key} is not one of {LOCAL_ONLY}, {ANY}", f'{key} = "local-only"')
    return raw


def _dollars(raw: object, origin: str, key: str) -> float:
    value = -1.0
    if isinstance(raw, (int, float)) and not isinstance(raw, bool):
        try:
            value = float(raw)
        except OverflowError:
            value = math.inf
    elif isinstance(raw, str) and len(raw) <= 40:
        found = _DOLLARS.fullmatch(raw.strip())
        value = float(found[1]) if found is not None else value
    if not math.isfinite(value) or value < 0:
        raise _refused(
            origin, f"{key} is no number of US dollars", f'{key} = 5, or "5 USD"; 0 allows none'
        )
    return abs(value)  # of -0.0


def _list(name: RuleName, raw: object, origin: str, key: str, words: Words) -> tuple[str, ...]:
    way_out = _WORDS.format(name=key, example=_EXAMPLES[name])
    if not isinstance(raw, list):
        raise _refused(origin, f"{key} is no list", way_out)
    if len(raw) > MOST_ENTRIES:
        raise _refused(origin, f"{key} has more than {MOST_ENTRIES} entries", "use patterns")
    rows = []
    for number, word in enumerate(raw, 1):
        if not isinstance(word, str) or not word.strip() or not word.isprintable():
            raise _refused(origin, f"{key}: its entry {number} is no text", way_out)
        if len(word) > LONGEST_ENTRY:
            raise _refused(origin, f"{key}: its entry {number} is too long", way_out)
        try:
            rows.append(_word(name, word.strip(), words))
        except ValueError as error:
            shown = _shown(without_secrets(word))
            raise _refused(origin, f"{key}: {shown} is not known", str(error)) from error
    return tuple(dict.fromkeys(rows))


def _word(name: RuleName, word: str, words: Words) -> str:
    if name == "allowed_engines":
        return words.engine(word)
    if name == "allowed_models":
        return word.lower()
    found = _AGENT.fullmatch(word)
    if found is None:
        raise ValueError('a name, and versions where you want: "claude-code >=2.1,<3"')
    agent = words.agent(found[1])
    return f"{agent} {words.versions(found[2])}" if found[2] else agent


def split_agent(word: str) -> tuple[str, str]:
    """The agent of an entry, and its comparisons of versions, empty where every one will do."""
    name, _space, versions = word.partition(" ")
    return name, versions


def _refused(origin: str, text: str, hint: str) -> Refused:
    return Refused(f"{origin}: {text}", hint=hint, code="bad-policy")


def _shown(word: str) -> str:
    short = word if len(word) <= 60 else f"{word[:60]}…"
    return repr(short)
