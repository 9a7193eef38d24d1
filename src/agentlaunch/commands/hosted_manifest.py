"""`agentlaunch hosted manifest`: a layout as a file that a cluster takes."""

from __future__ import annotations

import dataclasses
import os
import shlex
from dataclasses import dataclass
from pathlib import Path

from agentlaunch import files
from agentlaunch.commands import hosted
from agentlaunch.commands.hosted import Sized, Team
from agentlaunch.commands.result import Result
from agentlaunch.errors import ModelUnavailable, Refused, UsageError
from agentlaunch.hosted import gpus, parsers, reasons, serving, sizing
from agentlaunch.hosted.builds import Build
from agentlaunch.hosted.gpus import Gpu
from agentlaunch.hosted.parsers import reasoning_parser, tool_parser
from agentlaunch.hosted.serving import TARGETS, Serving
from agentlaunch.hosted.sizing import Layout, Split
from agentlaunch.talk import Talk
from agentlaunch.units import plural

DEFAULT_GPU = "H100"
"""For a model that is not sized, where none is named."""


MOST = 1_000
"""Replicas, or GPUs of one: nobody means more."""


@dataclass(frozen=True, slots=True)
class Said:
    """What the command line says of the layout itself; None is left to the plan."""

    tensor_parallel: int | None = None
    pipeline_parallel: int | None = None
    replicas: int | None = None
    served_name: str | None = None
    tool_parser: str | None = None
    reasoning_parser: str | None = None


def manifest(
    talk: Talk, target: str | None, team: Team, said: Said, *, output: Path | None, force: bool
) -> Result:
    """A manifest for a target, on stdout or in a file.

    Raises as `plan` does, `UsageError` for a layout that vLLM would not take, `Refused` for a file
    that is there.
    """
    if target not in TARGETS:
        raise UsageError(
            "which target?" if target is None else f"--target: {target!r} is not known",
            hint="--target " + "|".join(TARGETS),
            code="bad-value",
        )
    if output is not None:
        _refuse_place(output, force=force)
    made = serving_of(talk, team, said)
    text = serving.manifest(target, made)
    if made.tool_parser is None:
        talk.warn(
            f"no tool-call parser is known for {made.repo}, and without one no agent can work: "
            "name it with --tool-parser",
            code="no-tool-parser",
        )
    family = parsers.family(made.repo)
    if made.tool_parser is not None and family is not None and family.chat_template is not None:
        talk.warn(
            f"for tools {made.repo} needs a chat template of vLLM's: the first lines of the file "
            "say which, and how it is given",
            code="chat-template",
        )
    if output is not None:
        if output.name.isprintable():  # it stands in comments, a line each
            text = text.replace("THIS_FILE", shlex.quote(output.name))
        _write(output, text)
    data = {
        "target": target,
        "path": str(output) if output is not None else None,
        "text": text,
        "serving": dataclasses.asdict(made) | {"extra_args": list(made.extra_args)},
    }

    def draw(t: Talk) -> None:
        if output is None:
            t.answer(text.removesuffix("\n"))
            return
        t.say(f"wrote {output}: {made.repo} as {made.served_name}, {_counted(made)}")
        t.say(
            "next: its first lines say how the key is made, how it is started and how the agents "
            "are pointed at it"
        )

    return Result("agentlaunch/hosted-manifest/1", data, draw)


def _counted(made: Serving) -> str:
    each = made.tensor_parallel * made.pipeline_parallel
    return f"{plural(made.replicas, 'replica')} of {each} x {made.gpu}"


def serving_of(talk: Talk, team: Team, said: Said) -> Serving:
    """What a manifest is made of: the plan's layout, with what the command line says instead.

    A model that is not known here needs its layout and its context said.
    """
    for flag, value in {
        "--tensor-parallel": said.tensor_parallel,
        "--pipeline-parallel": said.pipeline_parallel,
        "--replicas": said.replicas,
    }.items():
        if value is not None and not 1 <= value <= MOST:
            raise UsageError(f"{flag}: {value} is not from 1 to {MOST:,}", code="bad-value")
    known = _known(team, said)
    if known is None:
        return _unknown(team, said)
    chosen = _chosen(talk, known, team, said)
    build, split = known.build, chosen.split
    return Serving(
        repo=build.repo,
        served_name=said.served_name or build.served_name,
        context_tokens=known.wanted.context_tokens,
        tensor_parallel=split.tensor_parallel,
        pipeline_parallel=split.pipeline_parallel,
        replicas=chosen.replicas,
        gpu=chosen.gpu.name,
        tool_parser=said.tool_parser or tool_parser(build.repo),
        reasoning_parser=said.reasoning_parser or reasoning_parser(build.repo),
        max_sessions=chosen.sessions,
        weights_bytes=build.weights_bytes,
        kv_cache_dtype=known.wanted.kv_cache,
        extra_args=("--enable-expert-parallel",) if split.expert_parallel else (),
    )


