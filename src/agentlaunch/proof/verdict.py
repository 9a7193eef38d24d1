"""What a reply to an offer of tools means: values in, one verdict out. Pure."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from agentlaunch.proof import leaks
from agentlaunch.proof.dialogue import Tool, Turn

Kind = Literal[
    "works",
    "text-instead-of-call",
    "tools-ignored",
    "malformed-arguments",
    "wrong-tool",
    "refused",
    "cut",
]
SHOWN_CHARACTERS = 160
HARDLY_TOKENS = 20
"""With tools a prompt must be longer by more than this: ours are about 150 tokens."""

_CUT = frozenset({"length", "max_tokens", "max_output_tokens", "incomplete"})
_ABOUT_TEMPLATE = re.compile(r"jinja exception|raise_exception|chat[ _]?template", re.I)
_RAISED = re.compile(r"Jinja Exception: (.+)")
"""What a template says when it refuses, behind a drawing of the place (llama.cpp, Ollama 0.32)."""
_ABOUT_PARSING = re.compile(
    r"pars(?:e|ing)|tool[ _-]?call|grammar|syntax|unexpected (?:token|end)|invalid json", re.I
)


@dataclass(frozen=True, slots=True)
class Verdict:
    """One reply judged: what it is, the words for a person, the way out."""

    kind: Kind
    text: str = ""
    remedy: str | None = None
    family: str | None = None
    sampled: bool = False
    """Could another try end otherwise?"""
    of_late: bool = False
    """Is an instruction behind the first turn all that does not work?"""

    @property
    def works(self) -> bool:
        return self.kind == "works"


WORKS = Verdict("works")
OTHER_MODEL = "choose another model: agentlaunch models"


def of_call(turn: Turn, tool: Tool, argument: str, nonce: str, offered: Sequence[Tool]) -> Verdict:
    """Was this very tool called with this very argument?"""
    if turn.status != 200 or turn.error:
        return of_refusal(turn)
    wanted = next((call for call in turn.calls if call.name == tool.name), None)
    if wanted is None and turn.calls:
        return _wrong(turn, tool, offered)
    if wanted is None:
        return _no_call(turn, offered)
    try:
        given = json.loads(wanted.arguments)
    except (ValueError, RecursionError):
        return _malformed(turn, f"its arguments are no JSON: {shown(wanted.arguments)}")
    if not isinstance(given, dict):
        return _malformed(turn, f"its arguments are no object: {shown(wanted.arguments)}")
    if not isinstance(given.get(argument), str) or given[argument].strip() != nonce:
        return _malformed(
            turn, f"its argument {argument} is not what it was told: {shown(wanted.arguments)}"
        )
    return WORKS


def of_answer(turn: Turn, *, late_system: bool) -> Verdict:
    """Was a conversation that goes on behind the calls taken at all?"""
    if turn.status == 200 and not turn.error:
        return WORKS
    verdict = of_refusal(turn)
    if late_system and turn.status >= 400 and not verdict.sampled:
        return Verdict(
            "refused",
            f"the server refuses an instruction behind the first turn: {_gist(turn.error)}",
            "use a newer engine, or a chat template that takes late system messages; "
            "--slim on sends none with Claude Code",
            of_late=True,
        )
    return verdict


def of_refusal(turn: Turn) -> Verdict:
    """An error instead of an answer; one about parsing what the model wrote may not come again."""
    said = turn.error or "no reason given"
    settled = _ABOUT_TEMPLATE.search(said) or "--jinja" in said or "parse grammar" in said
    sampled = not settled and (turn.status == 200 or turn.status >= 500)
    text = f"the server answers {turn.status}: {_gist(said)}"
    if turn.status == 200:
        text = f"the server breaks off: {_gist(said)}"
    return Verdict("refused", text, _for_refusal(turn.status, said), sampled=sampled)


def of_busy(turn: Turn) -> str:
    """What a busy server said, for a person."""
    return f"the server is busy: {turn.status} {_gist(turn.error)}".rstrip()


def ignored(model: str, with_tools: int, without: int) -> Verdict:
    """The prompt is hardly longer with tools than without: the template drops them."""
    return Verdict(
        "tools-ignored",
        f"the chat template of {model} ignores tools: the prompt has {with_tools:,} tokens with "
        f"them and {without:,} without",
        f"{OTHER_MODEL}; a llama.cpp server also needs --jinja or a --chat-template with tools",
    )


def said_to_be_ignored(model: str) -> Verdict:
    """No call came, and the server says of itself that its template has no tools."""
    text = f"no call comes, and the server says that the chat template of {model} has no tools"
    return Verdict("tools-ignored", text, ignored(model, 0, 0).remedy)


def _gist(said: str) -> str:
    raised = _RAISED.search(said)
    return shown(raised[1] if raised else said)


def shown(text: str) -> str:
    """A little of what came, on one line."""
    line = " ".join(text.split())
    return line if len(line) <= SHOWN_CHARACTERS else line[: SHOWN_CHARACTERS - 1] + "…"


def _no_call(turn: Turn, offered: Sequence[Tool]) -> Verdict:
    names = [tool.name for tool in offered]
    written = leaks.family(turn.text, names)
    if written is not None:
        return Verdict(
            "text-instead-of-call",
            f"the call comes as text ({written}): {shown(turn.text)}",
            "the engine does not parse what this model writes: update the engine, start vLLM with "
            f"--enable-auto-tool-choice and the model's --tool-call-parser, or {OTHER_MODEL}",
            written,
            sampled=True,
        )
    thought = leaks.family(turn.thinking, names)
    if thought is not None and not turn.text.strip():
        return Verdict(
            "text-instead-of-call",
            f"the call stays inside of what the model thinks ({thought})",
            f"update the engine, or {OTHER_MODEL}",
            thought,
            sampled=True,
        )
    if turn.stop in _CUT:
        return Verdict(
            "cut",
            "the reply was at its limit before a tool was called"
            + (", deep in thinking" if _thinks_on(turn) else ""),
            f"switch its thinking off, or {OTHER_MODEL}",
            sampled=True,
        )
    said = turn.text.strip()
    text = f"it answers instead of calling a tool: {shown(said)}" if said else "it says nothing"
    return Verdict("text-instead-of-call", text, OTHER_MODEL, sampled=True)


def _thinks_on(turn: Turn) -> bool:
    """Was it still thinking? Some servers leave the thoughts in the text."""
    bare = turn.text.strip()
    return bool(turn.thinking and not bare) or (bare[:7] == "<think>" and "</think>" not in bare)


def _wrong(turn: Turn, tool: Tool, offered: Sequence[Tool]) -> Verdict:
    called = turn.calls[0].name
    known = called in {each.name for each in offered}
    what = "which was not asked for" if known else "which does not exist"
    text = f"it calls {shown(called) or 'a tool without a name'}, {what}, instead of {tool.name}"
    return Verdict("wrong-tool", text, OTHER_MODEL, sampled=True)


def _malformed(turn: Turn, text: str) -> Verdict:
    cut = " (at the limit of the reply)" if turn.stop in _CUT else ""
    return Verdict(
        "malformed-arguments",
        f"it calls the tool, but {text}{cut}",
        f"a larger model or a finer quantization calls better: {OTHER_MODEL}",
        sampled=True,
    )


def _for_refusal(status: int, said: str) -> str:
    low = said.lower()
    if "tool-call-parser" in low or "enable-auto-tool-choice" in low or "auto tool" in low:
        return "start vLLM with --enable-auto-tool-choice and the model's --tool-call-parser"
    if "does not support tools" in low or "support tool" in low:
        return OTHER_MODEL
    if "--jinja" in low:
        return "start the llama.cpp server with --jinja"
    if "parse grammar" in low:
        return (
            "update the engine: it cannot make a grammar of the tools "
            "(seen with LM Studio 0.4.19 to 0.4.21)"
        )
    if "must be 'function'" in low or 'must be "function"' in low:
        return "update the engine: it refuses tools that Codex sends"
    if _ABOUT_TEMPLATE.search(said) or "role" in low:
        return f"the model's chat template is too strict: update the engine, or {OTHER_MODEL}"
    if status >= 500 and _ABOUT_PARSING.search(said):
        return f"the engine could not parse what the model wrote: update it, or {OTHER_MODEL}"
    return "see the server's own log"
