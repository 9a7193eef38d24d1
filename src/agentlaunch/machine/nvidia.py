"""NVIDIA cards, by nvidia-smi (drivers 470 to 580): which a CUDA program would use, and how much
memory they have; and, when it fails, why and the way out.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from agentlaunch.machine import devices, nvidia_failures
from agentlaunch.machine.facts import Answer, Facts, Gpu, Note, plain

MIB = 1 << 20
GIB = 1 << 30

_COLUMNS = (
    "index,uuid,name,memory.total,memory.free,memory.used,compute_cap,driver_version,"
    "clocks.max.memory,mig.mode.current"
)
_FALLBACK_COLUMNS = (
    "index,uuid,name,memory.total,memory.free,driver_version",  # since the drivers of 2012
    "name,memory.total,memory.free",
)
_OTHER_SPELLINGS = {"gpu_name": "name", "gpu_uuid": "uuid", "clocks.max.mem": "clocks.max.memory"}
_FORMAT = "--format=csv,noheader,nounits"
_TIMEOUT_S = 5.0  # a laptop's card that is powered off answers after 1 to 3 s

_PLACES: Mapping[str, Sequence[str]] = {
    "linux": ("nvidia-smi", "/usr/lib/wsl/lib/nvidia-smi", "/usr/bin/nvidia-smi"),
    "windows": (
        "nvidia-smi",
        r"C:\Windows\System32\nvidia-smi.exe",
        r"C:\Program Files\NVIDIA Corporation\NVSMI\nvidia-smi.exe",
    ),
}

# These share the machine's RAM, even where a small plausible figure is printed (N1X: about 8 GiB).
_UNIFIED = re.compile(
    r"\b(?:gb10|gb20b|n1x?|thor|orin|xavier|tegra|jetson|dgx spark)\b|\(nvgpu\)", re.I
)

# Cards of these names have memory of their own, also where a container may not read its size.
_DISCRETE = re.compile(
    r"\b(?:geforce|quadro|tesla|titan|grid|rtx|gtx|mx[0-9]{3}|[abhlkptv][0-9]{1,4}[a-z]?)\b", re.I
)


@dataclass(frozen=True, slots=True)
class Card:
    """One line of nvidia-smi. Bytes; `index` and `uuid` as CUDA_VISIBLE_DEVICES names them."""

    name: str
    index: int | None = None
    uuid: str = ""
    total_bytes: int | None = None
    free_bytes: int | None = None
    driver: str | None = None
    memory_mhz: int | None = None
    mig: bool = False
    capability: str | None = None
    source: str = "nvidia-smi"


@dataclass(frozen=True, slots=True)
class Slice:
    """One MIG slice of a card, from `nvidia-smi -L`."""

    card_uuid: str
    card_index: int
    name: str
    uuid: str
    memory_bytes: int


@dataclass(frozen=True, slots=True)
class Found:
    """Cards that a program started by us would see. Of a unified one the memory is None here:
    it is the machine's."""

    gpus: tuple[Gpu, ...] = ()
    notes: tuple[Note, ...] = ()


def detect(facts: Facts) -> Found:
    """Ask nvidia-smi; without one, say so only where there is a card that misses it."""
    visible = facts.env.get("CUDA_VISIBLE_DEVICES")
    answer = _ask(facts, f"--query-gpu={_COLUMNS}", _FORMAT)
    for columns in _FALLBACK_COLUMNS:
        if answer is not None and nvidia_failures.is_unknown_field(answer):
            answer = _ask(facts, f"--query-gpu={columns}", _FORMAT) or answer
    cards = parse_cards(answer) if answer else ()
    if not cards and (board := _jetson(facts)) is not None:
        return select([board], (), visible)
    if answer is None:
        return Found(notes=nvidia_failures.without_tool(facts))
    slices: tuple[Slice, ...] = ()
    if any(card.mig for card in cards):
        listing = _ask(facts, "-L")
        slices = parse_slices(listing.stdout) if listing else ()
    found = select(cards, slices, visible)
    return Found(found.gpus, (*nvidia_failures.explain(answer, len(cards)), *found.notes))


def _ask(facts: Facts, *words: str) -> Answer | None:
    for place in _PLACES.get(facts.platform, ()):
        answer = facts.command([place, *words], timeout_s=_TIMEOUT_S)
        if answer is not None:
            return answer
    return None


def _jetson(facts: Facts) -> Card | None:
    """A Jetson by its board's name: before JetPack 6 (2024) it has no nvidia-smi."""
    if facts.platform != "linux":
        return None
    model = plain(facts.file("/proc/device-tree/model") or "")
    if not re.search(r"\bJetson\b", model):
        model = "NVIDIA Jetson" if facts.file("/etc/nv_tegra_release") else ""
    name = re.split(r" (?:Engineering Reference )?Developer Kit", model)[0]
    return Card(name=name, source="device tree") if name else None


