"""A very small real model and a real managed engine, fetched once into the checkout's cache."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

from agentlaunch import files, managed
from agentlaunch.engines import llama_cpp
from agentlaunch.progress import finish
from agentlaunch.settings import Paths
from places import CACHE, CHECKOUT, paths_below

TRAINED_TOKENS = 8192


def small_model() -> Path:
    """The `.gguf` of a real model of 135M parameters, trained for 8,192 tokens, without tools."""
    fetch = [sys.executable, str(CHECKOUT / "scripts" / "small_model.py")]
    with files.locked(CACHE / "models.lock", timeout_s=600, what="fetching the small model"):
        done = subprocess.run(fetch, check=True, timeout=900, capture_output=True, text=True)
    return Path(done.stdout.strip())


def engine_paths(folder: Path) -> Paths:
    """Places for a test: all under `folder`, but the engine's environment, which is shared."""
    shared = CACHE / "engine"
    paths = replace(paths_below(folder), data=shared / "data", cache=shared / "cache")
    finish(managed.install(llama_cpp.PACKAGE, paths))
    return paths
