"""Generate the shipped model catalog from the sourced data file and the headers that were read.

    python scripts/refresh_catalog.py [--check]     # offline, the same every time
    python scripts/refresh_catalog.py --headers [MODEL ...]    # first read headers by range

Every number in `models/catalog.json` comes from the source file, which names where each was read,
or from a build's own header. What is added here is judgement and arithmetic, stated below: which
known problems lose tool calls, and the cache of each layer, whose sum is checked against the
source's own bytes per token.

`--headers` asks the registry for the first bytes of every build that llama.cpp reads and keeps what
they say in `scripts/data/headers.json`; such a build is exact in the catalog. What cannot be read
stays as it was, and is said. A build whose header was never read is an estimate.
"""

from __future__ import annotations

import argparse
import dataclasses
import hashlib
import json
import re
import sys
from collections.abc import Iterator
from itertools import groupby
from pathlib import Path
from typing import Any

from agentlaunch.errors import AgentlaunchError
from agentlaunch.models import gguf
from agentlaunch.models.download import Patience
from agentlaunch.models.gguf_header import Value
from agentlaunch.models.refs import parse_ref
from agentlaunch.models.registry import Registry
from agentlaunch.models.remote import RemoteModel, read_remote
from agentlaunch.models.shape import LayerCache, ModelShape, Weights

HERE = Path(__file__).resolve().parent
SOURCE = HERE / "data" / "models.json"
HEADERS = HERE / "data" / "headers.json"
TARGET = HERE.parent / "src" / "agentlaunch" / "models" / "catalog.json"

LOSES_CALLS = (
    "Emits bare JSON in the message text, so tool_calls stays empty and agents do nothing.",
    "Invents tools and malformed arguments; calls can arrive as plain text.",
    "Tool output mixes several syntaxes; users needed a proxy to make agents work.",
    "Reported never to call tools inside Claude Code.",
)
"""Problems after which an agent does nothing: never a pick."""

BREAKS_CALLS = (
    "Own tool-call syntax; the server carries a repair step, but parse failures and thought loops"
    " are still reported.",
    "Ollama returns HTTP 500 when it cannot parse a call; a multi-line file write reproduced it in"
    " about one request in four.",
    "Same Harmony parsing failures as the 20B.",
    "Any JSON object in ordinary text can be taken for a tool call and abort the reply (confirmed"
    " on 0.32.9).",
    "Shares the Laguna parser problem with JSON in ordinary text.",
)
"""Open defects that break some calls: such a model drops one place."""

OTHER_RUNTIMES = re.compile(r"mlx|nvfp4|mxfp8", re.IGNORECASE)
"""Builds that llama.cpp cannot read: they share digests with the MLX packages."""

QUANT = re.compile(
    r"(?:^|[-_:])(q\d(?:_[0-9a-z]+)*|iq\d_[a-z]+|bf16|fp16|f16|mxfp\d|nvfp4|mlx|qat)$",
    re.IGNORECASE,
)

UNKNOWN_VALUE_HEADS = 64
UNKNOWN_MAMBA = {"num_heads": 128, "head_dim": 64, "state_size": 128}
"""Where the source does not know a recurrent size: the largest it knows or more, so that the state
(which does not grow with the context) is counted too high rather than too low."""
MAMBA_GROUPS = 8
F32 = 4

ENGINE_NAMES = {
    "deepseek_v2": "deepseek2",
    "deepseek_v3": "deepseek2",
    "glm4_moe_lite": "deepseek2",
    "qwen3_5": "qwen35",
    "qwen3_5_moe": "qwen35moe",
    "qwen3_next": "qwen3next",
}
"""A maker's name for an architecture → llama.cpp's, where the rules for recurrent layers or latent
attention go by it."""

PLACING = (
    "tied",
    "expert_layers",
    "expert_matrices",
    "expert_width",
    "per_layer_embedding_length",
)
"""Fields that only place the bytes of a build whose header was not read."""

PATIENCE = Patience(tries=2, silence_s=20.0)
GIVE_UP_AFTER = 2
"""Unreachable in a row, after which the registry is not asked any more."""
OUT_OF_REACH = tuple(f"registry-{kind}" for kind in ("name", "refused", "tls", "timeout", "broken"))


