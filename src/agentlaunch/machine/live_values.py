"""Facts of this machine that are neither a command's output nor a file; psutil's second door."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

from agentlaunch import files


def read(name: str, models_folder: Path) -> int | None:
    """One of ram_bytes, ram_free_bytes, cores, disk_free_bytes, metal_working_set_bytes.

    None when the name is unknown or this machine cannot say; never an exception.
    """
    if name == "disk_free_bytes":
        return files.disk_free_bytes(models_folder)
    reader = _READERS.get(name)
    return reader() if reader else None


def _ram_bytes() -> int | None:
    import psutil

    try:
        return int(psutil.virtual_memory().total)
    except (psutil.Error, OSError, RuntimeError):
        return None


def _ram_free_bytes() -> int | None:
    import psutil

    try:
        return int(psutil.virtual_memory().available)
    except (psutil.Error, OSError, RuntimeError):
        return None


def _cores() -> int | None:
    import psutil

    try:
        return psutil.cpu_count(logical=False) or psutil.cpu_count()
    except (psutil.Error, OSError, RuntimeError):
        return None


def _metal_working_set_bytes() -> int | None:
    """`recommendedMaxWorkingSetSize` of the default Metal device: what the GPU may really use.

    It already follows `iogpu.wired_limit_mb`. A program without windows gets a default device only
    when CoreGraphics is loaded (Apple's notes on MTLCreateSystemDefaultDevice).
    """
    if sys.platform != "darwin":
        return None
    import ctypes

    frameworks = "/System/Library/Frameworks"
    try:
        ctypes.CDLL(f"{frameworks}/CoreGraphics.framework/CoreGraphics")
        metal = ctypes.CDLL(f"{frameworks}/Metal.framework/Metal")
        objc = ctypes.CDLL("/usr/lib/libobjc.A.dylib")
        create = metal.MTLCreateSystemDefaultDevice
        register = objc.sel_registerName
        # objc_msgSend has no signature of its own: each use states the one of the method it sends.
        send = ctypes.CFUNCTYPE(ctypes.c_uint64, ctypes.c_void_p, ctypes.c_void_p)(
            ("objc_msgSend", objc)
        )
    except (OSError, AttributeError):
        return None
    create.restype, create.argtypes = ctypes.c_void_p, []
    register.restype, register.argtypes = ctypes.c_void_p, [ctypes.c_char_p]
    device = create()
    if not device:
        return None
    return int(send(device, register(b"recommendedMaxWorkingSetSize"))) or None


_READERS: dict[str, Callable[[], int | None]] = {
    "ram_bytes": _ram_bytes,
    "ram_free_bytes": _ram_free_bytes,
    "cores": _cores,
    "metal_working_set_bytes": _metal_working_set_bytes,
}
