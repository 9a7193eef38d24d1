"""Generate the shipped model catalog from the sourced data file.

    python scripts/refresh_catalog.py [--source scripts/data/models.json] [--check]

Every number in `models/catalog.json` comes from the source file, which names where each was read.
What is added here is judgement and arithmetic, stated below: which known problems lose tool calls,
and the cache of each layer, whose sum is checked against the source's own bytes per token.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from itertools import groupby
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
SOURCE = HERE / "data" / "models.json"
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
        conv = (kernel - 1) * (inner + 2 * MAMBA_GROUPS * sizes["state_size"])
        return int(F32 * (conv + sizes["state_size"] * inner))
    if part["type"] == "short_conv":
        return int(F32 * (kernel - 1) * entry["n_heads"] * entry["head_dim"]["k"])
    raise SystemExit(f"{entry['ollama']}: unknown recurrent type {part['type']}")


def layers(entry: dict[str, Any]) -> list[list[Any]]:
    """One row a layer: kv heads, key length, value length, window or None, state bytes."""
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
        window = [heads, key, value, sliding["size"], 0]
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
    return sum(2 * heads * (key + value) for heads, key, value, window, _ in rows if not window)


def quant_of(tag: str, default_quant: str | None, *, is_default: bool) -> str | None:
    """The format that a tag names, else the source's word on the default."""
    match = QUANT.search(tag)
    return match[1] if match else default_quant if is_default else None


def model(entry: dict[str, Any]) -> dict[str, Any]:
    """One entry of the catalog."""
    rows = layers(entry)
    if growing_bytes_per_token(rows) != entry["kv_bytes_per_token_f16_growing"]:
        raise SystemExit(
            f"{entry['ollama']}: layers give {growing_bytes_per_token(rows)} bytes per token, "
            f"the source says {entry['kv_bytes_per_token_f16_growing']}"
        )
    return {
        "id": entry["ollama"],
        "family": entry["family"],
        "architecture": entry["architecture"],
        "tools": entry["tools"],
        "thinking": entry["thinking"],
        "vision": entry["vision"],
        "licence": entry["license"],
        "released": entry["release"],
        "params_total": round(entry["params_total_b"] * 1_000_000_000),
        "params_active": round(entry["params_active_b"] * 1_000_000_000),
        "context_max_tokens": entry["context_max"],
        "vocab_size": entry["vocab_size"],
        "head_count": entry["n_heads"],
        "layers": [[len(list(run)), *row] for row, run in groupby(rows)],
        "upper_bound": entry["kv_estimate"] == "upper_bound",
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
        "variants": [
            [
                build["tag"],
                quant_of(build["tag"], entry["default_quant"], is_default=build["same_as_default"]),
                round(build["ollama_size_gb"] * 1_000_000_000),
                build["digest12"],
                build["same_as_default"],
                not OTHER_RUNTIMES.search(build["tag"].partition(":")[2]),
            ]
            for build in entry["quants"]
        ],
        "sources": entry["sources"],
    }


def known_texts(entries: list[dict[str, Any]]) -> None:
    """Fail when a judgement above names a problem that the source no longer has."""
    texts = {problem["text"] for entry in entries for problem in entry["pitfalls"]}
    gone = [text for text in (*LOSES_CALLS, *BREAKS_CALLS) if text not in texts]
    if gone:
        raise SystemExit(f"no model has this problem any more, remove it here: {gone}")


def generate(source: Path) -> str:
    """The catalog's text: one model a line, so that a change can be read."""
    entries: list[dict[str, Any]] = json.loads(source.read_text(encoding="utf-8"))
    known_texts(entries)
    rows = [
        json.dumps(model(entry), ensure_ascii=False, separators=(",", ":")) for entry in entries
    ]
    return '{"schema": 1, "models": [\n' + ",\n".join(rows) + "\n]}\n"


def main() -> None:
    """Write the catalog, or with --check fail when the committed one differs."""
    parser = argparse.ArgumentParser(description="generate the shipped model catalog")
    parser.add_argument("--source", type=Path, default=SOURCE)
    parser.add_argument("--check", action="store_true", help="write nothing; exit 1 if stale")
    chosen = parser.parse_args()
    text = generate(chosen.source)
    if not chosen.check:
        TARGET.write_text(text, encoding="utf-8")
        print(f"{TARGET}: {len(text):,} bytes")
    elif TARGET.read_text(encoding="utf-8") != text:
        sys.exit("catalog.json is stale: run scripts/refresh_catalog.py")


if __name__ == "__main__":
    main()
