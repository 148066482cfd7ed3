"""`datamap gain`: trains on each of several files, and tells whether one is better on the dev set, or it was chance."""

from __future__ import annotations

import hashlib
import json
import os
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np
import numpy.typing as npt
import polars as pl
import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from datamap_cli import terminal
from datamap_cli import train as training
from datamap_cli.analysis import gain as analysis
from datamap_cli.analysis import overlap
from datamap_cli.commands import pictures
from datamap_cli.config import Config, SignalsConfig
from datamap_cli.data import dataset
from datamap_cli.errors import DatamapError
from datamap_cli.plot.gain import Trained, gains
from datamap_cli.plot.plain import plain_page
from datamap_cli.run import reports
from datamap_cli.run.directory import versions
from datamap_cli.run.output import Output
from datamap_cli.text import counted, plain

_METHOD = (
    f"standard errors of {analysis.RESAMPLES:,} bootstrap samples of dev examples and seeds, paired between the files, "
    "times Student's t; the weights are the last ones"
)


@dataclass
class _Set:
    """A file to train on, or the control of one."""

    name: str
    data: dataset.Dataset
    changes: analysis.Changes | None = None
    control: bool = False
    paths: list[Path] = field(default_factory=list)
    """Where the outcome of each training is kept, by seed."""
    predicted: list[list[int]] = field(default_factory=list)

    def examples(self, seed: int) -> pl.DataFrame:
        """What is trained on with this seed: of a control, `data` (the first file) with changes at random."""
        if not self.control:
            return self.data.examples
        assert self.changes is not None
        label = self.data.examples["label"].to_numpy()
        labels, stays = analysis.twin(label, self.changes, len(self.data.classes), seed)
        return self.data.examples.with_columns(label=pl.Series(labels)).filter(pl.Series(stays))


def gain(config: Config, paths: Sequence[Path], *, seeds: int, control: bool, directory: Path) -> None:
    """Trains on each file with each seed, unless its outcome is in `directory` already, and reports there and here.

    With `control` each file but the first has a twin: the first with as many rows of each class dropped and relabelled
    at random. Raises DatamapError for fewer than two files, one given twice, and where there is no dev set.
    """
    _refuse(config, paths)
    sets, dev = _load(config, paths)
    for of in sets[1:]:
        of.changes = analysis.changes(sets[0].data.examples, of.data.examples)
        terminal.note(f"{of.name}: {_told(of.changes)} against {sets[0].name}")
    if control:
        sets = [twin for of in sets for twin in _with_control(of, sets[0])]
    numbers = [config.train.seed + k for k in range(seeds)]
    settings = _settings(config)
    for of in sets:
        of.paths = [directory / "trainings" / f"{_key(settings, of, sets[0], dev, seed)}.json" for seed in numbers]
    _train(settings, sets, dev, numbers)
    report = _report(config, sets, dev, numbers)
    place = Output(directory / "gain")
    reports.write(place.path("json"), report)
    _show(report)
    typer.echo()
    typer.echo(f"gain: {place.path('json')}")
    title = f"What each file trains to: {Path(config.model.name).name}, {dev.path.name}"
    figure = gains(
        [
            Trained(
                of.name, of.macro_f1.values, numbers, of.macro_f1.mean, of.macro_f1.low, of.macro_f1.high, of.control
            )
            for of in report.sets
        ],
        config.plot,
        title=title,
        subtitle=f"{counted(seeds, 'seed')}, {counted(report.dev_examples, 'dev example')}; intervals of the means at "
        f"{analysis.LEVEL:.0%}",
    )
    pictures.write(figure, plain_page(figure, title), place, config.plot, "gain")


def _refuse(config: Config, paths: Sequence[Path]) -> None:
    if len(paths) < 2:
        raise DatamapError(
            "one file: a gain is that of one file over another; give two or more, the one as it was first"
        )
    places = [path.resolve() for path in paths]
    twice = [path for n, path in enumerate(paths) if places[n] in places[:n]]
    if twice:
        raise DatamapError(f"{twice[0]}: given twice")
    if config.data.dev is None:
        raise DatamapError("data.dev: no dev set to measure on; give one in the YAML, or with --set data.dev=FILE")
    if int(os.environ.get("PADDLE_TRAINERS_NUM", "1")) > 1:
        raise DatamapError("datamap gain trains in one process; expected no launcher")


