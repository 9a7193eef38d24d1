"""A list on a terminal, chosen from with arrow keys and by typing: the only door to questionary."""

from __future__ import annotations

import contextlib
import signal
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, TextIO

from agentlaunch.errors import Terminated

if TYPE_CHECKING:
    from prompt_toolkit.application import Application

MOST_ROWS = 12
"""That are seen at a time."""
ESCAPE_S = 0.1
"""How long Esc waits for the rest of an arrow key."""


def choose_by_keys(
    question: str, rows: Sequence[str], find: Sequence[str], *, stream: TextIO, colored: bool
) -> int | None:
    """The row chosen, counted from 0; None for none. What is typed is looked for in `find`."""
    import questionary
    from prompt_toolkit.filters import to_filter
    from prompt_toolkit.key_binding import KeyBindings, KeyPressEvent, merge_key_bindings
    from prompt_toolkit.layout.dimension import Dimension
    from prompt_toolkit.output import ColorDepth, create_output
    from prompt_toolkit.output.vt100 import Vt100_Output
    from questionary.prompts.common import InquirerControl

    depth = None if colored else ColorDepth.DEPTH_1_BIT
    output = create_output(stream)
    if isinstance(output, Vt100_Output):  # not every terminal says where its cursor is
        output.enable_cpr = False
    app = questionary.select(
        question,
        [
            questionary.Choice(_Row(row, words), number)
            for number, (row, words) in enumerate(zip(rows, find, strict=True))
        ],
        pointer=">",
        style=questionary.Style([("pointer", "bold"), ("highlighted", "bold")]),
        instruction="(type to filter, Esc leaves)",
        use_jk_keys=False,
        use_search_filter=True,
        output=output,
        color_depth=depth,
    ).application
    app.erase_when_done = True
    app.ttimeoutlen = ESCAPE_S
    (window,) = (w for w in app.layout.find_all_windows() if isinstance(w.content, InquirerControl))
    window.height = Dimension(max=MOST_ROWS)
    window.dont_extend_height = to_filter(True)  # else a narrowed list leaves a hole
    control = window.content
    assert isinstance(control, InquirerControl)
    keys = KeyBindings()

    def enter(event: KeyPressEvent) -> None:
        """Choose, but not while nothing matches: all rows are shown then (questionary 2.1)."""
        rows = control.filtered_choices
        if control.search_filter and not control.found_in_search:
            control.search_filter, control.pointed_at = None, 0
        else:
            event.app.exit(result=rows[control.pointed_at].value)

    keys.add("enter", eager=True)(enter)
    keys.add("escape", eager=True)(lambda event: event.app.exit())
    keys.add("<sigint>")(lambda event: event.app.exit(exception=KeyboardInterrupt))
    app.key_bindings = merge_key_bindings([app.key_bindings or KeyBindings(), keys])
    try:
        with _terminated_by_the_loop(app) as prepare:
            chosen = app.run(pre_run=prepare)
    except EOFError:  # the terminal is gone
        return None
    return chosen if isinstance(chosen, int) else None


@contextlib.contextmanager
def _terminated_by_the_loop(app: Application[Any]) -> Iterator[Callable[[], None]]:
    """SIGTERM ends the list as `Terminated`. Raised by a handler in the middle of the loop's own
    work, the loop would catch it and wait for Enter (seen, prompt_toolkit 3.0)."""
    import asyncio

    before = signal.getsignal(signal.SIGTERM)

    def prepare() -> None:
        with contextlib.suppress(NotImplementedError, RuntimeError, ValueError):  # Windows
            asyncio.get_running_loop().add_signal_handler(
                signal.SIGTERM, lambda: app.exit(exception=Terminated)
            )

    try:
        yield prepare
    finally:
        signal.signal(signal.SIGTERM, before)


class _Row(str):
    """A row of a list to choose from. The list looks for what was typed in its `lower()`
    (questionary 2.1): words that the row may have no room for, and no others."""

    __slots__ = ("_words",)
    _words: str

    def __new__(cls, row: str, words: str) -> _Row:
        made = super().__new__(cls, row)
        made._words = words
        return made

    def lower(self) -> str:
        return self._words.lower()
