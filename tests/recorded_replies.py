"""Replies of real models and servers, as they stand in `tests/data`, given at one of the gate's
questions; every other question is answered well."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from acting_model import ActingModel, is_warming, nonce, stage
from agentlaunch.endpoint import Wire
from wire_replies import Reply

DATA = Path(__file__).parent / "data"
NONCE = "{nonce}"
"""Stands in a good reply where the model copied the nonce."""


@dataclass
class Recorded:
    """One file. As an answer of the server it gives this reply where it belongs."""

    name: str
    row: dict[str, Any]
    _otherwise: ActingModel = field(default_factory=ActingModel)

    @property
    def wire(self) -> Wire:
        wire: Wire = self.row["wire"]
        return wire

    def __call__(self, request: dict[str, Any], wire: Wire) -> Reply:
        here = stage(request)
        counts = here == "without tools" or is_warming(request)
        if counts and "prompt_tokens_without_tools" in self.row:
            return Reply(text="I", input_tokens=self.row["prompt_tokens_without_tools"])
        if here != self.row["answers"]:
            return self._otherwise(request, wire)
        return Reply(
            status=self.row["status"],
            recorded=self.body.replace(NONCE, nonce(request)).encode(),
            content_type=self.row["content_type"],
        )

    @property
    def body(self) -> str:
        """As it stands on the line."""
        if "text" in self.row:
            return str(self.row["text"])
        if "document" in self.row:
            return json.dumps(self.row["document"], ensure_ascii=False)
        lines = [_event(event, self.wire) for event in self.row["events"]]
        return "".join([*lines, "data: [DONE]\n\n" if self.row.get("done") else ""])


def recorded(folder: str) -> list[Recorded]:
    """Every reply of a folder of `tests/data`."""
    files = sorted((DATA / folder).glob("*.json"))
    return [Recorded(path.stem, json.loads(path.read_text("utf-8"))) for path in files]


def _event(event: dict[str, Any], wire: Wire) -> str:
    named = "" if wire == "openai_chat" else f"event: {event['type']}\n"
    return f"{named}data: {json.dumps(event, ensure_ascii=False)}\n\n"
