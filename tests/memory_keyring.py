"""A keyring that works and counts, for as long as a test."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import TypeVar

import keyring
from keyring.backend import KeyringBackend

B = TypeVar("B", bound=KeyringBackend)


class MemoryKeyring(KeyringBackend):
    """Keeps keys in a dict."""

    priority = 1.0

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call] # keyring has no types there
        self.held: dict[tuple[str, str], str] = {}
        self.asked: list[str] = []

    def get_password(self, service: str, username: str) -> str | None:
        self.asked.append(username)
        return self.held.get((service, username))

    def set_password(self, service: str, username: str, password: str) -> None:
        self.held[service, username] = password

    def delete_password(self, service: str, username: str) -> None:
        del self.held[service, username]


@contextlib.contextmanager
def in_place(own: B) -> Iterator[B]:
    """This keyring instead of the one of the person who runs the tests."""
    before = keyring.get_keyring()
    keyring.set_keyring(own)
    try:
        yield own
    finally:
        keyring.set_keyring(before)


def without() -> KeyringBackend:
    """What keyring takes where a system has none."""
    from keyring.backends import fail

    return fail.Keyring()  # type: ignore[no-untyped-call] # keyring has no types there
