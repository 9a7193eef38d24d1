"""What the real engine would allocate for a header: its own dry run, read from its log.

llama.cpp sizes everything without allocating before it loads ("fitting params to device memory").
The child prints that and then goes on to load for real, so it is ended as soon as the sizes are
out. It runs in the managed Python: a crash of the engine is no crash of a test.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import threading
from dataclasses import asdict, dataclass
from pathlib import Path

from agentlaunch.models.memory import Allocation, compute_bytes, kv_bytes, state_bytes
from agentlaunch.models.shape import ModelShape

MIB = 1 << 20
TIMEOUT_S = 60.0
KEPT_LINES = 40

DRY_RUN = """
import json, sys, xllamacpp
asked = json.loads(sys.argv[1])
params = xllamacpp.CommonParams()
params.model.path = asked["path"]
params.n_ctx = asked["context_tokens"] * asked["parallel"]
params.n_parallel, params.n_ubatch = asked["parallel"], asked["batch"]
params.n_batch = max(2048, asked["batch"])
kind = getattr(xllamacpp.ggml_type, "GGML_TYPE_" + asked["kv_cache_type"].upper())
params.cache_type_k = params.cache_type_v = kind
flash = xllamacpp.llama_flash_attn_type
name = "ENABLED" if asked["flash_attention"] else "DISABLED"
params.flash_attn_type = getattr(flash, "LLAMA_FLASH_ATTN_TYPE_" + name)
params.hostnames, params.port = ["127.0.0.1"], 0
params.fit_params, params.warmup, params.verbosity = True, False, 5
params.no_alloc = True  # should the dry run be over before we are ended, it aborts, not loads
xllamacpp.Server(params)
"""
"""`no_alloc` alone is refused by the loader of the server; the dry run before it is not."""


COMPUTE_PERCENT, COMPUTE_MIB = 5, 10
ROUNDING_MIB = 0.02
"""The log has two decimals and up to two caches."""

_SIZE = r" size = +([0-9.]+) MiB"
_CACHE = re.compile(r"llama_kv_cache:" + _SIZE)
_STATE = re.compile(r"llama_memory_recurrent:" + _SIZE)
_COMPUTE = re.compile(r"sched_reserve: .* compute buffer" + _SIZE)
_END = (
    "common_memory_breakdown_print",
    "error while trying to fit",
    "failed to fit",
    "failed to load",
    "error loading",
    "does not divide",
)


@dataclass(frozen=True)
class Asked:
    """How a model shall run; `context_tokens` for each slot, `batch` is the micro-batch."""

    context_tokens: int = 32768
    kv_cache_type: str = "f16"
    parallel: int = 1
    batch: int = 512
    flash_attention: bool = True


VARIANTS = (
    Asked(),
    Asked(context_tokens=33000, kv_cache_type="q8_0"),
    Asked(context_tokens=16384, parallel=4),
    Asked(context_tokens=131072, batch=2048),
    Asked(context_tokens=1000, kv_cache_type="q4_0", parallel=2, batch=256),
    Asked(flash_attention=False),
    Asked(context_tokens=8192, parallel=2, batch=2048, flash_attention=False),
)
"""Requests that every header is held against."""


@dataclass(frozen=True)
class Sizes:
    """MiB of one model as it was asked for, rounded as the engine's log rounds them."""

    kv_mib: float
    state_mib: float
    compute_mib: float

    @property
    def total_mib(self) -> float:
        return self.kv_mib + self.state_mib + self.compute_mib


def predicted(shape: ModelShape, asked: Asked) -> Sizes:
    """What our own arithmetic says."""
    room = Allocation(
        asked.context_tokens,
        asked.kv_cache_type,
        asked.parallel,
        asked.batch,
        asked.flash_attention,
    )
    return Sizes(
        kv_bytes(shape, room) / MIB,
        state_bytes(shape, parallel=asked.parallel) / MIB,
        compute_bytes(shape, room) / MIB,
    )


def measured(python: Path, model: Path, asked: Asked) -> Sizes:
    """What the engine of the managed `python` says; raises `AssertionError` with the end of its
    log when it does not take the header."""
    lines = _dry_run(python, model, asked)
    compute = _numbers(_COMPUTE, lines)
    if not compute:
        raise AssertionError(f"no sizes for {model.name}:\n" + "\n".join(lines[-KEPT_LINES:]))
    return Sizes(sum(_numbers(_CACHE, lines)), sum(_numbers(_STATE, lines)), sum(compute))


def same(ours: Sizes, theirs: Sizes, *, percent: float = COMPUTE_PERCENT) -> bool:
    """Cache and state as exact as the log is; compute within so many percent or 10 MiB."""
    apart = abs(ours.compute_mib - theirs.compute_mib)
    return (
        abs(ours.kv_mib - theirs.kv_mib) <= ROUNDING_MIB
        and abs(ours.state_mib - theirs.state_mib) <= ROUNDING_MIB
        and apart <= max(COMPUTE_MIB, percent / 100 * theirs.compute_mib)
    )


def _numbers(pattern: re.Pattern[str], lines: list[str]) -> list[float]:
    return [float(found.group(1)) for line in lines if (found := pattern.search(line))]


def _dry_run(python: Path, model: Path, asked: Asked) -> list[str]:
    """The log up to the end of the dry run; the child is always gone afterwards."""
    child = subprocess.Popen(
        [str(python), "-I", "-c", DRY_RUN, json.dumps({"path": str(model), **asdict(asked)})],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        env={**os.environ, "GGML_NO_BACKTRACE": "1"},
        text=True,
        errors="replace",
    )
    limit = threading.Timer(TIMEOUT_S, child.kill)
    limit.start()
    lines: list[str] = []
    with child:
        for line in child.stdout or ():
            lines.append(line.rstrip())
            if any(mark in line for mark in _END):
                break
        child.kill()
    limit.cancel()
    return lines