def _load(config: Config, paths: Sequence[Path]) -> tuple[list[_Set], dataset.Dataset]:
    """The files with the classes of all of them, and the dev set; says what of it they have."""
    found = [dataset.load(config.data.model_copy(update={"train": path, "dev": None})) for path in paths]
    classes = dataset.ordered({name for data in found for name in data.classes})
    sets = [_Set(str(path), dataset.with_classes(data, classes)) for path, data in zip(paths, found, strict=True)]
    dev = None
    for of in sets:
        dev = dataset.load_dev(config.data, of.data)
        for text in of.data.notes:
            terminal.note(f"{of.name}: {text}")
    assert dev is not None
    for text in dev.notes:
        terminal.note(text)
    for of in sets:
        if known := _known(of, dev):
            terminal.note(f"{of.name}: {counted(known, 'dev example')} among its texts: no gain shows on them")
    return sets, dev


def _known(of: _Set, dev: dataset.Dataset) -> int:
    return int(overlap.known(dev.examples, of.data.examples).sum())


def _with_control(of: _Set, first: _Set) -> Iterator[_Set]:
    yield of
    if of.changes is not None and len(of.changes.dropped) + len(of.changes.relabelled):
        yield _Set(f"{of.name}, at random", first.data, of.changes, control=True)


def _told(changes: analysis.Changes) -> str:
    counts = {"dropped": len(changes.dropped), "relabelled": len(changes.relabelled), "added": changes.added}
    told = [f"{counted(count, 'row')} {what}" for what, count in counts.items() if count]
    return ", ".join(told) if told else "the same rows and labels"


# --------------------------------------------------------------------------------------------- training


def _settings(config: Config) -> Config:
    """What each training is configured by: nothing of it collects signals."""
    data = config.data.model_copy(update={"train": None, "dev": None})
    train = config.train.model_copy(update={"keep": "last", "folds": None})
    return config.model_copy(update={"data": data, "train": train, "signals": SignalsConfig(embeddings="none")})


def _key(settings: Config, of: _Set, first: _Set, dev: dataset.Dataset, seed: int) -> str:
    """A name for one training that is another wherever something else would come out."""
    tree = settings.model_dump(mode="json", include={"data", "model", "train"})
    for free in ("seed", "device", "checkpoint_steps"):
        del tree["train"][free]
    changes = of.changes if of.control else None
    rows = [] if changes is None else [digest.tolist() for digest in (changes.dropped, changes.relabelled)]
    told = [tree, of.data.sha256, first.data.sha256 if of.control else None, rows, of.data.classes, dev.sha256, seed]
    digest = hashlib.sha256(json.dumps([*told, versions()], sort_keys=True).encode()).hexdigest()
    return f"{Path(of.name).stem[:40]}{'-at-random' if of.control else ''}-{seed}-{digest[:12]}"


def _train(settings: Config, sets: Sequence[_Set], dev: dataset.Dataset, seeds: Sequence[int]) -> None:
    """Trains what has no outcome yet, seed after seed, so that a part of it is a whole comparison of fewer seeds."""
    total, done, taken = len(sets) * len(seeds), 0, 0
    label, began = dev.examples["label"].to_numpy(), time.monotonic()
    for k, seed in enumerate(seeds):
        for of in sets:
            done += 1
            kept = _kept(of.paths[k], dev.examples.height)
            if kept is None:
                started = time.monotonic()
                config = settings.model_copy(update={"train": settings.train.model_copy(update={"seed": seed})})
                predicted = _predict(config, of, dev, seed)
                kept = reports.GainTraining(
                    of.name, of.control, seed, round(time.monotonic() - started, 3), predicted.tolist()
                )
                reports.write(of.paths[k], kept)
                taken += 1
                left = (time.monotonic() - began) / taken * (total - done)
                accuracy = float((predicted == label).mean())
                terminal.note(
                    f"training {done}/{total}  {of.name}  seed {seed}  accuracy {accuracy:.1%}"
                    + (f"  {terminal.duration(left)} left" if done < total else "")
                )
            of.predicted.append(kept.predicted)
    if taken < total:
        terminal.note(f"{counted(total - taken, 'training')} of {total} kept from before")


def _predict(config: Config, of: _Set, dev: dataset.Dataset, seed: int) -> npt.NDArray[np.int64]:
    try:
        for event in training.predict(config, of.examples(seed), of.data.classes, dev.examples):
            if isinstance(event, training.Predicted):
                return event.label
    except training.Diverged as error:
        raise DatamapError(f"{of.name}, seed {seed}: {error}") from error
    except KeyboardInterrupt:
        raise DatamapError("stopped; what is trained is kept: the same command goes on", exit_code=130) from None
    raise AssertionError("a training ends with what it predicts")


