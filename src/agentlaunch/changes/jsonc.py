"""JSON, with or without comments and trailing commas: one key's text changed, all else as it is.

A reader that keeps where everything stands; the edit is a splice of the text. No library is used,
since a splice keeps by construction what a library would have to write out again (decision 0013).
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from typing import Any

from agentlaunch.changes.text import KeyPath, Unfit, shown, unfit_at

_MOST_DEPTH = 200
_DECODER = json.JSONDecoder()
_NUMBER = re.compile(r"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][-+]?[0-9]+)?")
_WORDS: dict[str, Any] = {"true": True, "false": False, "null": None}
_INDENT = re.compile(r"^([ \t]+)\S", re.MULTILINE)


@dataclass(slots=True)
class _Node:
    """A value and where its text stands."""

    start: int
    end: int
    value: Any
    members: list[_Member] | None = None
    """Of an object alone."""


@dataclass(slots=True)
class _Member:
    """`"key": value`, and the comma behind it where there is one."""

    key: str
    start: int
    node: _Node
    comma: int | None = None


@dataclass(slots=True)
class _Reader:
    text: str
    at: int = 0
    depth: int = field(default=0)

    def document(self) -> _Node:
        node = self.value()
        self.space()
        if self.at < len(self.text):
            raise self.wrong("nothing more is expected here")
        if node.members is None:
            raise unfit_at(self.text, node.start, "it holds no object `{…}`")
        return node

    def wrong(self, reason: str) -> Unfit:
        return unfit_at(self.text, self.at, reason)

    def space(self) -> None:
        """Pass white space and comments."""
        text = self.text
        while self.at < len(text):
            if text[self.at] in " \t\r\n":
                self.at += 1
            elif text.startswith("//", self.at):
                end = text.find("\n", self.at)
                self.at = len(text) if end < 0 else end
            elif text.startswith("/*", self.at):
                end = text.find("*/", self.at + 2)
                if end < 0:
                    raise self.wrong("this comment has no end")
                self.at = end + 2
            else:
                return

    def value(self) -> _Node:
        self.space()
        text, start = self.text, self.at
        if start >= len(text):
            raise self.wrong("a value is missing at the end")
        if text[start] in "{[":
            self.depth += 1
            if self.depth > _MOST_DEPTH:
                raise self.wrong("it is nested too deep")
            node = self.object() if text[start] == "{" else self.array()
            self.depth -= 1
            return node
        if text[start] == '"':
            value = self.string()
            return _Node(start, self.at, value)
        for word, value in _WORDS.items():
            if text.startswith(word, start):
                self.at += len(word)
                return _Node(start, self.at, value)
        found = _NUMBER.match(text, start)
        if found is None:
            raise self.wrong("this is no value")
        self.at = found.end()
        try:
            return _Node(start, self.at, json.loads(found[0]))
        except ValueError:  # thousands of digits
            self.at = start
            raise self.wrong("this number is too long") from None

    def string(self) -> str:
        try:
            value, self.at = _DECODER.raw_decode(self.text, self.at)
        except json.JSONDecodeError as error:
            raise unfit_at(self.text, error.pos, f"this text is broken ({error.msg})") from error
        return str(value)

    def array(self) -> _Node:
        start = self.at
        self.at += 1
        values = []
        while True:
            self.space()
            if self.text.startswith("]", self.at):
                break
            values.append(self.value().value)
            self.space()
            if self.text.startswith(",", self.at):
                self.at += 1
            elif not self.text.startswith("]", self.at):
                raise self.wrong("a `,` or `]` is missing")
        self.at += 1
        return _Node(start, self.at, values)

    def object(self) -> _Node:
        start = self.at
        self.at += 1
        members: list[_Member] = []
        while True:
            self.space()
            if self.text.startswith("}", self.at):
                break
            if not self.text.startswith('"', self.at):
                raise self.wrong('a `"key"` or `}` is missing')
            begun = self.at
            key = self.string()
            self.space()
            if not self.text.startswith(":", self.at):
                raise self.wrong("a `:` is missing")
            self.at += 1
            members.append(_Member(key, begun, self.value()))
            self.space()
            if self.text.startswith(",", self.at):
                members[-1].comma = self.at
                self.at += 1
            elif not self.text.startswith("}", self.at):
                raise self.wrong("a `,` or `}` is missing")
        self.at += 1
        return _Node(start, self.at, {row.key: row.node.value for row in members}, members)


def _read(text: str) -> _Node:
    try:
        return _Reader(text).document()
    except RecursionError:
        raise Unfit("it is nested too deep") from None


def load(text: str) -> dict[str, Any]:
    """The data of a document; {} for one of white space alone. Raises `Unfit`."""
    if not text.strip():
        return {}
    value: dict[str, Any] = _read(text).value
    return value


def value(raw: str) -> Any:
    """What the text of one value says. Raises `Unfit`."""
    return _Reader(raw).value().value


def raw(text: str, key: KeyPath) -> str | None:
    """The text of a key's value; None where it is not there. Raises `Unfit`."""
    if not text.strip():
        return None
    chain = _chain(text, _read(text), key)
    if len(chain) < len(key):
        return None
    node = chain[-1][1].node
    return text[node.start : node.end]


