"""One line on where requests go now, below what the user's own status line prints.

A stand-alone script for an agent's status line, which runs it again and again: standard library
only, and as little of it as will do. `python -I status_line.py STATUS_JSON [USER_COMMAND]` gives
the command our stdin and a few seconds, as the agent would; whatever goes wrong, the user still
sees his own.
"""

from __future__ import annotations

import json
import os
import stat
import sys
import time
from datetime import datetime, timezone
from typing import Any

Document = dict[str, Any]

USER_COMMAND_S = 4.0
"""The agent gives both of us 5 seconds (read, Claude Code 2.1.197)."""
MOST_STATUS_BYTES = 1 << 16
MOST_OUTPUT_BYTES = 1 << 13
"""Of the user's; more than 10 KiB would cost the whole line (read, Qwen Code 0.15.10)."""
MOST_NAME = 40
MOST_REASON = 80
TOLD_S = 600
"""How long a switch back to the liked endpoint is still told."""
MAIN = "main"
MOST_LINES_VARIABLE = "AGENTLAUNCH_STATUS_LINES"
"""How many lines the agent shows (Qwen Code 0.15.10: two); without it as many as there are."""


def main(args: list[str]) -> None:
    """Print the user's lines, then ours; each is left out where there is none."""
    output = b""
    if len(args) > 1:
        given = sys.stdin.buffer.read()
        output = user_output(args[1], given)
    ours = line(read_status(args[0]), datetime.now(timezone.utc)) if args else ""
    try:
        sys.stdout.buffer.write(together(output, ours, os.environ.get(MOST_LINES_VARIABLE, "")))
        sys.stdout.buffer.flush()
    except OSError:  # the agent has given up on us
        os._exit(0)


def together(output: bytes, ours: str, most_lines: str = "") -> bytes:
    """The user's output as it is, and our line below it; on its last line where the agent would not
    show another."""
    if not ours:
        return output
    own = output.removesuffix(b"\n")
    lines = [line for line in own.split(b"\n") if line.strip()]
    if most_lines.isdecimal() and 0 < int(most_lines) <= len(lines):
        own, ours = b"\n".join(lines[: int(most_lines)]), f" · {ours}"
    elif own:
        ours = f"\n{ours}"
    return own + ours.encode() + b"\n"


# ---- the user's own -----------------------------------------------------------------------


