"""The file of verdicts of a run, appended to: what was decided is on disk before anything else happens."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from datamap_cli.run.files import writing


class VerdictFile:
    """A file that lines are appended to, each whole and synced to disk."""

    def __init__(self, path: Path, descriptor: int) -> None:
        self.path = path
        self._descriptor = descriptor

    def append(self, line: str) -> None:
        """Writes a line, which ends in a line end, in one go; returns once it is on disk."""
        with writing(self.path):
            content = line.encode()
            while content:
                content = content[os.write(self._descriptor, content) :]
            os.fsync(self._descriptor)


@contextmanager
def appending(path: Path, *, cut_off: int) -> Iterator[VerdictFile]:
    """The file at `path`, to append to; the last `cut_off` bytes, of a line that was never whole, are taken off."""
    with writing(path):
        descriptor = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT, 0o666)
        size = os.fstat(descriptor).st_size
        if cut_off:
            os.ftruncate(descriptor, size - cut_off)
            size -= cut_off
        if size and os.pread(descriptor, 1, size - 1) != b"\n":
            os.write(descriptor, b"\n")
        directory = os.open(path.parent, os.O_RDONLY)
        os.fsync(directory)
        os.close(directory)
    try:
        yield VerdictFile(path, descriptor)
    finally:
        os.close(descriptor)
