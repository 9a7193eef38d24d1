"""Text for a terminal: what may come from elsewhere made safe, folded, coloured only where seen."""

from __future__ import annotations

import os
import unicodedata
from collections.abc import Sequence
from typing import TextIO

LONGEST_TEXT = 2_000


def use_color(asked: bool | None, stream: TextIO) -> bool:
    """Colour only where a person sees it: `--no-color`, NO_COLOR (non-empty), TERM=dumb and pipes
    say no; FORCE_COLOR says yes, but 0, false and empty mean no."""
    if asked is False or os.environ.get("NO_COLOR"):
        return False
    forced = os.environ.get("FORCE_COLOR", os.environ.get("CLICOLOR_FORCE"))
    if forced is not None:
        return forced.strip().lower() not in {"", "0", "false", "no"}
    return os.environ.get("TERM") != "dumb" and is_terminal(stream)


def clean(text: str, *, limit: int | None = LONGEST_TEXT) -> str:
    r"""Text that may come from elsewhere, made safe for a terminal.

    Control characters (but newline and tab), DEL, C1, bidirectional overrides and zero-width marks
    become visible (`\x1b`): rich lets them through (seen), and a model name must not move a cursor.
    """
    text = unicodedata.normalize("NFC", text)
    if limit is not None and len(text) > limit:
        text = text[:limit] + " …"
    return "".join(_visible(char) for char in text)


def _visible(char: str) -> str:
    if char in "\n\t" or (char.isprintable() and char not in _INVISIBLE):
        return char
    number = ord(char)
    return f"\\x{number:02x}" if number < 0x100 else f"\\u{number:04x}"


_INVISIBLE = frozenset(
    map(chr, (*range(0x200B, 0x2010), *range(0x202A, 0x202F), *range(0x2060, 0x206A), 0xFEFF))
)


def block(headers: Sequence[str], row: Sequence[str], width: int) -> str:
    """A row as lines of `key: value`."""
    pairs = zip(headers, row, strict=True)
    return "\n".join(wrapped(f"{head}: {cell}", width, "  ") for head, cell in pairs if cell)


def wrapped(text: str, width: int, indent: str) -> str:
    """Folded at the width, every line but the first under the indent."""
    import textwrap

    return "\n".join(
        textwrap.wrap(
            text, width, subsequent_indent=indent, break_on_hyphens=False, break_long_words=False
        )
        or [""]
    )


def is_terminal(stream: TextIO | None) -> bool:
    """Does a person see this stream? False also for a closed one."""
    try:
        return stream is not None and stream.isatty()
    except ValueError:
        return False
