"""The floors: imports run strictly downwards, heavy libraries stand behind one door each."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import agentlaunch

PACKAGE = Path(agentlaunch.__file__).parent

FLOORS: tuple[frozenset[str], ...] = (
    frozenset({"errors", "progress", "units", "files", "commented_yaml", "__init__"}),
    frozenset(
        {
            "settings",
            "talk",
            "web",
            "process",
            "managed",
            "proven",
            "records",
            "context",
            "endpoint",
            "keys",
            "launches",
            "policy",
            "user_file",
        }
    ),
    frozenset({"agents", "engines", "models", "machine", "changes", "gateway", "hosted"}),
    frozenset({"survey"}),
    frozenset({"plan", "checks", "proof"}),
    frozenset({"launch"}),
    frozenset({"commands"}),
    frozenset({"cli", "arguments", "__main__"}),
)
SAME_FLOOR = {
    ("errors", "files"), ("files", "errors"), ("progress", "units"),
    ("managed", "process"), ("managed", "settings"), ("managed", "keys"), ("user_file", "settings"),
    ("web", "endpoint"), ("policy", "endpoint"), ("proven", "endpoint"), ("settings", "endpoint"),
    ("settings", "policy"),
    ("engines", "models"), ("models", "machine"), ("agents", "changes"),
    ("gateway", "engines"), ("gateway", "models"), ("hosted", "engines"), ("hosted", "models"),
    ("cli", "arguments"), ("__main__", "cli"),
}  # fmt: skip
"""(who, whom) on one floor, only where drawn."""

DOORS = {
    "httpx": {"web.py", "gateway/litellm_hooks.py"},
    "rich": {"talk/following.py"},
    "subprocess": {"process.py", "engines/llama_cpp_host.py", "gateway/status_line.py"},
    "questionary": {"talk/choice.py"},
    "prompt_toolkit": {"talk/choice.py"},
    "psutil": {"process.py", "machine/live_values.py"},
    "pydantic": set[str](),
    "filelock": {"files.py"},
    "platformdirs": {"settings.py"},
    "typer": {"cli.py", "arguments/"},
    "tomli_w": {"user_file.py"},
    "keyring": {"keys.py"},
    "ruamel": {"changes/yaml.py"},
}

IMPURE_METHODS = {
    "exists", "is_file", "is_dir", "stat", "open", "read_text", "read_bytes", "write_text",
    "write_bytes", "mkdir", "unlink", "glob", "rglob", "iterdir", "resolve", "expanduser", "cwd",
}  # fmt: skip
"""What a `Path` can do to the world; as a value it may pass through a pure room."""

STANDS_ALONE = {"engines/llama_cpp_host.py", "gateway/door.py", "gateway/status_line.py"}
"""Programs that another Python runs, by its standard library alone."""
PURE = (
    "plan/", "context.py", "units.py", "models/budget.py", "models/candidate.py",
    "models/choose.py", "models/evidence.py", "models/fit.py", "models/guess.py",
    "models/measured.py", "models/memory.py", "models/shape.py", "models/speed.py",
)  # fmt: skip
IMPURE_MODULES = {"os", "time", "socket", "subprocess", "shutil", "random", "datetime", "tempfile"}


def _files() -> Iterator[tuple[str, ast.Module]]:
    for file in sorted(PACKAGE.rglob("*.py")):
        yield file.relative_to(PACKAGE).as_posix(), ast.parse(file.read_text())


def _room(place: str) -> str:
    return place.split("/")[0].removesuffix(".py")


def _floor(room: str) -> int:
    (floor,) = [number for number, rooms in enumerate(FLOORS) if room in rooms]
    return floor


def _imports(tree: ast.Module) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module is not None:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def _own_rooms(tree: ast.Module) -> set[str]:
    rooms = set()
    for name in _imports(tree):
        words = name.split(".")
        known = {room for floor in FLOORS for room in floor}
        if words[0] == "agentlaunch" and len(words) > 1 and words[1] in known:
            rooms.add(words[1])
    return rooms


def test_every_room_stands_on_one_floor() -> None:
    rooms = {_room(place) for place, _tree in _files()}
    assert rooms == {room for floor in FLOORS for room in floor}


def test_imports_run_downwards_only() -> None:
    wrong = []
    for place, tree in _files():
        room = _room(place)
        for other in _own_rooms(tree) - {room}:
            down = _floor(other) < _floor(room)
            if not down and (room, other) not in SAME_FLOOR:
                wrong.append(f"{place} imports {other}")
    assert wrong == []


def test_inside_managed_nothing_imports_its_front() -> None:
    for place, tree in _files():
        if place.startswith("managed/") and place != "managed/__init__.py":
            assert "agentlaunch.managed" not in set(_imports(tree)), place


def test_agents_never_import_engines() -> None:
    for place, tree in _files():
        if place.startswith("agents/"):
            assert "engines" not in _own_rooms(tree), place


def test_below_the_commands_only_launch_talks() -> None:
    talkers = {place for place, tree in _files() if "talk" in _own_rooms(tree)}
    allowed = ("commands/", "launch/", "cli.py", "arguments/", "talk/")
    assert {place for place in talkers if not place.startswith(allowed)} == set()


def test_heavy_libraries_stand_behind_their_door() -> None:
    wrong = []
    for place, tree in _files():
        roots = {name.split(".")[0] for name in _imports(tree)}
        wrong += [f"{place}: {lib}" for lib, doors in DOORS.items() if lib in roots - doors
                  and not place.startswith(tuple(doors))]  # fmt: skip
    assert wrong == []


def test_the_host_process_stands_alone() -> None:
    trees = [tree for place, tree in _files() if place in STANDS_ALONE]
    assert len(trees) == len(STANDS_ALONE)
    assert not any(name.startswith("agentlaunch") for tree in trees for name in _imports(tree))


def test_pure_rooms_cannot_touch_the_world() -> None:
    for place, tree in _files():
        if place.startswith(PURE):
            roots = {name.split(".")[0] for name in _imports(tree)}
            assert roots.isdisjoint(IMPURE_MODULES), place
            used = {node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute)}
            assert used.isdisjoint(IMPURE_METHODS), place
