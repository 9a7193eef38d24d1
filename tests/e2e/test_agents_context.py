"""A session that outgrows its window compacts instead of dying.

The model works on while its reported usage grows; past the window it refuses as llama.cpp does.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from agent_world import agent_names, folder, make_world, read_case
from wire_server import Growing

__all__ = ["folder"]  # the fixture, known to pytest by its name in this module

pytestmark = pytest.mark.needs_network


@pytest.mark.parametrize("name", agent_names(lambda case: case.compaction is not None, quick=True))
def test_a_session_compacts_before_its_window_is_full(name: str, folder: Path) -> None:
    compaction = read_case(name).compaction
    assert compaction is not None
    window = compaction["context"]
    model = Growing(
        step_tokens=window // 16,
        limit_tokens=window,
        marker=compaction["marker"],
        start_tokens=window // 4,
        summary=compaction.get("summary", Growing.summary),
    )
    with make_world(name, folder, answer=model, context=window) as world:
        model.work = lambda number: world.writes(f"step-{number}.txt", f"{number}\n")

        done = world.launch(world.case.edit_args, context=window)

        assert (model.compactions, model.refused) == (1, 0), (model.usage, done.stderr)
        assert done.returncode == 0, done.stdout + done.stderr
        assert model.done in done.stdout
        assert max(model.usage) < window
        assert world.other.requests == []