def _known(team: Team, said: Said) -> Sized | None:
    """The plan; None for a repository that is not known here but whose layout is said."""
    try:
        return hosted.size(team)
    except ModelUnavailable:
        complete = said.tensor_parallel is not None and team.context is not None
        if "/" in (team.model or "") and complete:
            return None
        raise


def _unknown(team: Team, said: Said) -> Serving:
    repo = (team.model or "").strip()
    card = gpus.find(team.gpu or DEFAULT_GPU)
    _in_a_machine(said.tensor_parallel or 1, card)
    return Serving(
        repo=repo,
        served_name=said.served_name or repo.partition("/")[2],
        context_tokens=hosted.tokens(team.context) or sizing.CONTEXT_TOKENS,
        tensor_parallel=said.tensor_parallel or 1,
        pipeline_parallel=said.pipeline_parallel or 1,
        replicas=said.replicas or 1,
        gpu=card.name,
        tool_parser=said.tool_parser or tool_parser(repo),
        reasoning_parser=said.reasoning_parser or reasoning_parser(repo),
        max_sessions=sizing.sessions(team.users, hosted.share(team.concurrency)),
        weights_bytes=None,
        kv_cache_dtype=hosted.kv_cache(team.kv_cache),
    )


@dataclass(frozen=True, slots=True)
class _Chosen:
    gpu: Gpu
    split: Split
    replicas: int
    sessions: int
    """Of one replica."""


def _chosen(talk: Talk, known: Sized, team: Team, said: Said) -> _Chosen:
    """The plan's layout, or the one that was said, with a warning where it cannot hold it all."""
    build, wanted, pick = known.build, known.wanted, known.pick
    free = said.tensor_parallel is None and said.pipeline_parallel is None
    if pick is None and free:
        raise hosted.cannot(known, team)
    card = pick.gpu if pick is not None else known.outcomes[-1].gpu
    split = pick.split if pick is not None and free else _said_split(build, card, said, pick)
    layout = sizing.lay_out(build, card, split, wanted, said.replicas)
    if layout is None:
        short = sizing.miss_of(build, card, split, wanted)
        talk.warn(reasons.missing(build, short, wanted), code="does-not-fit")
        return _Chosen(card, split, said.replicas or 1, 1)
    held = layout.replicas * layout.sessions
    if held < wanted.sessions:
        talk.warn(
            f"{plural(layout.replicas, 'replica')} hold {plural(held, 'session')} with the whole "
            f"context, {wanted.sessions} are wanted",
            code="too-few-replicas",
        )
    return _Chosen(card, split, layout.replicas, layout.sessions)


def _said_split(build: Build, card: Gpu, said: Said, pick: Layout | None) -> Split:
    planned = pick.split.tensor_parallel if pick is not None else 1
    tensor, stages = said.tensor_parallel or planned, said.pipeline_parallel or 1
    _in_a_machine(tensor, card)
    plain = sizing.fault(build, Split(tensor, stages))
    if plain is None:
        return Split(tensor, stages)
    whole = Split(tensor, stages, expert_parallel=True)
    if build.shape.experts_total and sizing.fault(build, whole) is None:
        return whole
    known = ", ".join(f"{row.gpus}" for row in sizing.splits(build, card) if row == _one(row))
    raise UsageError(
        f"--tensor-parallel {tensor}: {plain}",
        hint=f"--tensor-parallel takes {known}" if known else None,
        code="bad-layout",
    )


def _in_a_machine(tensor: int, card: Gpu) -> None:
    if tensor > card.per_node:
        raise UsageError(
            f"--tensor-parallel: a machine has at most {card.per_node} x {card.name}",
            hint="--pipeline-parallel goes over machines",
            code="bad-layout",
        )


def _one(row: Split) -> Split:
    return Split(row.tensor_parallel, 1, row.expert_parallel)


def _refuse_place(place: Path, *, force: bool) -> None:
    """Before any work: raise `Refused` where the file cannot or must not be written."""
    if str(place) in ("-", ".", ""):
        raise UsageError("--output wants a file", hint="leave it away for stdout", code="bad-value")
    if os.path.lexists(place) and (place.is_dir() or not force):
        raise Refused(
            f"{place} is there already",
            hint="name another file" if place.is_dir() else "--force writes it anew",
            code="file-exists",
        )
    folder = place.absolute().parent
    if not (folder.is_dir() and os.access(folder, os.W_OK | os.X_OK)):
        raise Refused(
            f"{folder} is no folder that you may write to",
            hint="name a file in one that is there",
            code="not-writable",
        )


def _write(place: Path, text: str) -> None:
    try:
        files.write_given(place, text.encode())
    except OSError as error:
        raise Refused(
            f"{place} cannot be written: {error.strerror or error}", code="not-writable"
        ) from error
