"""The metadata of one architecture in the header of a .gguf, checked as it is read."""

from __future__ import annotations

from typing import NoReturn

from agentlaunch.models.gguf_header import BadGguf, Header, Skipped

MAX_LAYERS = 4096
MAX_EXTENT = 1 << 24


class Keys:
    """The metadata of one architecture, checked as it is read."""

    def __init__(self, header: Header, name: str) -> None:
        self.name = name
        self._metadata = header.metadata
        architecture = header.metadata.get("general.architecture")
        if not isinstance(architecture, str) or not architecture:
            self.bad("it names no architecture")
        self.architecture = architecture
        self.layers = self.number("block_count", 0)
        if not 0 < self.layers <= MAX_LAYERS:
            self.bad("it describes no language model")

    def bad(self, what: str) -> NoReturn:
        raise BadGguf(
            f"{self.name} is not a usable model: {what}",
            hint="choose the .gguf of the model itself, not of a projector or an adapter",
        )

    def has(self, key: str) -> bool:
        return f"{self.architecture}.{key}" in self._metadata

    def number(self, key: str, default: int, *, most: int = MAX_EXTENT) -> int:
        """A whole number; of a list for each layer the largest."""
        return max(self.list(key, default, most=most, length=1))

    def list(
        self, key: str, default: int, *, most: int = MAX_EXTENT, length: int | None = None
    ) -> tuple[int, ...]:
        """One number for each layer, whether the header has one or a list of them."""
        value = self._metadata.get(f"{self.architecture}.{key}", default)
        if isinstance(value, Skipped | str | float):
            self.bad(f"`{key}` is no number")
        rows = value if isinstance(value, tuple) else (value,) * (length or self.layers)
        numbers = tuple(int(row) for row in rows if not isinstance(row, float))
        if not numbers or len(numbers) != len(rows) or not all(0 <= row <= most for row in numbers):
            self.bad(f"`{key}` makes no sense")
        if length is None and len(numbers) < self.layers:
            self.bad(f"`{key}` has {len(numbers)} numbers for {self.layers} layers")
        return numbers[: self.layers] if length is None else numbers

    def optional(self, key: str, *, most: int = MAX_EXTENT) -> int | None:
        return self.number(key, 0, most=most) if self.has(key) else None

    def length_of(self, key: str) -> int | None:
        value = self._metadata.get(key)
        if isinstance(value, Skipped):
            return value.length
        return len(value) if isinstance(value, tuple) else None
