"""`datamap import`: the dynamics of others → signal records."""

from __future__ import annotations

from pathlib import Path

import typer

from datamap_cli import dynamics, terminal
from datamap_cli.config import Config
from datamap_cli.data import dataset
from datamap_cli.run import Origin, Run, files
from datamap_cli.run.recorder import SignalRecorder


def import_dynamics(source: Path, config: Config, format: str | None, texts: Path | None, *, overwrite: bool) -> None:
    """Records what `source` holds; `texts` is the data set with the texts, if there is one."""
    Run.refuse_existing(config.run_dir, overwrite=overwrite)
    imported = dynamics.read(source, format, incomplete="drop" if config.summarize.incomplete == "drop" else "error")
    for text in imported.notes:
        terminal.note(text)
    given = ("id", "label", "s_label", "text_a", "text_b")
    first = imported.evaluations[0].examples
    examples = first.select(name for name in given if name in first.columns)
    if texts is not None:
        known = dataset.load_texts(config.data)
        examples = (
            examples.select("id", "label", "s_label")
            .with_columns(key=examples["id"].cast(str))
            .join(
                known.select("text_a", "text_b", key=known["id"].cast(str)), on="key", how="left", maintain_order="left"
            )
        )
        missing = int(examples["text_a"].null_count())
        if missing:
            terminal.note(f"{texts}: no text for {missing:,} of {examples.height:,} examples")
    origin = Origin(f"import {imported.format}", str(source.resolve()), files.sha256(source))
    with SignalRecorder(
        config.run_dir,
        examples=examples,
        classes=imported.classes,
        overwrite=overwrite,
        format=config.signals.format,
        probs=config.signals.probs,
        config=config,
        origin=origin,
    ) as recorder:
        for evaluation in imported.evaluations:
            extra = {name: evaluation.examples[name].to_numpy() for name in first.columns if name not in given}
            recorder.record(step=evaluation.step, ids=evaluation.examples["id"], probs=evaluation.probs, extra=extra)
            recorder.finish_evaluation()
    terminal.note(
        f"{imported.format}: {examples.height:,} examples, {len(imported.classes)} classes, "
        f"{len(imported.evaluations)} evaluations"
    )
    typer.echo(f"signals: {Run.open(config.run_dir).signals}")
