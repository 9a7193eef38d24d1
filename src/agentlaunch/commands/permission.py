"""What a person must agree to: a host that is not this machine, and large downloads.

The word for a host is asked once, kept, and can be taken back. `--yes` does not give it: it answers
routine questions, and where code goes is none.
"""

from __future__ import annotations

from dataclasses import replace

from agentlaunch import policy, user_file
from agentlaunch.errors import AgentlaunchError, Refused
from agentlaunch.talk import Talk
from agentlaunch.units import format_bytes


def permit(
    talk: Talk,
    url: str,
    *,
    allowed: str | None,
    once: bool = False,
    rehearsal: bool = False,
    note: str = "",
) -> None:
    """Return where code may go to `url`; `once` is the flag's word, for this launch alone.

    A rehearsal (`--dry-run`) only says what a launch would ask. Raises `Refused` after a no, and
    where nobody can be asked.
    """
    if once or policy.allows(allowed, url):
        return
    origin = policy.origin(url)
    if rehearsal:
        talk.warn(
            f"a launch asks for your word first: {policy.way_out(allowed, url)}",
            code="needs-your-word",
        )
        return
    if not talk.may_ask:
        raise Refused(
            f"{origin} is not this machine, and you have not allowed that your code goes there",
            hint=policy.way_out(allowed, url),
            code="remote-not-allowed",
        )
    asking = replace(talk, policy=replace(talk.policy, yes=False))
    if not asking.ask(policy.question(url, note=note), flag=policy.FLAG, default=False):
        raise Refused(
            f"nothing was sent to {origin}",
            hint="leave --engine away to stay on this machine",
            code="remote-not-allowed",
        )
    _keep(talk, allowed, url)


def _keep(talk: Talk, allowed: str | None, url: str) -> None:
    try:
        user_file.write(policy.SETTING, policy.with_host(allowed, url))
    except (AgentlaunchError, OSError) as error:
        talk.warn(f"your word could not be kept, it will be asked again: {error}", code="not-kept")
        return
    talk.say(
        f"allowed {policy.origin(url)}; take it back with "
        f"`agentlaunch config unset {policy.SETTING}`, see `agentlaunch config`"
    )


def agree_to_download(talk: Talk, size_bytes: int, limit_bytes: int) -> None:
    """Raise `Refused` when `--yes` would have to answer for more than the user's limit."""
    if talk.policy.yes and size_bytes > limit_bytes:
        raise Refused(
            f"this would download {format_bytes(size_bytes)}, "
            f"more than the {format_bytes(limit_bytes)} that --yes agrees to",
            hint=f"agentlaunch config set max_download {size_bytes // 10**9 + 1}GB",
            code="download-limit",
        )
