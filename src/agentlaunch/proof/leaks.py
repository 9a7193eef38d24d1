"""Tool calls that came out as text: the known ways of writing one, by family. Pure.

What each family writes is as reported in the threads that the catalog's problems name; the corpus
of the tests holds one reply of each.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

FAMILIES: Sequence[tuple[str, re.Pattern[str]]] = tuple(
    (name, re.compile(pattern, re.DOTALL | re.IGNORECASE))
    for name, pattern in (
        ("harmony (gpt-oss)", r"<\|(?:channel|call|constrain)\|>|to=functions\."),
        ("DeepSeek", r"<[|\uff5c]tool[\u2581_ ]calls?[\u2581_ ]begin[|\uff5c]>|<\uff5cDSML\uff5c"),
        ("Mistral", r"\[TOOL_CALLS\]|\[TOOL_REQUEST\]"),
        ("Llama", r"<\|python_tag\|>|<\|eom_id\|>"),
        ("Gemma", r"```tool_code|<\|?tool_call\|?>\s*call:|<start_function_call>"),
        ("LFM", r"<\|tool_call_(?:start|list_start)\|>"),
        ("Granite", r"<\|tool_call\|>|<tool_call>\s*\["),
        ("functools", r"functools\s*\["),
        ("Nemotron", r"<TOOLCALL>"),
        ("Qwen-Coder (XML)", r"<function=[\w.-]+>|</function>\s*</tool_call>|<parameter=\w+>"),
        ("GLM", r"<arg_key>|<arg_value>"),
        ("Hermes and Qwen", r"<tool_call>|</tool_call>|<tools?>\s*\{"),
        ("Anthropic's XML", r"<(?:antml:)?(?:function_calls|invoke)\b|<tool_use>"),
        ("BEGIN_ARG", r"BEGIN_ARG"),
        ("an XML dialect", r"<(?:function|tool|action)[ _>][^<]*name"),
    )
)


def family(text: str, tools: Sequence[str]) -> str | None:
    """How the call in a text is written; None for a text without one.

    `tools` are the names that were offered: bare JSON and Python count only when they name one.
    """
    for name, pattern in FAMILIES:
        if pattern.search(text):
            return name
    for tool in tools:
        quoted = re.escape(tool)
        if re.search(rf'"(?:name|function|tool|tool_name|action)"\s*:\s*"{quoted}"', text):
            return "JSON in the text"
        if re.search(rf"^\W*{quoted}\s*\([^)]*=[^)]*\)", text, re.MULTILINE) or re.search(
            rf"\[\s*{quoted}\s*\(", text
        ):
            return "Python in the text"
    return None
