"""How good is a model as an agent, by published results? One rough number, for ordering only. Pure.

Results of different benchmarks are brought to the scale of SWE-bench Verified by the ratio that
models with both show (Pro 1.4, Multilingual 1.1, Terminal-Bench 1.2-1.4). The first result in the
list below counts and nothing is averaged. A maker's own number is cut by a quarter: independent
runs came out between 0.67 and 0.88 of it.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from agentlaunch.models.catalog import Kind, Model, Score

NEARLY_EQUAL_POINTS = 5
CUT = {"independent": 1.0, "other-vendor": 0.9, "maker": 0.75}
BROKEN_CALLS_POINTS = 5
"""An open defect that breaks some tool calls costs one place."""

AGENT_SCALE = {
    "swe_bench_verified": 1.0,
    "swe_bench_verified_other": 1.0,
    "swe_bench_verified_openhands": 1.0,
    "swe_bench_verified_qwen_run": 1.0,
    "swe_bench_pro": 1.4,
    "swe_bench_multilingual": 1.1,
    "swe_bench_multilingual_other": 1.1,
    "terminal_bench_2.1": 1.2,
    "terminal_bench_2.1_other": 1.2,
    "terminal_bench_2.0": 1.4,
    "local_agent_suite_pass_of_30": 70 / 30,
}
"""Work as an agent on code, the most telling first."""
TOOL_SCALE = {
    "bfcl_v4": 0.6,
    "tau2_bench": 0.6,
    "tau2_telecom": 0.6,
    "tau2_retail": 0.6,
    "tau_bench_retail": 0.5,
    "bfcl_v3": 0.5,
    "aider_polyglot": 0.6,
}
"""Calling tools without a repository, or editing without tools: weaker evidence."""
TITLES = {
    "swe_bench": "SWE-bench",
    "swe_bench_verified": "SWE-bench Verified",
    "swe_bench_pro": "SWE-bench Pro",
    "swe_bench_multilingual": "SWE-bench Multilingual",
    "terminal_bench_2.1": "Terminal-Bench 2.1",
    "terminal_bench_2.0": "Terminal-Bench 2.0",
    "local_agent_suite_pass_of_30": "{} of 30 in a local agent suite",
    "bfcl_v4": "BFCL v4",
    "bfcl_v3": "BFCL v3",
    "tau2_bench": "τ²-bench",
    "tau2_telecom": "τ²-bench telecom",
    "tau2_retail": "τ²-bench retail",
    "tau_bench_retail": "τ-bench retail",
    "aider_polyglot": "Aider polyglot",
}
"""How people call a benchmark; a second run of one keeps its name with a suffix in the catalog."""
WHO = {"independent": "independent", "maker": "its maker's number", "other-vendor": "by a vendor"}

INDEX = "aa_intelligence"
"""A general index; values are compared only among those read on the same day."""


@dataclass(frozen=True, slots=True)
class Evidence:
    """`points` on the scale of SWE-bench Verified, from which result, and who measured it."""

    points: float
    score: Score
    kind: Kind

    @property
    def text(self) -> str:
        """The result as a person reads it: SWE-bench Pro 50.2 (independent, 2026-10)."""
        name = self.score.benchmark
        title = next((TITLES[key] for key in _prefixes(name) if key in TITLES), name)
        value = f"{self.score.value:g}"
        said = title.format(value) if "{}" in title else f"{title} {value}"
        return f"{said} ({WHO[self.kind]}, {self.score.date})"

    @property
    def place(self) -> int:
        """Models in the same place are nearly equal."""
        return round(self.points / NEARLY_EQUAL_POINTS)


def of(model: Model) -> Evidence | None:
    """The best evidence for a model: independent agent work, independent tool use, then what
    vendors say; None when nothing was found."""
    independent = [score for score in model.scores if score.kind == "independent"]
    others = [score for score in model.scores if score.kind == "other-vendor"]
    makers = [score for score in model.scores if score.kind == "maker"]
    broken = any(problem.effect == "breaks-calls" for problem in model.problems)
    for scores, scale in (
        (independent, AGENT_SCALE),
        (others, AGENT_SCALE),
        (independent, TOOL_SCALE),
        (makers, AGENT_SCALE),
        (others, TOOL_SCALE),
        (makers, TOOL_SCALE),
    ):
        if found := _first(scores, scale):
            points = found.value * scale[found.benchmark] * CUT[found.kind]
            points -= BROKEN_CALLS_POINTS if broken else 0
            return Evidence(round(max(0.0, points), 1), found, found.kind)
    return None


def general_index(model: Model) -> float | None:
    """The general index, which parts models that are nearly equal as agents."""
    return next((score.value for score in model.scores if score.benchmark == INDEX), None)


def _prefixes(name: str) -> Iterable[str]:
    words = name.split("_")
    return ("_".join(words[:count]) for count in range(len(words), 0, -1))


def _first(scores: Iterable[Score], scale: dict[str, float]) -> Score | None:
    by_name = {score.benchmark: score for score in scores}
    return next((by_name[name] for name in scale if name in by_name), None)
