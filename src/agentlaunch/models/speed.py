"""How fast would it be? Bandwidth and arithmetic → tokens per second and first word. Pure.

Reading the weights in use and the cache bounds each new token; arithmetic bounds the prompt. The
shares of peak speed are medians of public results (llama.cpp and Ollama, single GPU, about 1,160
runs), often ±30 %, so a band is given and never one number; what is unknown gives no band.
"""

from __future__ import annotations

from dataclasses import dataclass

from agentlaunch.machine.facts import Gpu, Machine
from agentlaunch.models.fit import Fit
from agentlaunch.models.memory import Allocation, kv_bytes
from agentlaunch.models.shape import ModelShape

GB = 1_000_000_000
TERA = 1_000_000_000_000

GPU_SHARE = {
    "nvidia": ((0.55, 0.78), (0.25, 0.40)),
    "apple": ((0.52, 0.80), (0.44, 0.50)),
    "amd": ((0.55, 0.67), (0.15, 0.34)),
    "intel": ((0.21, 0.30), (0.10, 0.25)),
}
"""Vendor → share of peak bandwidth that decoding reaches: dense, routed."""
SMALL_MODEL_BYTES = 2 * GB
SMALL_MODEL_SHARE = 0.45
MOST_TOKENS_PER_S = (350.0, 450.0)
"""Small models wait for the launch of each kernel instead of for memory."""

GPU_TFLOPS_PER_GBS = {
    "nvidia": (0.07, 0.12),
    "apple": (0.011, 0.020),
    "amd": (0.035, 0.050),
}
"""Vendor → effective TFLOP/s while reading a prompt, for each GB/s of bandwidth: RTX 3060 43/360,
4070 Ti 48/504, 3090 66/936, 5080 104/960, 5090 200/1792; 7900 XTX 42/960; M1 Max 7.4/400, M4 Pro
3-5/273. Used since a device's bandwidth is known more often than its arithmetic."""
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
    total = shape.weights.total_bytes if shape.weights else published_bytes
    if total is None or not fit.fits:
        return Speed(None, None)
    on_gpu = {"gpu": 1.0, "cpu": 0.0, "split": _gpu_part(fit)}[fit.placement]
    gpu = _device(machine) if on_gpu else None
    because: list[str] = []
    if on_gpu < 1:
        because.append(
            f"speed assumes {RAM_GBS:g} GB/s of RAM bandwidth, that of two usual channels"
            + ("" if machine.cores else f", and {ASSUMED_CORES} cores")
        )
    if on_gpu and gpu is None:
        return Speed(None, None, ("the bandwidth of the graphics is unknown",))
    read = _read_bytes(shape, total) + _cache_read_bytes(shape, fit, prompt_tokens)
    slow_fast = _decode(machine, gpu, shape, read, on_gpu)
    prompt = _prompt_seconds(machine, gpu, shape, prompt_tokens, fit)
    decode = Band(_rounded(slow_fast[0]), _rounded(slow_fast[1]))
    if prompt is None:
        return Speed(decode, None, tuple(because))
    return Speed(decode, Band(_rounded(prompt[0]), _rounded(prompt[1])), tuple(because))


def _rounded(value: float) -> float:
    """Two digits and a bit: more would pretend."""
    return round(value, 1) if value >= 1 else round(value, 2)


def _gpu_part(fit: Fit) -> float:
    gpu, cpu = fit.weights_gpu_bytes or 0, fit.weights_cpu_bytes or 0
    return gpu / (gpu + cpu) if gpu + cpu else 0.0


def _device(machine: Machine) -> Gpu | None:
    """The device that decodes: the first with a known bandwidth, discrete ones first."""
    known = [gpu for gpu in machine.gpus if gpu.bandwidth_gbs and gpu.vendor in GPU_SHARE]
    return min(known, key=lambda gpu: gpu.unified, default=None)


def _read_bytes(shape: ModelShape, total: int) -> int:
    """Weights that one token touches."""
    weights = shape.weights
    if weights is not None:
        resident = total - (0 if weights.tied else weights.embedding_bytes)
        experts = sum(weights.expert_bytes)
        if experts and shape.experts_total:
            resident -= experts - experts * shape.experts_used // shape.experts_total
        return resident
    if shape.parameters and shape.active_parameters:
        return total * shape.active_parameters // shape.parameters
    return total


def _cache_read_bytes(shape: ModelShape, fit: Fit, prompt_tokens: int) -> int:
    tokens = max(1, min(prompt_tokens, fit.context_tokens))
    return kv_bytes(shape, Allocation(tokens, fit.kv_cache_type))


def _decode(
    machine: Machine, gpu: Gpu | None, shape: ModelShape, read: int, on_gpu: float
) -> tuple[float, float]:
    """Time adds over the devices; the band is the measured spread around it."""
    band = ROUTED_BAND if shape.routed else BAND
    cpu_slow, cpu_fast = _cpu_bytes_per_s(machine.cores, routed=shape.routed)
    slow = fast = 0.0
    if on_gpu and gpu is not None and gpu.bandwidth_gbs is not None:
        low, high = GPU_SHARE[gpu.vendor][shape.routed]
        if read < SMALL_MODEL_BYTES:
            low = high = min(low, SMALL_MODEL_SHARE)
        peak = gpu.bandwidth_gbs * GB
        slow += read * on_gpu / (low * peak * band[0])
        fast += read * on_gpu / (high * peak * band[1])
    slow += read * (1 - on_gpu) / (cpu_slow * band[0])
    fast += read * (1 - on_gpu) / (cpu_fast * band[1])
    low, high = MOST_TOKENS_PER_S
    return min(low, 1 / slow) if slow else low, min(high, 1 / fast) if fast else high


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
    machine: Machine, gpu: Gpu | None, shape: ModelShape, prompt_tokens: int, fit: Fit
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
    if gpu is None or gpu.bandwidth_gbs is None or gpu.vendor not in GPU_TFLOPS_PER_GBS:
        return None
    share = ROUTED_PROMPT_SHARE if shape.routed else (1.0, 1.0)
    low, high = GPU_TFLOPS_PER_GBS[gpu.vendor]
    fetched = 0
    if fit.placement == "split":
        embedding = shape.weights.embedding_bytes if shape.weights is not None else 0
        fetched = max(0, (fit.weights_cpu_bytes or 0) - embedding)
    fetches = -(-prompt_tokens // MICRO_BATCH_TOKENS) * fetched / GB
    slow_way, fast_way = FETCH_GBS
    fast = work / (high * share[1] * gpu.bandwidth_gbs) + fetches / fast_way
    slow = work / (low * share[0] * gpu.bandwidth_gbs) + fetches / slow_way
    return fast, slow
