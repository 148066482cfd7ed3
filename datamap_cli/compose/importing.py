"""`datamap import`: the dynamics of others → signal records."""

from __future__ import annotations

from pathlib import Path

import typer

from datamap_cli import dataset, dynamics, store, terminal
from datamap_cli.config import Config
from datamap_cli.recorder import SignalRecorder


def bring_in(source: Path, config: Config, format: str | None, texts: Path | None, *, overwrite: bool) -> None:
    """Records what `source` holds; `texts` is the data set with the texts, if there is one."""
    store.Run.refuse_existing(config.run_dir, overwrite=overwrite)
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
    origin = store.Origin(f"import {imported.format}", str(source.resolve()), store.sha256(source))
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
    typer.echo(f"signals: {config.run_dir / 'signals'}")
