"""What every manifest says alike: the version, vLLM's arguments, and the words of the comments.

Arguments and their defaults as in vLLM 0.33.0 (vllm/engine/arg_utils.py, entrypoints/common).
"""

from __future__ import annotations

import re

from agentlaunch.errors import NotSupported
from agentlaunch.hosted import parsers
from agentlaunch.hosted.serving import Serving
from agentlaunch.units import plural

VERSION = "0.33.0"
IMAGE_NAME = "vllm/vllm-openai"
IMAGE = f"{IMAGE_NAME}:v{VERSION}"
EXAMPLES = "/vllm-workspace/examples"
PORT = 8000

MEMORY_SHARE = "0.9"
"""Of each GPU's memory: what a plan counts with. vLLM 0.33.0 would take 0.92."""
START_S = 3600
"""The least that the first start may take: download, load, compile. Later ones read the cache."""
_LOAD_S = 1800
_FETCH_BYTES_S = 100_000_000
"""A download slower than this would be cut off; so would one of 673 GB within an hour."""

_GI = 1024**3
UNKNOWN_CACHE_GI = 500


def options(serving: Serving) -> dict[str, str | None]:
    """vLLM's options by name without the dashes; None where an option takes no value."""
    found: dict[str, str | None] = {
        "served-model-name": serving.served_name,
        "max-model-len": str(serving.context_tokens),
        "max-num-seqs": str(serving.max_requests),
        "gpu-memory-utilization": MEMORY_SHARE,
        "enable-prefix-caching": None,
        "tensor-parallel-size": str(serving.tensor_parallel),
    }
    if serving.pipeline_parallel > 1:
        found["pipeline-parallel-size"] = str(serving.pipeline_parallel)
    if serving.kv_cache_dtype != "auto":
        found["kv-cache-dtype"] = serving.kv_cache_dtype
    if serving.tool_parser is not None:
        found["enable-auto-tool-choice"] = None
        found["tool-call-parser"] = serving.tool_parser
    if serving.reasoning_parser is not None:
        found["reasoning-parser"] = serving.reasoning_parser
    return found


def arguments(chosen: dict[str, str | None], extra: tuple[str, ...]) -> list[str]:
    """Options as the words of a command line, a value in a word of its own."""
    words = []
    for name, value in chosen.items():
        words += [f"--{name}"] if value is None else [f"--{name}", value]
    return [*words, *extra]


def slug(serving: Serving) -> str:
    """The served name as a name that Kubernetes and Docker take: a DNS label of at most 40."""
    text = re.sub(r"[^a-z0-9]+", "-", serving.served_name.lower()).strip("-")[:40].strip("-")
    return text if text[:1].isalpha() else f"m-{text}"


def cache_gi(serving: Serving) -> int:
    """Room for the weights in GiB: a fifth more than they take, in steps of 10."""
    if not serving.weights_bytes:
        return UNKNOWN_CACHE_GI
    return -(-serving.weights_bytes * 12 // 10 // _GI // 10) * 10 + 10


def start_s(serving: Serving) -> int:
    """How long the first start may take, in whole ten minutes."""
    fetch = (serving.weights_bytes or UNKNOWN_CACHE_GI * _GI) // _FETCH_BYTES_S
    return max(START_S, -(-(_LOAD_S + fetch) // 600) * 600)


def memory_gi(serving: Serving) -> int:
    """Main memory of one engine in GiB: 16 a GPU, no less than 32. Weights pass through the page
    cache, which a limit counts too but gives back."""
    return max(32, 16 * serving.tensor_parallel)


def one_machine(serving: Serving, target: str) -> None:
    """Raise `NotSupported` for a model over several machines."""
    if serving.pipeline_parallel > 1:
        raise NotSupported(
            f"{target} has no manifest here for a model over {serving.pipeline_parallel} machines",
            hint="--target ray or skypilot, or a larger --gpu, of which one machine is enough",
            code="needs-one-machine",
        )


def about(serving: Serving, place: str, version: str = VERSION) -> str:
    """The first lines: what this is, and how many GPUs it takes."""
    kind = f" {serving.gpu}" if serving.gpu else " GPUs of one kind"
    stages = serving.pipeline_parallel
    weights = f"{serving.weights_bytes / 1e9:.0f} GB" if serving.weights_bytes else "size not known"
    return "\n".join(
        [
            f"{serving.repo} as {serving.served_name}",
            f"on vLLM {version}, for {place}",
            "",
            f"GPUs      {plural(serving.replicas, 'replica')} x"
            f" {serving.tensor_parallel} tensor parallel"
            f" x {plural(stages, 'stage')} = {serving.gpus} x{kind}",
            f"Weights   {weights}, split over {serving.tensor_parallel * stages} in each replica",
            f"Sessions  {serving.max_sessions} in each replica, each with the whole context of "
            f"{serving.context_tokens} tokens",
            *_parser_words(serving),
        ]
    )


def _parser_words(serving: Serving) -> list[str]:
    if serving.tool_parser is not None:
        family = parsers.family(serving.repo)
        if family is None or family.chat_template is None:
            return []
        return [
            "",
            "CHAT TEMPLATE: vLLM's docs serve this model with a template of theirs, since its own",
            "does not tell it of tools as the parser above reads them. Add to vLLM's arguments:",
            f"  --chat-template {EXAMPLES}/{family.chat_template}",
            "That is where vLLM's image has it; it is in `examples` of vLLM's repository.",
        ]
    return [
        "",
        "NO TOOL PARSER: which one reads this model's tool calls is not known here, and agents",
        "cannot work without one: every request of theirs would end with 400. The model's card",
        "names it; make this file again with --tool-parser NAME (and --reasoning-parser NAME).",
    ]


def point_at(url: str, before: str = "") -> str:
    """How agentlaunch is pointed at it."""
    return "\n".join(
        [
            "",
            "Point the agents at it:",
            *([f"  {before}"] if before else []),
            f"  agentlaunch config set hosted_url {url}",
            f"  agentlaunch config set-key {url}      # asks for the key",
            "  agentlaunch up claude-code --engine hosted",
        ]
    )
