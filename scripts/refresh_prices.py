"""Generate the table of prices from the price map that LiteLLM ships.

    python scripts/refresh_prices.py MAP.json --date 2026-10-21    # from an installed litellm
    python scripts/refresh_prices.py --check                       # offline: is the table sound?

`MAP.json` is `litellm/model_prices_and_context_window_backup.json` of an installed litellm (MIT).
Kept are the models of Anthropic and OpenAI that call tools, and what two sellers of open models ask
for those of the catalog (`SOLD`, the same weights by their name). US dollars a million tokens.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
TARGET = ROOT / "src" / "agentlaunch" / "models" / "prices.json"
CATALOG = ROOT / "src" / "agentlaunch" / "models" / "catalog.json"
VERSION = "1.106.2"

PROVIDERS = ("anthropic", "openai")
NO_AGENT = re.compile(r"^ft:|^gpt-3|^gpt-4(?!\.1)|audio|realtime|search|research|^chat|daybreak")
"""Names that no coding agent is run with."""

SOLD = {
    "qwen3.5:9b": "deepinfra/Qwen/Qwen3.5-9B",
    "qwen3.5:122b": "deepinfra/Qwen/Qwen3.5-122B-A10B",
    "qwen3.6:27b": "deepinfra/Qwen/Qwen3.6-27B",
    "qwen3.6:35b": "deepinfra/Qwen/Qwen3.6-35B-A3B",
    "qwen3.8:27b": "deepinfra/Qwen/Qwen3.8-27B",
    "qwen3:8b": "novita/qwen/qwen3-8b-fp8",
    "qwen3:14b": "deepinfra/Qwen/Qwen3-14B",
    "qwen3-coder:30b": "novita/qwen/qwen3-coder-30b-a3b-instruct",
    "qwen3-coder:480b": "deepinfra/Qwen/Qwen3-Coder-480B-A35B-Instruct",
    "qwen3-coder-next:q4_K_M": "novita/qwen/qwen3-coder-next",
    "gpt-oss:20b": "deepinfra/openai/gpt-oss-20b",
    "gpt-oss:120b": "deepinfra/openai/gpt-oss-120b",
    "glm-4.7-flash:q4_K_M": "deepinfra/zai-org/GLM-4.7-Flash",
    "gemma3:27b": "deepinfra/google/gemma-3-27b-it",
    "gemma4:e4b": "deepinfra/google/gemma-4-E4B-it",
    "gemma4:26b": "deepinfra/google/gemma-4-26B-A4B-it",
    "gemma4:31b": "deepinfra/google/gemma-4-31B-it",
    "phi4:14b": "deepinfra/microsoft/phi-4",
    "llama3.2:3b": "deepinfra/meta-llama/Llama-3.2-3B-Instruct",
    "llama3.3:70b": "deepinfra/meta-llama/Llama-3.3-70B-Instruct",
    "deepseek-r1:32b": "deepinfra/deepseek-ai/DeepSeek-R1-Distill-Qwen-32B",
    "deepseek-v3.1:671b": "deepinfra/deepseek-ai/DeepSeek-V3.1",
    "nemotron-3-nano:30b": "deepinfra/nvidia/Nemotron-3-Nano-30B-A3B",
    "nemotron-3-super:120b": "deepinfra/nvidia/NVIDIA-Nemotron-3-Super-120B-A12B",
    "nemotron-3.5-lightning:30b": "deepinfra/nvidia/NVIDIA-Nemotron-3.5-Lightning",
}
"""A catalog's model and the name under which the same weights are sold."""

REFERENCE = "qwen3-coder:30b"
"""For what nobody sells: the cheapest coding model of the list, so that savings are not made up."""

FIELDS = (
    ("input_usd", "input_cost_per_token"),
    ("output_usd", "output_cost_per_token"),
    ("cached_input_usd", "cache_read_input_token_cost"),
    ("cache_write_usd", "cache_creation_input_token_cost"),
)


def dollars(row: dict[str, Any]) -> dict[str, float]:
    """A row of ours; what costs nothing while the rest does not was left out by who wrote it."""
    found = {ours: row.get(theirs) for ours, theirs in FIELDS}
    kept = {name: round(value * 1e6, 6) for name, value in found.items() if value is not None}
    if kept["input_usd"]:
        kept = {name: value for name, value in kept.items() if value or name == "output_usd"}
    return kept


def table(given: dict[str, dict[str, Any]], date: str) -> dict[str, Any]:
    """The whole table. Raises `KeyError` for a model that is not sold any more."""
    served: dict[str, dict[str, dict[str, float]]] = {}
    for name, row in sorted(given.items()):
        provider, works = row.get("litellm_provider"), row.get("supports_function_calling")
        talks = row.get("mode") in ("chat", "responses") and "input_cost_per_token" in row
        if (
            provider in PROVIDERS
            and works
            and talks
            and "/" not in name
            and not NO_AGENT.search(name)
        ):
            served.setdefault(provider, {})[name] = dollars(row)
    sold = {
        model: {
            "seller": name.partition("/")[0],
            "name": name.partition("/")[2],
            **dollars(given[name]),
        }
        for model, name in sorted(SOLD.items())
    }
    return {
        "source": f"litellm {VERSION}, its price map",
        "date": date,
        "reference": REFERENCE,
        "served": served,
        "sold": sold,
    }


def faults(document: dict[str, Any]) -> list[str]:
    """What is wrong with the table; nothing where it is sound."""
    known = {model["id"] for model in json.loads(CATALOG.read_text())["models"]}
    rows = [
        *document["sold"].values(),
        *(r for s in document["served"].values() for r in s.values()),
    ]
    wrong = [f"{name} is no model of the catalog" for name in document["sold"] if name not in known]
    wrong += [f"{name} is not in the table" for name in SOLD if name not in document["sold"]]
    if document["reference"] not in document["sold"]:
        wrong.append("the reference has no price")
    if any(
        not 0 <= value < 1000
        for row in rows
        for value in row.values()
        if not isinstance(value, str)
    ):
        wrong.append("a price is out of all proportion")
    return wrong


def main() -> int:
    """Write the table, or check it."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("map", nargs="?", type=Path)
    parser.add_argument("--date")
    parser.add_argument("--check", action="store_true")
    given = parser.parse_args()
    if not given.check:
        if given.map is None or given.date is None:
            parser.error("name the map and its date")
        document = table(json.loads(given.map.read_text()), given.date)
        TARGET.write_text(json.dumps(document, indent=1, sort_keys=True) + "\n")
    wrong = faults(json.loads(TARGET.read_text()))
    for text in wrong:
        sys.stderr.write(f"{TARGET.name}: {text}\n")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