def put(text: str, key: KeyPath, value: Any) -> str:
    """The text with a key's value replaced, or the key added behind its neighbours. Raises
    `Unfit` where something else is in the way."""
    if not text.strip():
        text = "{}\n"
    root = _read(text)
    chain = _chain(text, root, key)
    flat = "\n" not in text.strip()
    if len(chain) == len(key):
        node = chain[-1][1].node
        indent = None if flat else _line_indent(text, chain[-1][1].start)
        return text[: node.start] + _written(text, value, indent) + text[node.end :]
    parent = chain[-1][1].node if chain else root
    name, *rest = key[len(chain) :]
    for inner in reversed(rest):
        value = {inner: value}
    return _added(text, parent, name, value)


def splice(text: str, key: KeyPath, raw: str) -> str:
    """The text with the value of a key that is there replaced by this very text."""
    node = _chain(text, _read(text), key)[len(key) - 1][1].node
    return text[: node.start] + raw + text[node.end :]


def drop(text: str, key: KeyPath, keep: int) -> str:
    """The text without a key, and without what is empty then, down to the first `keep` names."""
    chain = _chain(text, _read(text), key)
    if len(chain) < len(key):
        return text
    level = len(key)
    while level - 1 > keep and len(chain[level - 2][1].node.members or ()) == 1:
        level -= 1
    holder, member = chain[level - 1]
    return _removed(text, holder, member)


def _chain(text: str, root: _Node, key: KeyPath) -> list[tuple[_Node, _Member]]:
    """The members that lead to a key, as far as they are there, each with the object it is in."""
    chain: list[tuple[_Node, _Member]] = []
    node = root
    for depth, name in enumerate(key):
        if node.members is None:
            raise unfit_at(text, node.start, f"`{shown(key[:depth])}` is no object there")
        found = [row for row in node.members if row.key == name]
        if len(found) > 1:
            twice = f"`{shown(key[: depth + 1])}` stands there twice"
            raise unfit_at(text, found[1].start, twice)
        if not found:
            break
        chain.append((node, found[0]))
        node = found[0].node
    return chain


def _added(text: str, parent: _Node, name: str, value: Any) -> str:
    key = json.dumps(name, ensure_ascii=False)
    members = parent.members or []
    if not members and "\n" not in text.strip() and parent.end - parent.start < len(text.strip()):
        body = f"{key}: {_written(text, value, None)}"  # a document of one line stays one
        return text[: parent.start + 1] + body + text[parent.end - 1 :]
    if not members:
        base = _line_indent(text, parent.start)
        indent = base + _unit(text)
        kept = text[parent.start + 1 : parent.end - 1].rstrip()
        body = f"{indent}{key}: {_written(text, value, indent)}"
        return f"{text[: parent.start + 1]}{kept}\n{body}\n{base}{text[parent.end - 1 :]}"
    last = members[-1]
    end = last.node.end if last.comma is None else last.comma + 1
    comma = "," if last.comma is None else ""
    if "\n" not in text[parent.start : last.start]:
        body = f" {key}: {_written(text, value, None)}{'' if comma else ','}"
        return text[:end] + comma + body + text[end:]
    indent = _line_indent(text, last.start)
    body = f"\n{indent}{key}: {_written(text, value, indent)}{'' if comma else ','}"
    place = _after_remark(text, end, parent.end - 1)
    return text[:end] + comma + text[end:place] + body + text[place:]


def _written(text: str, value: Any, indent: str | None) -> str:
    """A value as text, its lines at an indent; None: all in one line."""
    if indent is None:
        return json.dumps(value, ensure_ascii=False)
    lines = json.dumps(value, ensure_ascii=False, indent=_unit(text))
    return lines.replace("\n", f"\n{indent}")  # a line end inside a string is written \\n


def _after_remark(text: str, at: int, limit: int) -> int:
    """Behind the comments that stand on the same line; `at` where something else follows."""
    place = at
    while place < limit:
        if text[place] in " \t\r":
            place += 1
        elif text.startswith("//", place):
            end = text.find("\n", place, limit)
            return limit if end < 0 else end
        elif text.startswith("/*", place):
            end = text.find("*/", place, limit)
            if "\n" in text[place:end]:
                return at
            place = end + 2
        else:
            return place if text[place] == "\n" else at
    return at


def _removed(text: str, holder: _Node, member: _Member) -> str:
    members = holder.members or []
    position = members.index(member)
    start, end = member.start, member.node.end
    line = text.rfind("\n", 0, start) + 1
    own_line = not text[line:start].strip() and line > holder.start
    if member.comma is not None:
        between = text[end : member.comma]
        end = member.comma + 1 if not between.strip() else end
    cut: list[tuple[int, int]] = []
    if member.comma is not None and end != member.comma + 1:
        cut.append((member.comma, member.comma + 1))  # a comment stands before it, and stays
    if member.comma is None and position > 0:
        comma = members[position - 1].comma
        assert comma is not None
        cut.append((comma, comma + 1))
    if len(members) == 1 and not _rest(text, holder, start, end).strip():
        return text[: holder.start + 1] + text[holder.end - 1 :]
    if own_line:
        start = line - 1
    else:
        while text[start - 1] in " \t":
            start -= 1
    cut.append((start, end))
    for begin, stop in sorted(cut, reverse=True):
        text = text[:begin] + text[stop:]
    return text


def _rest(text: str, holder: _Node, start: int, end: int) -> str:
    return text[holder.start + 1 : start] + text[end : holder.end - 1]


def _line_indent(text: str, index: int) -> str:
    line = text[text.rfind("\n", 0, index) + 1 : index]
    return line[: len(line) - len(line.lstrip())]


def _unit(text: str) -> str:
    """One step of this document's indentation."""
    found = _INDENT.search(text)
    if found is None:
        return "  "
    return "\t" if found[1].startswith("\t") else found[1][:8]
