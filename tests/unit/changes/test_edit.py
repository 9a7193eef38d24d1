"""Edits of the user's files: our keys change, everything else is the very same text."""

from __future__ import annotations

import importlib
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from agentlaunch.changes import jsonc
from agentlaunch.changes.edit import Format, SetKeys, give_back, set_keys
from agentlaunch.changes.text import Unfit, decode, same

FILE = Path("/home/u/file")
VALUES = {("env", "URL"): "http://127.0.0.1:1", ("model",): "m", ("deep", "er", "est"): 3}


def edit(
    before: str | bytes | None, format_: Format, values: Mapping[tuple[str, ...], object] = VALUES
) -> str:
    data = before.encode() if isinstance(before, str) else before
    return set_keys(SetKeys(FILE, format_, values), data).after.decode()


def round_trip(before: str, format_: Format, values: Mapping[tuple[str, ...], object]) -> str:
    """Set, then give back by key, as if somebody else had written the file meanwhile."""
    edited = set_keys(SetKeys(FILE, format_, values), before.encode())
    undone = give_back(format_, edited.after, edited.given)
    assert undone.kept == ()
    return undone.after.decode()


JSONC = """\
// mine
{
    /* theme */ "theme": "dark", // yes
    "env": {
        "PATH_X": "1"   // no comma here
    },
    "list": [1, 2, 3,],
    "model" :  "opus",
    "unknown": {"a": 1.50, "b": null},
}
"""


def test_json_keeps_comments_order_indent_and_trailing_commas() -> None:
    assert edit(JSONC, "json") == (
        JSONC.replace(
            '"1"   // no comma here', '"1",   // no comma here\n        "URL": "http://127.0.0.1:1"'
        )
        .replace('"opus"', '"m"')
        .replace(
            '"b": null},\n',
            '"b": null},\n    "deep": {\n        "er": {\n'
            '            "est": 3\n        }\n    },\n',
        )
    )


def test_json_comes_back_byte_for_byte() -> None:
    assert round_trip(JSONC, "json", VALUES) == JSONC


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ('{"a":1}', '{"a":1, "m": "x"}'),
        ('{"a":1}\n', '{"a":1, "m": "x"}\n'),
        ("{}", '{\n  "m": "x"\n}'),
        ("{}\n", '{\n  "m": "x"\n}\n'),
        ('{\n\t"a": 1\n}', '{\n\t"a": 1,\n\t"m": "x"\n}'),
        ('{\n  // only this\n}\n', '{\n  // only this\n  "m": "x"\n}\n'),
        ("", '{\n  "m": "x"\n}\n'),
        ('{"a": 1,}', '{"a": 1, "m": "x",}'),
    ],
)  # fmt: skip
def test_json_of_every_layout_gets_a_key_in_its_own_layout(before: str, after: str) -> None:
    assert edit(before, "json", {("m",): "x"}) == after


TOML = """\
# top
model = "gpt"   # mine
approval = "never"

[profiles.fast]
x = 1
y = [ 1,
  2 ] # kept

# about tools
[tools]
web = true
"""


def test_toml_keeps_comments_order_and_layout() -> None:
    values = {
        ("model",): "m",
        ("provider",): "ours",
        ("profiles", "fast", "z"): True,
        ("providers", "ours"): {"url": "http://127.0.0.1:1", "wire": "chat"},
    }
    assert edit(TOML, "toml", values) == (
        TOML.replace('"gpt"', '"m"')
        .replace('"never"\n', '"never"\nprovider = "ours"\n')
        .replace("# kept\n", "# kept\nz = true\n")
        + '\n[providers.ours]\nurl = "http://127.0.0.1:1"\nwire = "chat"\n'
    )


def test_toml_comes_back_byte_for_byte() -> None:
    values = {("model",): "m", ("tools", "web"): False}
    assert round_trip(TOML, "toml", values) == TOML


YAML = """\
# top
model: gpt   # mine
"quoted key": 1

env:   # about env
  - not: touched
nested:
    deep:
        a: |
          text

          more
        b: {x: 1}
last:
"""


def test_yaml_keeps_comments_order_and_layout() -> None:
    values = {
        ("model",): "m",
        ("nested", "deep", "b", "y"): "on",
        ("nested", "deep", "c"): 2,
        ("fresh", "one"): "x",
        ("last",): "was empty",
    }
    assert edit(YAML, "yaml", values) == (
        YAML.replace("gpt", '"m"')
        .replace("{x: 1}", '{x: 1, "y": "on"}\n        c: 2')
        .replace("last:\n", 'last: "was empty"\nfresh:\n  one: "x"\n')
    )


def test_yaml_comes_back_byte_for_byte() -> None:
    values = {("model",): "m", ("nested", "deep", "c"): 2, ("fresh", "one"): "x"}
    assert round_trip(YAML, "yaml", values) == YAML


