"""Which layer of a model keeps what between tokens: llama.cpp's own rules, by architecture. Pure.

Read in the loaders of llama.cpp (autumn 2026) and held against the engine's own sizes. Names are
those of `general.architecture`; a rule is named here only where the engine itself names it.
"""

from __future__ import annotations

from agentlaunch.models.gguf_keys import Keys
from agentlaunch.models.shape import LayerCache

F32_BYTES = 4

WINDOW_PERIOD = {
    "afmoe": 4,
    "cohere2": 4,
    "cohere2moe": 4,
    "exaone-moe": 4,
    "exaone4": 4,
    "gemma2": 2,
    "gemma3": 6,
    "gemma3n": 5,
    "gemma4": 6,
    "gpt-oss": 2,
    "granite_swa": 1,
    "laguna": 4,
    "lfm2": 0,
    "lfm2moe": 0,
    "llama4": 4,
    "maple": 1,
    "mellum": 4,
    "mimo2": 1,
    "muse-glimmer": 4,
    "olmo2": 4,
    "plamo3": 8,
    "smallthinker": 4,
    "spark2_5": 1,
    "step35": 1,
}
"""Every n-th layer sees everything, the others a window; used where the header has no pattern.
0: no layer sees everything. An architecture that is not here has no windows, whatever its header
says (mistral 0.1, phi3)."""

FIRST_SEES_ALL = ("cohere2moe", "laguna", "smallthinker")
"""The first of n layers sees everything, not the last."""

FIXED_WINDOW = {"llama4": 8192, "smallthinker": 4096}
DEFAULT_WINDOW = {"exaone-moe": 128, "exaone4": 4096, "gemma2": 4096, **FIXED_WINDOW}
WINDOWED_DEPTH = {"exaone4": 64}
"""Only a model of so many layers has windows."""

OWN_CACHE_LAYERS = {"gemma3n": 20}
"""So many first layers keep a cache, whatever the header says; the others share theirs."""

ALL_RECURRENT = ("mamba", "mamba2", "rwkv6", "rwkv6qwen2", "rwkv7", "arwkv7")
BOTH_IN_ONE_LAYER = ("falcon-h1",)
ATTENTION_INTERVAL = {"qwen3next": 4, "qwen35": 4, "qwen35moe": 4, "qwen4exp": 4, "minimax-01": 8}
"""Every n-th layer attends, the others are recurrent."""
DELTANET = ("qwen3next", "qwen35", "qwen35moe")
MAMBA_WITHOUT_GROUPS = ("mamba", "jamba")
LIGHTNING = ("minimax-01",)
DENSE_LAYERS_BETWEEN = ("nemotron_h", "nemotron_h_moe")
"""A layer may also be nothing but a feed-forward part: neither cache nor state."""

CHECKED = frozenset(
    {
        *("llama", "qwen2", "qwen3", "gemma2", "gemma3", "gemma3n", "gemma4", "granite"),
        *("cohere2", "command-r", "phi3", "olmo2", "exaone4", "mistral3", "smollm3", "seed_oss"),
        *("starcoder2", "glm4", "muse-glimmer", "qwen2moe", "qwen3moe", "gpt-oss", "deepseek2"),
        *("glm4moe", "llama4", "cohere2moe", "laguna", "step35", "mimo2", "minimax-m2", "dots1"),
        *("ernie4_5-moe", "hunyuan-moe", "granitemoe", "afmoe", "qwen3next", "qwen35"),
        *("qwen35moe", "mamba", "mamba2", "jamba", "granitehybrid", "nemotron_h"),
        *("nemotron_h_moe", "falcon-h1", "lfm2", "lfm2moe", "plamo2", "kimi-linear", "rwkv6"),
        "rwkv7",
    }
)
"""Architectures whose sizes were held against the engine's own (xllamacpp 2026.10.11549)."""

