"""A small MCP server over stdio with one tool, `canary_tool`; the standard library alone.

Started by agents under test, so it imports nothing of the tests.
"""

from __future__ import annotations

import json
import sys
from typing import Any

TOOL = {
    "name": "canary_tool",
    "description": "A tool of the user's own: it says that it is there.",
    "inputSchema": {"type": "object", "properties": {}},
}


def result(method: str, params: dict[str, Any]) -> dict[str, Any] | None:
    """The answer to a request; None for a method that is not here."""
    if method == "initialize":
        return {
            "protocolVersion": params.get("protocolVersion", "2025-06-18"),
            "capabilities": {"tools": {}},
            "serverInfo": {"name": "canary", "version": "1"},
        }
    if method == "tools/list":
        return {"tools": [TOOL]}
    if method == "tools/call":
        return {"content": [{"type": "text", "text": "it is there"}]}
    return {} if method == "ping" else None


def main() -> None:
    """Answer line by line until the agent goes."""
    for line in sys.stdin:
        asked = json.loads(line)
        if "id" not in asked or "method" not in asked:
            continue
        found = result(asked["method"], asked.get("params") or {})
        reply = {"jsonrpc": "2.0", "id": asked["id"]}
        if found is None:
            reply["error"] = {"code": -32601, "message": "Method not found"}
        else:
            reply["result"] = found
        sys.stdout.write(json.dumps(reply) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