@pytest.mark.parametrize(("format_", "text"), [("json", JSONC), ("toml", TOML), ("yaml", YAML)])
def test_a_byte_order_mark_and_windows_line_ends_stay(format_: Format, text: str) -> None:
    plain = edit(text, format_, {("model",): "m", ("new",): 1})
    windows = b"\xef\xbb\xbf" + text.replace("\n", "\r\n").encode()
    given = set_keys(SetKeys(FILE, format_, {("model",): "m", ("new",): 1}), windows)
    assert given.after == b"\xef\xbb\xbf" + plain.replace("\n", "\r\n").encode()
    assert give_back(format_, given.after, given.given).after == windows


@pytest.mark.parametrize("format_", ["json", "toml", "yaml"])
@pytest.mark.parametrize("end", ["", "\n"])
def test_the_last_line_ends_as_it_did(format_: Format, end: str) -> None:
    text = {"json": '{\n  "a": 1\n}', "toml": "[t]\na = 1", "yaml": "a: 1"}[format_] + end
    after = edit(
        text,
        format_,
        {("t" if format_ == "toml" else "a",) * 1 + (("a",) if format_ == "toml" else ()): 2},
    )
    assert after == text.replace("1", "2")


@pytest.mark.parametrize(
    ("format_", "text", "line", "column", "word"),
    [
        ("json", '{\n  "a": 1\n  "b": 2\n}', 3, 3, "`,` or `}`"),
        ("json", '{"a": [1, 2}', 1, 12, "`]`"),
        ("json", '{"a": "x\ny"}', 1, 9, "broken"),
        ("json", "[1]", 1, 1, "no object"),
        ("json", '{"a": 1} x', 1, 10, "nothing more"),
        ("json", '{"env": [1]}', 1, 9, "`env` is no object"),
        ("json", '{"env": "x"}', 1, 9, "`env` is no object"),
        ("json", '{"env": {}, "env": {}}', 1, 13, "twice"),
        ("json", "{" + '"a":{' * 5000, 1, 1000, "too deep"),
        ("toml", "a = \n", 1, 5, "Invalid value"),
        ("toml", "a = 1\na = 2\n", 2, 6, "overwrite"),
        ("toml", "env = 1\n", 1, 1, "`env` is no table"),
        ("toml", "[[env]]\nx = 1\n", 1, 1, "`env` is no table"),
        ("yaml", "a: [1\nb: 2\n", 2, 2, "expected"),
        ("yaml", "env: 1\n", 1, 6, "`env` is no mapping"),
        ("yaml", "a: 1\n---\nb: 1\n", 3, 1, "several documents"),
        ("yaml", "x: &q {a: 1}\nenv: *q\n", 2, 1, "anchor or an alias"),
        ("yaml", "- 1\n", 1, 1, "no mapping"),
        ("yaml", "env: {a: 1}\nenv: {a: 2}\n", 2, 1, "duplicate"),
    ],
)
def test_what_cannot_be_edited_is_told_with_its_place(
    format_: Format, text: str, line: int, column: int, word: str
) -> None:
    with pytest.raises(Unfit, match=word.replace("`", ".")) as caught:
        set_keys(SetKeys(FILE, format_, {("env", "URL"): "x"}), text.encode())
    assert caught.value.line == line
    assert caught.value.column == column or text.startswith('{"a":{')


def test_aliases_of_aliases_are_refused_before_they_grow() -> None:
    rows = ["a0: &a0 {x: 1}"]
    rows += [f"a{n}: &a{n} [" + ", ".join([f"*a{n - 1}"] * 9) + "]" for n in range(1, 12)]
    with pytest.raises(Unfit, match="more aliases"):
        edit("\n".join(rows), "yaml", {("m",): "x"})


def test_bytes_that_are_no_text_are_told_with_their_place() -> None:
    with pytest.raises(Unfit, match="UTF-8") as caught:
        set_keys(SetKeys(FILE, "json", {("a",): 1}), b'{\n "a": "\xff"}')
    assert (caught.value.line, caught.value.column) == (2, 8)


def test_a_new_file_names_its_schema() -> None:
    edited = set_keys(SetKeys(FILE, "json", {("a",): 1}, schema="https://x/s.json"), None)
    assert edited.after == b'{\n  "$schema": "https://x/s.json",\n  "a": 1\n}\n'


def test_a_second_edit_keeps_the_first_original() -> None:
    first = set_keys(SetKeys(FILE, "json", {("a",): 1, ("gone",): 1}), b'{"a": 0}')
    second = set_keys(SetKeys(FILE, "json", {("a",): 2}), first.after, first.given)
    assert json.loads(second.after) == {"a": 2}
    assert give_back("json", second.after, second.given).after == b'{"a": 0}'


