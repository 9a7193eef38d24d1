"""Endpoint and wire: the words that engines, agents and proofs share."""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass, field
from typing import Literal
from urllib.parse import urlsplit

Wire = Literal["anthropic_messages", "openai_responses", "openai_chat"]

TokenHeader = Literal["bearer", "x-api-key"]
"""How the token is sent: `Authorization: Bearer`, or Anthropic's own header."""

HIDDEN = "***"
"""Stands for a token wherever a person or a script may read."""

_USER = re.compile(r"""(?:(?<=//)|^(?!\S*//))[^\s"]*@""")
_QUERY = re.compile(r"""((?://|^)[^\s"?#]*)[?#][^\s"']+""")


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where a model answers: `base_url` without `/v1`, the token that every request must carry."""

    base_url: str
    wires: tuple[Wire, ...]
    model: str
    token: str = field(default="", repr=False)
    token_header: TokenHeader = "bearer"  # noqa: S105 - the name of a header

    @property
    def key_headers(self) -> dict[str, str]:
        """The token as this server wants it, in one header alone: Anthropic refuses a second."""
        if not self.token:
            return {}
        if self.token_header == "x-api-key":  # noqa: S105 - the name of a header
            return {"x-api-key": self.token}
        return {"authorization": f"Bearer {self.token}"}

    @property
    def openai_url(self) -> str:
        """The base that OpenAI's clients want: with `/v1`."""
        return f"{self.base_url}/v1"

    @property
    def is_loopback(self) -> bool:
        """True when no request to this endpoint can leave the machine."""
        return is_loopback(self.base_url)


def without_secrets(text: str) -> str:
    """An address, or a text with some, without what may be a secret: user, password, query."""
    return _USER.sub(f"{HIDDEN}@", _QUERY.sub(r"\1?…", text))


def is_loopback(url: str) -> bool:
    """True for localhost and loopback addresses, by the text of the URL (no name is resolved)."""
    try:
        host = urlsplit(url).hostname or ""
        if host == "localhost":
            return True
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
