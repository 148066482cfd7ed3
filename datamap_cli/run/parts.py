"""What of a run directory we wrote: the mark that says so, and the removal of just that."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path, PurePosixPath

from datamap_cli import signals
from datamap_cli.errors import DatamapError
from datamap_cli.run import files, lock, reports
from datamap_cli.run.reports import Mark, RunInfo
from datamap_cli.text import reason

MARK = ".datamap.json"
CONFIG, INFO, EXAMPLES = "config.yaml", "run.json", "examples.parquet"
DIGESTS = "sha256.json"

# what every run consists of from its start
_START = (CONFIG, EXAMPLES, INFO, "signals", "checkpoints")
# what commands put there later; maps have names of their own, and may lie beside others
_LATER = (
    *("embeddings.npz", "opinions.parquet", "opinions.json", "summary.tsv", "summary.parquet"),
    *("suspects.tsv", "suspects.json", "audit.json", "selfcheck.json"),
)
NAMES = (*_START, *_LATER)
"""What a run needs the name of in its directory."""
DEV, SELFCHECK = "dev", "selfcheck"
# runs of their own below one: they go where it is replaced; that of the dev set only where the mark lists it
WITHIN = (SELFCHECK, DEV)


def info(directory: Path) -> RunInfo:
    """run.json; raises ValueError where it is not ours, OSError where it cannot be read."""
    return reports.read(directory / INFO, RunInfo)


def mark(directory: Path) -> Mark | None:
    """Which run is in `directory`, or is starting or being removed; None where there is none of ours.

    Version 0.1.0 left no mark: there it is what it would have said. Raises DatamapError for one that is damaged.
    """
    path = directory / MARK
    try:
        found = reports.read(path, Mark)
        if any(map(_leads_out, _all(found))):
            raise ValueError("a path out of the directory")
    except (FileNotFoundError, NotADirectoryError):
        return _unmarked(directory)
    except OSError as error:
        raise DatamapError(f"{path}: cannot be read: {reason(error)}") from error
    except ValueError as error:
        raise DatamapError(f"{path}: damaged ({error}); a run of its name cannot be told from other files") from error
    return found


def holds_run(directory: Path) -> bool:
    """Whether a run of ours is there, with its run.json or with what comes after it; deletes nothing.

    A start that was cut off, or the removal of a run before it, is none.
    """
    found = mark(directory)
    if found is None:
        return False
    try:
        return info(directory).run_id == found.run_id
    except FileNotFoundError:
        return any(part not in _START and (directory / part).exists() for part in found.written)
    except (OSError, ValueError):
        return True  # whoever opens it says what is wrong


def foreign(directory: Path) -> list[str]:
    """Names of parts of a run that something else has in `directory`: no run can start there."""
    found = mark(directory)
    ours = _all(found) if found is not None else []
    return [name for name in NAMES if name not in ours and _is_something(directory / name)]


def start(directory: Path, run_id: str) -> None:
    """Marks the directory as that of a run that starts, and removes what we wrote of the one before, if there is one.

    Told in the mark before it is done: wherever it is cut off, `start` can be called again.
    """
    before = mark(directory)
    old = _all(before) if before is not None else []
    old += [name for name in WITHIN if name != DEV and holds_run(directory) and name not in old]
    reports.write(directory / MARK, Mark(run_id, [*_START], old))
    if old:
        # the configuration may be the only copy of it there is: it is replaced in its place
        remove(directory, [part for part in old if part != CONFIG])
        reports.write(directory / MARK, Mark(run_id, [*_START]))


def enter(directory: Path, paths: Iterable[Path]) -> None:
    """Enters what is to be written into the mark, as far as it lies in `directory`.

    Of two processes that enter at the same time, as those that draw may, one may lose: what is not entered is kept.
    """
    found = mark(directory)
    if found is None:
        raise DatamapError(f"{directory}: no run here; `datamap train` makes one")
    names = [path.relative_to(directory).as_posix() for path in paths if path.is_relative_to(directory)]
    new = [name for name in names if name not in found.written]
    if new or not (directory / MARK).exists():
        reports.write(directory / MARK, replace(found, written=[*found.written, *new]))


def remove(directory: Path, parts: Sequence[str]) -> None:
    """Removes the parts that we wrote, what was cut off while they were written, and directories left empty."""
    # without run.json there is no run any more that could be opened by half
    for part in sorted(parts, key=lambda part: part != INFO):
        path = directory / part
        files.remove(path.with_name(f".{path.name}.partial"))
        if part in WITHIN:
            _remove_within(path)
        elif path.is_dir() and not path.is_symlink():
            if part not in _START:
                _remove_written(path)
        else:
            path.unlink(missing_ok=True)
    for part in sorted(parts, reverse=True):  # what is within a directory before it
        for place in (PurePosixPath(part), *PurePosixPath(part).parents[:-1]):
            with suppress(OSError):  # not empty, no directory, or gone
                (directory / place).rmdir()


def _remove_within(directory: Path) -> None:
    """Removes the run in a directory below that of another, if there is one."""
    if (found := mark(directory)) is None:
        return
    with lock.holding(directory):
        remove(directory, _all(found))
        (directory / MARK).unlink(missing_ok=True)
    with suppress(OSError):
        directory.rmdir()


def _remove_written(directory: Path) -> None:
    """Removes what a directory lists as written with it, and the directory if nothing else is in it."""
    with suppress(OSError, ValueError):  # lists nothing
        for name in [*json.loads((directory / DIGESTS).read_bytes()), DIGESTS]:
            if not _leads_out(name):
                (directory / name).unlink(missing_ok=True)
    for path in sorted((path for path in directory.rglob("*") if path.is_dir()), reverse=True):
        with suppress(OSError):
            path.rmdir()


def _all(found: Mark) -> list[str]:
    return list(dict.fromkeys([*found.replaced, *found.written]))


def _leads_out(part: str) -> bool:
    """Whether a path leads out of the directory it is of, as none of ours does."""
    return PurePosixPath(part).is_absolute() or ".." in PurePosixPath(part).parts


def _is_something(path: Path) -> bool:
    return any(path.iterdir()) if path.is_dir() else path.exists()


def _unmarked(directory: Path) -> Mark | None:
    """The mark of a run that version 0.1.0 made, which started where none of these names was, and gave no others."""
    try:
        run = info(directory)
    except (OSError, ValueError):
        return None
    axes = "|".join(("label", "s_label", *(signal.name for signal in signals.SIGNALS)))
    ours = re.compile(
        rf"signals/step-\d+\.(jsonl|parquet)|checkpoints/(final|step-\d+)|maps/(compare-.*|precision-recall|({axes})-.*)"
        r"\.(html|png|svg|pdf|json|tsv)"
    )
    below = [path.relative_to(directory).as_posix() for path in sorted(directory.glob("*/*"))]
    return Mark(
        run.run_id,
        [
            *(name for name in NAMES if (directory / name).exists()),
            *dict.fromkeys(
                [
                    *(file for entry in run.evaluations for file in entry.files if not _leads_out(file)),
                    *filter(ours.fullmatch, below),
                ]
            ),
        ],
    )
