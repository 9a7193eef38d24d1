"""What llmfit and whichllm say that a model needs, beside ours and the engine's.

Both are asked for weights of 8 bits, as our headers have. llmfit answers from a database of its own
by a model's published name (`llmfit plan NAME --context N --quant Q8_0 --kv-quant TYPE --json`,
`minimum.vram_gb`). whichllm fetches models from the network; so its own arithmetic
(`whichllm.engine.vram.estimate_vram`) is called with what the header says: parameters, those in
use, size of the weights and, for the architectures it knows them of, windows. Neither can be asked
for several slots, a micro-batch or flash attention, whichllm not for a type of cache either.
"""

from __future__ import annotations

import json
import subprocess
import sys
import venv
from dataclasses import dataclass
from pathlib import Path

from agentlaunch.models.shape import ModelShape
from fit_oracle import MIB, Asked, Sizes

PINNED = ("llmfit==1.1.17", "whichllm==0.5.21", "typer==0.21.0", "click==8.2.1")
"""typer and click: whichllm 0.5.21 does not start with the newest ones."""
TIMEOUT_S = 120
GIB = 1 << 30
WINDOWS_KNOWN = ("gemma2", "gemma3", "gpt-oss", "cohere2")
"""Architectures whose windows whichllm takes into account."""

NAMES = {
    "llama 3.1 8B": "NousResearch/Meta-Llama-3.1-8B-Instruct",
    "qwen 2.5 7B": "Qwen/Qwen2.5-7B-Instruct",
    "qwen 3 4B": "Qwen/Qwen3-4B",
    "gemma 2 9B": "google/gemma-2-9b-it",
    "gemma 3 12B": "google/gemma-3-12b-it",
    "gemma 3n E4B": "google/gemma-3n-E4B-it",
    "granite 3.3 8B": "ibm-granite/granite-3.3-8b-instruct",
    "command R7B": "CohereLabs/c4ai-command-r7b-12-2024",
    "phi 3 mini": "microsoft/Phi-3-mini-128k-instruct",
    "mixtral 8x7B": "mistralai/Mixtral-8x7B-Instruct-v0.1",
    "deepseek 2 lite": "deepseek-ai/DeepSeek-V2-Lite",
    "granite 4 h tiny": "ibm-granite/granite-4.0-h-tiny",
    "nemotron nano 9B": "nvidia/NVIDIA-Nemotron-Nano-9B-v2",
    "falcon h1 7B": "tiiuae/Falcon-H1-7B-Instruct",
    "mamba 2.8B": "state-spaces/mamba-2.8b-hf",
    "lfm2 1.2B": "LiquidAI/LFM2-1.2B",
    "starcoder 2 15B": "bigcode/starcoder2-15b",
    "seed-oss 36B": "ByteDance-Seed/Seed-OSS-36B-Instruct",
    "kimi linear 48B-A3B": "moonshotai/Kimi-Linear-48B-A3B-Instruct",
    "qwen 3 30B-A3B": "Qwen/Qwen3-30B-A3B",
    "gpt-oss 20B": "openai/gpt-oss-20b",
    "glm 4.5 air": "zai-org/GLM-4.5-Air",
    "qwen 3 next 80B-A3B": "Qwen/Qwen3-Next-80B-A3B-Instruct",
    "deepseek 3 671B": "deepseek-ai/DeepSeek-V3",
    "gemma 4 31B": "google/gemma-4-31B-it",
    "gemma 4 E4B": "google/gemma-4-E4B-it",
    "gemma 4 26B-A4B": "google/gemma-4-26B-A4B-it",
    "qwen 3.5 9B": "Qwen/Qwen3.5-9B",
    "qwen 3.5 0.8B": "Qwen/Qwen3.5-0.8B",
    "qwen 3.5 35B-A3B": "Qwen/Qwen3.5-35B-A3B",
    "glm 4.7 flash": "zai-org/GLM-4.7-Flash",
    "llama 4 scout": "meta-llama/Llama-4-Scout-17B-16E-Instruct",
    "olmo 2 7B": "allenai/OLMo-2-1124-7B-Instruct",
    "olmo 3 32B": "allenai/Olmo-3-1125-32B",
    "exaone 4 32B": "LGAI-EXAONE/EXAONE-4.0-32B",
    "smollm 3 3B": "HuggingFaceTB/SmolLM3-3B",
    "minimax m2": "MiniMaxAI/MiniMax-M2",
    "hunyuan A13B": "tencent/Hunyuan-A13B-Instruct",
    "ernie 4.5 21B-A3B": "baidu/ERNIE-4.5-21B-A3B-PT",
    "lfm2 8B-A1B": "LiquidAI/LFM2-8B-A1B",
    "mimo 2 flash": "XiaomiMiMo/MiMo-V2-Flash",
    "step 3.5 flash": "stepfun-ai/Step-3.5-Flash",
    "dots 1": "rednote-hilab/dots.llm1.inst",
    "qwen 2 57B-A14B": "Qwen/Qwen2-57B-A14B-Instruct",
    "nemotron 3 nano 30B-A3B": "nvidia/NVIDIA-Nemotron-3-Nano-30B-A3B-BF16",
    "jamba reasoning 3B": "ai21labs/AI21-Jamba-Reasoning-3B",
    "trinity mini": "arcee-ai/Trinity-Mini",
}
"""Our header → the published name under which llmfit knows the model."""

