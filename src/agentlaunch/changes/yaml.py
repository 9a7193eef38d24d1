"""YAML: one key's text changed where ruamel.yaml says that it stands, all else as it is."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

from agentlaunch.changes.text import KeyPath, Unfit, shown, unfit_at

_PLAIN = re.compile(r"[A-Za-z_][A-Za-z0-9_-]*")
_ALIAS = re.compile(r"[\s,\[{:]\*\w")
_MOST_ALIASES = 50
_COLON = re.compile(r"[ \t]*:")
_WORDS = frozenset({"true", "false", "null", "yes", "no", "on", "off", "y", "n", "none"})


def load(text: str) -> dict[str, Any]:
    """The data of a document; {} for one without a value. Raises `Unfit` with line and column."""
    root = _compose(text)
    if root is None:
        return {}
    try:
        data = _yaml().load(text)
    except RecursionError:
        raise Unfit("it is nested too deep") from None
    except Exception as error:  # a foreign parser's many kinds, and plain ValueErrors of odd dates
        raise _unfit(error) from error
    if not isinstance(data, dict):
        raise unfit_at(text, root.start_mark.index, "it holds no mapping of keys")
    return data


def value(raw: str) -> Any:
    """What the text of one value says."""
    return load(f"x: {raw}")["x"]


def raw(text: str, key: KeyPath) -> str | None:
    """The text of a key's value; None where it is not there. Raises `Unfit`."""
    found = _chain(text, _root(text), key)
    if len(found) < len(key):
        return None
    start, end = _span(text, *found[-1])
    return text[start:end]


def put(text: str, key: KeyPath, value: Any) -> str:
    """The text with a key's value replaced, or the key added behind its neighbours. Raises
    `Unfit` where something else is in the way."""
    root = _root(text)
    found = _chain(text, root, key)
    if len(found) == len(key):
        return splice(text, key, _flow(value))
    parent = found[-1][1] if found else root
    name, *rest = key[len(found) :]
    for inner in reversed(rest):
        value = {inner: value}
    if parent is None:
        gap = "" if not text or text.endswith("\n") else "\n"
        return text + gap + _block(name, value, "") + "\n"
    if parent.flow_style:
        return _into_flow(text, parent, f"{_name(name)}: {_flow(value)}")
    if not parent.value:
        raise Unfit(f"`{shown(key[: len(found)])}` holds nothing there")
    column = parent.value[0][0].start_mark.column
    at = _line_end(text, *parent.value[-1])
    return text[:at] + "\n" + _block(name, value, " " * column) + text[at:]


def splice(text: str, key: KeyPath, raw: str) -> str:
    """The text with the value of a key that is there replaced by this very text."""
    name, node = _chain(text, _root(text), key)[len(key) - 1]
    if _is_block(node):
        raise unfit_at(
            text, node.start_mark.index, f"`{shown(key)}` holds more than one value there"
        )
    start, end = _span(text, name, node)
    gap = " " if raw and text[start - 1] == ":" else ""
    return text[:start] + gap + raw + text[end:]


def drop(text: str, key: KeyPath, keep: int) -> str:
    """The text without a key, and without what is empty then, down to the first `keep` names."""
    root = _root(text)
    found = _chain(text, root, key)
    if len(found) < len(key):
        return text
    level = len(key)
    while level - 1 > keep and len(found[level - 2][1].value) == 1:
        level -= 1
    holder = found[level - 2][1] if level > 1 else root
    name, node = found[level - 1]
    if holder.flow_style:
        return _out_of_flow(text, holder, name, node)
    start = text.rfind("\n", 0, name.start_mark.index) + 1
    if text[start : name.start_mark.index].strip():
        raise unfit_at(text, name.start_mark.index, f"`{shown(key)}` does not begin its line")
    end = _line_end(text, name, node)
    if len(holder.value) == 1 and level > 1:  # what the user had around it was empty: `{}`
        before = text[:start].rstrip("\n")
        return before + " {}" + text[end:]
    return text[:start] + text[end + 1 :]


def _yaml() -> Any:
    from ruamel.yaml import YAML

    return YAML(typ="safe", pure=True)


def _compose(text: str) -> Any:
    """The tree of a document with the places of its texts; None for one without a value."""
    if len(_ALIAS.findall(text)) > _MOST_ALIASES:  # aliases of aliases grow beyond all bounds
        raise Unfit("it holds more aliases than a settings file")
    try:
        documents = list(_yaml().compose_all(text))
    except RecursionError:
        raise Unfit("it is nested too deep") from None
    except Exception as error:  # a foreign parser's many kinds
        raise _unfit(error) from error
    if len(documents) > 1:
        start = documents[1].start_mark
        raise Unfit("it holds several documents", start.line + 1, start.column + 1)
    return documents[0] if documents else None


