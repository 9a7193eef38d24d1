"""What the header of a .gguf means: the shape of the model, its quant, and whether it takes tools.

Which layers keep what follows llama.cpp's own loaders (builds of autumn 2026; the arithmetic was
checked against 209 configurations of 27 models). Bytes come from the tensors, never from
"parameters times bits".
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

from agentlaunch.models.gguf_header import (
    BadGguf,
    Header,
    NeedMore,
    Skipped,
    Tensor,
    parse_header,
    read_header,
)
from agentlaunch.models.shape import LayerCache, ModelShape, Weights

__all__ = [
    "BadGguf",
    "Header",
    "ModelFile",
    "NeedMore",
    "Tensor",
    "describe",
    "parse_header",
    "read_header",
    "read_model",
]

MAX_LAYERS = 4096
MAX_EXTENT = 1 << 24
F32_BYTES = 4

FILE_TYPES = {
    0: "F32",
    1: "F16",
    2: "Q4_0",
    3: "Q4_1",
    7: "Q8_0",
    8: "Q5_0",
    9: "Q5_1",
    10: "Q2_K",
    11: "Q3_K_S",
    12: "Q3_K_M",
    13: "Q3_K_L",
    14: "Q4_K_S",
    15: "Q4_K_M",
    16: "Q5_K_S",
    17: "Q5_K_M",
    18: "Q6_K",
    19: "IQ2_XXS",
    20: "IQ2_XS",
    21: "Q2_K_S",
    22: "IQ3_XS",
    23: "IQ3_XXS",
    24: "IQ1_S",
    25: "IQ4_NL",
    26: "IQ3_S",
    27: "IQ3_M",
    28: "IQ2_S",
    29: "IQ2_M",
    30: "IQ4_XS",
    31: "IQ1_M",
    32: "BF16",
    36: "TQ1_0",
    37: "TQ2_0",
    38: "MXFP4",
    39: "NVFP4",
}
"""`general.file_type` (PyPI gguf 0.19.0, LlamaFileType)."""

WINDOW_PERIOD = {
    "gemma2": 2,
    "gpt-oss": 2,
    "gemma3": 6,
    "gemma3n": 5,
    "gemma4": 6,
    "cohere2": 4,
    "olmo2": 4,
    "exaone4": 4,
    "llama4": 4,
}
"""Every n-th layer sees everything, the others a window; used where the header has no pattern.
An architecture that is not here and has none is allocated in full (mistral 0.1, phi3)."""

DELTANET = ("qwen3next", "qwen35", "qwen35moe")
MAMBA_WITHOUT_GROUPS = ("mamba", "jamba")
BOTH_IN_ONE_LAYER = ("falcon-h1",)

REPACKED = frozenset({"Q4_0", "Q4_K", "Q8_0", "IQ4_NL"})
"""Types that the engine arranges anew for AVX2 and ARM (not Q4_1 and Q6_K: fit of a 7B Q4_K_M,
4,460 MiB mapped and 2,977 MiB arranged anew)."""

_TOOLS = re.compile(r"tools|tool_call")


@dataclass(frozen=True, slots=True)
class ModelFile:
    """A .gguf as a candidate. `takes_tools` is None when it has no chat template at all;
    `size_bytes` is what the whole file has."""

    name: str
    shape: ModelShape
    takes_tools: bool | None
    size_bytes: int
    quant: str | None


def read_model(path: Path) -> ModelFile:
    """Read the header of a file and say what it is; raises `BadGguf`."""
    return describe(read_header(path), name=path.name)


def describe(header: Header, *, name: str) -> ModelFile:
    """The same from a header that came some other way; `name` is for error texts and as a last
    resort the model's name. Raises `BadGguf`."""
    keys = _Keys(header, name)
    template = header.metadata.get("tokenizer.chat_template")
    takes_tools: bool | None = None
    if isinstance(template, str):
        takes_tools = _TOOLS.search(template) is not None
    if "tokenizer.chat_template.tool_use" in header.metadata:
        takes_tools = True
    title = header.metadata.get("general.name")
    file_type = header.metadata.get("general.file_type")
    return ModelFile(
        name=title if isinstance(title, str) and title else name,
        shape=_shape(header, keys),
        takes_tools=takes_tools,
        size_bytes=header.file_bytes,
        quant=FILE_TYPES.get(file_type) if isinstance(file_type, int) else None,
    )


