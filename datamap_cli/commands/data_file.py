"""The data file of a run, where it is now, and the files that are written beside one made of it."""

from __future__ import annotations

from pathlib import Path

import polars as pl

from datamap_cli import terminal
from datamap_cli.config import DataConfig
from datamap_cli.data import dataset
from datamap_cli.errors import DatamapError
from datamap_cli.run import Run


def of_run(run: Run, settings: DataConfig, data: Path | None) -> DataConfig:
    """The settings of the run's data set, with the file that was trained on, or where the user says it is now."""
    if data is None:
        if run.info.origin.kind in ("train", "dev") and run.info.origin.data is not None:
            data = Path(run.info.origin.data)
        elif settings.train is not None:
            data = settings.train
        else:
            raise DatamapError(f"{run.directory}: the run names no data file; give it with --data FILE")
    if not data.is_file():
        raise DatamapError(f"{data}: no such file; if it was moved, say where it is with --data FILE")
    return settings.model_copy(update={"train": data})


def refuse_output(source: Path, output: Path, *beside: Path, overwrite: bool) -> None:
    """Raises DatamapError where the output is the data file, of another format, or there, as files beside it."""
    if output.exists() and output.samefile(source):
        raise DatamapError(f"--output: {output}: that is the data file itself; give another name")
    if output.suffix.lower() != source.suffix.lower():
        raise DatamapError(f"--output: {output}: expected a name ending in {source.suffix}, the format of {source}")
    for path in (output, *beside):
        if path.exists() and not overwrite:
            raise DatamapError(f"--output: {path}: there already; give another name, or --overwrite to replace it")


def refuse_changed(run: Run, source: DataConfig, digest: str | None, ids: pl.Series, *, remedy: str) -> None:
    """Raises DatamapError where the data file is not the one of the run.

    Told by its sha256, or where the run does not know that, by the texts of the examples with these ids; `remedy` says
    what helps.
    """
    if trained_on(run) is not None:
        if digest != trained_on(run):
            raise DatamapError(
                f"{source.train}: changed since the run in {run.directory} was trained on it: its rows may be others; "
                f"{remedy}"
            )
        return
    texts = run.texts(ids)
    if texts is None:
        terminal.note(f"the run knows neither its data file nor texts: rows of {source.train} are found by id alone")
        return
    found = dataset.load_texts(source).select("text_a", key=pl.col("id").cast(pl.String))
    both = pl.DataFrame({"key": ids.cast(pl.String), "text": texts["text_a"]}).join(found, on="key", how="left")
    other = both.filter(pl.col("text").str.strip_chars().ne_missing(pl.col("text_a").str.strip_chars()))
    if other.height:
        raise DatamapError(
            f"{source.train}: {other.height:,} of {both.height:,} selected examples have another text there than in "
            f"the run (id {other['key'][0]}): is it the file, and `data.id` its column of ids? {remedy}"
        )


def trained_on(run: Run) -> str | None:
    """The sha256 of the data file the run was trained on; None where the run does not know it."""
    return run.info.origin.sha256 if run.info.origin.kind in ("train", "dev") else None