USUAL = frozenset(
    {
        *("apertus", "arcee", "arctic", "baichuan", "bailingmoe", "bailingmoe2", "bitnet", "bloom"),
        *("chatglm", "codeshell", "cogvlm", "dbrx", "deci", "deepseek", "ernie4_5", "exaone"),
        *("exaone-moe", "falcon", "gemma", "gpt2", "gptneox", "granite_swa", "grok", "grovemoe"),
        *("hunyuan-dense", "hunyuan_vl", "internlm2", "jais", "jais2", "maincoder", "maple"),
        *("mellum", "minicpm", "minicpm3", "minimax-01", "mistral4", "mpt", "nemotron", "olmo"),
        *("olmoe", "openelm", "orion", "pangu-embedded", "phi2", "phimoe", "plamo", "plamo3"),
        *("plm", "qwen", "qwen2vl", "qwen3vl", "qwen3vlmoe", "refact", "rwkv6qwen2", "arwkv7"),
        *("smallthinker", "spark2_5", "stablelm", "starcoder", "xverse"),
    }
)
"""Architectures whose rules were read in the engine's loaders but not held against its sizes."""


def confirmed(architecture: str) -> bool:
    """Is the layout of its cache known? Not that of an architecture newer than this program, or
    with caches of another kind (sparse attention that keeps an index)."""
    return architecture in CHECKED or architecture in USUAL


def layers_of(keys: Keys) -> tuple[LayerCache, ...]:
    """What every layer of the file keeps. Layers that predict several tokens keep nothing: an
    ordinary run leaves them out."""
    trunk = trunk_layers(keys)
    heads, kv_heads = keys.list("attention.head_count", 0), _kv_heads(keys)
    if keys.architecture in ALL_RECURRENT:
        kv_heads = (0,) * keys.layers
    elif not any(heads):
        keys.bad("it says nothing of its attention heads")
    states, windows = _states(keys, kv_heads, trunk), _windows(keys, trunk)
    lengths = _lengths(keys, heads[0])
    owners = min(trunk, OWN_CACHE_LAYERS.get(keys.architecture, keys.layers - _shared(keys)))
    longest = max(
        count * lengths[row is not None][1] for count, row in zip(kv_heads, windows, strict=True)
    )
    rows: list[LayerCache] = []
    for i, (window, state) in enumerate(zip(windows, states, strict=True)):
        attends = i < owners and (not state or keys.architecture in BOTH_IN_ONE_LAYER)
        if not attends or not kv_heads[i]:
            rows.append(LayerCache(0, 0, 0, None, state))
            continue
        key, value = lengths[window is not None]
        padded = 0 if kv_heads[i] * value == longest else longest
        own_heads = heads[i] if len(set(heads)) > 1 else 0
        rows.append(LayerCache(kv_heads[i], key, value, window, state, own_heads, padded))
    return tuple(rows)


def trunk_layers(keys: Keys) -> int:
    """Layers that an ordinary run computes."""
    return keys.layers - min(keys.number("nextn_predict_layers", 0), keys.layers - 1)


def _shared(keys: Keys) -> int:
    """Last layers that use the cache of earlier ones."""
    return min(keys.number("attention.shared_kv_layers", 0), keys.layers)


def _kv_heads(keys: Keys) -> tuple[int, ...]:
    if keys.has("attention.head_count_kv"):
        return keys.list("attention.head_count_kv", 0)
    return keys.list("attention.head_count", 0)


def _lengths(keys: Keys, heads: int) -> tuple[tuple[int, int], tuple[int, int]]:
    """Key and value of one head in full and in windowed layers; a latent row has no value."""
    plain = keys.number("embedding_length", 0) // heads if heads else 0
    if keys.number("attention.key_length_mla", 0):
        latent = keys.number("attention.kv_lora_rank", 0) + keys.number("rope.dimension_count", 0)
        latent = keys.number("attention.key_length", latent)
        # sparse attention keeps the keys of its index beside the latent row
        row = latent + keys.number("attention.indexer.key_length", 0), 0
        return row, row
    full = keys.number("attention.key_length", plain), keys.number("attention.value_length", plain)
    return full, (
        keys.number("attention.key_length_swa", full[0]),
        keys.number("attention.value_length_swa", full[1]),
    )