def parse_cards(answer: Answer) -> tuple[Card, ...]:
    """The cards in a `--query-gpu` answer; the columns are those of the query that was asked.

    Lines with another number of fields are messages and passed over (names have no commas).
    """
    columns = _columns(answer.argv)
    cards = []
    for line in answer.stdout.splitlines():
        values = [value.strip() for value in line.split(",")]
        if len(values) != len(columns) or len(columns) < 2:
            continue
        row = dict(zip(columns, values, strict=True))
        heading = row.get("name", "") in ("name", *_OTHER_SPELLINGS)
        # A failed query may still list the cards that are well; of those it knows the memory.
        broken = answer.rc != 0 and _mebibytes(row.get("memory.total")) is None
        if not heading and not broken and not nvidia_failures.is_lost(row.get("memory.total", "")):
            cards.append(_card(row))
    return tuple(cards)


def _columns(argv: Sequence[str]) -> list[str]:
    words = list(argv)
    for position, word in enumerate(words):
        if word.startswith("--query-gpu"):
            listed = word.partition("=")[2] or "".join(words[position + 1 : position + 2])
            names = [column.strip() for column in listed.split(",")]
            return [_OTHER_SPELLINGS.get(name, name) for name in names]
    return []


def _card(row: Mapping[str, str]) -> Card:
    total_bytes = _mebibytes(row.get("memory.total")) or None
    free_bytes = _mebibytes(row.get("memory.free"))
    if total_bytes is not None and free_bytes is not None:
        free_bytes = min(free_bytes, total_bytes)
    return Card(
        name=plain(row.get("name", "")) or "NVIDIA graphics card",
        index=_number(row.get("index")),
        uuid=row.get("uuid", ""),
        total_bytes=total_bytes,
        free_bytes=free_bytes,
        driver=_known(row.get("driver_version")),
        memory_mhz=_number(row.get("clocks.max.memory")),
        mig=row.get("mig.mode.current", "").lower() == "enabled",
        capability=_capability(row.get("compute_cap")),
    )


def parse_slices(text: str) -> tuple[Slice, ...]:
    """The MIG slices in `nvidia-smi -L`; a slice's memory is the number before `gb` in its name."""
    slices = []
    card_index, card_uuid = -1, ""
    for line in text.splitlines():
        card = re.match(r"GPU ([0-9]{1,4}): .*\(UUID: (GPU-[^)]*)\)", line, re.ASCII)
        if card:
            card_index, card_uuid = int(card[1]), card[2]
        found = re.match(
            r"\s+MIG (\S*?([0-9]{1,4})gb\S*)\s+Device\s+[0-9]+: \(UUID: (MIG-[^)]*)\)",
            line,
            re.ASCII,
        )
        if found and card_index >= 0:
            name, size, uuid = found.groups()
            slices.append(Slice(card_uuid, card_index, name, uuid, int(size) * GIB))
    return tuple(slices)


def select(cards: Sequence[Card], slices: Sequence[Slice], visible: str | None) -> Found:
    """What a CUDA program would use of these cards under CUDA_VISIBLE_DEVICES.

    A card that is split into slices (MIG) is not usable as a whole, and a program uses one slice.
    """
    if visible is not None and cards:
        wanted = visible_names(visible)
        if any(name.startswith("MIG-") for name in wanted):
            chosen = [part for part in slices if any(part.uuid.startswith(n) for n in wanted)]
            if not chosen:
                return Found(notes=(_hidden_note(visible, 0, len(cards)),))
            return _one_slice(cards, chosen, slices)
        shown = _visible_cards(cards, wanted)
    else:
        shown = list(cards)
    notes: list[Note] = []
    if visible is not None and len(shown) < len(cards):
        notes.append(_hidden_note(visible, len(shown), len(cards)))
    whole = [card for card in shown if not card.mig]
    split = [card for card in shown if card.mig]
    if split and not whole:
        ours = [part for part in slices if any(_is_part_of(part, card) for card in split)]
        found = _one_slice(cards, ours, ours)
        return Found(found.gpus, (*notes, *found.notes))
    if split:
        notes.append(
            Note(
                "nvidia",
                f"{len(split)} card(s) split into MIG slices are left out beside whole ones",
            )
        )
    notes.extend(_unknown_memory_note(card) for card in whole if _memory_is_unknown(card))
    return Found(tuple(_gpu(card) for card in whole), tuple(notes))


def visible_names(text: str) -> list[str]:
    """The devices that CUDA_VISIBLE_DEVICES names, up to the first -1, as CUDA reads it."""
    names = []
    for name in text.split(","):
        cleaned = name.strip()
        if not cleaned or cleaned.startswith("-") or cleaned == "NoDevFiles":
            break
        names.append(cleaned)
    return names


