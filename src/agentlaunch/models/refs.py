"""Model references: the grammar of names such as `qwen3.5:9b`, so that no name becomes a path."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import NoReturn

from agentlaunch.errors import ModelUnavailable

DEFAULT_HOST = "registry.ollama.ai"
DEFAULT_NAMESPACE = "library"
DEFAULT_TAG = "latest"

# Ollama's types/model/name.go (0.33): letters, digits, `_`, `-`; `.` not in a namespace; the first
# character a letter, digit or `_`. Our host is stricter: at most one `:` and a real port after it.
_HOST = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*(:[0-9]{1,5})?")
_NAMESPACE = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_-]*")
_PLAIN = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*")
_PARTS = (
    ("host", _HOST, 350),
    ("namespace", _NAMESPACE, 80),
    ("model", _PLAIN, 80),
    ("tag", _PLAIN, 80),
)
_HINT = "a name looks like qwen3.5:9b, hf.co/user/repo:Q4_K_M or host:port/namespace/model:tag"
_SHOWN_CHARACTERS = 80
_DRIVE = re.compile(r"[A-Za-z]:[\\/]")


@dataclass(frozen=True, slots=True)
class Ref:
    """The full name of a model. Its parts obey the grammar, so they are safe in URLs and paths.

    `insecure` says that the name was written with `http://`; it is not part of the identity.
    """

    host: str
    namespace: str
    model: str
    tag: str
    insecure: bool = field(default=False, compare=False)

    def __post_init__(self) -> None:
        for part, grammar, limit in _PARTS:
            text = str(getattr(self, part))
            if len(text) > limit or grammar.fullmatch(text) is None:
                _refuse(part, text)
        port = self.host.partition(":")[2]
        if port and not 0 < int(port) < 65536:
            _refuse("host", self.host)

    def __str__(self) -> str:
        """The short form: without what is the default, always with the tag."""
        name = f"{self.model}:{self.tag}"
        if self.host != DEFAULT_HOST:
            return f"{self.host}/{self.namespace}/{name}"
        if self.namespace != DEFAULT_NAMESPACE:
            return f"{self.namespace}/{name}"
        return name


def parse_ref(text: str) -> Ref:
    """Read `[http[s]://][host/][namespace/]model[:tag]`; what is missing gets Ollama's defaults.

    Raises `ModelUnavailable` for a name outside the grammar.
    """
    rest = text
    scheme, separator, after = text.partition("://")
    if separator:
        if scheme.lower() not in ("http", "https"):
            _refuse("scheme", scheme)
        rest = after
    path, colon, tag = rest.rpartition(":")
    if not colon or "/" in tag:  # that colon belongs to the port
        path, tag = rest, DEFAULT_TAG
    if colon and not tag:
        _refuse("tag", text)
    parts = path.split("/")
    if len(parts) > 3 or (separator and len(parts) != 3):
        _refuse("name", text)
    defaults = [DEFAULT_HOST, DEFAULT_NAMESPACE]
    host, namespace, model = defaults[: 3 - len(parts)] + parts
    if host.lower() == DEFAULT_HOST:
        host = DEFAULT_HOST
    return Ref(host, namespace, model, tag, insecure=scheme.lower() == "http" and bool(separator))


def looks_like_path(text: str) -> bool:
    """True when the user means a file: by its ending, its beginning, or a backslash in it."""
    return (
        text.lower().endswith((".gguf", ".json"))
        or text.startswith(("/", "./", "../", "~"))
        or "\\" in text
        or _DRIVE.match(text) is not None
    )


def _refuse(part: str, text: str) -> NoReturn:
    shown = text if len(text) <= _SHOWN_CHARACTERS else text[:_SHOWN_CHARACTERS] + "…"
    raise ModelUnavailable(
        f"{shown!r} is no name of a model" + (f": its {part} is wrong" if part != "model" else ""),
        hint=_HINT,
        code="bad-model-name",
    )
