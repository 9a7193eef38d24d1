"""Write down what this machine answers, without names and ids, so that it can be simulated."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from agentlaunch.machine import probe
from agentlaunch.machine.facts import Answer, Facts, LiveFacts
from agentlaunch.machine.scrub import Scrubber

_USER_ENV = ("USER", "LOGNAME", "USERNAME", "SUDO_USER")
_HOST_ENV = ("HOSTNAME", "HOST", "COMPUTERNAME")
_HOME_ENV = ("HOME", "USERPROFILE")


def record(facts: Facts) -> dict[str, Any]:
    """A facts file (CONTRACT: section 5) of what the probes asked and were told.

    Probing the result sees the same machine; user and host names, home folders, serials, UUIDs
    and MAC addresses are replaced, and only environment variables that a probe read are in it.
    """
    listener = _Listener(facts)
    probe.probe(listener)
    scrubber = Scrubber(*private_names(facts))
    return listener.told(scrubber)


class _Listener:
    """Passes questions on and keeps the answers. Probes ask from several threads."""

    def __init__(self, facts: Facts) -> None:
        self._facts = facts
        self._lock = threading.Lock()
        self._commands: dict[tuple[str, ...], Answer] = {}
        self._files: dict[str, str] = {}
        self._values: dict[str, int] = {}
        self._env = _ReadNames(facts.env)

    @property
    def platform(self) -> str:
        return self._facts.platform

    @property
    def machine(self) -> str:
        return self._facts.machine

    @property
    def env(self) -> Mapping[str, str]:
        return self._env

    def command(self, argv: Sequence[str], *, timeout_s: float = 5.0) -> Answer | None:
        answer = self._facts.command(argv, timeout_s=timeout_s)
        if answer is not None:
            with self._lock:
                self._commands[answer.argv] = answer
        return answer

    def file(self, path: str) -> str | None:
        text = self._facts.file(path)
        if text is not None:
            with self._lock:
                self._files[path] = text
        return text

    def value(self, name: str) -> int | None:
        value = self._facts.value(name)
        if value is not None:
            with self._lock:
                self._values[name] = value
        return value

    def told(self, scrubber: Scrubber) -> dict[str, Any]:
        """All answers so far, in an order of their own, so that two recordings compare."""
        with self._lock:
            commands = [self._commands[argv] for argv in sorted(self._commands)]
            files = dict(sorted(self._files.items()))
            values = dict(sorted(self._values.items()))
        clean = scrubber.text
        return {
            "platform": self.platform,
            "machine": self.machine,
            "commands": [
                {
                    "argv": [clean(word) for word in answer.argv],
                    "rc": answer.rc,
                    "stdout": clean(answer.stdout),
                    "stderr": clean(answer.stderr),
                }
                for answer in commands
            ],
            "files": {clean(path): clean(text) for path, text in files.items()},
            "env": {name: clean(value) for name, value in self._env.told().items()},
            "values": values,
        }


class _ReadNames(Mapping[str, str]):
    """An environment that remembers which of its names were read."""

    def __init__(self, env: Mapping[str, str]) -> None:
        self._all = env
        self._read: set[str] = set()

    def __getitem__(self, name: str) -> str:
        value = self._all[name]
        self._read.add(name)
        return value

    def __iter__(self) -> Iterator[str]:
        return iter(self._all)

    def __len__(self) -> int:
        return len(self._all)

    def told(self) -> dict[str, str]:
        return {name: self._all[name] for name in sorted(self._read)}


def private_names(facts: Facts) -> tuple[set[str], set[str]]:
    """The names of the user and of the host, as the environment and the system say them."""
    env = facts.env
    users = {env.get(name, "") for name in _USER_ENV}
    homes = {env.get(name, "") for name in _HOME_ENV}
    hosts = {env.get(name, "") for name in _HOST_ENV}
    if isinstance(facts, LiveFacts):
        import platform

        homes.add(os.path.expanduser("~"))  # noqa: PTH111 - Path.home() may raise without a home
        hosts.add(platform.node())
    users |= {Path(home.replace("\\", "/")).name for home in homes}
    hosts |= {host.partition(".")[0] for host in hosts}
    return users - {""}, hosts - {""}