def _visible_cards(cards: Sequence[Card], wanted: Sequence[str]) -> list[Card]:
    """The cards in the order of their naming; CUDA stops at the first name it does not know."""
    shown: list[Card] = []
    for name in wanted:
        for position, card in enumerate(cards):
            number = position if card.index is None else card.index
            by_uuid = not name.isdecimal() and bool(card.uuid) and card.uuid.startswith(name)
            if (name.isdecimal() and name.lstrip("0") == str(number).lstrip("0")) or by_uuid:
                shown.append(card)
                break
        else:
            break
    return list(dict.fromkeys(shown))


def _hidden_note(visible: str, shown: int, total: int) -> Note:
    value = plain(re.sub(r"\b((?:GPU|MIG)-)[\w/-]+", r"\1…", visible))  # ids are private
    return Note(
        "nvidia",
        f"CUDA_VISIBLE_DEVICES={value} leaves {shown} of {total} NVIDIA card(s) in use; "
        "unset it to use all",
    )


def _one_slice(cards: Sequence[Card], chosen: Sequence[Slice], every: Sequence[Slice]) -> Found:
    if not chosen:
        message = (
            "MIG is switched on but there is no slice to use; make one with "
            "`sudo nvidia-smi mig -cgi`, or switch it off with `sudo nvidia-smi -mig 0`"
        )
        return Found(notes=(Note("nvidia", message),))
    part = chosen[0]
    card = next((card for card in cards if _is_part_of(part, card)), Card("NVIDIA graphics card"))
    device = devices.find(card.name, card.total_bytes)
    bandwidth_gbs = None
    if device and card.total_bytes:
        # A slice owns its share of the memory channels.
        share = min(1.0, part.memory_bytes / card.total_bytes)
        bandwidth_gbs = round(device.bandwidth_gbs * share, 1)
    gpu = Gpu(
        name=f"{card.name} MIG {part.name}",
        vendor="nvidia",
        vram_bytes=part.memory_bytes,
        vram_free_bytes=None,
        unified=False,
        bandwidth_gbs=bandwidth_gbs,
        backend="cuda",
        driver=card.driver,
        source="nvidia-smi",
        compute_capability=card.capability or devices.compute_capability(card.name, device),
    )
    message = (
        f"this card is split into {len(every)} MIG slice(s) and a program uses one of them, here "
        f"{part.name}; choose another with CUDA_VISIBLE_DEVICES=MIG-… (`nvidia-smi -L` lists them)"
    )
    return Found((gpu,), (Note("nvidia", message),))


def _is_part_of(part: Slice, card: Card) -> bool:
    if card.uuid and part.card_uuid:
        return card.uuid == part.card_uuid
    return card.index == part.card_index


def _gpu(card: Card) -> Gpu:
    device = devices.find(card.name, card.total_bytes, memory_mhz=card.memory_mhz)
    unified = _is_unified(card)
    return Gpu(
        name=card.name,
        vendor="nvidia",
        vram_bytes=None if unified else card.total_bytes,
        vram_free_bytes=None if unified else card.free_bytes,
        unified=unified,
        bandwidth_gbs=device.bandwidth_gbs if device else None,
        backend="cuda",
        driver=card.driver,
        source=card.source,
        compute_capability=card.capability or devices.compute_capability(card.name, device),
    )


def _is_unified(card: Card) -> bool:
    """By name, or because no memory of its own is printed for a card that is not known to have
    any: in containers the name of a GB10 may be a raw PCI number."""
    if _UNIFIED.search(card.name):
        return True
    return card.total_bytes is None and _DISCRETE.search(card.name) is None


def _memory_is_unknown(card: Card) -> bool:
    return card.total_bytes is None and not _is_unified(card)


def _unknown_memory_note(card: Card) -> Note:
    return Note("nvidia", f"nvidia-smi does not say how much memory the {card.name} has")


def _known(text: str | None) -> str | None:
    """A field's text, or None for the many ways in which nvidia-smi says that it has none."""
    cleaned = plain(text or "")
    if not cleaned or cleaned.startswith("[") or cleaned in ("N/A", "Insufficient Permissions"):
        return None
    return cleaned


def _capability(text: str | None) -> str | None:
    return text if re.fullmatch(r"[0-9]{1,2}\.[0-9]", text or "", re.ASCII) else None


def _number(text: str | None) -> int | None:
    found = re.fullmatch(r"([0-9]{1,9})(?: (?:MiB|MHz))?", text or "", re.ASCII)
    return int(found[1]) if found else None


def _mebibytes(text: str | None) -> int | None:
    count = _number(text)
    return None if count is None else count * MIB