def _kept(path: Path, examples: int) -> reports.GainTraining | None:
    """The outcome of a training before; None where there is none that is whole."""
    try:
        kept = reports.read(path, reports.GainTraining)
    except (OSError, ValueError):
        return None
    return kept if len(kept.predicted) == examples else None


# ------------------------------------------------------------------------------------------- the report


def _report(config: Config, sets: Sequence[_Set], dev: dataset.Dataset, seeds: list[int]) -> reports.GainReport:
    label, classes = dev.examples["label"].to_numpy(), sets[0].data.classes
    scores = [analysis.scores(label, np.array(of.predicted), len(classes), config.train.seed) for of in sets]
    found: list[reports.GainSet] = []
    for n, of in enumerate(sets):
        twin = n + 1 < len(sets) and sets[n + 1].control and not of.control
        spreads = {name: analysis.spread(scores[n], name, config.train.seed) for name in analysis.MEASURES}
        found.append(
            reports.GainSet(
                name=of.name,
                file=str(of.data.path),
                sha256=of.data.sha256,
                control=of.control,
                examples=of.examples(seeds[0]).height,
                known_in_dev=_known(of, dev),
                changes=None
                if of.changes is None
                else reports.RowChanges(len(of.changes.dropped), len(of.changes.relabelled), of.changes.added),
                accuracy=reports.Spread(**asdict(spreads["accuracy"])),
                macro_f1=reports.Spread(**asdict(spreads["macro_f1"])),
                against_first=_differences(scores[n], scores[0], config.train.seed) if n else None,
                against_control=_differences(scores[n], scores[n + 1], config.train.seed) if twin else None,
                trainings=[f"{path.parent.name}/{path.name}" for path in of.paths],
            )
        )
    return reports.GainReport(
        dev=str(dev.path),
        dev_sha256=dev.sha256,
        dev_examples=dev.examples.height,
        classes=classes,
        seeds=seeds,
        level=analysis.LEVEL,
        method=_METHOD,
        model=config.model.name,
        sets=found,
        versions=versions(),
    )


def _differences(of: analysis.Scores, against: analysis.Scores, seed: int) -> reports.Differences:
    found = {name: analysis.difference(of, against, name, seed) for name in analysis.MEASURES}
    return reports.Differences(**{name: reports.Difference(**asdict(d), told=d.told) for name, d in found.items()})


def _show(report: reports.GainReport) -> None:
    console = Console(highlight=False)
    seeds = counted(len(report.seeds), "seed")
    console.print(f"{seeds}, {counted(report.dev_examples, 'dev example')}: mean ± standard deviation over the seeds")
    table = Table(box=None, pad_edge=False)
    table.add_column("trained on", overflow="fold")
    for heading in ("rows", "accuracy", "macro-F1"):
        table.add_column(heading, justify="right", no_wrap=True)
    for of in report.sets:
        style = "dim" if of.control else ""
        table.add_row(Text(plain(of.name)), f"{of.examples:,}", _cell(of.accuracy), _cell(of.macro_f1), style=style)
    console.print(table)
    console.print()
    first = report.sets[0].name
    for of in report.sets[1:]:
        for other, differences in ((first, of.against_first), ("as much changed at random", of.against_control)):
            if differences is not None:
                line = f"{of.name} against {other}: {_words(differences.macro_f1, report)}"
                console.print(Text(plain(line)), soft_wrap=True)
    if len(report.seeds) < 3:
        console.print(f"{seeds}: too few to tell how far seeds vary; the intervals may be too narrow", soft_wrap=True)


def _cell(spread: reports.Spread) -> str:
    return f"{spread.mean:.3f}" + ("" if spread.sd is None else f" ± {spread.sd:.3f}")


def _words(difference: reports.Difference, report: reports.GainReport) -> str:
    """What a difference in macro-F1 says."""
    told = f"macro-F1 {difference.value:+.3f} ({difference.low:+.3f} to {difference.high:+.3f})"
    if difference.told:
        return f"{told}: a {'gain' if difference.value > 0 else 'loss'}"
    return (
        f"{told}: no gain that can be told from chance; {counted(report.dev_examples, 'dev example')} and "
        f"{counted(len(report.seeds), 'seed')} could have told one of {difference.detectable:.3f}"
    )
