"""What a person must agree to: a host that is not this machine, and large downloads.

The word for a host is asked once, kept, and can be taken back. `--yes` does not give it: it answers
routine questions, and where code goes is none.
"""

from __future__ import annotations

import os
from dataclasses import replace

from agentlaunch import policy, settings, survey, user_file
from agentlaunch.commands import ruling
from agentlaunch.engines import remote
from agentlaunch.engines.ollama.facts import OllamaFacts
from agentlaunch.errors import AgentlaunchError, Refused, UsageError
from agentlaunch.talk import Talk
from agentlaunch.units import format_bytes

VARIABLE = f"AGENTLAUNCH_{policy.SETTING.upper()}"


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
            f"a launch asks for your word first: {_way_out(allowed, url)}",
            code="needs-your-word",
        )
        return
    if not talk.may_ask:
        raise Refused(
            f"{origin} is not this machine, and you have not allowed that your code goes there",
            hint=_way_out(allowed, url),
            code="remote-not-allowed",
        )
    asking = replace(talk, policy=replace(talk.policy, yes=False))
    if not asking.ask(policy.question(url, note=note), flag=policy.FLAG, default=False):
        raise Refused(
            f"nothing was sent to {origin}",
            hint="leave --engine away to stay on this machine",
            code="remote-not-allowed",
        )
    _keep(talk, url)


def ollama_for(talk: Talk, errand: str, *, allowed: str | None, once: bool = False) -> OllamaFacts:
    """The Ollama that is there; one elsewhere after the user's word, and then asked with his key.

    No code goes there, so a yes holds for this `errand` alone, which the question says in a
    sentence. Raises `Refused` after a no, and what `survey.look_at_ollama` raises.
    """
    url = survey.ollama_url(os.environ)
    ruling.place(url, "ollama")
    if not once and not _has_word(allowed, url):
        _permit_errand(talk, errand, allowed, url)
    return survey.look_at_ollama(os.environ, keyed=True)


def _has_word(allowed: str | None, url: str) -> bool:
    """An address that none may use needs no word: the look refuses it, and asks nobody."""
    try:
        remote.normalized_url(url)
    except (Refused, UsageError):
        return True
    return policy.allows(allowed, url)


def _permit_errand(talk: Talk, errand: str, allowed: str | None, url: str) -> None:
    origin = policy.origin(url)
    if not talk.may_ask:
        raise Refused(
            f"{origin} is not this machine, and you have not allowed that it is used",
            hint=_way_out(allowed, url),
            code="remote-not-allowed",
        )
    clear = " Nothing on the way is encrypted (http)." if policy.is_clear(url) else ""
    question = (
        f"Ollama is at {origin}, which is not this machine. {errand}{clear} Go on, this once?"
    )
    asking = replace(talk, policy=replace(talk.policy, yes=False))
    if not asking.ask(question, flag=policy.FLAG, default=False):
        raise Refused(
            f"nothing was asked of {origin}",
            hint="unset OLLAMA_HOST to use the Ollama of this machine",
            code="remote-not-allowed",
        )


def _way_out(allowed: str | None, url: str) -> str:
    if os.environ.get(VARIABLE):
        return f"allow it once with {policy.FLAG}, or add {policy.origin(url)} to {VARIABLE}"
    return policy.way_out(allowed, url)


def _keep(talk: Talk, url: str) -> None:
    origin = policy.origin(url)
    if os.environ.get(VARIABLE):  # it wins over the file, where the word would be kept in vain
        talk.say(
            f"allowed {origin} for this launch; {VARIABLE} decides which hosts are, so the next "
            "one asks again unless you add it there"
        )
        return
    try:
        own = settings.read_toml(settings.paths().user_file).get(policy.SETTING)
        value = policy.with_host(own if isinstance(own, str) else None, url)
        user_file.write(policy.SETTING, value)
    except (AgentlaunchError, OSError) as error:
        talk.warn(f"your word could not be kept, it will be asked again: {error}", code="not-kept")
        return
    talk.say(
        f"allowed {origin}; take it back with "
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
