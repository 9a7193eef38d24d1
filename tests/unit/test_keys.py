"""Keys: a variable first, then the keyring of the system, which must not hold anybody up."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator

import keyring
import pytest
from keyring.backend import KeyringBackend
from keyring.errors import KeyringLocked

from agentlaunch import keys
from agentlaunch.errors import AgentlaunchError, AuthNeeded
from memory_keyring import MemoryKeyring, in_place, without

KEY = "sk-canary-0123456789"
ORIGIN = "https://gpu.example:8000"


class Locked(MemoryKeyring):
    """One that its owner did not unlock."""

    def get_password(self, service: str, username: str) -> str | None:
        raise KeyringLocked(f"locked, asked for {username}")


class Broken(MemoryKeyring):
    """One whose library fails, and quotes what it was given."""

    def set_password(self, service: str, username: str, password: str) -> None:
        raise RuntimeError(f"D-Bus said no to {password}")


class Hanging(MemoryKeyring):
    """One that waits for a person who is not there."""

    def __init__(self, end: threading.Event) -> None:
        super().__init__()
        self.end = end

    def get_password(self, service: str, username: str) -> str | None:
        self.end.wait(30)
        return KEY


@pytest.fixture(autouse=True)
def put_back() -> Iterator[None]:
    with in_place(without()):
        yield


def test_a_key_is_kept_for_one_origin_and_dropped_again() -> None:
    memory = MemoryKeyring()
    keyring.set_keyring(memory)
    keys.store(ORIGIN, KEY)
    assert memory.held == {("agentlaunch", ORIGIN): KEY}
    assert keys.from_keyring(ORIGIN, wait_s=5) == KEY
    assert keys.from_keyring("https://gpu.example", wait_s=5) == ""
    assert keys.forget(ORIGIN)
    assert not keys.forget(ORIGIN)
    assert memory.held == {}


def test_the_first_variable_that_holds_something_wins() -> None:
    environ = {"A": "  ", "B": " key-b\n", "C": "key-c"}
    assert keys.from_environment(("A", "B", "C"), environ) == "key-b"
    assert keys.from_environment(("A", "X"), environ) == ""


@pytest.mark.parametrize("make", [without, Locked])
def test_a_keyring_that_gives_nothing_is_no_key(make: Callable[[], KeyringBackend]) -> None:
    keyring.set_keyring(make())
    assert keys.from_keyring(ORIGIN, wait_s=5) == ""


def test_a_keyring_that_hangs_is_left_behind() -> None:
    end = threading.Event()
    keyring.set_keyring(Hanging(end))
    assert keys.from_keyring(ORIGIN, wait_s=0.05) == ""
    with pytest.raises(AgentlaunchError, match="no answer in") as caught:
        keys.forget(ORIGIN, wait_s=0.05)
    end.set()
    assert caught.value.code == "keyring-slow"


def test_where_no_keyring_is_the_variable_is_the_way_out() -> None:
    with pytest.raises(AgentlaunchError, match="has no keyring") as caught:
        keys.store(ORIGIN, KEY)
    assert (caught.value.exit_code, caught.value.code) == (1, "keyring-none")
    assert "AGENTLAUNCH_ENGINE_KEY" in (caught.value.hint or "")


def test_a_fault_of_the_keyring_never_quotes_the_key() -> None:
    keyring.set_keyring(Broken())
    with pytest.raises(AgentlaunchError, match="RuntimeError") as caught:
        keys.store(ORIGIN, KEY)
    error: BaseException | None = caught.value
    while error is not None:
        assert KEY not in str(error)
        error = error.__cause__
    assert caught.value.__suppress_context__  # `--debug` prints the trace


@pytest.mark.parametrize("key", ["", KEY + "\nx: y", KEY + "\0", KEY + "ü", KEY * 300])
def test_what_no_header_can_carry_is_not_kept(key: str) -> None:
    memory = MemoryKeyring()
    keyring.set_keyring(memory)
    with pytest.raises(AuthNeeded) as caught:
        keys.store(ORIGIN, key)
    assert KEY not in caught.value.message
    assert memory.held == {}
