"""How a process of our own is started that outlives us: by no file of the folder it starts in."""

from __future__ import annotations

import sys
from pathlib import Path

import agentlaunch


def argv(module: str) -> list[str]:
    """The first words of a command that runs `main` of one of our modules and ends with its status.

    `python -m` would import from the folder that it is started in before it imports from anywhere
    else. Isolated (`-I`) it imports from neither there nor a folder of the environment's, nor from
    the user's own site-packages: where we lie there, that folder is named, as the last.
    """
    start = (
        f"import sys; sys.path.append(sys.argv.pop(1)); from {module} import main; sys.exit(main())"
    )
    folder = Path(agentlaunch.__file__).resolve().parents[1]
    return [sys.executable, "-I", "-c", start, str(folder)]