def recurrent_state_bytes(entry: dict[str, Any]) -> int:
    """Bytes of one recurrent layer's state for one sequence (f32 always)."""
    part = entry["recurrent"]
    kernel = part["conv_kernel"]
    if part["type"] == "gated_deltanet":
        value_heads = part["num_value_heads"] or UNKNOWN_VALUE_HEADS
        inner = value_heads * part["value_head_dim"]
        conv = (kernel - 1) * (inner + 2 * part["num_key_heads"] * part["key_head_dim"])
        return int(F32 * (conv + part["key_head_dim"] * inner))
    if part["type"] == "mamba2":
        sizes = {name: part[name] or most for name, most in UNKNOWN_MAMBA.items()}
        inner = sizes["num_heads"] * sizes["head_dim"]
        groups = part.get("num_groups") or MAMBA_GROUPS
        conv = (kernel - 1) * (inner + 2 * groups * sizes["state_size"])
        return int(F32 * (conv + sizes["state_size"] * inner))
    if part["type"] == "short_conv":
        return int(F32 * (kernel - 1) * entry["n_heads"] * entry["head_dim"]["k"])
    raise SystemExit(f"{entry['ollama']}: unknown recurrent type {part['type']}")


def layers(entry: dict[str, Any]) -> list[list[Any]]:
    """One row a layer: kv heads, key length, value length, window or None, state bytes, and heads
    where they are not the model's."""
    count = entry["n_layers"]
    if entry["mla"]:
        latent = entry["mla"]["kv_lora_rank"] + entry["mla"]["qk_rope_head_dim"]
        return [[1, latent, 0, None, 0]] * count
    heads, key, value = entry["n_kv_heads"], entry["head_dim"]["k"], entry["head_dim"]["v"]
    full = [heads, key, value, None, 0]
    if override := entry["full_attention_override"]:
        size = override["head_dim"]
        full = [override["n_kv_heads"] or heads, size, size, None, 0]
    if sliding := entry["sliding_window"]:
        window = [heads, key, value, sliding["size"], 0, sliding.get("n_heads") or 0]
        period = round(sliding["n_sliding_layers"] / sliding["n_full_layers"]) + 1
        if match := re.match(r"(\d+) sliding : 1 full", sliding["pattern"]):
            period = int(match[1]) + 1
        is_full = [(i + 1) % period == 0 for i in range(count)]
        for i in reversed(range(count)):
            if sum(is_full) < sliding["n_full_layers"]:
                is_full[i] = True
        rows = [full if flag else window for flag in is_full]
        shared = entry["kv_shared_layers"] or 0
        return rows[: count - shared] + [[0, 0, 0, None, 0]] * shared
    part = entry["recurrent"]
    if pattern := entry.get("layer_pattern"):
        recurrent = [0, 0, 0, None, recurrent_state_bytes(entry)]
        kinds = {"*": full, "M": recurrent}
        return [kinds.get(kind, [0, 0, 0, None, 0]) for kind in pattern]
    if part and entry["n_kv_layers"]:
        attending = entry["n_kv_layers"]
        recurrent = [0, 0, 0, None, recurrent_state_bytes(entry)]
        left = part["n_recurrent_layers"] or count - attending
        mixed: list[list[Any]] = []
        for row in spread(count, attending, full):
            mixed.append(row or (recurrent if left else [0, 0, 0, None, 0]))
            left -= row is None and left > 0
        return mixed
    if part:
        # which layers attend is not confirmed: every one is counted as both
        full = [*full[:4], recurrent_state_bytes(entry)]
    return [full] * count


