"""Who answers for each role now, why that changed, and who may be asked: without LiteLLM.

A stand-alone file like `litellm_hooks`, which loads it: standard library only.
"""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

try:
    from agentlaunch.gateway import account
except ImportError:  # in LiteLLM's environment: `litellm_hooks` has loaded it
    account = sys.modules["al_account"]

Document = dict[str, Any]

ALONE = ".alone"
"""How the deployment's name ends that stands for the first of a chain by itself."""
FORGOTTEN_S = 3600.0
"""A request that has not ended by then is not waited for any more."""


def limited(hop: Mapping[str, Any], request: Mapping[str, Any]) -> Document:
    """The limits of a request that are more than a hop can answer, as they must be there."""
    most = account.count(hop.get("max_output_tokens"))
    return {
        name: most for name in account.LIMITS if most and account.count(request.get(name)) > most
    }


def reason_of(hop: Mapping[str, Any], kind: str, status: int | None, message: str) -> str:
    """Why a hop did not answer, in words; nothing of `message` is in it."""
    name = str(hop.get("name", ""))
    said = message.lower()
    if kind == "ContextWindowExceededError":
        return OVERFLOW
    if kind == "Timeout" or status == 408:
        return f"{name} was silent for {hop.get('silence_s')} s"
    for words, meaning in _MEANINGS:
        if any(each in said for each in words):
            return meaning.format(name=name)
    if status in {401, 403}:
        return f"{name} refused the key (HTTP {status})"
    if status == 400:
        return f"{name} refused the request (HTTP 400)"
    if status == 429:
        return f"{name} takes no more requests for now (HTTP 429)"
    return f"{name} answered with an error (HTTP {status})" if status else f"{name} failed"


OVERFLOW = "the prompt is larger than its context"
_MEANINGS = (
    (("certificate",), "the certificate of {name} is not trusted"),
    (
        ("name or service not known", "name resolution", "nodename nor servname"),
        "the host of {name} was not found",
    ),
    (("no route to host", "unreachable"), "{name} cannot be reached"),
    (
        ("cannot connect to host", "connection refused", "connect call failed",
         "connection error", "all connection attempts failed"),
        "{name} refused the connection",
    ),
    (("disconnected", "connection reset", "connection closed"), "{name} broke the connection off"),
)  # fmt: skip
"""Words of a failed connection, as aiohttp and httpx say them through LiteLLM: it makes HTTP 500 of
each."""


@dataclass
class Place:
    """Which hop answers for a role."""

    own_id: str
    why: str = ""
    """The last reason to leave a better one."""
    since: str = field(default_factory=account.now)
    changed_at: float = field(default_factory=time.monotonic)


@dataclass
class Call:
    """A request under way."""

    asked: str
    """The name that it asked for."""
    started: float = field(default_factory=time.monotonic)
    tried_at: float = field(default_factory=time.monotonic)
    reserved_usd: float = 0.0
    own_id: str = ""
    """What began to answer."""
    status: int = 200
    """How it ended."""
    left_out: bool = False
    """A managed hop was left out for the day's money."""


