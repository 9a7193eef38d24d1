"""`agentlaunch clean`: what we installed or downloaded, with sizes; removes it on request."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from agentlaunch import files, launch, managed, settings
from agentlaunch.commands.result import Result
from agentlaunch.engines import llama_cpp, llama_cpp_prefixes
from agentlaunch.errors import UsageError
from agentlaunch.gateway import life
from agentlaunch.models import store
from agentlaunch.proof import recording
from agentlaunch.settings import Paths
from agentlaunch.talk import Talk
from agentlaunch.units import format_bytes


@dataclass(frozen=True, slots=True)
class Item:
    """Something of ours that can go, under the name that selects it. `served` is what an engine of
    ours may be reading, or running from."""

    name: str
    what: str
    path: Path
    size_bytes: int
    remove: Callable[[], object]
    served: bool = False


def run(talk: Talk, names: tuple[str, ...], *, everything: bool) -> Result:
    """List everything of ours; with names or `--all` remove it after one question.

    Raises `UsageError` for a name that is not in the list, `Refused` while an engine is in use.
    """
    paths = settings.paths()
    items = found(paths)
    known = {item.name for item in items}
    for name in names:
        if name not in known:
            raise UsageError(
                f"there is nothing of ours called {name!r}",
                hint="`agentlaunch clean` lists the names",
            )
    chosen = [item for item in items if everything or item.name in names]
    data: dict[str, object] = {
        "items": [
            {"name": i.name, "what": i.what, "path": str(i.path), "size_bytes": i.size_bytes}
            for i in items
        ],
        "removed": [],
    }
    if not chosen:
        return Result("agentlaunch/clean/1", data, lambda t: _draw_all(t, items))
    _draw(talk, chosen) if not talk.policy.json else None
    total = sum(item.size_bytes for item in chosen)
    if not talk.ask(f"Remove these ({format_bytes(total)})?", flag="--yes", default=False):
        return Result("agentlaunch/clean/1", data, lambda t: t.say("nothing was done"))
    if any(item.served for item in chosen):
        _stop_engines(paths)
    for item in chosen:
        item.remove()
    data["removed"] = [item.name for item in chosen]
    text = f"removed {len(chosen)}, freed {format_bytes(total)}"
    return Result("agentlaunch/clean/1", data, lambda t: t.say(text))


def found(paths: Paths) -> tuple[Item, ...]:
    """Everything of ours on this disk, with what removes it."""
    items: list[Item] = []
    for row in managed.installed_all(paths):
        name = f"{row.name}@{row.version}"
        half = "removal" if row.path.name.startswith(managed.REMOVING) else "installation"
        what = "environment" if row.complete else f"unfinished {half}"
        remove = partial(managed.remove, row)
        items.append(Item(name, what, row.path, row.size_bytes, remove, served=row.complete))
    ours = store.Store(paths.models, ours=True)
    items += [
        Item(
            str(m.ref),
            "model",
            m.model_path,
            m.size_bytes,
            partial(ours.remove, m.ref),
            served=True,
        )
        for m in ours.list()
    ]
    left = ours.leftovers()
    if left:
        size = sum(row.size_bytes for row in left)
        what = "unfinished downloads"
        items.append(Item("downloads", what, paths.models, size, ours.remove_leftovers))
    launch.sweep(paths)
    saved = (
        ("prefixes", "prompts that the engine has read", paths.cache / llama_cpp_prefixes.FOLDER),
        ("recordings", "agents' first prompts", paths.cache / recording.FOLDER),
    )
    apart = tuple(folder for _name, _what, folder in saved)
    for name, what, folder, keeping in (
        ("cache", "folder", paths.cache, apart),
        *((name, what, folder, ()) for name, what, folder in saved),
    ):
        size = files.tree_bytes(folder) - sum(files.tree_bytes(each) for each in keeping)
        if size:
            items.append(Item(name, what, folder, size, partial(_remove_tree, folder, keeping)))
    folders = (
        ("homes", paths.data / "homes"),
        ("logs", paths.logs),
        ("shells", paths.runtime / launch.ENVIRONMENTS),  # what `env` pointed shells at
    )
    for name, folder in folders:
        size = files.tree_bytes(folder)
        if size:
            items.append(Item(name, "folder", folder, size, partial(_remove_tree, folder)))
    return tuple(items)


def _stop_engines(paths: Paths) -> None:
    """Stop every engine and gateway of ours; raises `Refused` before the first when a session uses
    one."""
    life.stop(paths)
    engine = llama_cpp.LlamaCpp(paths)
    for row in sorted(engine.running(), key=lambda row: -row.sessions):  # the refusing ones first
        engine.stop(row.key)


def _remove_tree(folder: Path, keeping: tuple[Path, ...] = ()) -> None:
    """Remove a folder; of one that has other items below it, all but those."""
    import shutil

    if not any(each.is_dir() for each in keeping):
        shutil.rmtree(folder, ignore_errors=True)
        return
    for path in folder.iterdir():
        if path.is_dir() and not path.is_symlink():
            if path not in keeping:
                shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)


def _draw_all(talk: Talk, items: tuple[Item, ...]) -> None:
    _draw(talk, items)
    if items:
        talk.say(
            f"remove one: agentlaunch clean {items[0].name}; all of it: agentlaunch clean --all"
        )


def _draw(talk: Talk, items: tuple[Item, ...] | list[Item]) -> None:
    if not items:
        talk.answer("nothing that we installed or downloaded is on this disk")
        return
    rows = [(i.name, format_bytes(i.size_bytes), i.what, str(i.path)) for i in items]
    talk.table(("NAME", "SIZE", "WHAT", "WHERE"), rows)
