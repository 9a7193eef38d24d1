"""What nvidia-smi says when it cannot answer, in plain words and with the way out.

It writes its errors to stdout, not stderr (seen up to driver 580), so both are read.
"""

from __future__ import annotations

import re

from agentlaunch.machine import drm
from agentlaunch.machine.facts import Answer, Facts, Note, plain

# Part of its text → what to tell. Order matters: the first that fits is told.
_KNOWN: tuple[tuple[str, str], ...] = (
    (
        "driver/library version mismatch",
        "the NVIDIA driver was updated but the old one is still loaded{version}, so no card can be "
        "used; reboot, or reload it: `sudo rmmod nvidia_uvm nvidia_drm nvidia_modeset nvidia` and "
        "`sudo modprobe nvidia`",
    ),
    (
        "couldn't communicate with the nvidia driver",
        "the NVIDIA driver does not answer, so no card can be used; reboot, and if that does not "
        "help install the driver again for this kernel (Secure Boot wants its module signed)",
    ),
    (
        "couldn't find libnvidia-ml",
        "nvidia-smi is there but the NVIDIA driver's library is not, so no card can be used; "
        "install the driver again, and in a container start it with `--gpus all`",
    ),
    (
        "gpu access blocked by the operating system",
        "Windows does not let this Linux use the NVIDIA card; update the NVIDIA driver on Windows, "
        "then run `wsl --update` and `wsl --shutdown` there",
    ),
    (
        "failed to initialize nvml: insufficient permissions",
        "this user may not use the NVIDIA card; add the user to the group that owns /dev/nvidia0 "
        "(mostly `video`), or ask the administrator",
    ),
    (
        "failed to initialize nvml: unknown error",
        "the NVIDIA card is no longer reachable from here; in a container, restart the container, "
        "else reboot",
    ),
    (
        "no devices were found",
        "the NVIDIA driver is loaded but finds no card; see `sudo dmesg | grep -i nvrm`, and in a "
        "container start it with `--gpus all`",
    ),
)

_LOST = re.compile(
    r"Unable to determine the device handle for (?:GPU|gpu) ?(?:[0-9]{1,3}: )?"
    r"([0-9A-Fa-f]{4,8}:[0-9A-Fa-f:.]*[0-9A-Fa-f])?"
)
_LOST_FIELD = re.compile(r"\[(?:GPU is lost|GPU requires reset|Unknown Error)\]", re.IGNORECASE)


def explain(answer: Answer, cards: int) -> tuple[Note, ...]:
    """Why some or all cards are missing from an answer that yielded `cards` of them."""
    text = f"{answer.stdout}\n{answer.stderr}"
    notes = [_lost_note(where) for where in dict.fromkeys(_LOST.findall(text))]
    if not notes and is_lost(text):
        notes.append(_lost_note(""))
    if cards == 0 and not notes:
        notes.append(Note("nvidia", _reason(answer, text)))
    return tuple(notes)


def is_lost(text: str) -> bool:
    """True when a field says that its card has fallen off the bus."""
    return bool(_LOST_FIELD.search(text))


def is_unknown_field(answer: Answer) -> bool:
    """True when an old driver does not know a column: then the whole query fails (exit 2)."""
    return answer.rc != 0 and "is not a valid field to query" in answer.stdout + answer.stderr


def without_tool(facts: Facts) -> tuple[Note, ...]:
    """A note where an NVIDIA card is there but nvidia-smi is not; nothing on other machines."""
    if facts.platform != "linux":
        return ()
    # The device itself is opened last: on a laptop that can wake the card.
    if facts.file("/proc/driver/nvidia/version") or facts.file("/dev/nvidia0") is not None:
        message = (
            "there is an NVIDIA card but no nvidia-smi; install the driver's tools (mostly in a "
            "package named nvidia-utils), and in a container start it with `--gpus all`"
        )
        return (Note("nvidia", message),)
    for number in range(drm.MOST_CARDS):
        folder = f"/sys/class/drm/card{number}/device"
        if (facts.file(f"{folder}/vendor") or "").strip() == "0x10de":
            return (Note("nvidia", _no_driver(facts.file(f"{folder}/uevent") or "")),)
    return ()


def _no_driver(uevent: str) -> str:
    if "DRIVER=vfio-pci" in uevent:
        return "the NVIDIA card is set aside for a virtual machine, so it cannot be used here"
    if "DRIVER=nouveau" in uevent:
        return (
            "the NVIDIA card runs on the nouveau driver, which has no CUDA, so models run on the "
            "processor; install NVIDIA's own driver to use it (engines with Vulkan may use it now)"
        )
    return (
        "there is an NVIDIA card without NVIDIA's driver, so models run on the processor; "
        "install the driver to use it"
    )


def _lost_note(where: str) -> Note:
    card = f"the NVIDIA card at {where}" if where else "an NVIDIA card"
    return Note(
        "nvidia",
        f"{card} does not answer any more and is left out; power the machine off and on, and if "
        "it comes back check the card's power and seating",
    )


def _reason(answer: Answer, text: str) -> str:
    lowered = text.lower()
    for part, message in _KNOWN:
        if part in lowered:
            version = re.search(r"NVML library version: ([0-9.]{1,20})", text, re.ASCII)
            return message.format(version=f" (library {version[1]})" if version else "")
    if answer.rc == -1:
        return "nvidia-smi did not answer in time, so its cards are left out; run it by hand to see"
    line = plain(next((line for line in text.splitlines() if line.strip()), ""))
    said = f": {line}" if line else ""
    return f"nvidia-smi gave no card (exit {answer.rc}){said}; run `nvidia-smi` to see more"
