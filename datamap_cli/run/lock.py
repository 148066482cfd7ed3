"""One process writes to a run directory at a time; the second is told of the first."""

from __future__ import annotations

import errno
import json
import os
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict
from datetime import datetime, timezone
from pathlib import Path

from pydantic import TypeAdapter

from datamap_cli.errors import DatamapError
from datamap_cli.run import files
from datamap_cli.run.reports import Holder

NAME = ".datamap.lock"

# directories that this process holds: one command calls another, and what is within needs no lock of its own
_held: set[Path] = set()


@contextmanager
def holding(directory: Path) -> Iterator[None]:
    """Keeps other processes from writing to `directory`, which is made if need be; raises DatamapError where one does.

    The kernel's lock (flock) on a file in the directory: it ends with the process, whatever ends that, and holds over
    NFS 4 and between the hosts of one. Where a file system has no locks, the process that the file names is believed
    to be there if it lives on this host, or on another, where nobody can tell.
    """
    place = directory.resolve()
    if sys.platform == "win32" or place in _held:  # Windows has no flock, and is no platform of ours
        yield
        return
    made, descriptor = _acquire(directory)
    _held.add(place)
    try:
        yield
    finally:
        _held.remove(place)
        _release(directory, made, descriptor)


def _acquire(directory: Path) -> tuple[list[Path], int]:
    """The directories that had to be made, the innermost first, and the descriptor that holds the lock."""
    if directory.exists() and not directory.is_dir():
        raise DatamapError(f"run_dir: {directory}: not a directory")
    path = directory / NAME
    made = [parent for parent in (directory, *directory.parents) if not parent.exists()]
    with files.writing(path):
        directory.mkdir(parents=True, exist_ok=True)
        while True:
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
            try:
                if not _locked(descriptor):
                    raise DatamapError(_refusal(directory, _holder(descriptor)))
                if os.fstat(descriptor).st_nlink:  # else its holder has just removed it: it guards no name any more
                    holder = Holder(
                        socket.gethostname(), os.getpid(), datetime.now(timezone.utc).isoformat(timespec="seconds")
                    )
                    os.truncate(descriptor, 0)
                    os.pwrite(descriptor, (json.dumps(asdict(holder)) + "\n").encode(), 0)
                    return made, descriptor
            except BaseException:
                os.close(descriptor)
                raise
            os.close(descriptor)


def _release(directory: Path, made: list[Path], descriptor: int) -> None:
    with suppress(OSError):  # a directory that is gone by now needs no lock
        (directory / NAME).unlink()
    os.close(descriptor)
    with suppress(OSError):  # what is not empty is of use
        for parent in made:
            parent.rmdir()


def _locked(descriptor: int) -> bool:
    """Takes the lock, if nobody has it."""
    import fcntl

    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return True
    except OSError as error:
        if error.errno in (errno.EACCES, errno.EAGAIN):
            return False
        if error.errno not in (errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOLCK):
            raise
    holder = _holder(descriptor)
    return holder is None or (holder.host == socket.gethostname() and not _alive(holder.process))


def _alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _holder(descriptor: int) -> Holder | None:
    """Who wrote the file; None where that is cut off, or nobody did."""
    try:
        return TypeAdapter(Holder).validate_python(json.loads(os.pread(descriptor, 1 << 16, 0)))
    except ValueError:
        return None


def _refusal(directory: Path, holder: Holder | None) -> str:
    who = "another process" if holder is None else f"process {holder.process} on {holder.host} since {holder.since}"
    return f"{directory}: {who} is writing there; wait for it, or give another directory with --run-dir"