class _Keys:
    """The metadata of one architecture, checked as it is read."""

    def __init__(self, header: Header, name: str) -> None:
        self.name = name
        self._metadata = header.metadata
        architecture = header.metadata.get("general.architecture")
        if not isinstance(architecture, str) or not architecture:
            self.bad("it names no architecture")
        self.architecture = architecture
        self.layers = self.number("block_count", 0)
        if not 0 < self.layers <= MAX_LAYERS:
            self.bad("it describes no language model")

    def bad(self, what: str) -> NoReturn:
        raise BadGguf(
            f"{self.name} is not a usable model: {what}",
            hint="choose the .gguf of the model itself, not of a projector or an adapter",
        )

    def has(self, key: str) -> bool:
        return f"{self.architecture}.{key}" in self._metadata

    def number(self, key: str, default: int, *, most: int = MAX_EXTENT) -> int:
        """A whole number; of a list for each layer the largest."""
        return max(self.list(key, default, most=most, length=1))

    def list(
        self, key: str, default: int, *, most: int = MAX_EXTENT, length: int | None = None
    ) -> tuple[int, ...]:
        """One number for each layer, whether the header has one or a list of them."""
        value = self._metadata.get(f"{self.architecture}.{key}", default)
        if isinstance(value, Skipped | str | float):
            self.bad(f"`{key}` is no number")
        rows = value if isinstance(value, tuple) else (value,) * (length or self.layers)
        numbers = tuple(int(row) for row in rows if not isinstance(row, float))
        if not numbers or len(numbers) != len(rows) or not all(0 <= row <= most for row in numbers):
            self.bad(f"`{key}` makes no sense")
        if length is None and len(numbers) < self.layers:
            self.bad(f"`{key}` has {len(numbers)} numbers for {self.layers} layers")
        return numbers

    def optional(self, key: str, *, most: int = MAX_EXTENT) -> int | None:
        return self.number(key, 0, most=most) if self.has(key) else None

    def length_of(self, key: str) -> int | None:
        value = self._metadata.get(key)
        if isinstance(value, Skipped):
            return value.length
        return len(value) if isinstance(value, tuple) else None


def _shape(header: Header, keys: _Keys) -> ModelShape:
    experts_total = keys.number("expert_count", 0)
    experts_used = keys.number("expert_used_count", 0)
    if experts_used > experts_total:
        keys.bad("it uses more experts than it has")
    parts = header.metadata.get("split.count", 1)
    if isinstance(parts, int) and parts > 1:
        raise BadGguf(
            f"{keys.name} is one of {parts} parts of a model",
            hint=f"join them: llama-gguf-split --merge {keys.name} whole.gguf",
            code="split-gguf",
        )
    parameters, active = _parameters(header.tensors, experts_total, experts_used)
    return ModelShape(
        architecture=keys.architecture,
        layers=_layers(keys),
        head_count=keys.number("attention.head_count", 0),
        vocab_size=keys.optional("vocab_size") or keys.length_of("tokenizer.ggml.tokens"),
        context_max_tokens=keys.optional("context_length", most=1 << 32),
        embedding_length=keys.number("embedding_length", 0) or keys.bad("it has no width"),
        feed_forward_length=_dense_width(keys, header.tensors, experts_total),
        experts_total=experts_total,
        experts_used=experts_used,
        expert_feed_forward_length=keys.number("expert_feed_forward_length", 0)
        or (keys.number("feed_forward_length", 0) if experts_total else 0),
        mixing_values=_mixing_values(keys),
        parameters=parameters,
        active_parameters=active,
        weights=_weights(header.tensors, keys),
    )


def _layers(keys: _Keys) -> tuple[LayerCache, ...]:
    heads = keys.list("attention.head_count", 0)
    width = keys.number("embedding_length", 0)
    plain = width // max(heads) if max(heads) else 0
    kv_heads = keys.list("attention.head_count_kv", max(heads))
    key = keys.number("attention.key_length", plain)
    value = keys.number("attention.value_length", plain)
    if keys.has("attention.key_length_mla"):
        latent = keys.number("attention.kv_lora_rank", 0) + _rotated(keys)
        return (LayerCache(1, latent, 0),) * keys.layers
    window = keys.number("attention.sliding_window", 0, most=1 << 32)
    window_key = keys.number("attention.key_length_swa", key)
    window_value = keys.number("attention.value_length_swa", value)
    windowed = _windowed(keys) if window else (False,) * keys.layers
    first_shared = keys.layers - keys.number("attention.shared_kv_layers", 0)
    states = _states(keys, kv_heads)
    rows: list[LayerCache] = []
    for i in range(keys.layers):
        attends = i < first_shared and (not states[i] or keys.architecture in BOTH_IN_ONE_LAYER)
        count = kv_heads[i] if attends else 0
        if not count:
            rows.append(LayerCache(0, 0, 0, None, states[i]))
        elif windowed[i]:
            rows.append(LayerCache(count, window_key, window_value, window, states[i]))
        else:
            rows.append(LayerCache(count, key, value, None, states[i]))
    return tuple(rows)


def _windowed(keys: _Keys) -> tuple[bool, ...]:
    """Which layers see only a window: a list of flags, a period, or the architecture's habit."""
    if keys.has("attention.sliding_window_pattern"):
        pattern = keys.list("attention.sliding_window_pattern", 0, length=1)
        if len(pattern) > 1:
            if len(pattern) < keys.layers:
                keys.bad("its pattern of windows is shorter than its layers")
            return tuple(bool(flag) for flag in pattern[: keys.layers])
        period = pattern[0]
    else:
        period = WINDOW_PERIOD.get(keys.architecture, 1)
    if period == 0:
        return (True,) * keys.layers
    return tuple((i + 1) % period != 0 for i in range(keys.layers))