def test_a_value_that_the_user_wrote_over_ours_is_his_original() -> None:
    first = set_keys(SetKeys(FILE, "json", {("a",): 1}), b'{"a": 0}')
    users = first.after.replace(b"1", b"7")
    second = set_keys(SetKeys(FILE, "json", {("a",): 2}), users, first.given)
    assert give_back("json", second.after, second.given).after == users


def test_a_key_that_the_user_changed_since_stays_and_is_told() -> None:
    edited = set_keys(SetKeys(FILE, "json", {("a",): 1, ("b", "c"): 2}), b'{"a": 0, "z": 1}')
    users = edited.after.replace(b'"a": 1', b'"a": 9')
    undone = give_back("json", users, edited.given)
    assert (json.loads(undone.after), undone.kept) == ({"a": 9, "z": 1}, (("a",),))


def test_a_table_of_ours_with_a_key_of_the_users_in_it_stays() -> None:
    edited = set_keys(SetKeys(FILE, "json", {("env", "a"): 1, ("env", "b"): 2}), b'{"z": 1}')
    users = edited.after.replace(b'"env": {', b'"env": {"mine": 1, ')
    undone = give_back("json", users, edited.given)
    assert (json.loads(undone.after), undone.kept) == ({"z": 1, "env": {"mine": 1}}, ())


# ---- properties ---------------------------------------------------------------------------

NAMES = st.sampled_from(["a", "b", "c", "odd key", "ü", "x.y"])
SCALARS = (
    st.none() | st.booleans() | st.integers(-5, 10**6) | st.text(max_size=6)
    | st.floats(allow_nan=False, allow_infinity=False)
)  # fmt: skip
GAPS = st.sampled_from(["", " ", "\n", "\n  ", " /* c */ ", "\n // c, }\n"])


@st.composite
def jsonc_texts(draw: Callable[..., Any], depth: int = 0) -> str:
    """An object with odd layout, comments and trailing commas."""
    rows: list[str] = []
    names: list[str] = draw(st.lists(NAMES, unique=True, max_size=4))
    for name in names:
        deeper: bool = draw(st.booleans())
        if depth < 2 and deeper:
            value: str = draw(jsonc_texts(depth=depth + 1))
        else:
            value = json.dumps(draw(SCALARS | st.lists(SCALARS, max_size=2)))
        gaps = [draw(GAPS) for _ in range(4)]
        rows.append(f"{gaps[0]}{json.dumps(name)}{gaps[1]}:{gaps[2]}{value}{gaps[3]}")
    comma = "," if rows and draw(st.booleans()) else ""
    end: str = draw(GAPS)
    return "{" + ",".join(rows) + comma + end + "}"


PATHS = st.lists(st.tuples(NAMES) | st.tuples(NAMES, NAMES), unique=True, min_size=1, max_size=3)


@given(text=jsonc_texts(), paths=PATHS, value=SCALARS)
@settings(max_examples=400, deadline=None)
def test_an_edit_of_json_changes_nothing_but_its_keys_and_can_be_undone(
    text: str, paths: list[tuple[str, ...]], value: Any
) -> None:
    firsts = [path[0] for path in paths if len(path) == 1]
    values = {path: value for path in paths if len(path) == 1 or path[0] not in firsts}
    before = jsonc.load(text)
    change = SetKeys(FILE, "json", values)
    try:
        edited = set_keys(change, text.encode())
    except Unfit as error:
        if "is no object" not in error.reason:
            raise
        return
    after = edited.after.decode()
    assert set_keys(change, edited.after, edited.given).after == edited.after
    replaced = "".join(jsonc.raw(text, path) or "" for path in values)
    assert _comments(after + replaced) == _comments(text)
    undone = give_back("json", edited.after, edited.given)
    assert undone.kept == ()
    assert jsonc.load(undone.after.decode()) == before
    assert _comments(undone.after.decode()) == _comments(text)
    for name in set(before) - {path[0] for path in values}:
        raw = jsonc.raw(text, (name,))
        assert jsonc.raw(after, (name,)) == raw == jsonc.raw(undone.after.decode(), (name,))


def _comments(text: str) -> list[int]:
    return [text.count("/* c */"), text.count("// c, }\n")]


LINES = st.sampled_from(
    ["", "# note", "a = 1 # x", 'b = "two"', "d = [ 1, # in ]\n 2 ]", "'e.f' = 1.50", "t.z = 3",
     'm = """\nnot # a remark\n  [t]\n"""', "when = 1979-05-27T07:32:00Z", "i = {x = '}'}"]
)  # fmt: skip
TABLES = st.sampled_from(["[t]", "[t.u] # yes", "['odd name']", "[v]", "[[l]]\nx = 1\n[[l]]"])


