"""What a graphics device of a given name can do: memory bandwidth and compute, from devices.json.

Names lie: "M4" stands in "Tesla M40", "5060" in "5060 Ti", and a laptop card bears the desktop
card's number at half its bandwidth. So a pattern must match on word boundaries, the longest
pattern wins, and a laptop name never gets a desktop row.
"""

from __future__ import annotations

import dataclasses
import functools
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

GIB = 1 << 30

_MARKS = re.compile(r"\((?:r|tm|c)\)|[®™©]")
_BRAND_VENDORS = {
    "nvidia": "nvidia",
    "geforce": "nvidia",
    "tesla": "nvidia",
    "quadro": "nvidia",
    "amd": "amd",
    "radeon": "amd",
    "intel": "intel",
    "apple": "apple",
}
_BRANDS = re.compile(rf"\b(?:{'|'.join(_BRAND_VENDORS)})\b")
_LAPTOP = re.compile(r"\b(?:laptop|mobile|notebook|max-q)\b")
# One of these right behind a pattern makes it another device, with a bandwidth of its own.
_SUFFIX = r"(?! (?:ti|super|d v2|xt|xtx|gre|ultra|extreme)\b)"
_SERIES = re.compile(r"^(?:rtx|gtx|rx|arc) (?=.*[0-9]{3})")
_OLD_GENERATIONS = (
    (
        "5.2",
        re.compile(r"\b(?:gtx 9[0-9]{2}m?|gtx titan x|tesla m[0-9]{1,2}|quadro m[0-9]{3,4}m?)\b"),
    ),
    ("5.0", re.compile(r"\b(?:gtx (?:745|750|850m|860m)|9[1-4]0mx?)\b")),
    ("3.5", re.compile(r"\b(?:gtx? [67][0-9]{2}m?|tesla k[0-9]{2}m?|quadro k[0-9]{3,4}m?)\b")),
)
"""Maxwell and Kepler, which no engine gives flash attention."""
_SIZE = re.compile(r"\b\d+ ?gb\b")


@dataclass(frozen=True, slots=True)
class Device:
    """One kind of device. Bandwidth in 1e9 bytes a second (theoretical peak), compute in 1e12
    operations a second (devices.json says which); unknown is None."""

    name: str
    vendor: str
    unified: bool
    laptop: bool
    bandwidth_gbs: float
    fp16_tflops: float | None
    compute_capability: str | None = None


@dataclass(frozen=True, slots=True)
class _Row:
    device: Device
    patterns: tuple[str, ...]
    vram_gib: tuple[int, ...] = ()
    ram_gib: tuple[int, ...] = ()
    gpu_cores: int | None = None
    by_vram_gib: Mapping[int, float] = field(default_factory=dict)
    by_memory_mhz: Mapping[int, float] = field(default_factory=dict)


@functools.lru_cache(maxsize=64)
def find(
    name: str,
    vram_bytes: int | None = None,
    *,
    gpu_cores: int | None = None,
    ram_bytes: int | None = None,
    memory_mhz: int | None = None,
) -> Device | None:
    """The device that a detected or typed name means, or None.

    `vram_bytes` and `memory_mhz` choose between variants of one name, `gpu_cores` and `ram_bytes`
    between the bins of one Apple chip; what they leave open goes to the slower one.
    """
    rows = _best_rows(name)
    rows = [row for row in rows if gpu_cores is not None and row.gpu_cores == gpu_cores] or rows
    if len(rows) > 1 and ram_bytes is not None:
        gib = round(ram_bytes / GIB)
        rows = [row for row in rows if gib in row.ram_gib] or rows
    if not rows:
        return None
    row = min(rows, key=lambda row: row.device.bandwidth_gbs)
    return _variant(row, vram_bytes, memory_mhz)


def compute_capability(name: str, device: Device | None) -> str | None:
    """NVIDIA's number of a card: the table's, or that of the generation that an old name tells."""
    if device is not None and device.compute_capability is not None:
        return device.compute_capability
    plain = without_marks(name)
    return next((number for number, names in _OLD_GENERATIONS if names.search(plain)), None)


def has_bins(name: str) -> bool:
    """True when one chip name stands for several bandwidths, told apart by GPU cores alone."""
    return len(_best_rows(name)) > 1


def sold_gib(name: str) -> tuple[int, ...]:
    """The memory sizes in GiB that a device of this name is sold with; empty when not known."""
    return tuple(sorted({gib for row in _best_rows(name) for gib in row.vram_gib}))


def without_marks(name: str) -> str:
    """A name to compare by: lower case, single spaces, no (R), (TM), ®."""
    return " ".join(_MARKS.sub(" ", name.lower()).split())


