"""What shapes an agent's first prompt here, as a key: the same key, the same prompt.

Versions, folder, day, and the contents of the settings, instructions and skills that the agent
reads. Some files it rewrites at every start; of those only what matters counts.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import re
import time
from collections.abc import Iterator
from pathlib import Path

from agentlaunch import files
from agentlaunch.agents.base import Agent, own_folder
from agentlaunch.models import sampling
from agentlaunch.plan import LaunchPlan, Places

INSTRUCTIONS = (
    "AGENTS.md", "AGENTS.override.md", "CLAUDE.md", "CLAUDE.local.md", "GEMINI.md", "QWEN.md",
    ".mcp.json", "opencode.json", "opencode.jsonc", ".github/copilot-instructions.md",
)  # fmt: skip
"""Looked for in the folder and in all above it."""

FOLDERS = (".agents", ".claude", ".codex", ".github", ".opencode", ".pi", ".qwen")
"""An agent's folder in a project; `~/.agents` and the like are met from the home above."""

PARTS = (
    "*.json", "*.jsonc", "*.toml", "*.yaml", "*.yml", "*.md", "skills/*/SKILL.md",
    "skill/*/SKILL.md", "skills/.system/*/SKILL.md", "agents/*", "agent/*", "commands/*",
    "command/*", "prompts/*", "rules/*", "output-styles/*", "plugin/*", "plugins/*.json",
    "plugins/*.js", "plugins/*.ts", "tool/*", "tools/*", "extensions/*/*.json",
)  # fmt: skip
"""What of such a folder shapes a prompt."""

REWRITTEN = frozenset({".claude.json", "history.json", "trustedFolders.json", "installation.json"})
"""Files that an agent rewrites at its start."""
SERVERS = ("mcpServers", "enabledMcpjsonServers", "disabledMcpjsonServers", "disabledMcpServers")

MOST_FILES, MOST_BYTES = 500, 1 << 20


def key_of(plan: LaunchPlan, where: Places, *, headless: bool) -> str:
    """The key of this launch's first prompt; whoever changes what shapes it gets another one."""
    wish, agent = plan.wish, plan.wish.agent
    tells_git = agent.rehearsal is not None and agent.rehearsal.tells_git
    values = {
        "agent": agent.name,
        "version": plan.agent.version,
        "path": str(plan.agent.path),
        "engine": [plan.engine, plan.url],
        "model": plan.model.id,
        "thinking": sampling.for_model(plan.model.id).thinking_off,
        "tier": [plan.context.tier.name, *plan.context.tier.args],
        "home": wish.home,
        "folder": str(where.project),
        "headless": headless,
        "day": time.strftime("%Y-%m-%d"),
        "git": _git(where.project) if tells_git and not headless else None,
        "files": {str(file): digest for file, digest in _files(agent, wish.home, where)},
    }
    return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()


def _files(agent: Agent, home: str, where: Places) -> Iterator[tuple[Path, str]]:
    own = own_folder(agent, where.environ) if home == "own" else where.homes / agent.name
    roots = [where.project, *where.project.parents]
    found: list[Path] = [root / name for root in roots for name in INSTRUCTIONS]
    user = where.environ.get("HOME")
    for root in dict.fromkeys([*roots, *([Path(user)] if user else [])]):
        for folder in FOLDERS:
            found += _parts(root / folder)
    found += _parts(own)
    found += [own / ".claude.json", own.parent / ".claude.json"]
    # Claude Code's own memory of a project stands in its prompt (2.1.197).
    slug = re.sub(r"[^A-Za-z0-9]", "-", str(where.project))
    found.append(own / "projects" / slug / "memory" / "MEMORY.md")
    for file in list(dict.fromkeys(found))[:MOST_FILES]:
        digest = _digest(file, where.project)
        if digest is not None:
            yield file, digest


def _parts(folder: Path) -> list[Path]:
    try:
        if not folder.is_dir():
            return []
        return sorted(file for pattern in PARTS for file in folder.glob(pattern))
    except (OSError, ValueError):
        return []


def _digest(file: Path, project: Path) -> str | None:
    if file.name in REWRITTEN:
        return _servers(file, project)
    try:
        data = files.read_plain(file, MOST_BYTES)
    except (OSError, ValueError):
        return None
    return hashlib.sha256(data).hexdigest()


def _servers(file: Path, project: Path) -> str | None:
    """Of a file with everything in it: MCP servers, the user's own and those of this folder."""
    row = files.read_json(file)
    if row is None:
        return None
    projects = row.get("projects")
    here = projects.get(str(project)) if isinstance(projects, dict) else None
    kept = [
        {name: part[name] for name in SERVERS if part.get(name)} if isinstance(part, dict) else {}
        for part in (row, here)
    ]
    return hashlib.sha256(json.dumps(kept, sort_keys=True).encode()).hexdigest()


def instructions_bytes(project: Path) -> int:
    """How much instructions a folder and those above it hold for agents, in bytes."""
    total = 0
    for folder in (project, *project.parents):
        for name in INSTRUCTIONS:
            with contextlib.suppress(OSError):
                total += (folder / name).stat().st_size
    return total


def _git(project: Path) -> str:
    """The state of the repository, by its own files: `git` itself would run commands that the
    repository's settings name (filters, a signature's program), before anybody trusts it."""
    for folder in (project, *project.parents):
        found = folder / ".git"
        if found.is_dir():
            return _git_state(found)
        if found.is_file():  # a worktree's, or a submodule's
            text = _text(found)
            return _git_state(folder / text.removeprefix("gitdir:").strip())
    return ""


def _git_state(git: Path) -> str:
    head = _text(git / "HEAD")
    said = [head, _text(git / head.removeprefix("ref:").strip()) if "ref:" in head else ""]
    with contextlib.suppress(OSError):
        index = (git / "index").stat()
        said.append(f"{index.st_size} {index.st_mtime_ns}")
    return hashlib.sha256("\0".join(said).encode()).hexdigest()


def _text(file: Path) -> str:
    try:
        return files.read_plain(file, MOST_BYTES).decode("utf-8", "replace").strip()
    except (OSError, ValueError):
        return ""
