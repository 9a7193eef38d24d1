"""What the header of a .gguf means: the shape of the model, its quant, and whether it takes tools.

Which layers keep what is the business of `layers`, what they compute with that of `activations`.
Bytes come from the tensors, never from "parameters times bits".
"""

from __future__ import annotations

import contextlib
import math
import re
from dataclasses import dataclass, replace
from pathlib import Path

from agentlaunch.models.activations import feed_forward_copies, mixing_values, per_layer_values
from agentlaunch.models.gguf_header import (
    BadGguf,
    Header,
    NeedMore,
    Tensor,
    parse_header,
    read_header,
)
from agentlaunch.models.gguf_keys import Keys
from agentlaunch.models.layers import confirmed, layers_of, trunk_layers
from agentlaunch.models.shape import ModelShape, Weights

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

REPACKED = frozenset({"Q4_0", "Q4_K", "IQ4_NL", "MXFP4"})
"""Types that the engine arranges anew for AVX2 (Q2_K with AVX-512 as well; on ARM Q5_K, Q6_K and
Q8_0 too), where the number of rows divides by eight."""
REPACKED_ROWS = 8

_TOOLS = re.compile(r"tools|tool_call")


@dataclass(frozen=True, slots=True)
class ModelFile:
    """A .gguf as a candidate. `takes_tools` is None when it has no chat template at all;
    `size_bytes` is what the whole file has, None where the header does not tell."""

    name: str
    shape: ModelShape
    takes_tools: bool | None
    size_bytes: int | None
    quant: str | None


def read_model(path: Path) -> ModelFile:
    """Read the header of a file and say what it is; raises `BadGguf`."""
    header = read_header(path)
    file = describe(header, name=path.name)
    if file.size_bytes is None and header.tensors:  # of a type that nobody told us
        begun = max(row.offset_bytes for row in header.tensors)
        with contextlib.suppress(OSError):
            size = path.stat().st_size
            file = replace(file, size_bytes=size if size > begun else None)
    return file


def _file_bytes(header: Header) -> int | None:
    if not header.tensors or any(row.size_bytes is None for row in header.tensors):
        return None
    return header.file_bytes


def describe(header: Header, *, name: str) -> ModelFile:
    """The same from a header that came some other way; `name` is for error texts and as a last
    resort the model's name. Raises `BadGguf`."""
    keys = Keys(header, name)
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
        size_bytes=_file_bytes(header),
        quant=FILE_TYPES.get(file_type) if isinstance(file_type, int) else None,
    )


def _shape(header: Header, keys: Keys) -> ModelShape:
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
    layers, tensors = layers_of(keys), _loaded(header.tensors, keys)
    parameters, active = _parameters(tensors, experts_total, experts_used)
    one, many = mixing_values(keys, tensors, layers)
    return ModelShape(
        architecture=keys.architecture,
        layers=layers,
        head_count=keys.number("attention.head_count", 0),
        vocab_size=keys.optional("vocab_size") or keys.length_of("tokenizer.ggml.tokens"),
        context_max_tokens=keys.optional("context_length", most=1 << 32),
        embedding_length=keys.number("embedding_length", 0) or keys.bad("it has no width"),
        feed_forward_length=_dense_width(keys, tensors, experts_total),
        experts_total=experts_total,
        experts_used=experts_used,
        expert_feed_forward_length=keys.number("expert_feed_forward_length", 0)
        or (keys.number("feed_forward_length", 0) if experts_total else 0),
        feed_forward_copies=feed_forward_copies(tensors),
        per_layer_values=per_layer_values(tensors),
        mixing_values=one,
        mixing_values_of_many=many if many > one else 0,
        parameters=parameters,
        active_parameters=active,
        weights=_weights(tensors, keys),
        upper_bound=not confirmed(keys.architecture),
    )


def _dense_width(keys: Keys, tensors: tuple[Tensor, ...], experts_total: int) -> int:
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


def _loaded(tensors: tuple[Tensor, ...], keys: Keys) -> tuple[Tensor, ...]:
    """Without the layers that predict several tokens: an ordinary run leaves them in the file."""
    trunk = trunk_layers(keys)
    if trunk == keys.layers:
        return tensors
    return tuple(row for row in tensors if (_layer_of(row.name) or 0) < trunk)


def _weights(tensors: tuple[Tensor, ...], keys: Keys) -> Weights | None:
    """Bytes by place, or None when there are no tensors or one has a type that we do not know."""
    layers, experts = [0] * keys.layers, [0] * keys.layers
    total = embedding = largest = repacked = copied = 0
    head = False
    for row in tensors:
        if row.size_bytes is None:
            return None
        total += row.size_bytes
        if row.name == "token_embd.weight":
            embedding, copied = row.size_bytes, _copied_bytes(row)
        else:
            repacked += _copied_bytes(row)
        head = head or row.name == "output.weight"
        if (layer := _layer_of(row.name)) is not None and layer < keys.layers:
            layers[layer] += row.size_bytes
            largest = max(largest, row.size_bytes)
            if _is_expert(row.name):
                experts[layer] += row.size_bytes
    if not tensors:
        return None
    repacked += 0 if head else copied
    return Weights(total, embedding, not head, tuple(layers), tuple(experts), largest, repacked)


def _copied_bytes(tensor: Tensor) -> int:
    """What of a tensor is arranged anew; an embedding only where it is the head as well."""
    if tensor.type_name not in REPACKED or len(tensor.dims) < 2:
        return 0
    return 0 if tensor.dims[1] % REPACKED_ROWS else tensor.size_bytes or 0


def _layer_of(name: str) -> int | None:
    head, _, rest = name.partition(".")
    number = rest.partition(".")[0]
    return int(number) if head == "blk" and number.isascii() and number.isdigit() else None


def _is_expert(name: str) -> bool:
    return "_exps." in name