def _best_rows(name: str) -> list[_Row]:
    """The rows with the longest pattern in the name: none, one, or the bins of one chip."""
    spellings = _spellings(name)
    vendors = {_BRAND_VENDORS[brand] for brand in _BRANDS.findall(spellings[0])}
    scored = [
        (_longest_match(row.patterns, spellings), row)
        for row in _rows()
        if not vendors or row.device.vendor in vendors  # "Tesla M4" is no "M4"
    ]
    best = max((score for score, _row in scored), default=(False, 0))
    rows = [row for score, row in scored if score == best and score[1] > 0]
    if _is_laptop(spellings[0]):
        rows = [row for row in rows if row.device.laptop or row.device.unified]
    return rows


def _spellings(name: str) -> tuple[str, ...]:
    """The name as it may stand in a pattern: with and without brand and memory size."""
    plain = without_marks(name)
    plain = re.sub(r"\b(rtx|gtx|rx)(?=\d)", r"\1 ", plain)
    plain = re.sub(r"\b(m[1-9])(?=(?:pro|max|ultra)\b)", r"\1 ", plain)
    plain = re.sub(r"(?<=\d{4})(?=(?:ti|super|xtx?)\b)", " ", plain)
    bare = " ".join(_BRANDS.sub(" ", plain).split())
    unsized = " ".join(_SIZE.sub(" ", plain).split())
    return plain, bare, unsized


def _longest_match(patterns: Sequence[str], spellings: Sequence[str]) -> tuple[bool, int]:
    """How well a row fits: a model's number ("140t") says more than words ("arc graphics"), then
    length counts, but no more of it than the name itself has."""
    longest = max(map(len, spellings))
    return max(
        (
            (any(letter.isdigit() for letter in p), min(len(p), longest))
            for p in patterns
            if _matches(p, spellings)
        ),
        default=(False, 0),
    )


def _matches(pattern: str, spellings: Sequence[str]) -> bool:
    if spellings[1] in _typed(pattern):
        return True
    if not any(pattern in spelling for spelling in spellings):
        return False
    whole = re.compile(rf"(?<![a-z0-9]){re.escape(pattern)}(?![a-z0-9]){_SUFFIX}")
    return any(whole.search(spelling) for spelling in spellings)


def _typed(pattern: str) -> tuple[str, ...]:
    """What a person may write for it ("L4", "M3 Max", "4090", "H100"); as a mere part of a longer
    name that would be a trap."""
    bare = _BRANDS.sub("", pattern).strip()
    short = _SERIES.sub("", bare)
    first = bare.partition(" ")[0]
    return (bare, short, first) if re.fullmatch(r"h[0-9]{3}", first) else (bare, short)


def _is_laptop(spelling: str) -> bool:
    # "RTX PRO 6000 Blackwell Max-Q Workstation Edition" is a desktop card all the same.
    return bool(_LAPTOP.search(spelling)) and "workstation" not in spelling


def _variant(row: _Row, vram_bytes: int | None, memory_mhz: int | None) -> Device:
    bandwidth = row.device.bandwidth_gbs
    if vram_bytes is not None and row.by_vram_gib:
        sizes = {*row.vram_gib, *row.by_vram_gib}
        nearest = min(sizes, key=lambda gib: abs(gib * GIB - vram_bytes))
        bandwidth = row.by_vram_gib.get(nearest, bandwidth)
    if memory_mhz is not None:
        for from_mhz, fast in sorted(row.by_memory_mhz.items()):
            bandwidth = fast if memory_mhz >= from_mhz else bandwidth
    return dataclasses.replace(row.device, bandwidth_gbs=bandwidth)


@functools.lru_cache(maxsize=1)
def _rows() -> tuple[_Row, ...]:
    data: Any = json.loads(Path(__file__).with_name("devices.json").read_bytes())
    return tuple(_row(entry) for entry in data["devices"])


def _row(entry: Any) -> _Row:
    cores = re.search(r"\((\d+)-core GPU\)", entry["name"])
    return _Row(
        device=Device(
            name=entry["name"],
            vendor=entry["vendor"],
            unified=entry["kind"] == "unified",
            laptop=entry["laptop"],
            bandwidth_gbs=float(entry["bandwidth_gbs"]),
            fp16_tflops=None if entry["fp16_tflops"] is None else float(entry["fp16_tflops"]),
            compute_capability=entry.get("compute_capability"),
        ),
        patterns=tuple(entry["match"]),
        vram_gib=tuple(entry["vram_gb"] or ()),
        ram_gib=tuple(entry.get("ram_gb_options", ())),
        gpu_cores=int(cores[1]) if cores else None,
        by_vram_gib={
            int(k): float(v) for k, v in entry.get("bandwidth_gbs_by_vram_gb", {}).items()
        },
        by_memory_mhz={
            int(k): float(v) for k, v in entry.get("bandwidth_gbs_by_memory_mhz", {}).items()
        },
    )
