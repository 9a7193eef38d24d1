"""Write the reference pages that the program itself knows best; `--check` fails on stale ones.

python scripts/build_docs_tables.py [--check]
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

from agentlaunch import errors, settings
from agentlaunch.agents import AGENTS
from agentlaunch.agents.base import Agent
from agentlaunch.arguments import COMMANDS, HIDDEN_NAMES
from agentlaunch.engines import presets

REFERENCE = Path(__file__).resolve().parent.parent / "docs" / "reference"
TESTED = Path(__file__).resolve().parent / "data" / "tested_versions.json"
MADE = "<!-- made by scripts/build_docs_tables.py; edit the program, not this page -->\n"


def exit_codes() -> str:
    """The table of endings, from the error classes."""
    rows = ["| status | when | code in JSON |", "| --- | --- | --- |"]
    rows.append("| 0 | done; check passed; you said no to a question that ends nothing | |")
    for kind in (errors.AgentlaunchError, *errors.AgentlaunchError.__subclasses__()):
        if kind.__module__ == "agentlaunch.errors":
            text = (kind.__doc__ or "").splitlines()[0].rstrip(".")
            if kind is errors.AgentlaunchError:
                text = "failed, no status of its own"
            rows.append(f"| {kind.exit_code} | {text} | `{kind.code}` or a finer word |")
    rows += [
        f"| {errors.BUG_EXIT} | a bug in agentlaunch; the report's place is printed | `bug` |",
        f"| {errors.INTERRUPTED_EXIT} | interrupted (Ctrl-C) | `interrupted` |",
        f"| {errors.TERMINATED_EXIT} | terminated (SIGTERM) | `terminated` |",
        f"| {errors.BROKEN_PIPE_EXIT} | the reader of our output left | |",
        "| N | after the hand-over: exactly the agent's own status | |",
    ]
    return "# Exit status\n\n" + "\n".join(rows) + "\n"


def settings_page() -> str:
    """Every setting, from the settings table."""
    rows = ["| name | default | a project may set it | what it is |", "| --- | --- | --- | --- |"]
    for row in settings.SETTINGS:
        default = "auto" if row.default is None else str(row.default)
        if row.default is None and row.kind in ("address", "addresses"):
            default = "its own" if row.kind == "address" else "none"
        choices = f" ({', '.join(row.choices)})" if row.choices else ""
        may = "yes" if row.project_may else "no"
        rows.append(f"| `{row.name}` | {default} | {may} | {row.help}{choices} |")
    return (
        "# Settings\n\n"
        "Order: flag, then `AGENTLAUNCH_<NAME>` in the environment, then `agentlaunch.toml` in\n"
        "the project, then the user file (`agentlaunch config path`), then the default.\n"
        "`agentlaunch config --origin` shows each value with the place that decided it.\n\n"
        + "\n".join(rows)
        + "\n"
    )


def agents_page() -> str:
    """Every agent, from the specs."""
    local = [agent for agent in AGENTS.values() if agent.local]
    rows = [
        "| agent | also | support | tested versions | speaks | context from | first request "
        "| one prompt, after `--` |",
        "| --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    rows += [
        f"| {_linked(agent)} (`{agent.name}`) | {_also(agent)} | {agent.support} | "
        f"{', '.join(agent.tested_versions) or '-'} | {', '.join(agent.wires)} | "
        f"{agent.min_context_tokens:,} | {agent.first_request_tokens:,} | `{agent.one_prompt}` |"
        for agent in local
    ]
    known = ["| agent | versions | what happens |", "| --- | --- | --- |"]
    known += [
        f"| {agent.title} | `{row.versions}` | {row.text} |"
        for agent in local
        for row in agent.breaks
    ]
    asks = ["| agent | what it still asks, with every switch of ours |", "| --- | --- |"]
    asks += [f"| {agent.title} | {text} |" for agent in local for text in agent.egress]
    never = ["| agent | also | why |", "| --- | --- | --- |"]
    never += [
        f"| {agent.title} (`{agent.name}`) | {_also(agent)} | {agent.local_reason} |"
        for agent in AGENTS.values()
        if not agent.local
    ]
    return (
        "# Agents\n\n"
        "Tokens are of the served prompt's first request with all tools (interactive), measured;\n"
        "`context from` is the smallest window in which the agent's smallest prompt can work.\n"
        "`tested`: end to end in `./scripts/test` with the real program, in the first version\n"
        "named; the others passed the same tests once. `launches`: the real program was run, and\n"
        "`nox -s full` runs it. `documented`: configured from its documentation, never run; its\n"
        "tokens are guesses.\n\n"
        + "\n".join(rows)
        + "\n\n## Known to break\n\n"
        + "\n".join(known)
        + "\n\n## What still leaves the machine\n\n"
        "Seen behind a proxy that refuses everything. All others ask nobody but the engine.\n\n"
        + "\n".join(asks)
        + "\n\n## Cannot be local\n\n"
        + "\n".join(never)
        + "\n"
    )


def _linked(agent: Agent) -> str:
    page = REFERENCE / "agents" / f"{agent.name}.md"
    return f"[{agent.title}](agents/{agent.name}.md)" if page.is_file() else agent.title


def _also(agent: Agent) -> str:
    return ", ".join(f"`{alias}`" for alias in agent.aliases)


def _agent_rows(agent: Agent) -> list[str]:
    """What was run of it, by which tests."""
    suites = "`tests/e2e`" if agent.name == "claude-code" else "`tests/e2e/test_agents_*.py`"
    often = f"{suites}, in `./scripts/test`"
    if agent.support != "tested":
        often = f"{suites}, in `nox -s full`"
    return [
        f"| {agent.title} | {version} | {often if number == 0 else suites + ', once'} "
        "| Linux x86-64 |"
        for number, version in enumerate(agent.tested_versions)
    ]


def tested_versions() -> str:
    """What ran against what: agents from their specs, the rest from a file beside this one."""
    data = json.loads(TESTED.read_text(encoding="utf-8"))
    local = [agent for agent in AGENTS.values() if agent.local]
    rows = ["| program | version | shown by | on |", "| --- | --- | --- | --- |"]
    rows += [f"| {r['what']} | {r['version']} | {r['by']} | {r['on']} |" for r in data["tested"]]
    rows += [row for agent in local for row in _agent_rows(agent)]
    bare = ["| never run against the real thing | what was used instead |", "| --- | --- |"]
    bare += [f"| {row['what']} | {row['instead']} |" for row in data["untested"]]
    bare += [
        f"| {agent.title} | its documentation |" for agent in local if not agent.tested_versions
    ]
    return (
        "# Tested versions\n\n"
        "What was run against the real program, in which version. Other versions may work.\n\n"
        + "\n".join(rows)
        + "\n\n## Untested\n\n"
        + "\n".join(bare)
        + "\n"
    )


def servers_page() -> str:
    """Every server with a name, from the presets."""
    rows = [
        "| `--engine` | also | address | setting | its own key variable | shown with |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    parts = []
    for row in presets.ALL:
        also = ", ".join(f"`{alias}`" for alias in row.aliases)
        keys = ", ".join(f"`{name}`" for name in row.key_variables) or "none"
        seen = "the real server" if row.seen == "real" else "its shapes only: untested"
        rows.append(
            f"| `{row.name}` | {also} | {row.address} | `{row.setting}` | {keys} | {seen} |"
        )
        wires = ", ".join(row.wires) or "tried out"
        parts.append(
            f"## {row.title}\n\n"
            f"- wires: {wires}\n- context: {row.context}\n- tools: {row.tools}\n"
            + (f"- your code: {row.note}\n" if row.note else "")
            + f"- source: {row.source}\n"
        )
    return (
        "# Servers\n\n"
        "Servers that somebody else runs, by name; any other by its address. How to use them:\n"
        "[Use a server that runs already](../how-to/servers.md).\n\n"
        + "\n".join([*rows, "", *parts])
    )


def cli_page() -> str:
    """`--help` of every command."""
    parts = ["# Commands\n"]
    words: list[tuple[str, ...]] = [()]
    for name, rows in COMMANDS.items():
        if name not in HIDDEN_NAMES:
            words.append((name,))
            words += [(name, sub) for sub in rows if sub]
    parts += [
        f"## `{' '.join(('agentlaunch', *argv))}`\n\n```text\n{_help(argv)}\n```\n"
        for argv in words
    ]
    return "\n".join(parts)


def _help(argv: tuple[str, ...]) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "agentlaunch", *argv, "--help"],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "COLUMNS": "80", "TERM": "dumb"},
    )
    return "\n".join(line.rstrip() for line in done.stdout.strip().splitlines())


PAGES = {
    "exit-codes.md": exit_codes,
    "settings.md": settings_page,
    "agents.md": agents_page,
    "servers.md": servers_page,
    "cli.md": cli_page,
    "tested-versions.md": tested_versions,
}


def main() -> int:
    """Write or check every page."""
    stale = []
    for name, page in PAGES.items():
        place, text = REFERENCE / name, MADE + "\n" + page()
        if place.exists() and place.read_text() == text:
            continue
        if "--check" in sys.argv:
            stale.append(str(place.name))
        else:
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_text(text)
    if stale:
        sys.stderr.write(f"stale: {', '.join(stale)}; run python {Path(__file__).name}\n")
    return 1 if stale else 0


if __name__ == "__main__":
    sys.exit(main())
