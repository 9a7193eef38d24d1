"""How fast would it be? Bandwidth and arithmetic → tokens per second and first word. Pure.

Reading the weights in use and the cache bounds each new token; arithmetic bounds the prompt. The
shares of peak speed are medians of public results (llama.cpp and Ollama, single GPU, about 1,160
runs), often ±30 %, so a band is given and never one number; what is unknown gives no band.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from agentlaunch.machine import devices
from agentlaunch.machine.facts import Gpu, Machine
from agentlaunch.models import budget
from agentlaunch.models.fit import Fit
from agentlaunch.models.guess import guessed_weights
from agentlaunch.models.memory import Allocation, kv_bytes
from agentlaunch.models.shape import ModelShape, Weights

GB = 1_000_000_000
TERA = 1_000_000_000_000

Shares = tuple[float, float]
"""Share of peak bandwidth that decoding reaches: dense, routed; the middle of what was seen."""

NVIDIA_SHARES: tuple[tuple[int, Shares], ...] = (
    (8, (0.70, 0.30)),  # Ampere 0.55-0.75 and 0.33-0.40, Ada and Blackwell 0.65-0.78, 0.25-0.30
    (7, (0.63, 0.22)),  # Turing 0.60-0.67, 0.15-0.30
    (0, (0.36, 0.15)),  # Pascal, and whatever is older
)
"""From which major compute capability on."""
VENDOR_SHARES: dict[str, Shares] = {
    "nvidia": (0.66, 0.31),
    "apple": (0.66, 0.47),
    "amd": (0.61, 0.23),
    "intel": (0.25, 0.16),
}
SMALL_MODEL_BYTES = 2 * GB
SMALL_MODEL_SHARE = 0.45
MOST_TOKENS_PER_S = (350.0, 450.0)
"""Small models wait for the launch of each kernel instead of for memory."""

TFLOPS_SHARE = (0.6, 1.7)
"""NVIDIA: effective arithmetic of a prompt over the table's fp16 figure: RTX 3060 43/25.5, 4070 Ti
48/80, 3090 66/71, 5080 104/113, 5090 200/210 (int8 paths reach more than fp16 on older cards)."""
TFLOPS_PER_GBS = {
    "nvidia": (0.07, 0.12),
    "apple": (0.011, 0.020),
    "amd": (0.035, 0.050),
}
"""Vendor → effective TFLOP/s while reading a prompt, for each GB/s of bandwidth, where the
arithmetic is not known: RTX 3060 43/360, 3090 66/936, 5090 200/1792; 7900 XTX 42/960; M1 Max
7.4/400, M4 Pro 3-5/273."""
MOST_TFLOPS_PER_GBS = (0.06, 0.15)
"""NVIDIA: however large its arithmetic (H100), reading a prompt does not go beyond this."""
ROUTED_PROMPT_SHARE = (0.2, 0.4)

MICRO_BATCH_TOKENS = 512
FETCH_GBS = (6.0, 24.0)
"""From RAM to a card, GB/s: PCIe 3.0 x8 (a laptop) to 4.0 x16, as far as it is used. Assumed."""

RAM_GBS = 51.2
"""Dual-channel DDR4-3200: what is assumed where the bandwidth of RAM is not known."""
ASSUMED_CORES = 6
"""Where the number of cores is not known, as in a description of a machine."""
FULL_CORES = 6
"""From so many cores on, decoding waits for memory and not for arithmetic."""
CPU_SHARE = ((0.60, 0.75), (0.40, 0.50))
SLOW_CORE_GBS = 1.2
"""One shared virtual core, observed: a 135M Q4_1 model (0.09 GB) decoded 27 tokens/s on two."""
CPU_TFLOPS_PER_CORE = (0.02, 0.10)
"""Low: the same machine read the prompt of that model at 171-198 tokens/s; high: 8 cores at 0.8."""

BAND = (0.7, 1.3)
ROUTED_BAND = (0.6, 1.5)


@dataclass(frozen=True, slots=True)
class Band:
    """From a careful to a hopeful estimate."""

    low: float
    high: float

    @property
    def middle(self) -> float:
        """The estimate between, by ratio: bands are wide and lie by factors."""
        return float((self.low * self.high) ** 0.5)


@dataclass(frozen=True, slots=True)
class Speed:
    """Decoding in tokens a second with the prompt in the cache, and seconds to the first word."""

    decode_tokens_per_s: Band | None
    first_word_s: Band | None
    because: tuple[str, ...] = ()


def speed(
    machine: Machine,
    shape: ModelShape,
    fit: Fit,
    *,
    prompt_tokens: int,
    published_bytes: int | None = None,
) -> Speed:
    """Estimate for a model placed as `fit` says and a first request of `prompt_tokens`."""
    weights = shape.weights or guessed_weights(shape, published_bytes)
    if weights is None or not fit.fits:
        return Speed(None, None)
    because: list[str] = []
    if fit.placement != "gpu":
        because.append(
            f"speed assumes {RAM_GBS:g} GB/s of RAM bandwidth, that of two usual channels"
            + ("" if machine.cores else f", and {ASSUMED_CORES} cores")
        )
    unknown = [gpu.name for gpu in fit.devices if not _is_known(gpu)]
    if unknown:
        return Speed(None, None, (f"the bandwidth of {unknown[0]} is not known",))
    slow, fast = _decode(machine, shape, weights, fit, prompt_tokens)
    prompt = _prompt_seconds(machine, shape, weights, fit, prompt_tokens)
    decode = Band(_rounded(slow), _rounded(fast))
    if prompt is None:
        return Speed(decode, None, tuple(because))
    return Speed(decode, Band(_rounded(prompt[0]), _rounded(prompt[1])), tuple(because))


def _rounded(value: float) -> float:
    """Two digits and a bit: more would pretend."""
    return round(value, 1) if value >= 1 else round(value, 2)


def _is_known(gpu: Gpu) -> bool:
    return bool(gpu.bandwidth_gbs) and gpu.vendor in VENDOR_SHARES


def _parts(gpus: Sequence[Gpu]) -> list[tuple[Gpu, float]]:
    """Which part of a model each device holds: layers are dealt out by free memory."""
    free = [max(1, budget.free_bytes(gpu)) for gpu in gpus]
    return [(gpu, size / sum(free)) for gpu, size in zip(gpus, free, strict=True)]


def _read_bytes(
    shape: ModelShape, weights: Weights, fit: Fit, prompt_tokens: int
) -> tuple[float, float]:
    """Bytes that one token touches on the devices and in RAM: of the experts only those in use,
    of the embedding one row, and the cache of what was said so far."""
    tokens = max(1, min(prompt_tokens, fit.context_tokens))
    cache = kv_bytes(shape, Allocation(tokens, fit.kv_cache_type))
    whole = max(1, fit.kv_bytes + fit.state_bytes)
    on_gpu = fit.gpu_cache_bytes / whole
    gpu, in_ram = float(fit.weights_gpu_bytes or 0), 0.0
    if fit.placement != "gpu":
        looked_up = 0 if weights.tied and fit.placement == "cpu" else weights.embedding_bytes
        in_ram = max(0.0, (fit.weights_cpu_bytes or 0) - looked_up)
    idle = _idle_share(shape, weights)
    gpu -= fit.gpu_expert_bytes * idle
    in_ram -= (sum(weights.expert_bytes) - fit.gpu_expert_bytes) * idle if in_ram else 0
    return max(0.0, gpu) + cache * on_gpu, max(0.0, in_ram) + cache * (1 - on_gpu)


def _idle_share(shape: ModelShape, weights: Weights) -> float:
    """How much of the experts one token leaves alone. Where the tensors are not known, so much
    that what is left has the share of parameters that is said to be active."""
    experts = sum(weights.expert_bytes)
    if not shape.routed or not experts:
        return 0.0
    if shape.weights is not None and shape.experts_total:
        return 1 - shape.experts_used / shape.experts_total
    active = (shape.active_parameters or 0) / (shape.parameters or 1)
    return min(1.0, weights.total_bytes * (1 - active) / experts)


def _decode(
    machine: Machine, shape: ModelShape, weights: Weights, fit: Fit, prompt_tokens: int
) -> tuple[float, float]:
    """Time adds over the devices; the band is the measured spread around it."""
    on_gpu, in_ram = _read_bytes(shape, weights, fit, prompt_tokens)
    band = ROUTED_BAND if shape.routed else BAND
    cpu_slow, cpu_fast = _cpu_bytes_per_s(machine.cores, routed=shape.routed)
    slow = in_ram / (cpu_slow * band[0])
    fast = in_ram / (cpu_fast * band[1])
    for gpu, part in _parts(fit.devices):
        share = _bandwidth_share(gpu)[shape.routed]
        if on_gpu < SMALL_MODEL_BYTES:
            share = min(share, SMALL_MODEL_SHARE)
        peak = (gpu.bandwidth_gbs or 0) * GB
        slow += on_gpu * part / (share * band[0] * peak)
        fast += on_gpu * part / (min(1.0, share * band[1]) * peak)
    low, high = MOST_TOKENS_PER_S
    return min(low, 1 / slow) if slow else low, min(high, 1 / fast) if fast else high


def _bandwidth_share(gpu: Gpu) -> Shares:
    major = (gpu.compute_capability or "").partition(".")[0]
    if gpu.vendor == "nvidia" and major.isdecimal():
        return next(shares for least, shares in NVIDIA_SHARES if int(major) >= least)
    return VENDOR_SHARES[gpu.vendor]


def _cpu_bytes_per_s(cores: int | None, *, routed: bool) -> tuple[float, float]:
    """Bytes of weights a second; below six cores the processor is the limit, not the memory."""
    low, high = (share * RAM_GBS * GB for share in CPU_SHARE[routed])
    count = max(1, cores or ASSUMED_CORES)
    if count >= FULL_CORES:
        return low, high
    few = 2
    two_cores = few * SLOW_CORE_GBS * GB
    if count <= few:
        slow = count * SLOW_CORE_GBS * GB
    else:
        slow = two_cores + (low - two_cores) * (count - few) / (FULL_CORES - few)
    return slow, high * count / FULL_CORES


def _prompt_seconds(
    machine: Machine, shape: ModelShape, weights: Weights, fit: Fit, prompt_tokens: int
) -> tuple[float, float] | None:
    """Fast and slow seconds to read a prompt; None when the arithmetic is not known.

    Beside a card the card computes all of it: for each micro-batch it fetches the weights that lie
    in RAM, so the way between them counts and the processor does not.
    """
    if shape.active_parameters is None:
        return None
    attention = 4 * shape.attention_width * prompt_tokens // 2
    work = prompt_tokens * (2 * shape.active_parameters + attention) / TERA
    if fit.placement == "cpu":
        cores = max(1, machine.cores or ASSUMED_CORES)
        slow_rate, fast_rate = (rate * cores for rate in CPU_TFLOPS_PER_CORE)
        return work / fast_rate, work / (slow_rate / 2 if shape.routed else slow_rate)
    low_share, high_share = ROUTED_PROMPT_SHARE if shape.routed else (1.0, 1.0)
    fast = slow = 0.0
    for gpu, part in _parts(fit.devices):
        rates = _tflops(gpu)
        if rates is None:
            return None
        slow += part * work / (rates[0] * low_share)
        fast += part * work / (rates[1] * high_share)
    if fit.placement == "split":
        fetched = max(0, (fit.weights_cpu_bytes or 0) - weights.embedding_bytes) / GB
        fetches = -(-prompt_tokens // MICRO_BATCH_TOKENS)
        fast += fetches * fetched / FETCH_GBS[1]
        slow += fetches * fetched / FETCH_GBS[0]
    return fast, slow


def _tflops(gpu: Gpu) -> tuple[float, float] | None:
    """Effective arithmetic while reading a prompt, careful and hopeful; None where not known."""
    if gpu.vendor not in TFLOPS_PER_GBS or not gpu.bandwidth_gbs:
        return None
    device = devices.find(gpu.name, gpu.vram_bytes) if gpu.vendor == "nvidia" else None
    if device is None or device.fp16_tflops is None:
        low, high = TFLOPS_PER_GBS[gpu.vendor]
        return low * gpu.bandwidth_gbs, high * gpu.bandwidth_gbs
    low, high = (share * device.fp16_tflops for share in TFLOPS_SHARE)
    return (
        min(low, MOST_TFLOPS_PER_GBS[0] * gpu.bandwidth_gbs),
        min(high, MOST_TFLOPS_PER_GBS[1] * gpu.bandwidth_gbs),
    )