class Gateway:
    """Everything that is known of this gateway, without LiteLLM."""

    def __init__(self, facts: Document) -> None:
        self.hops: dict[str, Document] = facts["hops"]
        self.cap_usd: float | None = facts.get("cap_usd")
        self.cap_origin = str(facts.get("cap_origin") or "")
        self.names: dict[str, str] = facts["names"]
        """The role of each name that stands for one."""
        self.alone: dict[str, str] = facts["alone"]
        """The one deployment of each name that stands for it by itself."""
        self.ledger = account.Ledger(Path(facts["events"]))
        self.calls: dict[str, Call] = {}
        self.used_at = time.monotonic()
        self._status = Path(facts["state"])
        self._silent: dict[str, Document] = {}
        """Roles for which nobody answers: since when, and why."""
        self._failures: dict[str, str] = {}
        self._last: Document | None = None
        self._requests = 0
        self._roles = {
            hop["role"]: Place(own_id)
            for own_id, hop in self.hops.items()
            if hop["position"] == 1 and not own_id.endswith(ALONE)
        }
        self._write_status()

    # -- requests

    def serves(self, asked: str) -> bool:
        """Is it a name of ours?"""
        return asked in self.names or asked in self.alone

    def begin(self, call_id: str, asked: str) -> None:
        """A request has come."""
        self.used_at = time.monotonic()
        self.calls[call_id] = Call(asked)

    def attempt(self, call_id: str, own_id: str, request: Mapping[str, Any]) -> Document:
        """A hop is asked; what of the request must be otherwise there."""
        hop = self.hops.get(own_id)
        call = self.calls.get(call_id)
        if hop is None:
            return {}
        if call is not None:
            call.tried_at = time.monotonic()
            call.reserved_usd = account.estimate_usd(hop, request) if hop["managed"] else 0.0
        return limited(hop, request)

    def failed(self, own_id: str, kind: str, status: int | None, message: str) -> None:
        """A hop did not answer."""
        if own_id in self.hops:
            self._failures[own_id] = reason_of(self.hops[own_id], kind, status, message)

    def answers(self, call_id: str, own_id: str) -> None:
        """The first of an answer is there: notice when the role goes elsewhere now."""
        hop = self.hops.get(own_id)
        call = self.calls.get(call_id)
        if hop is None or call is None:
            return
        call.own_id = own_id
        if not self._is_for_its_role(call.asked, own_id):
            return
        if self._silent.pop(hop["role"], None) is not None:
            self._write_status()
        place = self._roles[hop["role"]]
        if place.own_id == own_id or call.tried_at < place.changed_at:
            return
        before = self.hops[place.own_id]
        reason = self._why(place, before, hop)
        is_back = hop["position"] < before["position"]
        self._roles[hop["role"]] = Place(own_id, place.why if is_back else reason)
        row = {
            "kind": "switch",
            "at": account.now(),
            "role": hop["role"],
            "before": before["name"],
            "after": hop["name"],
            "reason": reason,
        }
        self._last = {name: value for name, value in row.items() if name != "kind"}
        say = f"{row['role']}: {row['before']} -> {row['after']} ({reason})"
        sys.stderr.write(f"agentlaunch: {say}\n")  # into the gateway's log
        self.ledger.add(row)
        self._write_status()

    def done(
        self, call_id: str, own_id: str, usage: tuple[int, int, int, int], took_s: float | None
    ) -> None:
        """The whole answer is there."""
        self.answers(call_id, own_id)
        hop = self.hops.get(own_id)
        if hop is None:
            return
        self._failures.pop(own_id, None)
        given, cached, written, output = usage
        spent = account.cost_usd(hop, given, cached, written, output)
        self._end(
            call_id,
            account.request_row(hop, hop["role"], (given, cached, output), spent, took_s, 200),
        )

    def gave_up(self, call_id: str, status: int) -> Call | None:
        """No hop answered, or the answer broke off: then its estimate counts as its cost."""
        call = self.calls.get(call_id)
        if call is None:
            return None
        # 402 where money is missing: agents try 429 and 5xx again and again.
        call.status = 402 if call.left_out and not call.own_id else status
        took_s = round(time.monotonic() - call.started, 3)
        hop, role = self.hops.get(call.own_id), self._role_of(call.asked)
        spent = call.reserved_usd if hop else 0.0
        if hop is None and call.asked in self.names:
            reasons = self._reasons(call.asked)
            self._silent.setdefault(role, {"since": account.now()})["why"] = reasons
            sys.stderr.write(f"agentlaunch: {role}: nobody answers ({reasons})\n")
        self._end(call_id, account.request_row(hop, role, (0, 0, 0), spent, took_s, call.status))
        return call

    def _end(self, call_id: str, row: Document) -> None:
        self.used_at = time.monotonic()
        self.calls.pop(call_id, None)
        self._requests += 1
        self.ledger.add(row)
        self._write_status()

    # -- the day's cap

    def allowed(self, call_id: str, ids: list[str]) -> list[str]:
        """The hops of these that may be asked now.

        The day's cap is overstepped by what the last request costs that was let through below it,
        and by what those under way cost beyond their estimate; another gateway's do not count yet.
        """
        if self.cap_usd is None or not any(self._is_managed(own_id) for own_id in ids):
            return ids
        reserved = sum(call.reserved_usd for call in self.calls.values())
        is_spent = self.ledger.spent_usd() + reserved >= self.cap_usd
        kept = []
        for own_id in ids:
            unknown = self._is_managed(own_id) and not self.hops[own_id].get("price")
            if not self._is_managed(own_id) or not (is_spent or unknown):
                kept.append(own_id)
                continue
            name = self.hops[own_id]["name"]
            rule = f"max_spend_per_day in {self.cap_origin or 'the policy'}"
            self._failures[own_id] = (
                f"the day's {self.cap_usd:.2f} USD are spent ({rule})"
                if is_spent
                else f"the price of {name} is not known, so that {rule} could not be kept"
            )
            if call_id in self.calls:
                self.calls[call_id].left_out = True
        return kept

    def free(self, ids: list[str]) -> list[str]:
        """Those of them that no cap can concern."""
        return [own_id for own_id in ids if self.cap_usd is None or not self._is_managed(own_id)]

    def why_none(self, asked: str) -> str:
        """What a client reads when no hop of its chain has answered."""
        return f"agentlaunch: no endpoint for {asked} answers: {self._reasons(asked)}"

    def _reasons(self, asked: str) -> str:
        alone = self.alone.get(asked)
        chain = sorted(
            (hop["position"], own_id)
            for own_id, hop in self.hops.items()
            if hop["role"] == self._role_of(asked) and not own_id.endswith(ALONE)
        )
        ids = [alone] if alone else [own_id for _position, own_id in chain]
        reasons = dict.fromkeys(self._failures[each] for each in ids if each in self._failures)
        return "; ".join(reasons) or "no reason"

    # -- words

    def _is_managed(self, own_id: str) -> bool:
        return bool(self.hops.get(own_id, {}).get("managed"))

    def _is_for_its_role(self, asked: str, own_id: str) -> bool:
        return not own_id.endswith(ALONE) and asked in self.names

    def _role_of(self, asked: str) -> str:
        own_id = self.alone.get(asked)
        return self.hops[own_id]["role"] if own_id else self.names.get(asked, "main")

    def _why(self, place: Place, before: Document, after: Document) -> str:
        if after["position"] > before["position"] or place.own_id in self._failures:
            told = self._failures.get(place.own_id)
            is_larger = after["context_tokens"] > before["context_tokens"]
            # LiteLLM asks none that a prompt is too long for, so that none has failed then.
            return told or (OVERFLOW if is_larger else f"{before['name']} did not answer")
        if place.why == OVERFLOW:
            return f"the prompt fits into {after['name']} again"
        if place.why.startswith("the day's"):
            return "the day's money is there again"
        return f"{after['name']} answers again"

    def _write_status(self) -> None:
        with contextlib.suppress(OSError):
            account.write_whole(
                self._status,
                {
                    "roles": {
                        role: {
                            "hop": self.hops[place.own_id]["name"],
                            "model": self.hops[place.own_id]["model"],
                            "since": place.since,
                            "liked": self.hops[place.own_id]["position"] == 1,
                            "silent": self._silent.get(role),
                        }
                        for role, place in self._roles.items()
                    },
                    "last_switch": self._last,
                    "spent_today_usd": round(self.ledger.spent_usd(), 6),
                    "cap_usd": self.cap_usd,
                    "requests": self._requests,
                },
            )

    # -- the end

    def is_idle(self, idle_s: float) -> bool:
        """Has nobody asked for so long, and is nothing under way?"""
        old = time.monotonic() - FORGOTTEN_S
        for call_id in [each for each, call in list(self.calls.items()) if call.started < old]:
            self.calls.pop(call_id, None)
        return not self.calls and time.monotonic() - self.used_at >= idle_s
