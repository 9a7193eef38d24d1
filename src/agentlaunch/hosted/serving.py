"""What a team's vLLM is to serve, and the door to the manifests that say so."""

from __future__ import annotations

import difflib
import importlib
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, cast, get_args

from agentlaunch.errors import UsageError
from agentlaunch.hosted import parsers

Target = Literal["compose", "kubernetes", "production-stack", "kserve", "ray", "skypilot"]
TARGETS: tuple[Target, ...] = get_args(Target)

_REPO = re.compile(r"[A-Za-z0-9][\w.-]{0,95}/[A-Za-z0-9][\w.-]{0,95}", re.ASCII)
_NAME = re.compile(r"[A-Za-z0-9]([\w.-]{0,61}[A-Za-z0-9])?", re.ASCII)
"""What a label of Kubernetes takes."""
_GPU = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,40}", re.ASCII)
_DTYPE = re.compile(r"[a-z0-9_]{1,40}", re.ASCII)
_WORD = re.compile(r"[A-Za-z0-9_./:=,+-]{1,200}", re.ASCII)
"""A word that neither a shell, nor compose, nor Helm, nor KServe reads as anything but itself."""


@dataclass(frozen=True, slots=True)
class Serving:
    """One model as vLLM serves it: the numbers are one replica's, `replicas` of them alike."""

    repo: str
    """On Hugging Face, e.g. Qwen/Qwen3-Coder-30B-A3B-Instruct-FP8."""
    served_name: str
    """Without a slash: what agents ask for."""
    context_tokens: int
    tensor_parallel: int
    pipeline_parallel: int
    replicas: int
    gpu: str | None
    tool_parser: str | None
    reasoning_parser: str | None
    max_sessions: int
    """With the whole context each."""
    weights_bytes: int | None
    """None or 0 where it is not known."""
    kv_cache_dtype: str = "auto"
    extra_args: tuple[str, ...] = ()

    @property
    def gpus(self) -> int:
        """Of all replicas."""
        return self.tensor_parallel * self.pipeline_parallel * self.replicas

    @property
    def max_requests(self) -> int:
        """At once: a session asks for titles and by helpers too, and few prompts are as long as the
        context; where the cache is full vLLM lets requests wait."""
        return max(16, 4 * self.max_sessions)


def manifest(target: str, serving: Serving) -> str:
    """The commented manifest of a target.

    Raises `UsageError` for a target or a value that cannot be, `NotSupported` for a layout that
    the target cannot have.
    """
    if target not in TARGETS:
        raise UsageError(
            f"target: {target!r} is not known",
            hint="--target " + "|".join(TARGETS),
            code="bad-value",
        )
    check(serving)
    # The writers know `Serving`, so they are met here only.
    writer = importlib.import_module(f"agentlaunch.hosted.{target.replace('-', '_')}")
    return cast("Callable[[Serving], str]", writer.write)(serving)


def check(serving: Serving) -> None:
    """Every value by its grammar, so that none can say more in a manifest than it should.

    Raises `UsageError`.
    """
    _word("model", serving.repo, _REPO, "OWNER/NAME as on Hugging Face")
    _word("served name", serving.served_name, _NAME, "letters, digits, `.`, `-`, `_`; 63 at most")
    _word("KV cache", serving.kv_cache_dtype, _DTYPE, "a name as fp8")
    if serving.gpu is not None:
        _word("GPU", serving.gpu, _GPU, "a name as H100")
    for word in serving.extra_args:
        _word("argument of vLLM", word, _WORD, "no blanks, quotes or other special characters")
    for what, number in (
        ("context", serving.context_tokens),
        ("tensor parallel", serving.tensor_parallel),
        ("pipeline parallel", serving.pipeline_parallel),
        ("replicas", serving.replicas),
        ("sessions", serving.max_sessions),
    ):
        if number < 1:
            raise UsageError(f"{what}: {number} is less than 1", code="bad-value")
    known = parsers.load()
    _known("tool", serving.tool_parser, known.tool_parsers)
    _known("reasoning", serving.reasoning_parser, known.reasoning_parsers)


def _word(what: str, text: str, form: re.Pattern[str], hint: str) -> None:
    if not form.fullmatch(text):
        raise UsageError(f"{what}: {text!r} cannot be used", hint=hint, code="bad-value")


def _known(kind: str, name: str | None, names: frozenset[str]) -> None:
    """An unknown parser would end vLLM's start."""
    if name is None or name in names:
        return
    near = difflib.get_close_matches(name, names, n=3, cutoff=0.6)
    raise UsageError(
        f"vLLM {parsers.load().vllm} has no {kind} parser {name!r}",
        hint=f"--{kind}-parser " + "|".join(near or sorted(names)),
        code="bad-value",
    )