def spread(count: int, attending: int, row: list[Any]) -> list[list[Any] | None]:
    """`attending` rows evenly over `count` layers, the last of each group (as Gated DeltaNet)."""
    rows: list[list[Any] | None] = [None] * count
    for i in range(attending):
        rows[(i + 1) * count // attending - 1] = row
    return rows


def growing_bytes_per_token(rows: list[list[Any]]) -> int:
    """f16 cache that grows with the context, as the source counts it."""
    return sum(2 * row[0] * (row[1] + row[2]) for row in rows if row[3] is None)


def quant_of(tag: str, default_quant: str | None, *, is_default: bool) -> str | None:
    """The format that a tag names, else the source's word on the default."""
    match = QUANT.search(tag)
    return match[1] if match else default_quant if is_default else None


def expert_layers(entry: dict[str, Any], rows: list[list[Any]]) -> list[int]:
    """Which layers have routed experts."""
    if not entry["widths"]["experts"]:
        return []
    if pattern := entry.get("layer_pattern"):
        return [i for i, kind in enumerate(pattern) if kind == "E"]
    if entry["architecture"] == "nemotron_h":  # a layer is one thing; the order is not known
        return [i for i, row in enumerate(rows) if not row[0] and not row[4]]
    return list(range(entry["widths"]["leading_dense_layers"], len(rows)))


def mixing_values(entry: dict[str, Any]) -> int:
    """What recurrent layers or latent attention compute with, by the rule for headers: from the
    keys that a header of this model would have."""
    part, mla, width = entry["recurrent"], entry["mla"], entry["widths"]["hidden"]
    if width is None:
        return 0
    keys: dict[str, Value] = {
        "block_count": entry["n_layers"],
        "embedding_length": width,
        "attention.head_count": entry["n_heads"],
    }
    if mla:
        keys |= {
            "attention.key_length_mla": mla["qk_nope_head_dim"] + mla["qk_rope_head_dim"],
            "attention.kv_lora_rank": mla["kv_lora_rank"],
            "rope.dimension_count": mla["qk_rope_head_dim"],
        }
    if part and part["type"] == "gated_deltanet" and part["num_value_heads"]:
        keys |= {
            "ssm.inner_size": part["num_value_heads"] * part["value_head_dim"],
            "ssm.group_count": part["num_key_heads"],
            "ssm.state_size": part["key_head_dim"],
        }
    if part and part["type"] == "mamba2" and part["num_heads"]:
        keys |= {
            "ssm.inner_size": part["num_heads"] * part["head_dim"],
            "ssm.group_count": part["num_groups"],
            "ssm.state_size": part["state_size"],
            "ssm.time_step_rank": part["num_heads"],
        }
    name = ENGINE_NAMES.get(entry["architecture"], entry["architecture"])
    metadata: dict[str, Value] = {"general.architecture": name}
    metadata |= {f"{name}.{key}": value for key, value in keys.items()}
    if name == "nemotron_h":
        metadata[f"{name}.feed_forward_length"] = (0,) * entry["n_layers"]
    header = gguf.Header(metadata, tensors=(), file_bytes=0)
    return gguf.describe(header, name=entry["ollama"]).shape.mixing_values


def sourced_shape(entry: dict[str, Any]) -> dict[str, Any]:
    """The shape that the source file tells, as the catalog keeps it."""
    rows, widths = layers(entry), entry["widths"]
    if growing_bytes_per_token(rows) != entry["kv_bytes_per_token_f16_growing"]:
        raise SystemExit(
            f"{entry['ollama']}: layers give {growing_bytes_per_token(rows)} bytes per token, "
            f"the source says {entry['kv_bytes_per_token_f16_growing']}"
        )
    shape = ModelShape(
        architecture=entry["architecture"],
        layers=tuple(LayerCache(*row) for row in rows),
        head_count=entry["n_heads"],
        vocab_size=entry["vocab_size"],
        context_max_tokens=entry["context_max"],
        embedding_length=widths["hidden"],
        feed_forward_length=widths["feed_forward"],
        experts_total=widths["experts"] or 0,
        experts_used=widths["experts_used"] or 0,
        expert_feed_forward_length=widths["expert_feed_forward"] or 0,
        mixing_values=mixing_values(entry),
        parameters=round(entry["params_total_b"] * 1_000_000_000),
        active_parameters=round(entry["params_active_b"] * 1_000_000_000),
        upper_bound=entry["kv_estimate"] == "upper_bound",
        tied=widths["tied"],
        expert_layers=tuple(expert_layers(entry, rows)),
        expert_matrices=3 if widths["gated"] else 2,
        expert_width=widths["expert_latent"],
        per_layer_embedding_length=widths["per_layer_embedding"] or 0,
    )
    return packed_shape(shape)


def packed_shape(shape: ModelShape) -> dict[str, Any]:
    """A shape as the catalog keeps it, without weights: its fields where they are not the usual,
    and equal layers in a row counted."""
    row: dict[str, Any] = {}
    for field in dataclasses.fields(shape):
        value = getattr(shape, field.name)
        if field.name != "weights" and value != field.default:
            row[field.name] = value
    row["layers"] = [[len(list(run)), *layer_row(layer)] for layer, run in groupby(shape.layers)]
    return row


def layer_row(layer: LayerCache) -> list[Any]:
    """A layer's values in order, without the usual ones at the end."""
    fields = dataclasses.fields(layer)
    row = [getattr(layer, field.name) for field in fields]
    while row[-1] == fields[len(row) - 1].default:
        row.pop()
    return row


def packed_weights(weights: Weights) -> list[Any]:
    """Weights as the catalog keeps them: each kind of layer once, and the order of the kinds."""
    pairs = list(zip(weights.layer_bytes, weights.expert_bytes, strict=True))
    kinds = list(dict.fromkeys(pairs))
    return [
        weights.total_bytes,
        weights.embedding_bytes,
        weights.tied,
        kinds,
        [kinds.index(pair) for pair in pairs],
        weights.largest_bytes,
        weights.repacked_bytes,
    ]


def model(entry: dict[str, Any], headers: dict[str, Any]) -> dict[str, Any]:
    """One entry of the catalog; `headers` is what was read, by tag."""
    builds = [variant(entry, build, headers.get(build["tag"])) for build in entry["quants"]]
    read = [headers[build["tag"]] for build in entry["quants"] if build["tag"] in headers]
    default = [row for row in entry["quants"] if row["same_as_default"]] or entry["quants"]
    exact = [headers[row["tag"]] for row in default if row["tag"] in headers]
    shape = sourced_shape(entry)
    if read:
        placing = {name: shape[name] for name in PLACING if name in shape}
        shape = (exact or read)[0]["shape"] | placing
    return {
        "id": entry["ollama"],
        "family": entry["family"],
        "architecture": entry["architecture"],
        "evidence": "exact" if exact else "estimated",
        "tools": entry["tools"],
        "thinking": entry["thinking"],
        "vision": entry["vision"],
        "licence": entry["license"],
        "released": entry["release"],
        "params_total": round(entry["params_total_b"] * 1_000_000_000),
        "params_active": round(entry["params_active_b"] * 1_000_000_000),
        "context_max_tokens": entry["context_max"],
        "shape": shape,
        "status": entry["agent_status"],
        "min_ollama": entry["min_ollama"],
        "strengths": entry["strengths"],
        "scores": [
            [name, score["value"], score["kind"], score["source"], score["date"], score.get("note")]
            for name, score in entry["scores"].items()
        ],
        "problems": [
            [
                problem["text"],
                problem["refs"],
                "loses-calls"
                if problem["text"] in LOSES_CALLS
                else "breaks-calls"
                if problem["text"] in BREAKS_CALLS
                else None,
            ]
            for problem in entry["pitfalls"]
        ],
        "variants": builds,
        "sources": entry["sources"],
    }


def variant(
    entry: dict[str, Any], build: dict[str, Any], header: dict[str, Any] | None
) -> list[Any]:
    """One build; what its manifest and header say replaces the rounded size and the old digest."""
    row = [
        build["tag"],
        quant_of(build["tag"], entry["default_quant"], is_default=build["same_as_default"]),
        header["size_bytes"] if header else round(build["ollama_size_gb"] * 1_000_000_000),
        header["digest12"] if header else build["digest12"],
        build["same_as_default"],
        for_llama_cpp(build),
    ]
    return [*row, header["weights"]] if header else row


def for_llama_cpp(build: dict[str, Any]) -> bool:
    """Is it a build that llama.cpp reads?"""
    return not OTHER_RUNTIMES.search(build["tag"].partition(":")[2])


def known_texts(entries: list[dict[str, Any]]) -> None:
    """Fail when a judgement above names a problem that the source no longer has."""
    texts = {problem["text"] for entry in entries for problem in entry["pitfalls"]}
    gone = [text for text in (*LOSES_CALLS, *BREAKS_CALLS) if text not in texts]
    if gone:
        raise SystemExit(f"no model has this problem any more, remove it here: {gone}")


def read_headers(
    entries: list[dict[str, Any]], headers: dict[str, Any], registry: Registry, base: str
) -> Iterator[str]:
    """Bring `headers` up to date, build by build; yields what could not be read, and a summary.

    Builds of the same bytes are asked for once. A registry out of reach is not asked for long.
    """
    count = silent = 0
    for entry in entries:
        once: dict[str, dict[str, Any]] = {}
        for build in filter(for_llama_cpp, entry["quants"]):
            if silent == GIVE_UP_AFTER:
                continue
            tag, known = build["tag"], once.get(build["digest12"])
            try:
                found = known or as_read(read_remote(registry, parse_ref(base + tag)))
            except AgentlaunchError as error:
                silent = silent + 1 if error.code in OUT_OF_REACH else 0
                yield f"{tag}: {error.message}; what is known of it stays"
                continue
            headers[tag] = once[build["digest12"]] = found
            count, silent = count + 1, 0
    if silent == GIVE_UP_AFTER:
        yield "the registry is out of reach: the rest was not asked for, and stays as it is"
    yield f"{count} headers read"


def as_read(build: RemoteModel) -> dict[str, Any]:
    """A build as `headers.json` keeps it. Raises `BadGguf` when its types are not all known."""
    shape = build.file.shape
    if shape.weights is None:
        raise gguf.BadGguf(f"{build.file.name} has tensors of a type that is not known")
    return {
        "digest12": hashlib.sha256(build.manifest.raw).hexdigest()[:12],
        "size_bytes": build.manifest.total_bytes,
        "shape": packed_shape(shape),
        "weights": packed_weights(shape.weights),
    }


def generate(source: Path, headers: dict[str, Any]) -> str:
    """The catalog's text: one model a line, so that a change can be read."""
    entries: list[dict[str, Any]] = json.loads(source.read_text(encoding="utf-8"))
    known_texts(entries)
    rows = [
        json.dumps(model(entry, headers), ensure_ascii=False, separators=(",", ":"))
        for entry in entries
    ]
    return '{"schema": 1, "models": [\n' + ",\n".join(rows) + "\n]}\n"


def headers_text(headers: dict[str, Any]) -> str:
    """`headers.json`: one build a line, by tag."""
    rows = [
        f"{json.dumps(tag)}: {json.dumps(headers[tag], separators=(',', ':'))}"
        for tag in sorted(headers)
    ]
    return "{" + ("\n" + ",\n".join(rows) + "\n" if rows else "") + "}\n"


def main() -> None:
    """Write the catalog, or with --check fail when the committed one differs."""
    parser = argparse.ArgumentParser(description="generate the shipped model catalog")
    parser.add_argument("--source", type=Path, default=SOURCE)
    parser.add_argument("--headers-file", type=Path, default=HEADERS)
    parser.add_argument("--target", type=Path, default=TARGET)
    parser.add_argument("--check", action="store_true", help="write nothing; exit 1 if stale")
    parser.add_argument(
        "--headers", nargs="*", metavar="MODEL", help="read headers: of these models, or of all"
    )
    parser.add_argument(
        "--registry",
        default="",
        metavar="BASE",
        help="ask another one, as http://host:port/library/",
    )
    chosen = parser.parse_args()
    kept: Path = chosen.headers_file
    headers = json.loads(kept.read_text(encoding="utf-8")) if kept.exists() else {}
    if chosen.headers is not None:
        entries = json.loads(chosen.source.read_text(encoding="utf-8"))
        if chosen.headers:
            entries = [entry for entry in entries if entry["ollama"] in chosen.headers]
        registry = Registry(insecure=chosen.registry.startswith("http://"), patience=PATIENCE)
        for line in read_headers(entries, headers, registry, chosen.registry):
            print(line)
        kept.write_text(headers_text(headers), encoding="utf-8")
    text = generate(chosen.source, headers)
    target: Path = chosen.target
    if not chosen.check:
        target.write_text(text, encoding="utf-8")
        print(f"{target}: {len(text):,} bytes")
    elif target.read_text(encoding="utf-8") != text:
        sys.exit("catalog.json is stale: run scripts/refresh_catalog.py")


if __name__ == "__main__":
    main()
