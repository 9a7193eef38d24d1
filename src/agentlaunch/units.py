"""Sizes and times as a person reads them; everywhere else bytes and seconds are numbers."""

from __future__ import annotations


def format_bytes(size: int | None) -> str:
    """Decimal units as on a vendor's page: 98 MB, 6.6 GB; "?" when unknown."""
    if size is None:
        return "?"
    value, unit = float(size), "B"
    for unit in ("B", "kB", "MB", "GB", "TB"):
        if value < 1000 or unit == "TB":
            break
        value /= 1000
    return f"{value:.0f} {unit}" if value >= 100 or unit == "B" else f"{value:.1f} {unit}"


def format_memory(size: int | None) -> str:
    """Binary units, as memory is sold and measured: 7.6 GiB."""
    if size is None:
        return "?"
    if abs(size) < 2**30:
        return f"{size / 2**20:.0f} MiB"
    return f"{size / 2**30:.1f} GiB"


def format_seconds(seconds: float) -> str:
    """0.4 s, 12 s, 3 min 20 s."""
    if seconds < 10:
        return f"{seconds:.1f} s"
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{int(seconds) // 60} min {int(seconds) % 60} s"


def format_clock(seconds: float) -> str:
    """A time that counts down, in five letters at most: 0:05, 12:34, 1h02; "" from 100 hours on."""
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes}:{rest:02}"
    return f"{minutes // 60}h{minutes % 60:02}" if minutes < 6000 else ""


def format_span(low_s: float, high_s: float) -> str:
    """From a careful to a hopeful time: 6-15 s, 2-9 min."""
    if high_s < 120:
        low, high = (f"{s:.1f}" if high_s < 3 else f"{s:.0f}" for s in (low_s, high_s))
        return f"{low} s" if low == high else f"{low}-{high} s"
    low, high = (f"{s / 60:.0f}" if s >= 57 else f"{s / 60:.1f}" for s in (low_s, high_s))
    return f"{low} min" if low == high else f"{low}-{high} min"


def format_rate(low: float, high: float) -> str:
    """Tokens a second from a careful to a hopeful estimate: 24-63, 0.4-2.1."""
    low_text, high_text = (f"{v:.1f}" if low < 2 else f"{v:.0f}" for v in (low, high))
    return low_text if low_text == high_text else f"{low_text}-{high_text}"


def format_tokens(tokens: int) -> str:
    """64k for a whole number of 1,024, else every digit."""
    return f"{tokens // 1024:,}k" if tokens % 1024 == 0 else f"{tokens:,}"


def plural(count: int, word: str) -> str:
    """1 session, 2 sessions."""
    return f"{count} {word}" if count == 1 else f"{count} {word}s"
