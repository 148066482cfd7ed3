"""Keys and the screen of a POSIX terminal: every key at once, and the terminal left as it was, whatever happens."""

from __future__ import annotations

import codecs
import os
import select
import shutil
import signal
import sys
import termios
import tty
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from io import StringIO
from types import FrameType

from rich.console import Console
from rich.text import Text

from datamap_cli.errors import DatamapError

_NAMES = {
    **{b"\x1b[A": "up", b"\x1b[B": "down", b"\x1b[C": "right", b"\x1b[D": "left"},
    **{b"\x1bOA": "up", b"\x1bOB": "down", b"\x1bOC": "right", b"\x1bOD": "left"},
    **{b"\x1b[5~": "pageup", b"\x1b[6~": "pagedown", b"\x1b[H": "home", b"\x1b[F": "end"},
}
_SINGLE = {"\r": "enter", "\n": "enter", "\x1b": "escape", "\x7f": "backspace", "\x08": "backspace", "\x04": "q"}
# how long the rest of an escape sequence may take, over a slow line too
_PATIENCE = 0.1


def refuse_no_terminal(command: str) -> None:
    """Raises DatamapError where keys cannot be read, or no screen be drawn: it says why not."""
    for name, stream in (("input", sys.stdin), ("output", sys.stdout)):
        if not stream.isatty():
            raise DatamapError(f"{command}: standard {name} is not a terminal; run it in one")
    if os.environ.get("TERM") in ("dumb", ""):
        raise DatamapError(f"{command}: a terminal that can move the cursor is needed; TERM is dumb")


class Terminal:
    """The terminal while it is ours."""

    def __init__(self, wake: int) -> None:
        self._in, self._out = sys.stdin.fileno(), sys.stdout.fileno()
        self._wake = wake
        self._held = b""
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")

    def size(self) -> tuple[int, int]:
        """Columns and rows."""
        size = shutil.get_terminal_size()
        return max(size.columns, 20), max(size.lines, 6)

    def show(self, lines: Sequence[Text]) -> None:
        """Draws the whole screen in one write; no line may be wider than the screen."""
        width, height = self.size()
        console = Console(file=StringIO(), force_terminal=True, width=width, height=height, highlight=False)
        drawn = []
        for line in lines[:height]:
            with console.capture() as capture:
                console.print(line, end="", no_wrap=True, overflow="crop", crop=True)
            drawn.append(capture.get() + "\x1b[K")
        screen = "\x1b[H" + "\r\n".join(drawn) + "\x1b[J"
        self._write(screen.encode(sys.stdout.encoding or "utf-8", "replace"))

    def key(self) -> str:
        """The next key: a character, or the name of one; `resize` where the window was. EOFError at its end."""
        while True:
            if self._held and (key := self._taken()) is not None:
                return key
            partial = self._held.startswith(b"\x1b")
            ready, _, _ = select.select([self._in, self._wake], [], [], _PATIENCE if partial else None)
            if self._wake in ready:
                os.read(self._wake, 1024)
                return "resize"
            if ready:
                try:
                    more = os.read(self._in, 1024)
                except OSError:
                    more = b""
                if not more:
                    raise EOFError
                self._held += more
            elif partial:
                self._held = self._held[1:]
                return "escape"

    def _taken(self) -> str | None:
        """A key off what was read; None where more has to come."""
        if not self._held.startswith(b"\x1b"):
            return self._single(self._held[:1])
        for sequence, name in _NAMES.items():
            if self._held.startswith(sequence):
                self._held = self._held[len(sequence) :]
                return name
        if len(self._held) > 1 and self._held[1:2] not in b"[O":
            return self._single(self._held[:1])
        for end, byte in enumerate(self._held[2:], start=3):
            if 0x40 <= byte <= 0x7E:  # an unknown sequence, whole
                self._held = self._held[end:]
                return "unknown"
        return None

    def _single(self, byte: bytes) -> str | None:
        self._held = self._held[1:]
        character = self._decoder.decode(byte)
        return _SINGLE.get(character, character) if character else None

    def _write(self, content: bytes) -> None:
        while content:
            content = content[os.write(self._out, content) :]


@contextmanager
def taken() -> Iterator[Terminal]:
    """The terminal, giving every key at once, on a screen of its own; afterwards as it was.

    Ctrl-C ends it as KeyboardInterrupt, a polite kill as SystemExit.
    """
    fd = sys.stdin.fileno()
    before = termios.tcgetattr(fd)
    wake, waker = os.pipe()
    os.set_blocking(waker, False)

    def resized(_number: int, _frame: FrameType | None) -> None:
        os.write(waker, b"w")

    def ended(number: int, _frame: FrameType | None) -> None:
        raise SystemExit(128 + number)

    handlers = {signal.SIGWINCH: resized, signal.SIGTERM: ended, signal.SIGHUP: ended}
    old = {number: signal.signal(number, handler) for number, handler in handlers.items()}
    terminal = Terminal(wake)
    try:
        tty.setcbreak(fd)
        mode = termios.tcgetattr(fd)
        mode[6][termios.VSUSP] = b"\x00"  # stopped in the middle, the shell would stand on our screen
        termios.tcsetattr(fd, termios.TCSADRAIN, mode)
        terminal._write(b"\x1b[?1049h\x1b[?25l")
        yield terminal
    finally:
        for number, handler in old.items():
            signal.signal(number, handler)
        try:
            terminal._write(b"\x1b[?25h\x1b[?1049l")
            termios.tcsetattr(fd, termios.TCSADRAIN, before)
        except OSError:
            pass  # the terminal is gone
        os.close(wake)
        os.close(waker)
