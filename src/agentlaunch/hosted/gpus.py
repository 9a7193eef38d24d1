"""GPUs as they are rented or bought, as data."""

from __future__ import annotations

import functools
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from agentlaunch.errors import UsageError
from agentlaunch.hosted.builds import Build

GPUS_FILE = Path(__file__).with_name("gpus.json")
SLOW = "PCIe"
"""A link that is not made for exchange between GPUs."""


@dataclass(frozen=True, slots=True)
class Gpu:
    """A GPU as it is rented or bought."""

    name: str
    """As SkyPilot calls it."""
    title: str
    sold_gb: int
    memory_bytes: int
    per_node: int
    link: str
    compute_capability: tuple[int, int]
    source: str

    @property
    def fast_link(self) -> bool:
        """Is the link made for exchange between GPUs, and the machine for more of its kind?"""
        return self.link != SLOW

    def computes(self, build: Build) -> bool:
        """Has it arithmetic for this precision? Where not, vLLM unpacks the weights as it goes."""
        if build.precision in ("fp8", "fp8-block"):
            return self.compute_capability >= (8, 9)
        return build.precision != "mxfp4" or self.compute_capability >= (9, 0)

    def caches_fp8(self, build: Build) -> bool:
        """Can vLLM keep this model's cache in FP8 on it? Where not, it ends at its start.

        Below 8.9 only FlashInfer does, which has neither latent rows (MLA) nor the sinks of gpt-oss
        there, and is not taken for Gemma 4 (vLLM 0.33.0: v1/attention/backends, models/config.py).
        """
        shape = build.shape
        latent = any(row.kv_heads and not row.value_length for row in shape.layers)
        other = latent or shape.architecture.startswith(("gemma4", "gpt_oss"))
        return self.compute_capability >= (8, 9) or not other


@functools.cache
def load() -> tuple[Gpu, ...]:
    """The shipped table, smallest first."""
    data: Any = json.loads(GPUS_FILE.read_bytes())
    return tuple(
        Gpu(
            row["name"],
            row["title"],
            row["sold_gb"],
            round(row["memory_gib"] * 2**30),
            row["per_node"],
            row["link"],
            _capability(row["compute_capability"]),
            row["source"],
        )
        for row in data["gpus"]
    )


def _capability(text: str) -> tuple[int, int]:
    major, _, minor = text.partition(".")
    return int(major), int(minor)


def find(name: str) -> Gpu:
    """A GPU by name, however it is written; raises `UsageError`."""

    def plain(text: str) -> str:
        return "".join(sign for sign in text.lower() if sign.isalnum())

    for row in load():
        if plain(name) in {plain(row.name), plain(row.title), plain(f"{row.name}{row.sold_gb}GB")}:
            return row
    raise UsageError(
        f"--gpu: {name!r} is not known",
        hint="NVIDIA's are known, which vLLM's own image runs on: "
        + ", ".join(row.name for row in load()),
        code="unknown-gpu",
    )