ESTIMATE = """
import json, sys
from whichllm.engine.vram import estimate_vram
from whichllm.models.types import GGUFVariant, ModelInfo
asked = json.loads(sys.argv[1])
model = ModelInfo(id="x", family_id="x", name="x", **asked["model"])
variant = GGUFVariant("x-Q8_0.gguf", "Q8_0", asked["size_bytes"])
print(estimate_vram(model, variant, asked["context_tokens"]))
"""


@dataclass(frozen=True)
class Peers:
    """Where the tools are."""

    folder: Path

    def program(self, name: str) -> str:
        return str(self.folder / ("Scripts" if sys.platform == "win32" else "bin") / name)


def install(folder: Path) -> Peers:
    """Install both into an environment below `folder`, which the caller throws away."""
    peers = Peers(folder / "peers")
    venv.create(peers.folder, with_pip=True)
    command = [peers.program("python"), "-m", "pip", "install", "--quiet", *PINNED]
    subprocess.run(command, check=True, timeout=600)
    return peers


def lines(
    peers: Peers, title: str, shape: ModelShape, asked: Asked, ours: Sizes, theirs: Sizes
) -> list[str]:
    """One line for each tool: the whole need in GiB, and how far that is from the engine."""
    weights = shape.weights.total_bytes if shape.weights else 0
    engine = weights / GIB + theirs.total_mib * MIB / GIB
    rows = [("engine", engine), ("ours", weights / GIB + ours.total_mib * MIB / GIB)]
    unasked = asked.parallel != 1 or asked.batch != Asked().batch or not asked.flash_attention
    if unasked:
        reason = "cannot be asked for slots, micro-batch or flash attention"
        said: list[tuple[str, float | str]] = [("llmfit", reason), ("whichllm", reason)]
    else:
        said = [
            ("llmfit", _llmfit(peers, title, asked)),
            ("whichllm", _whichllm(peers, shape, asked)),
        ]
    return [
        f"    {name:10} {number:9.2f} GiB {100 * (number / engine - 1):+7.1f} %"
        if isinstance(number, float)
        else f"    {name:10} {number}"
        for name, number in [*rows, *said]
    ]


def _llmfit(peers: Peers, title: str, asked: Asked) -> float | str:
    """GB as it prints them; some of its terms are GiB, others decimal."""
    if title not in NAMES:
        return "cannot be asked: it knows published models only, by name"
    cache = "fp16" if asked.kv_cache_type == "f16" else asked.kv_cache_type
    command = [peers.program("llmfit"), "--json", "plan", NAMES[title]]
    command += ["--context", str(asked.context_tokens), "--quant", "Q8_0", "--kv-quant", cache]
    done = subprocess.run(command, capture_output=True, text=True, timeout=TIMEOUT_S, check=False)
    try:
        return float(json.loads(done.stdout)["minimum"]["vram_gb"])
    except (ValueError, KeyError, TypeError):
        return "no answer: " + (done.stderr.strip() or done.stdout.strip())[-120:]


def _whichllm(peers: Peers, shape: ModelShape, asked: Asked) -> float | str:
    if asked.kv_cache_type != "f16":
        return "cannot be asked for a type of cache"
    windows = [row.window_tokens for row in shape.layers if row.window_tokens]
    known = windows and shape.architecture in WINDOWS_KNOWN
    model = {
        "parameter_count": shape.parameters,
        "parameter_count_active": shape.active_parameters if shape.experts_total else None,
        "is_moe": shape.experts_total > 0,
        "sliding_window": windows[0] if known else None,
        "sliding_window_global_ratio": 1 - len(windows) / len(shape.layers) if known else None,
    }
    size = shape.weights.total_bytes if shape.weights else 0
    question = {"model": model, "size_bytes": size, "context_tokens": asked.context_tokens}
    command = [peers.program("python"), "-c", ESTIMATE, json.dumps(question)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=TIMEOUT_S, check=False)
    try:
        return int(done.stdout) / GIB
    except ValueError:
        return "no answer: " + done.stderr.strip()[-120:]
