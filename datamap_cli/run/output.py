"""Where what a command draws goes: one stem, a file per format; or the one format that a name asks for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

DRAWN = ("html", "png", "svg", "pdf")


@dataclass(frozen=True)
class Output:
    """Files that have a stem in common; the suffix is added to it, so that `v1.2` stays whole."""

    stem: Path
    only: str | None = None
    """The one format that is wanted."""

    @classmethod
    def of(cls, path: Path, more: Sequence[str] = ()) -> Output:
        """What a user calls the output: a stem, or with the suffix of a drawn format, or one of `more`, a file.

        Any other suffix is part of the stem.
        """
        suffix = path.suffix.lower().removeprefix(".")
        return cls(path.with_suffix(""), suffix) if suffix in (*DRAWN, *more) else cls(path)

    def path(self, format: str) -> Path:
        return self.stem.with_name(f"{self.stem.name}.{format}")

    def wanted(self, formats: Sequence[str]) -> list[str]:
        """Which of the formats are to be written: the only one, whether it is among them or not, or all."""
        return [*formats] if self.only is None else [self.only]


def beside(output: Path, suffix: str) -> Path:
    """Where what tells of `output`, a file of the user's choice, goes."""
    return output.with_name(f"{output.name}.{suffix}")