def _windows(keys: Keys, trunk: int) -> tuple[int | None, ...]:
    """Tokens that each layer sees, None for all."""
    name = keys.architecture
    window = keys.number("attention.sliding_window", DEFAULT_WINDOW.get(name, 0), most=1 << 32)
    if window:
        window = FIXED_WINDOW.get(name, window)
    if not window or name not in WINDOW_PERIOD or WINDOWED_DEPTH.get(name, trunk) != trunk:
        return (None,) * keys.layers
    return tuple(window if flag else None for flag in _windowed(keys, trunk))


def _windowed(keys: Keys, trunk: int) -> tuple[bool, ...]:
    """Which layers see only a window: a list of flags, a period, or the architecture's habit."""
    period = WINDOW_PERIOD[keys.architecture]
    if keys.has("attention.sliding_window_pattern"):
        pattern = keys.list("attention.sliding_window_pattern", 0, length=1)
        if len(pattern) > 1:
            if len(pattern) < trunk:
                keys.bad("its pattern of windows is shorter than its layers")
            flags = tuple(bool(flag) for flag in pattern[: keys.layers])
            return flags + (False,) * (keys.layers - len(flags))
        period = pattern[0]
    if period == 0:
        return (True,) * keys.layers
    full = 0 if keys.architecture in FIRST_SEES_ALL else period - 1
    return tuple(i < trunk and i % period != full for i in range(keys.layers))


def _states(keys: Keys, kv_heads: tuple[int, ...], trunk: int) -> tuple[int, ...]:
    """Bytes of recurrent state of each layer for one sequence; f32 whatever the cache type."""
    size = F32_BYTES * _state_values(keys)
    if not size:
        return (0,) * keys.layers
    name = keys.architecture
    if name in ALL_RECURRENT or name in BOTH_IN_ONE_LAYER:
        recurrent = [True] * trunk
    elif name in ATTENTION_INTERVAL:
        recurrent = _interval(keys, trunk)
    else:
        recurrent = [not count for count in kv_heads[:trunk]]
        if name in DENSE_LAYERS_BETWEEN:
            dense = keys.list("feed_forward_length", 0)
            recurrent = [flag and not dense[i] for i, flag in enumerate(recurrent)]
    return tuple(size if flag else 0 for flag in recurrent) + (0,) * (keys.layers - trunk)


def _interval(keys: Keys, trunk: int) -> list[bool]:
    if keys.has("attention.recurrent_layers"):
        return [bool(flag) for flag in keys.list("attention.recurrent_layers", 0)[:trunk]]
    usual = ATTENTION_INTERVAL[keys.architecture]
    every = keys.number("full_attention_interval", usual) or usual
    return [(i + 1) % every != 0 for i in range(trunk)]


def _state_values(keys: Keys) -> int:
    """Values that a recurrent layer keeps for one sequence: of its convolution and of its scan."""
    width, heads = keys.number("embedding_length", 0), keys.list("attention.head_count", 0)[0]
    if head := keys.number("wkv.head_size", 0):
        return keys.number("token_shift_count", 2) * width + width * head
    if keys.has("shortconv.l_cache"):
        return max(0, keys.number("shortconv.l_cache", 1) - 1) * width
    kept = max(0, keys.number("ssm.conv_kernel", 1) - 1)
    if head := keys.number("kda.head_dim", 0):
        return heads * head * (3 * kept + head)
    if keys.architecture in LIGHTNING:
        return heads * keys.number("attention.key_length", width // max(heads, 1)) ** 2
    inner, state = keys.number("ssm.inner_size", 0), keys.number("ssm.state_size", 0)
    groups = 0 if keys.architecture in MAMBA_WITHOUT_GROUPS else keys.number("ssm.group_count", 0)
    return kept * (inner + 2 * groups * state) + state * inner
