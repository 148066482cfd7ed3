"""A program in a terminal of its own, for tests: keys go in, screens come out."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import select
import signal
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Sequence
from pathlib import Path

_WAIT = 20


class Session:
    """`datamap` with its standard input and output on a terminal."""

    def __init__(
        self, arguments: Sequence[object], *, size: tuple[int, int] = (80, 24), cwd: Path, **environment: str
    ) -> None:
        self.master, slave = pty.openpty()
        self._resize(size)
        inherited = {k: v for k, v in os.environ.items() if k not in ("NO_COLOR", "COLUMNS", "LINES", "FORCE_COLOR")}
        self.process = subprocess.Popen(
            [sys.executable, "-m", "datamap_cli", *map(str, arguments)],
            stdin=slave, stdout=slave, stderr=slave, cwd=cwd, start_new_session=True,
            preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),  # so that Ctrl-C reaches it
            env=inherited | {"TERM": "xterm-256color", "PYTHONPATH": os.pathsep.join(sys.path)} | environment,
        )  # fmt: skip
        os.close(slave)
        self.output = b""

    def press(self, keys: str) -> None:
        os.write(self.master, keys.encode())

    def until(self, text: str) -> list[str]:
        """The screen, once `text` stands on it."""
        deadline = time.monotonic() + _WAIT
        while text not in "\n".join(self.screen()):
            if time.monotonic() > deadline or not self._read():
                raise AssertionError(f"no {text!r} on the screen: {self.screen()} {self.output[-500:]!r}")
        return self.screen()

    def screen(self) -> list[str]:
        """The last screen that was drawn whole, without colours."""
        return [re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", line) for line in self.styled()]

    def styled(self) -> list[str]:
        frames = re.findall(rb"\x1b\[H((?:(?!\x1b\[H).)*)\x1b\[J", self.output, re.DOTALL)
        return frames[-1].decode().split("\r\n") if frames else []

    def end(self) -> tuple[int, str]:
        """The exit code once it has ended, and all it ever wrote."""
        while self._read():
            pass
        return self.process.wait(_WAIT), self.output.decode()

    def kill(self) -> None:
        self.process.send_signal(signal.SIGKILL)
        self.process.wait(_WAIT)

    def resize(self, size: tuple[int, int]) -> None:
        self._resize(size)
        self.process.send_signal(signal.SIGWINCH)

    def _resize(self, size: tuple[int, int]) -> None:
        fcntl.ioctl(self.master, termios.TIOCSWINSZ, struct.pack("HHHH", size[1], size[0], 0, 0))

    def _read(self) -> bool:
        if not select.select([self.master], [], [], _WAIT)[0]:
            return False
        try:
            more = os.read(self.master, 1 << 16)
        except OSError:  # how Linux says that the other side is closed
            return False
        self.output += more
        return bool(more)

    def __enter__(self) -> Session:
        return self

    def __exit__(self, *_: object) -> None:
        if self.process.poll() is None:
            self.kill()
        os.close(self.master)