def _states(keys: _Keys, kv_heads: tuple[int, ...]) -> tuple[int, ...]:
    """Bytes of recurrent state of each layer for one sequence; f32 whatever the cache type."""
    width = keys.number("embedding_length", 0)
    if keys.has("shortconv.l_cache"):
        size = max(0, keys.number("shortconv.l_cache", 1) - 1) * width
        return tuple(0 if count else F32_BYTES * size for count in kv_heads)
    if keys.has("wkv.head_size"):
        shifts = 1 if keys.architecture.endswith("qwen2") else 2
        size = shifts * width + width * keys.number("wkv.head_size", 0)
        return (F32_BYTES * size,) * keys.layers
    if not keys.has("ssm.inner_size"):
        return (0,) * keys.layers
    inner, state = keys.number("ssm.inner_size", 0), keys.number("ssm.state_size", 0)
    groups = keys.number("ssm.group_count", 0)
    conv = max(0, keys.number("ssm.conv_kernel", 1) - 1)
    mixed = 0 if keys.architecture in MAMBA_WITHOUT_GROUPS else 2 * groups * state
    size = F32_BYTES * (conv * (inner + mixed) + state * inner)
    if keys.architecture in BOTH_IN_ONE_LAYER:
        return (size,) * keys.layers
    if keys.architecture in DELTANET:
        every = keys.number("full_attention_interval", 4) or 4
        return tuple(0 if (i + 1) % every == 0 else size for i in range(keys.layers))
    if keys.architecture.startswith("nemotron_h"):
        # a layer may also be nothing but a feed-forward part: neither cache nor state
        dense = keys.list("feed_forward_length", 0)
        return tuple(
            size if not count and not width else 0
            for count, width in zip(kv_heads, dense, strict=False)
        )
    if keys.architecture.startswith("mamba"):
        return (size,) * keys.layers
    return tuple(0 if count else size for count in kv_heads)


def _rotated(keys: _Keys) -> int:
    return keys.number("rope.dimension_count", 0)


def _mixing_values(keys: _Keys) -> int:
    """Most values that a recurrent layer or latent attention needs at once for each token; 0 where
    there is neither. Fitted to invented shapes (xllamacpp 2026.10.11549)."""
    width, inner = keys.number("embedding_length", 0), keys.number("ssm.inner_size", 0)
    if keys.has("attention.key_length_mla"):
        heads, rotated = keys.number("attention.head_count", 0), _rotated(keys)
        latent = keys.number("attention.kv_lora_rank", 0) + rotated
        values = heads * (keys.number("attention.key_length_mla", 0) + 2 * latent)
        # the rotated part goes into a hole as wide as the model when it fits there
        return 5 * width + values - (heads * rotated if heads * rotated <= width else 0)
    if not inner:
        return 0
    mixed = inner + 2 * keys.number("ssm.group_count", 0) * keys.number("ssm.state_size", 0)
    if keys.architecture in DELTANET:
        return 4 * width + 2 * inner + 2 * mixed
    if keys.architecture in MAMBA_WITHOUT_GROUPS:
        return 5 * (width + inner)
    entering = inner + mixed + keys.number("ssm.time_step_rank", 0)
    return 5 * width + entering + 2 * mixed + inner


def _dense_width(keys: _Keys, tensors: tuple[Tensor, ...], experts_total: int) -> int:
    """Feed-forward width of the dense layers; 0 when every layer is routed."""
    width = keys.number("feed_forward_length", 0)
    if not experts_total or keys.number("leading_dense_block_count", 0):
        return width
    return width if any(row.name.endswith(".ffn_up.weight") for row in tensors) else 0


def _parameters(
    tensors: tuple[Tensor, ...], experts_total: int, experts_used: int
) -> tuple[int | None, int | None]:
    if not tensors:
        return None, None
    total = sum(math.prod(row.dims) for row in tensors)
    routed = sum(math.prod(row.dims) for row in tensors if _is_expert(row.name))
    if not experts_total:
        return total, total
    return total, total - routed + routed * experts_used // experts_total


def _weights(tensors: tuple[Tensor, ...], keys: _Keys) -> Weights | None:
    """Bytes by place, or None when there are no tensors or one has a type that we do not know."""
    layers, experts = [0] * keys.layers, [0] * keys.layers
    total = embedding = largest = repacked = 0
    head = False
    for row in tensors:
        if row.size_bytes is None:
            return None
        total += row.size_bytes
        largest = max(largest, row.size_bytes)
        if row.name == "token_embd.weight":
            embedding = row.size_bytes
        elif row.type_name in REPACKED and len(row.dims) > 1:
            repacked += row.size_bytes
        head = head or row.name == "output.weight"
        if (layer := _layer_of(row.name)) is not None and layer < keys.layers:
            layers[layer] += row.size_bytes
            if _is_expert(row.name):
                experts[layer] += row.size_bytes
    if not tensors:
        return None
    return Weights(total, embedding, not head, tuple(layers), tuple(experts), largest, repacked)


def _layer_of(name: str) -> int | None:
    head, _, rest = name.partition(".")
    number = rest.partition(".")[0]
    return int(number) if head == "blk" and number.isascii() and number.isdigit() else None


def _is_expert(name: str) -> bool:
    return "_exps." in name
