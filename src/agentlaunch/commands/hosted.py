"""`agentlaunch hosted plan`: from a model and a number of users to GPUs."""

from __future__ import annotations

import dataclasses
import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from agentlaunch import settings
from agentlaunch.commands.result import Result
from agentlaunch.errors import MachineCannot, UsageError
from agentlaunch.hosted import builds, gpus, reasons, sizing
from agentlaunch.hosted.builds import Build
from agentlaunch.hosted.sizing import Layout, Miss, Outcome, Split, Wanted
from agentlaunch.talk import Talk
from agentlaunch.units import format_tokens, plural

MOST_USERS = 100_000
LEGEND = (
    "2 x tp4: 2 replicas, each layer over 4 GPUs; pp2: over 2 machines; ep: experts stay whole; "
    "HOLDS: sessions with the whole context"
)


@dataclass(frozen=True, slots=True)
class Team:
    """What was asked for, in the words of the command line."""

    model: str | None
    users: int = 1
    concurrency: str | None = None
    context: str | None = None
    gpu: str | None = None
    kv_cache: str = "auto"

    def words(self) -> str:
        """The same again, for the next command; only what is not the default."""
        given = {
            "--model": self.model,
            "--users": str(self.users),
            "--concurrency": self.concurrency,
            "--context": self.context,
            "--gpu": self.gpu,
            "--kv-cache": self.kv_cache if self.kv_cache != "auto" else None,
        }
        return " ".join(f"{flag} {shlex.quote(word)}" for flag, word in given.items() if word)


@dataclass(frozen=True, slots=True)
class Sized:
    """A model with what it has to hold, on every kind of GPU that was asked for."""

    build: Build
    wanted: Wanted
    share: float
    outcomes: tuple[Outcome, ...]
    pick: Layout | None


# --- plan ----------------------------------------------------------------------------------------


def plan(talk: Talk, team: Team) -> Result:
    """Layouts of a model for so many users, one for each kind of GPU.

    Raises `ModelUnavailable` for a model that is not known here, `UsageError` for numbers that
    cannot be, `MachineCannot` where no GPU holds one session.
    """
    sized = size(team)
    if sized.pick is None:
        raise cannot(sized, team)
    following = _next(team, sized.build, sized.pick)
    return Result(
        "agentlaunch/hosted-plan/1",
        _json(sized, team, following),
        lambda t: _draw(t, sized, team, following),
    )


def size(team: Team) -> Sized:
    """The arithmetic of a plan. Raises as `plan` does, except that nothing need fit."""
    if not team.model:
        raise UsageError(
            "which model?",
            hint="agentlaunch hosted plan --model qwen3-coder:30b --users 20",
            code="no-model",
        )
    build = builds.find(team.model)
    part = share(team.concurrency)
    if not 1 <= team.users <= MOST_USERS:
        raise UsageError(f"--users: {team.users} is not a number from 1 to {MOST_USERS:,}")
    kind = kv_cache(team.kv_cache)
    wanted = Wanted(sizing.sessions(team.users, part), _context(team.context, build), kind)
    cards = gpus.load() if team.gpu is None else (gpus.find(team.gpu),)
    if kind == "fp8":
        cards = tuple(row for row in cards if row.caches_fp8(build))
    if not cards:
        raise UsageError(
            f"--kv-cache fp8: vLLM cannot keep the cache of {build.repo} so on {team.gpu}",
            hint="--kv-cache auto",
            code="bad-layout",
        )
    outcomes = tuple(sizing.best(build, card, wanted) for card in cards)
    return Sized(build, wanted, part, outcomes, sizing.recommended(build, outcomes))


def share(text: str | None) -> float:
    """The share of the users who are at work at once; raises `UsageError`."""
    if text is None:
        return sizing.CONCURRENCY
    try:
        number = float(text.strip().removesuffix("%")) / (100 if text.strip().endswith("%") else 1)
    except ValueError:
        number = 0.0
    if not 0 < number <= 1:
        raise UsageError(
            f"--concurrency: {text!r} is no share of the users",
            hint="for example 0.5 or 50%",
            code="bad-value",
        )
    return number


def kv_cache(text: str) -> sizing.KvCache:
    """A kind of cache that vLLM has; raises `UsageError`."""
    if text == "fp8":
        return "fp8"
    if text == "auto":
        return "auto"
    raise UsageError(f"--kv-cache: {text!r} is not one of auto, fp8", code="bad-value")


def tokens(text: str | None) -> int | None:
    """A context of the command line; raises `UsageError`."""
    if text is None:
        return None
    value = settings.parse_value(settings.setting("context"), text, where="--context")
    return value if isinstance(value, int) else None


def _context(text: str | None, build: Build) -> int:
    asked = tokens(text)
    if asked is None:
        return min(sizing.CONTEXT_TOKENS, build.context_max_tokens)
    if asked > build.context_max_tokens:
        raise UsageError(
            f"--context: {build.repo} was trained for {build.context_max_tokens:,} tokens",
            hint=f"--context {build.context_max_tokens}",
            code="context-too-long",
        )
    return asked


