"""Variables that hold the user's real provider keys: no agent of ours may inherit them."""

from __future__ import annotations

from agentlaunch.keys import PROVIDER_KEYS

__all__ = ["PROVIDER_KEYS"]
