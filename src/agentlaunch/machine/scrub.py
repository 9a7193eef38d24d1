"""Take what identifies a person or a machine out of a tool's output, and keep it parseable.

Ids get fakes of the same form, letter by letter: two ids that begin alike have fakes that begin
alike, so CUDA_VISIBLE_DEVICES still names its card by the first digits.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection
from typing import Any

_LETTERS = "0123456789abcdefghijklmnopqrstuvwxyz"

# One pattern for all kinds of ids: a UUID within a GPU's id must not be replaced a second time.
_ID = re.compile(
    r"\b(?P<gpu>GPU-|MIG-)(?P<of_gpu>(?:GPU-)?[0-9A-Fa-f][0-9A-Fa-f/-]*)(?![0-9A-Za-z])"
    # a UUID, in the name of a control group with underscores
    r"|[0-9A-Fa-f]{8}([-_])[0-9A-Fa-f]{4}\3[0-9A-Fa-f]{4}\3[0-9A-Fa-f]{4}\3[0-9A-Fa-f]{12}"
    # a container's or a machine's id
    r"|(?<![0-9A-Za-z])[0-9A-Fa-f]{32,}(?![0-9A-Za-z])"
    # a MAC address
    r"|(?<![0-9A-Za-z:-])(?:[0-9A-Fa-f]{2}[:-]){5}[0-9A-Fa-f]{2}(?![0-9A-Za-z:-])"
)
_SERIAL = re.compile(
    r"(\b[\w -]*(?:serial|unique[ _]id)[\w -]*\"?[ \t]*[:=][ \t]*\"?(?:0x)?)([^\",\r\n}]+)", re.I
)
_INSTANCE = re.compile(r'("PNPDeviceID"\s*:\s*"[^"]*\\\\)[^"\\]+(?=")', re.I)
_HOME = re.compile(r"((?:/home|/Users|\\Users)[\\/]{1,2})[^\\/\s\"':;,]+")
_BUILDER = re.compile(r"\([\w.+-]+@[\w.-]+\)")  # who compiled the kernel, in /proc/version

_PROFILER_DISPLAYS = "spdisplays_ndrvs"  # monitors and tablets with their names and serials

# Names that are words of such output: to replace them would change what is said.
_WORDS = """
root user users admin administrator default guest host localhost linux ubuntu debian fedora arch
windows microsoft mac macos apple intel amd nvidia radeon geforce arc ryzen core gpu cpu ram rtx gtx
max pro ultra xeon memory model name card device driver system service session slice scope docker
container kernel vendor graphics display version true false null home mib gib kib
"""
_PUBLIC_WORDS = frozenset(_WORDS.split())


class Scrubber:
    """Replaces names and ids, each always by the same fake. Not for several threads at once."""

    def __init__(self, users: Collection[str] = (), hosts: Collection[str] = ()) -> None:
        self._fakes: dict[str, dict[str, str]] = {}
        self._names = [
            (re.compile(rf"(?<![0-9A-Za-z]){re.escape(name)}(?![0-9A-Za-z])", re.I), fake)
            for names, fake in ((users, "user"), (hosts, "host"))
            for name in sorted(names, key=len, reverse=True)
            if len(name) >= 3 and not name.isdecimal() and name.lower() not in _PUBLIC_WORDS
        ]

    def text(self, text: str) -> str:
        """The text without names and ids."""
        text = _without_displays(text)
        text = _ID.sub(self._fake_id, text)
        text = _SERIAL.sub(lambda found: found[1] + re.sub(r"[0-9A-Za-z]", "0", found[2]), text)
        text = _INSTANCE.sub(r"\g<1>0", text)
        text = _BUILDER.sub("(builder@host)", text)
        for pattern, fake in self._names:  # before the folders: a name may have spaces
            text = pattern.sub(fake, text)
        return _HOME.sub(r"\g<1>user", text)

    def _fake_id(self, found: re.Match[str]) -> str:
        if found["gpu"]:
            return found["gpu"] + self._fake(found["of_gpu"])
        return self._fake(found[0])

    def _fake(self, name: str) -> str:
        """The n-th letter seen after the same beginning becomes the n-th letter of our own."""
        kept = "GPU-" if name.startswith("GPU-") else ""
        faked = [kept]
        for position in range(len(kept), len(name)):
            letter = name[position]
            if letter.isalnum():
                seen = self._fakes.setdefault(name[:position], {})
                letter = seen.setdefault(letter, _LETTERS[len(seen) % len(_LETTERS)])
            faked.append(letter)
        return "".join(faked)


def _without_displays(text: str) -> str:
    """macOS' system_profiler lists with a GPU what is connected to it."""
    if _PROFILER_DISPLAYS not in text:
        return text
    try:
        data: Any = json.loads(text)
        listed = data["SPDisplaysDataType"]
        kept = [
            {key: value for key, value in row.items() if key != _PROFILER_DISPLAYS}
            for row in listed
        ]
    except (ValueError, RecursionError, TypeError, KeyError, AttributeError):
        return text
    return json.dumps({"SPDisplaysDataType": kept})
