"""Linux graphics cards as the kernel lists them under /sys/class/drm, and their names by lspci."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from agentlaunch.machine import devices
from agentlaunch.machine.facts import Facts, plain
from agentlaunch.machine.printed_json import count

MOST_CARDS = 64  # card0 to card63 are looked at by name, as facts cannot list a folder

_LSPCI_TIMEOUT_S = 1.5
_NEAR_BYTES = devices.GIB * 3 // 2  # a driver keeps some of the memory that is sold
_MAKERS = {"0x1002": "Advanced Micro Devices", "0x8086": "Intel"}
_PLAIN_ROW = re.compile(
    r"([^:]+): (Advanced Micro Devices, Inc\.(?: \[AMD[^\]]*\])?|Intel Corporation) (.+)"
)


@dataclass(frozen=True, slots=True)
class DrmCard:
    """One card. `folder` is the PCI device's, `slot` its place ("0000:03:00.0"), or empty."""

    folder: str
    driver: str | None = None
    slot: str = ""


def cards(facts: Facts, vendor: str) -> tuple[DrmCard, ...]:
    """The cards of a PCI vendor ("0x1002") that this Linux may use.

    One that is set aside for a virtual machine (vfio-pci) has no driver here and is passed over.
    """
    if facts.platform != "linux":
        return ()
    return tuple(card for card in _all_cards(facts, vendor) if card.driver != "vfio-pci")


def _all_cards(facts: Facts, vendor: str) -> Iterator[DrmCard]:
    for number in range(MOST_CARDS):
        folder = f"/sys/class/drm/card{number}/device"
        if (facts.file(f"{folder}/vendor") or "").strip() == vendor:
            rows = dict(
                line.split("=", 1)
                for line in (facts.file(f"{folder}/uevent") or "").splitlines()
                if "=" in line
            )
            driver = plain(rows.get("DRIVER", "")) or None
            yield DrmCard(folder, driver, rows.get("PCI_SLOT_NAME", "").strip())


def read_count(facts: Facts, path: str) -> int | None:
    """A file that holds one plain number."""
    return count(facts.file(path) or "")


def listed_names(facts: Facts, vendor: str, slots: Sequence[str]) -> list[str]:
    """What lspci calls the cards in these slots; empty where it does not know.

    Without slots the order of the listing stands for them, if it has as many.
    """
    answer = facts.command(["lspci", "-mm"], timeout_s=_LSPCI_TIMEOUT_S)
    listed = parse_lspci(answer.stdout, _MAKERS[vendor]) if answer else []
    if not any(slots) and len(listed) == len(slots):
        return [name for _slot, name in listed]
    return [
        next((name for place, name in listed if slot and _is_same_slot(slot, place)), "")
        for slot in slots
    ]


def _is_same_slot(slot: str, place: str) -> bool:
    return slot == place or slot == f"0000:{place}"


def parse_lspci(text: str, maker: str) -> list[tuple[str, str]]:
    """Slot and name of a maker's graphics cards in `lspci -mm`, `lspci -nn` or plain `lspci`."""
    found = []
    for line in text.splitlines():
        slot, _, rest = line.partition(" ")
        words = re.findall(r'"([^"]*)"', rest)
        if not words and (
            row := _PLAIN_ROW.match(re.sub(r"(?: \((?:rev|prog-if) [^)]*\))+$", "", rest))
        ):
            words = list(row.groups())
        words = [re.sub(r" \[[0-9a-f]{4}(?::[0-9a-f]{4})?\]$", "", word) for word in words]
        if len(words) < 3 or not re.match(r"VGA|Display|3D", words[0]):
            continue
        if words[1].startswith(maker):
            found.append((slot, plain(words[2])))
    return found


def marketing_names(listed: str) -> list[str]:
    """The names that one PCI device is sold under: lspci writes them all into one bracket.

    "Navi 31 [Radeon RX 7900 XT/7900 XTX]" are "Radeon RX 7900 XT" and "Radeon RX 7900 XTX".
    """
    names: list[str] = []
    brand = ""
    for part in re.split(r"\s*/\s*", sold_text(listed)):
        if not names:
            found = re.match(r"(?:[A-Za-z]+ )+(?=\S*[0-9])", part)
            brand = found[0] if found else ""
        if part:
            names.append(brand + part if names and part[0].isdigit() else part)
    return names


def sold_text(listed: str) -> str:
    """What stands in the bracket of a listed name, or all of it."""
    found = re.search(r"\[([^\]]+)\]\s*$", listed)
    return found[1].strip() if found else listed


def choose_name(listed: str, memory_bytes: int | None, hint: str = "") -> str:
    """Which of its names a card bears: the one that `hint` (the processor's graphics) says, or
    that is sold with this much memory; where that leaves several open, all of them as listed."""
    names = marketing_names(listed)
    for name in names:
        if hint and hint.lower() in name.lower():
            return name
    if len(names) > 1 and memory_bytes is not None:
        away = {
            name: min(abs(gib * devices.GIB - memory_bytes) for gib in sizes)
            for name in names
            if (sizes := devices.sold_gib(name))
        }
        best = min(away.values(), default=_NEAR_BYTES + 1)
        nearest = [name for name, distance in away.items() if distance == best]
        if best <= _NEAR_BYTES and len(nearest) == 1:
            return nearest[0]
    return sold_text(listed)