@st.composite
def toml_texts(draw: st.DrawFn) -> str:
    blocks = ["\n".join(draw(st.lists(LINES, unique=True, max_size=4)))]
    blocks += [
        "\n".join([head, *draw(st.lists(LINES, unique=True, max_size=3))])
        for head in draw(st.lists(TABLES, unique=True, max_size=3))
    ]
    return "\n".join(blocks) + draw(st.sampled_from(["", "\n", "\n\n"]))


TOML_PATHS = st.sampled_from(
    [
        ("a",),
        ("b",),
        ("new",),
        ("t", "a"),
        ("t", "new"),
        ("t", "u", "a"),
        ("fresh", "x"),
        ("v", "w", "y"),
    ]
)


@given(text=toml_texts(), paths=st.lists(TOML_PATHS, unique=True, min_size=1, max_size=3))
@settings(max_examples=300, deadline=None)
def test_an_edit_of_toml_keeps_every_other_line_and_can_be_undone(
    text: str, paths: list[tuple[str, ...]]
) -> None:
    from agentlaunch.changes import toml

    try:
        before = toml.load(text)
    except Unfit:
        assume(False)
    edited = set_keys(SetKeys(FILE, "toml", dict.fromkeys(paths, "v")), text.encode())
    after = edited.after.decode().splitlines()
    others = [line for line in text.splitlines() if line.startswith(("#", "[", "d", " 2", "'e"))]
    assert [line for line in after if line in others] == others
    undone = give_back("toml", edited.after, edited.given)
    assert (toml.load(undone.after.decode()), undone.kept) == (before, ())
    assert [line for line in undone.after.decode().splitlines() if line in others] == others


YAML_ROWS = st.sampled_from(
    ["# note", "a: 1 # x", "b: 'two'", "c:\n- 1\n- 2", "d: |\n  text\n\n  # no comment\n",
     "e: {x: 1}", "f:\n  g: 1\n  # in\n  h:\n    - k: 2"]
)  # fmt: skip
YAML_PATHS = st.sampled_from(
    [("a",), ("b",), ("new",), ("e", "x"), ("e", "y"), ("f", "g"), ("f", "new"), ("fresh", "x")]
)


@given(
    rows=st.lists(YAML_ROWS, unique=True, max_size=5),
    end=st.sampled_from(["", "\n"]),
    paths=st.lists(YAML_PATHS, unique=True, min_size=1, max_size=3),
)
@settings(max_examples=300, deadline=None)
def test_an_edit_of_yaml_keeps_every_other_line_and_can_be_undone(
    rows: list[str], end: str, paths: list[tuple[str, ...]]
) -> None:
    from agentlaunch.changes import yaml

    text = "\n".join(rows) + end
    before = yaml.load(text)
    edited = set_keys(SetKeys(FILE, "yaml", dict.fromkeys(paths, "v")), text.encode())
    kept = ("#", "c", "-", "d", "text", "h")
    others = [line for line in text.splitlines() if line.strip().startswith(kept)]
    after = edited.after.decode().splitlines()
    assert [line for line in after if line in others] == others
    undone = give_back("yaml", edited.after, edited.given)
    assert (yaml.load(undone.after.decode()), undone.kept) == (before, ())
    assert [line for line in undone.after.decode().splitlines() if line in others] == others


PIECES = st.sampled_from(
    ["{", "}", "[", "]", '"', "'", ":", ",", "=", "#", "//", "/*", "*/", "\n", " ", "a", "env",
     "- ", "1", "1e5", "true", "&x ", "*x", "---\n", "[[", "]]", "|\n", "\\", "\u2028", "\t",
     "\r", "<<: ", "? ", "%", "!t ", '"""', "0x", "."]
)  # fmt: skip


@given(
    format_=st.sampled_from(["json", "toml", "yaml"]),
    text=st.lists(PIECES, max_size=14).map("".join) | st.text(max_size=20),
    path=st.sampled_from([("a",), ("env", "a"), ("env", "env", "x")]),
)
@settings(max_examples=1500, deadline=None)
def test_whatever_a_file_holds_it_is_edited_and_undone_or_refused_with_its_place(
    format_: Format, text: str, path: tuple[str, ...]
) -> None:
    data = text.encode("utf-8", "surrogatepass")
    try:
        edited = set_keys(SetKeys(FILE, format_, {path: "v"}), data)
    except Unfit as error:
        if min(error.line, error.column) < 1:
            raise
        return
    name = "jsonc" if format_ == "json" else format_
    room = importlib.import_module(f"agentlaunch.changes.{name}")
    undone = give_back(format_, edited.after, edited.given)
    before, after = (decode(each)[0] for each in (data, undone.after))
    assert same(room.load(after), room.load(before))
    assert undone.kept == ()
