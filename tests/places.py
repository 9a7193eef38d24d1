"""Where tests put things: our places below one folder, and the checkout's cache."""

from __future__ import annotations

from pathlib import Path

from agentlaunch.settings import Paths

CHECKOUT = Path(__file__).resolve().parents[1]
CACHE = CHECKOUT / ".cache"


def paths_below(folder: Path) -> Paths:
    """Our places, all of them below one folder."""
    return Paths(
        config=folder / "config",
        data=folder / "data",
        state=folder / "state",
        cache=folder / "cache",
        runtime=folder / "run",
    )


def as_words(paths: Paths) -> list[str]:
    """The places for a child's command line, in the order that `Paths` takes them."""
    places = (paths.config, paths.data, paths.state, paths.cache, paths.runtime)
    return [str(place) for place in places]