def user_output(command: str, given: bytes, limit_s: float = USER_COMMAND_S) -> bytes:
    """What the user's command prints, run by the shell as the agent does it; nothing when it fails,
    since the agent shows nothing then (read, Claude Code 2.1.197). What a command has printed when
    its time is over counts."""
    import select
    import signal
    import subprocess
    import threading

    children: list[subprocess.Popen[bytes]] = []

    def end(*_signal: object) -> None:
        for child in children:
            try:
                os.killpg(child.pid, signal.SIGKILL)
            except (OSError, AttributeError):  # gone; no groups on this system
                child.kill()

    def give_up(*_signal: object) -> None:
        end()
        os._exit(0)

    def feed(pipe: Any) -> None:
        try:
            pipe.write(given)
            pipe.close()
        except OSError:  # it does not read
            pass

    # An agent that wants a newer line ends us: then what we run goes, too.
    signal.signal(signal.SIGTERM, give_up)
    try:
        child = subprocess.Popen(  # noqa: S602 - a command line of the user's own settings
            command,
            shell=True,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
    except (OSError, ValueError):
        return b""
    children.append(child)
    assert child.stdin is not None
    assert child.stdout is not None
    threading.Thread(target=feed, args=(child.stdin,), daemon=True).start()
    limit = time.monotonic() + limit_s
    out, data = child.stdout.fileno(), b""
    in_time = False
    while len(data) < MOST_OUTPUT_BYTES and (left := limit - time.monotonic()) > 0:
        if not select.select([out], [], [], left)[0]:
            break
        if not (part := os.read(out, MOST_OUTPUT_BYTES)):
            in_time = True
            break
        data += part
    if not in_time:
        end()
        return data[:MOST_OUTPUT_BYTES]
    try:
        status = child.wait(max(0.1, limit - time.monotonic()))
    except subprocess.TimeoutExpired:
        end()
        return data
    return data if status == 0 else b""


# ---- ours ---------------------------------------------------------------------------------


def read_status(path: str) -> Document | None:
    """The gateway's own account; None when it is absent, broken, no plain file or far too long."""
    try:
        file = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0))
        with os.fdopen(file, "rb") as stream:
            if not stat.S_ISREG(os.fstat(stream.fileno()).st_mode):
                return None
            data = stream.read(MOST_STATUS_BYTES + 1)
        value = json.loads(data) if len(data) <= MOST_STATUS_BYTES else None
    except (OSError, ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


def line(status: Document | None, now: datetime) -> str:
    """Our line; "" where nothing is known. Roles that are not where they should be come first."""
    if status is None:
        return ""
    roles = {
        name: role
        for name, role in _dict(status.get("roles")).items()
        if isinstance(role, dict) and _clean(role.get("hop"))
    }
    last = _dict(status.get("last_switch"))
    told = [
        _switched(name, role, last, now)
        for name, role in roles.items()
        if role.get("liked") is False or role.get("silent") or _is_news(name, role, last, now)
    ]
    parts = [*(told or _as_liked(roles)), *_spent(status)]
    return f"agentlaunch: {' · '.join(parts)}" if parts else ""


def _as_liked(roles: Document) -> list[str]:
    """Where the main work goes, and what goes elsewhere."""
    main = _clean(_dict(roles.get(MAIN)).get("hop"))
    others = [
        f"{_clean(name)} on {hop}"
        for name, role in roles.items()
        if name != MAIN and (hop := _clean(role.get("hop"))) != main
    ]
    return [", ".join([main, *others] if main else others)] if main or others else []


def _switched(name: str, role: Document, last: Document, now: datetime) -> str:
    silent = _dict(role.get("silent"))
    if silent:
        parts = (_ago(_time(silent.get("since")), now), _clean(silent.get("why"), MOST_REASON))
        return f"{_clean(name)}: nobody answers ({', '.join(part for part in parts if part)})"
    is_last = _is_last(name, role, last)
    since = _time(last.get("at")) if is_last else None
    age = _ago(since or _time(role.get("since")), now)
    reason = _clean(last.get("reason"), MOST_REASON) if is_last else ""
    why = ", ".join(part for part in (reason, age) if part)
    return f"{_clean(name)} → {_clean(role.get('hop'))}" + (f" ({why})" if why else "")


def _is_last(name: str, role: Document, last: Document) -> bool:
    return last.get("role") == name and last.get("after") == role.get("hop")


def _is_news(name: str, role: Document, last: Document, now: datetime) -> bool:
    at = _time(last.get("at"))
    return at is not None and _is_last(name, role, last) and (now - at).total_seconds() < TOLD_S


def _spent(status: Document) -> list[str]:
    spent, cap = status.get("spent_today_usd"), status.get("cap_usd")
    if not (_is_money(spent) and _is_money(cap)):
        return []
    return [f"${spent:.2f} of ${cap:.2f} today"]


def _is_money(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < 1e9


def _dict(value: object) -> Document:
    return value if isinstance(value, dict) else {}


def _clean(value: object, most: int = MOST_NAME) -> str:
    """Text on one line with nothing in it that a terminal would obey."""
    text = value if isinstance(value, str) else ""
    text = " ".join("".join(c if c.isprintable() else " " for c in text[: 4 * most]).split())
    return text if len(text) <= most else text[: most - 1] + "…"


def _time(value: object) -> datetime | None:
    """An ISO time; UTC where it says no zone."""
    try:
        # 3.10 does not read a Z.
        at = (
            datetime.fromisoformat(value.replace("Z", "+00:00")) if isinstance(value, str) else None
        )
        return at if at is None or at.tzinfo else at.replace(tzinfo=timezone.utc)
    except ValueError:
        return None


def _ago(at: datetime | None, now: datetime) -> str:
    if at is None:
        return ""
    minutes = int((now - at).total_seconds()) // 60
    if minutes < 1:
        return "just now"
    if minutes < 60:
        return f"{minutes} min ago"
    return f"{minutes // 60} h ago" if minutes < 48 * 60 else f"{minutes // (24 * 60)} days ago"


if __name__ == "__main__":
    main(sys.argv[1:])