def _unfit(error: Exception) -> Unfit:
    mark = getattr(error, "problem_mark", None) or getattr(error, "context_mark", None)
    reason = str(getattr(error, "problem", None) or error).split("\n")[0] or "it is no YAML"
    if mark is None:
        return Unfit(reason)
    return Unfit(reason, mark.line + 1, mark.column + 1)


def _root(text: str) -> Any:
    root = _compose(text)
    if root is None or (root.value == "" and root.start_mark.index == root.end_mark.index):
        return None
    if not _is_mapping(root):
        raise unfit_at(text, root.start_mark.index, "it holds no mapping of keys")
    return root


def _is_mapping(node: Any) -> bool:
    return bool(node.id == "mapping")


def _is_block(node: Any) -> bool:
    """Is it a mapping or a list written over lines?"""
    return node.id != "scalar" and not node.flow_style


def _chain(text: str, root: Any, key: KeyPath) -> list[tuple[Any, Any]]:
    """Key and value nodes that lead to a key, as far as they are there. Raises `Unfit`."""
    chain: list[tuple[Any, Any]] = []
    node = root
    for depth, name in enumerate(key):
        if node is None:
            break
        if not _is_mapping(node):
            raise unfit_at(
                text, node.start_mark.index, f"`{shown(key[:depth])}` is no mapping there"
            )
        found = [row for row in node.value if row[0].value == name and row[0].id == "scalar"]
        if len(found) > 1:
            mark = found[1][0].start_mark
            raise unfit_at(text, mark.index, f"`{shown(key[: depth + 1])}` stands there twice")
        if not found:
            break
        mark = found[0][0].start_mark
        inner = found[0][1]
        if inner.anchor or inner.start_mark.index < mark.index:
            at = f"`{shown(key[: depth + 1])}`"
            raise unfit_at(text, mark.index, f"{at} is an anchor or an alias there")
        chain.append(found[0])
        node = inner
    return chain


def _span(text: str, name: Any, node: Any) -> tuple[int, int]:
    """Where a value's own text begins and ends, without the blank lines behind it. `name` is the
    node of its key, None in a list: an empty value stands right behind it, wherever the parser
    says."""
    start, end = node.start_mark.index, node.end_mark.index
    if node.id == "scalar" and start == end:
        place = len(text[:start].rstrip()) if name is None else _colon(text, name)
        return place, place
    if _is_block(node):
        last = node.value[-1]
        end = _span(text, *(last if isinstance(last, tuple) else (None, last)))[1]
    return start, start + len(text[start:end].rstrip())


def _colon(text: str, name: Any) -> int:
    found = _COLON.match(text, name.end_mark.index)
    if found is None:
        raise unfit_at(text, name.start_mark.index, "this key is written in an unusual way")
    return found.end()


def _line_end(text: str, name: Any, node: Any) -> int:
    """The end of the line on which a value ends, behind a comment on it."""
    end = text.find("\n", _span(text, name, node)[1])
    return len(text) if end < 0 else end


def _name(name: str) -> str:
    plain = _PLAIN.fullmatch(name) and name.lower() not in _WORDS
    return name if plain else json.dumps(name, ensure_ascii=False)


def _flow(value: Any) -> str:
    """A value in one line; JSON is YAML."""
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{_name(k)}: {_flow(v)}" for k, v in value.items()) + "}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(map(_flow, value)) + "]"
    return json.dumps(value, ensure_ascii=False)


def _block(name: str, value: Any, indent: str) -> str:
    if not isinstance(value, Mapping) or not value:
        return f"{indent}{_name(name)}: {_flow(value)}"
    rows = [_block(key, inner, indent + "  ") for key, inner in value.items()]
    return "\n".join([f"{indent}{_name(name)}:", *rows])


def _into_flow(text: str, node: Any, body: str) -> str:
    if node.value:
        at = _span(text, *node.value[-1])[1]
        return text[:at] + f", {body}" + text[at:]
    at = node.end_mark.index - 1
    return text[:at] + body + text[at:]


def _out_of_flow(text: str, holder: Any, name: Any, node: Any) -> str:
    rows = holder.value
    position = next(i for i, row in enumerate(rows) if row[0] is name)
    start, end = name.start_mark.index, _span(text, name, node)[1]
    if position > 0:
        start = _span(text, *rows[position - 1])[1]
    elif len(rows) > 1:
        end = rows[1][0].start_mark.index
    return text[:start] + text[end:]