def cannot(sized: Sized, team: Team) -> MachineCannot:
    """The nearest miss, in numbers, with a plan that comes nearer."""
    build, miss = sized.build, sizing.nearest(sized.outcomes)
    any_gpu = dataclasses.replace(team, gpu=None)
    if miss is None:
        names = ", ".join(row.gpu.name for row in sized.outcomes)
        text = f"{build.repo} cannot be split over {names}"
    else:
        text = reasons.missing(build, miss, sized.wanted)
        if miss.context_tokens:
            any_gpu = dataclasses.replace(team, context=str(miss.context_tokens))
    return MachineCannot(text, hint=f"agentlaunch hosted plan {any_gpu.words()}", code="no-layout")


def _next(team: Team, build: Build, pick: Layout) -> tuple[str, str]:
    target, where = "kubernetes", f"--name {build.served_name}"
    if pick.split.pipeline_parallel > 1:
        target, where = "ray", "--url http://127.0.0.1:8000"
    return (
        f"agentlaunch hosted manifest --target {target} {team.words()}"
        f" --output {build.served_name}.yaml",
        f"agentlaunch hosted status {where}",
    )


def _draw(talk: Talk, sized: Sized, team: Team, following: Sequence[str]) -> None:
    build, wanted = sized.build, sized.wanted
    talk.say(
        f"{build.repo} for {plural(team.users, 'user')}: {plural(wanted.sessions, 'session')} at "
        f"once, each of up to {format_tokens(wanted.context_tokens)}"
    )
    talk.say(
        f"assumed: every user has one session, and {sized.share:.0%} of them work at the same "
        "moment (--concurrency)"
    )
    rows = [_row(row, recommended=row is sized.pick) for row in sized.outcomes]
    talk.table(("GPU", "LAYOUT", "GPUS", "HOLDS", "FIT"), rows)
    talk.say(LEGEND)
    if sized.pick is not None:
        talk.say(f"{_layout(sized.pick)} on {sized.pick.gpu.title}:")
        for text in _because(sized):
            talk.say(f"  - {text}")
    for label, command in zip(("next", "then"), following, strict=True):
        talk.say(f"{label}: {command}", whole=True)


def _because(sized: Sized) -> list[str]:
    if sized.pick is None:
        return []
    kind = reasons.chosen(sized.build, sized.pick, sized.outcomes)
    told = reasons.because(sized.build, sized.pick, sized.wanted)
    return [*told] if kind is None else [kind, *told]


def _row(row: Outcome, *, recommended: bool) -> tuple[str, ...]:
    if isinstance(row, Layout):
        fit = row.verdict + (", recommended" if recommended else "")
        held = row.sessions * row.replicas
        return row.gpu.name, _layout(row), str(row.gpus), f"{held:,}", fit
    if row.split is None:
        return row.gpu.name, "-", "-", "-", "no split"
    need, has = row.needs_bytes / 1e9, row.budget_bytes / 1e9
    return row.gpu.name, f"{_split(row.split)}", "-", "-", f"no: {need:.0f} > {has:.0f} GB"


def _layout(row: Layout) -> str:
    return f"{row.replicas} x {_split(row.split)}"


def _split(split: Split) -> str:
    stages = f" pp{split.pipeline_parallel}" if split.pipeline_parallel > 1 else ""
    return f"tp{split.tensor_parallel}{stages}{' ep' if split.expert_parallel else ''}"


def _json(sized: Sized, team: Team, following: Sequence[str]) -> dict[str, Any]:
    build, wanted, pick = sized.build, sized.wanted, sized.pick
    return {
        "model": build.model,
        "repo": build.repo,
        "precision": build.precision,
        "source": build.source,
        "weights_bytes": build.weights_bytes,
        "context_max_tokens": build.context_max_tokens,
        "users": team.users,
        "concurrency": sized.share,
        "sessions": wanted.sessions,
        "context_tokens": wanted.context_tokens,
        "kv_cache": wanted.kv_cache,
        "kv_token_bytes": sizing.token_bytes(build, wanted),
        "kv_session_bytes": sizing.session_bytes(build, wanted),
        "gpu_memory_utilization": wanted.utilization,
        "gpus": [_outcome_json(row) for row in sized.outcomes],
        "recommended": pick.gpu.name if pick is not None else None,
        "because": _because(sized),
        "next": list(following),
    }


def _outcome_json(row: Outcome) -> dict[str, Any]:
    split = row.split
    found: dict[str, Any] = {
        "gpu": row.gpu.name,
        "memory_bytes": row.gpu.memory_bytes,
        "fits": isinstance(row, Layout),
        "tensor_parallel": split.tensor_parallel if split is not None else None,
        "pipeline_parallel": split.pipeline_parallel if split is not None else None,
        "expert_parallel": split.expert_parallel if split is not None else None,
        "budget_bytes": row.budget_bytes,
    }
    if isinstance(row, Miss):
        lacks = {"needs_bytes": row.needs_bytes, "context_tokens": row.context_tokens}
        return found | {"layout": None, "miss": lacks if split is not None else None}
    layout = {
        "replicas": row.replicas,
        "gpus": row.gpus,
        "sessions": row.sessions,
        "kv_tokens": row.kv_tokens,
        "weights_bytes": row.weights_bytes,
        "kv_bytes": row.kv_bytes,
        "overhead_bytes": row.overhead_bytes,
        "headroom_bytes": row.headroom_bytes,
        "verdict": row.verdict,
    }
    return found | {"layout": layout, "miss": None}
