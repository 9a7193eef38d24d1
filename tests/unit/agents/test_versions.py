"""Versions as numbers: comparisons, and the range that was tested."""

from __future__ import annotations

import pytest

from agentlaunch.agents import AGENTS
from agentlaunch.agents.versions import in_tested_range, matches, numbers


@pytest.mark.parametrize(
    ("version", "comparisons", "holds"),
    [
        ("2.0.64", "<2.0.65", True),
        ("2.0.65", "<2.0.65", False),
        ("0.119.9", ">=0.80,<0.120", True),
        ("0.120", ">=0.80,<0.120", False),
        ("0.120.0", "==0.120", True),
        ("1.10", ">1.9", True),
        ("v1.2.3-beta.1", "<=1.2.3", True),
        ("main", "<9", False),
    ],
)
def test_versions_are_compared_by_their_numbers(
    version: str, comparisons: str, holds: bool
) -> None:
    assert matches(version, comparisons) is holds


def test_what_is_no_comparison_is_a_mistake_of_ours() -> None:
    with pytest.raises(ValueError, match="no comparison"):
        matches("1.0", "1.0 or so")


def test_the_tested_range_lies_between_the_oldest_and_the_newest() -> None:
    tested = ("2.1.197", "2.1.330")
    known = [in_tested_range(v, tested) for v in ("2.1.196", "2.1.197", "2.1.250", "2.1.330")]
    assert known == [False, True, True, True]
    assert not in_tested_range("2.2", tested)
    assert not in_tested_range("nightly", tested)
    assert not in_tested_range("1.0", ())


def test_every_agents_own_table_can_be_read() -> None:
    for agent in AGENTS.values():
        assert all(numbers(version) for version in agent.tested_versions)
        for row in agent.breaks:
            matches("1.0", row.versions)
            assert row.text
