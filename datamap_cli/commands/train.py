"""`datamap train`: data set → training → signal records."""

from __future__ import annotations

import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

import typer

from datamap_cli import config as configuration
from datamap_cli import terminal
from datamap_cli import train as training
from datamap_cli.config import Config
from datamap_cli.data import dataset
from datamap_cli.errors import DatamapError
from datamap_cli.run import Origin, Run
from datamap_cli.run.recorder import SignalRecorder

# rows that are condensed to records at a time
_ROWS = 65_536


def train(
    config: Config,
    data: dataset.Dataset | None = None,
    *,
    kind: str = "train",
    overwrite: bool = False,
    resume: bool = False,
) -> None:
    """Trains and records, from the beginning, or with `resume` from the newest checkpoint in the run directory.

    `data` is what is trained on, if it is not the data set as it stands in its file; `kind` names the command. Raises
    DatamapError where a run is in the directory and it is to be neither resumed nor overwritten, where the run to be
    resumed was started with other data or another configuration, and when it was interrupted.
    """
    started = time.perf_counter()
    main = training.is_main_process()
    going_on = resume and Run.holds_run(config.run_dir)
    if main and not resume:
        Run.refuse_existing(config.run_dir, overwrite=overwrite)
    data = data or dataset.load(config.data)
    if going_on:
        run = Run.open(config.run_dir)
        _refuse_another(run, config, data, kind)
        if run.info.finished is not None:
            terminal.note(f"{config.run_dir}: the training is finished; there is nothing to resume")
            return
    display = terminal.TrainingDisplay(talks=main)
    for text in data.notes:
        display.note(text)
    checkpoint = _checkpoint(run, display) if going_on else None
    display.note(f"{data.examples.height:,} examples, {len(data.classes)} classes; loading Paddle …")
    loaded = time.perf_counter()
    recorder: SignalRecorder | None = None
    saved = checkpoint
    try:
        with _interruption(display) as interruption, display.shown():
            for event in training.run(
                config, data.examples, data.classes, checkpoint=checkpoint, stop=lambda: interruption.number is not None
            ):
                display.show(event)
                if isinstance(event, training.Stopped):
                    number = interruption.number or signal.SIGTERM  # it may be another process that was asked to stop
                    again = f"datamap train --run-dir {config.run_dir}" if kind == "train" else "the same command with"
                    raise DatamapError(
                        f"stopped by {signal.Signals(number).name} after step {event.step:,}; "
                        f"to go on: {again} --resume",
                        exit_code=128 + number,
                    )
                if not main:
                    continue
                match event:
                    case training.Started():
                        # only now: what went wrong until here has cost no earlier run
                        recorder = _recorder(
                            config, data, kind, event.evaluated if going_on else None, overwrite=overwrite
                        )
                    case training.Embeddings():
                        assert recorder is not None
                        recorder.keep_embeddings(*event.vectors)
                    case training.Checkpoint():
                        assert recorder is not None
                        saved = recorder.run.write_checkpoint(event.step, event.save)
                    case training.Evaluation():
                        assert recorder is not None
                        _record(recorder, event)
                    case training.Trained():
                        assert recorder is not None
                        recorder.finish(event.save)
                        total = time.perf_counter() - started
                        display.show_phases({"reading the data set": loaded - started, **event.seconds}, total)
    except training.Diverged as error:
        where = f"last checkpoint: {saved}" if saved is not None else "no checkpoint yet"
        raise DatamapError(f"{error}; {where}") from error
    if main:
        typer.echo(f"signals: {config.run_dir / 'signals'}")


def _refuse_another(run: Run, config: Config, data: dataset.Dataset, kind: str) -> None:
    """Raises DatamapError where the run was started by another command, with other data or another configuration."""
    before = configuration.load(config.run_dir / "config.yaml")
    free = ("train.device", "train.checkpoint_steps")
    changed = configuration.changes(before, config, ("data", "model", "train", "signals"))
    changed = [change for change in changed if not change.startswith(free)]
    if run.info.origin.kind != kind:
        raise DatamapError(f"{config.run_dir}: not a run of `datamap {kind}`, which alone can be resumed so")
    if changed:
        raise DatamapError(
            f"{config.run_dir}: a run goes on with the configuration it was started with; now different, with "
            f"the value of then: {', '.join(changed)}"
        )
    if run.info.origin.sha256 != data.sha256:
        raise DatamapError(
            f"{data.path}: changed since the run in {config.run_dir} was started; train with --overwrite"
        )


def _checkpoint(run: Run, display: terminal.TrainingDisplay) -> Path | None:
    """The checkpoint to go on from; None: from the beginning."""
    path, damaged = run.checkpoint()
    for text in damaged:
        display.note(text)
    display.note(f"going on {f'from {path}' if path else 'from the beginning: there is no checkpoint yet'}")
    return path


def _recorder(
    config: Config, data: dataset.Dataset, kind: str, resume_after: int | None, *, overwrite: bool
) -> SignalRecorder:
    return SignalRecorder(
        config.run_dir,
        examples=data.examples,
        classes=data.classes,
        overwrite=overwrite,
        format=config.signals.format,
        probs=config.signals.probs,
        config=config,
        origin=Origin(kind, str(data.path), data.sha256, config.model.name, config.train.seed, config.train.folds),
        resume_after=resume_after,
    )


def _record(recorder: SignalRecorder, evaluation: training.Evaluation) -> None:
    for first in range(0, len(evaluation.logits), _ROWS):
        rows = slice(first, first + _ROWS)
        recorder.record(step=evaluation.step, ids=recorder.examples["id"][rows], logits=evaluation.logits[rows])
    recorder.finish_evaluation(epoch=evaluation.epoch, train_loss=evaluation.train_loss, seconds=evaluation.seconds)


@dataclass
class _Interruption:
    """SIGINT or SIGTERM, once it came."""

    number: int | None = None


@contextmanager
def _interruption(display: terminal.TrainingDisplay) -> Iterator[_Interruption]:
    """Remembers the first SIGINT or SIGTERM, so that the step can be finished; a second one ends at once."""
    interruption = _Interruption()

    def note(number: int, frame: FrameType | None) -> None:  # noqa: ARG001
        interruption.number = number
        restore()
        display.note("stopping with a checkpoint after this step; once more to stop at once")

    def restore() -> None:
        for number, handler in before.items():
            signal.signal(number, handler)

    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    for number in before:
        signal.signal(number, note)
    try:
        yield interruption
    finally:
        restore()
