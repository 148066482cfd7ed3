"""What the user sees in the terminal: progress on standard error, tables on standard output.

Texts of the data set are foreign: they are printed as plain text, never as markup or control characters.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import polars as pl
from rich.console import Console
from rich.padding import Padding
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn
from rich.table import Table
from rich.text import Text

from datamap_cli import signals, train
from datamap_cli.text import counted, plain

if TYPE_CHECKING:
    from datamap_cli.doctor import Check
    from datamap_cli.run.reports import ErrorEstimate
from datamap_cli.analysis.audit import Audit, Outlook
from datamap_cli.analysis.selfcheck import LEVEL, Detection


def note(text: str) -> None:
    """A line of talk, on standard error."""
    Console(stderr=True, highlight=False).print(Text(plain(text)), soft_wrap=True)


# -------------------------------------------------------------------------------------------- training


class TrainingDisplay:
    """Shows the events of a training: a live line on a terminal, and a plain line for every evaluation.

    Of several processes that train together one `talks`, the others are silent.
    """

    def __init__(self, *, talks: bool = True) -> None:
        self.console = Console(stderr=True, highlight=False, quiet=not talks)
        self.live = self.console.is_terminal
        self.progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(bar_width=20),
            MofNCompleteColumn(),
            TextColumn("{task.fields[detail]}"),
            TimeRemainingColumn(compact=True),
            console=self.console,
            transient=True,
            disable=not self.live,
        )
        self.steps = self.progress.add_task("step", total=None, detail="")
        self.passes: TaskID | None = None
        self.started = time.monotonic()
        self.start: train.Started | None = None
        self.done = 0

    @contextmanager
    def shown(self) -> Iterator[None]:
        with self.progress:
            yield

    def note(self, text: str) -> None:
        """A line of talk."""
        self.console.print(Text(plain(text)), soft_wrap=True)

    def show_phases(self, phases: Mapping[str, float], total: float) -> None:
        """Seconds of each phase, and its share of the total."""
        parts = [f"{name} {seconds:.1f} s ({seconds / total:.0%})" for name, seconds in phases.items()]
        self.note(f"{duration(total)} in all: {', '.join(parts)}")

    def show(self, event: train.Event) -> None:
        match event:
            case train.Started():
                self._show_start(event)
            case train.Step():
                detail = f"epoch {event.epoch + 1}  loss {event.loss:.3f}  acc {event.accuracy:.1%}"
                self.progress.update(self.steps, completed=event.step, detail=detail)
                self.done = event.step
            case train.EvaluationProgress():
                if self.passes is None:
                    self.passes = self.progress.add_task("evaluation", total=event.total, detail="")
                self.progress.update(self.passes, completed=event.done, total=event.total)
            case train.Embeddings():
                self._end_pass()
            case train.Evaluation():
                self._show_evaluation(event)
            case train.FoldTrained():
                self._show_fold(event)
            case train.Trained() if event.kept is not None:
                self.note(f"the weights of evaluation {event.kept + 1} are kept: the best macro-F1 on the dev set")

    def _show_start(self, start: train.Started) -> None:
        self.start, self.done = start, start.step
        self.started = time.monotonic()
        self.progress.update(self.steps, total=start.steps, completed=start.step)
        for text in start.notes:
            self.note(text)
        machines = f"{start.processes} × {start.device.partition(':')[0]}" if start.processes > 1 else start.device
        self.console.print(
            f"{start.model} ({start.parameters:,} parameters) on {machines}: "
            f"{counted(start.steps, 'step')}, {counted(start.evaluations, 'evaluation')}",
            markup=False,
            soft_wrap=True,
        )

    def _show_evaluation(self, evaluation: train.Evaluation) -> None:
        assert self.start is not None
        digits = len(f"{self.start.evaluations:,}")
        self._line(
            f"evaluation {evaluation.evaluation + 1:>{digits},}/{self.start.evaluations:,}",
            f"epoch {evaluation.epoch:.2f}",
            f"step {evaluation.step:,}",
            f"loss {evaluation.train_loss:.4f}",
            f"accuracy {evaluation.accuracy:.1%}",
            *_of_dev(evaluation.dev),
        )

    def _show_fold(self, fold: train.FoldTrained) -> None:
        self._line(
            f"fold {fold.fold + 1}/{fold.folds}", f"accuracy {fold.accuracy:.1%} on {fold.held_out:,} examples held out"
        )

    def _end_pass(self) -> None:
        if self.passes is not None:
            self.progress.remove_task(self.passes)
            self.passes = None

    def _line(self, *parts: str) -> None:
        """A line of talk on how far it is, and how long it will take."""
        assert self.start is not None
        self._end_pass()
        # of this start: a training that went on from a checkpoint had steps before
        taken, remaining = self.done - self.start.step, self.start.steps - self.done
        left = (time.monotonic() - self.started) * remaining / taken if taken else None
        ending = [f"{duration(left)} left"] if remaining and left is not None else []
        self.console.print("  ".join([*parts, *ending]), markup=False, soft_wrap=True)


def _of_dev(dev: train.Dev | None) -> list[str]:
    if dev is None:
        return []
    quality = dev.quality
    return [f"dev: loss {quality.loss:.4f}", f"accuracy {quality.accuracy:.1%}", f"macro-F1 {quality.macro_f1:.3f}"]


def duration(seconds: float) -> str:
    """Such as `3 min 20 s`."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {rest} s" if minutes else f"{rest} s"


# --------------------------------------------------------------------------------------------- summary

_LOWEST = 10


def print_summary(summary: pl.LazyFrame, examples: pl.LazyFrame, classes: Sequence[str]) -> None:
    """Counts by region, and the examples with the lowest avg_probs with their texts."""
    console = Console(highlight=False)
    counts = dict(summary.group_by(signals.region()).len().collect(engine="streaming").iter_rows())
    total = sum(counts.values())
    table = Table(title=f"{total:,} examples by region", title_justify="left", box=None, pad_edge=False)
    table.add_column("region")
    table.add_column("avg_probs")
    table.add_column("examples", justify="right")
    table.add_column("share", justify="right")
    for name, bounds in signals.REGIONS.items():
        count = counts.get(name, 0)
        table.add_row(name, bounds, f"{count:,}", f"{count / total:.1%}")
    console.print(table)

    kind = summary.collect_schema()["id"]
    lowest = (
        summary.select("id", "label", "pred_label", "suggested_label", "avg_probs")
        .bottom_k(_LOWEST, by=["avg_probs", "id"])
        .join(examples.select(pl.col("id").cast(kind, strict=False), "text_a", "text_b"), on="id", how="left")
        .sort("avg_probs", "id")
        .collect(engine="streaming")
    )
    table = Table(
        title=f"The {lowest.height} lowest avg_probs: look here for wrong labels",
        title_justify="left",
        box=None,
        pad_edge=False,
        expand=True,
    )
    for heading in ("id", "avg_probs"):
        table.add_column(heading, justify="right", no_wrap=True)
    # records without all probabilities suggest no label; the next best is the last prediction
    other = "pred_label" if lowest["suggested_label"].null_count() else "suggested_label"
    for heading in ("label", "predicted" if other == "pred_label" else "suggested"):
        table.add_column(heading, overflow="ellipsis", no_wrap=True, max_width=18)
    table.add_column("text", overflow="ellipsis", no_wrap=True, ratio=1)
    for row in lowest.iter_rows(named=True):
        texts = [text for text in (row["text_a"], row["text_b"]) if text]
        table.add_row(
            Text(plain(str(row["id"]))),
            f"{row['avg_probs']:.4f}",
            Text(plain(_class(classes, row["label"]))),
            Text(plain(_class(classes, row[other]))),
            Text(plain(" | ".join(text[:200] for text in texts))),
        )
    console.print()
    console.print(table)


def _class(classes: Sequence[str], index: int | None) -> str:
    """The name of a class, or its index where records have classes that the run does not name."""
    return classes[index] if index is not None and 0 <= index < len(classes) else str(index)


# -------------------------------------------------------------------------------------------- suspects

_CLASSES = 10


def print_suspects(table: pl.DataFrame, score: str, end: str) -> None:
    """The first rows of suspects.tsv, labels by name: a line with the labels, one with the text, one with why."""
    console = Console(highlight=False)
    first = table.head(_LOWEST)
    console.print(
        f"The {first.height} {end}est {score}, of {table.height:,} written: are these labels wrong?", markup=False
    )
    for row in first.iter_rows(named=True):
        texts = [text for text in (row.get("text_a"), row.get("text_b")) if text]
        value = "none" if row["score"] is None else f"{row['score']:.4g}"
        other = "" if row["label"] == row["suggested_label"] else f" → {row['suggested_label']}"
        head = Text(f"{row['rank']:>3}  {plain(row['label'] + other)}", style="bold")
        lines = [head.append(Text(f"  id {plain(str(row['id']))}, {score} {value}", style="not bold"))]
        lines += [Text("     " + plain(" | ".join(text[:200] for text in texts)))] if texts else []
        lines += [Text("     " + plain(row["why"]), style="dim")]
        lines += [*_nearest(row)]
        for line in lines:
            console.print(line, no_wrap=True, overflow="ellipsis")


def _nearest(row: Mapping[str, Any]) -> Iterator[Text]:
    """The examples most like a suspect: how like, their label, their text."""
    for place in (1, 2, 3):
        text = row.get(f"nearest_{place}_text")
        if text is not None:
            head = f"     {row[f'nearest_{place}_similarity']:4.2f} like it  {row[f'nearest_{place}_label']}: "
            yield Text(plain(head + text[:200]), style="dim")


def print_estimate(estimate: ErrorEstimate, given: Mapping[str, int]) -> None:
    """How many labels are estimated to be wrong, and how; by class where classes differ, of `given` examples each."""
    console = Console(highlight=False)
    console.print()
    wrong, total = estimate.by_given_label, sum(given.values())
    between = (
        "" if estimate.low is None or estimate.high is None else f", between {estimate.low:,} and {estimate.high:,}"
    )
    console.print(f"about {estimate.total:,} of {total:,} labels are wrong ({estimate.total / total:.1%}){between}")
    console.print(Text(estimate.method, style="dim"), soft_wrap=True)
    shares = {wrong[name] / size for name, size in given.items() if size}
    if len(shares) < 2:
        return
    table = Table(box=None, pad_edge=False)
    table.add_column("given label", overflow="ellipsis", no_wrap=True, max_width=40)
    for heading in ("examples", "wrong", "share"):
        table.add_column(heading, justify="right")
    order = sorted((name for name in given if given[name]), key=lambda name: -wrong[name])
    shown = [name for name in order[:_CLASSES] if wrong[name]]
    for name in shown:
        table.add_row(Text(plain(name)), f"{given[name]:,}", f"{wrong[name]:,}", f"{wrong[name] / given[name]:.1%}")
    others = order[len(shown) :]
    if others:
        of_others = sum(given[name] for name in others), sum(wrong[name] for name in others)
        share = f"{of_others[1] / of_others[0]:.1%}"
        table.add_row(f"the other {len(others):,}", f"{of_others[0]:,}", f"{of_others[1]:,}", share)
    console.print(table)


# --------------------------------------------------------------------------------------------- review


def print_audit(found: Audit, classes: Sequence[str]) -> None:
    """How many labels are wrong, told by a sample: in all, by class, and by depth of the list."""
    assert found.wrong is not None
    console = Console(highlight=False)
    console.print()
    unsure = f", {found.unsure:,} unsure" if found.unsure else ""
    share, count = found.wrong.over(found.total), found.wrong
    console.print(
        f"about {count.value:,.0f} of {found.total:,} labels are wrong ({share.value:.1%}); "
        f"95% interval {count.low:,.0f} to {count.high:,.0f} ({share.low:.1%} to {share.high:.1%})",
        soft_wrap=True,
    )
    method = f"told by a sample: {found.found:,} of {counted(found.decided, 'label')} that a person looked at{unsure}"
    console.print(Text(f"{method}, of {found.drawn:,} drawn", style="dim"), soft_wrap=True)
    table = Table(box=None, pad_edge=False)
    table.add_column("", overflow="ellipsis", no_wrap=True, max_width=40)
    for heading in ("wrong", "95% interval"):
        table.add_column(heading, justify="right", no_wrap=True)
    order = sorted(found.by_class, key=lambda k: -found.by_class[k].value)
    for k in order[:_CLASSES]:
        part = found.by_class[k]
        table.add_row(Text(f"given {plain(classes[k])}"), f"{part.value:,.0f}", f"{part.low:,.0f} to {part.high:,.0f}")
    for depth, part in found.precision.items():
        if depth < found.total:
            table.add_row(f"the first {depth:,}", f"{part.value:.0%}", f"{part.low:.0%} to {part.high:.0%}")
    console.print(table)


def print_outlook(ahead: Outlook) -> None:
    """What the verdicts so far lead to expect of the suspects behind them: a reason to go on, or to stop."""
    parts = []
    for size, words, expected in (
        (ahead.upcoming, f"of the next {ahead.upcoming:,} about", ahead.expected),
        (ahead.rest, f"of the {ahead.rest:,} behind them about", ahead.expected_rest),
    ):
        if size:
            each = f", one in {size / expected.value:.1f}" if expected.value >= 0.5 else ""
            parts.append(f"{words} {expected.value:.0f} ({expected.low:.0f} to {expected.high:.0f}{each})")
    if parts:
        note(f"wrong are, by the verdicts so far, {', '.join(parts)}")


# ------------------------------------------------------------------------------------------- selfcheck


def print_detections(found: Mapping[str, Detection], default: str, number: int, total: int) -> None:
    """How well each signal finds the `number` flipped labels of `total`, with intervals, in the order they come."""
    console = Console(highlight=False)
    console.print(f"How well each signal finds the {number:,} flipped labels of {total:,}, with {LEVEL:.0%} intervals")
    table = Table(box=None, pad_edge=False)
    table.add_column("signal", no_wrap=True)
    for heading in ("AUROC", "average precision", f"precision at {number:,}"):
        table.add_column(heading, justify="right", no_wrap=True)
    for name, detection in found.items():
        measures = (detection.auroc, detection.average_precision, detection.precision)
        cells = [f"{measure.value:.3f} ({measure.low:.2f}–{measure.high:.2f})" for measure in measures]
        marked, style = (f"{name} *", "bold") if name == default else (name, "")
        table.add_row(marked, *cells, style=style)
    console.print(table)
    first = found[default].precision
    console.print(f"* what `datamap suspects` ranks by: of the first {number:,}, {first.value:.0%} are flipped labels")
    console.print(f"  ({first.low:.0%} to {first.high:.0%}); errors that the data had before count against it")


# ------------------------------------------------------------------------------------------ comparison


def print_comparison(correlations: pl.DataFrame, crossing: Mapping[str, Mapping[str, int]], total: int) -> None:
    """The rank correlation of every signal, and who moved between regions."""
    console = Console(highlight=False)
    console.print(f"{total:,} examples: how alike the signals rank them")
    table = Table(box=None, pad_edge=False)
    table.add_column("signal")
    table.add_column("rank correlation", justify="right")
    for row in correlations.sort("spearman", descending=True, nulls_last=True).iter_rows(named=True):
        if row["agreement"] is not None:
            table.add_row(Text(plain(row["signal"])), f"{row['agreement']:.1%} agree")
        else:
            table.add_row(Text(plain(row["signal"])), "–" if row["spearman"] is None else f"{row['spearman']:.3f}")
    console.print(table)
    console.print()
    console.print("From region (rows) to region (columns)")
    table = Table(box=None, pad_edge=False)
    table.add_column("")
    for name in crossing:
        table.add_column(name, justify="right")
    for before, counts in crossing.items():
        table.add_row(before, *(f"{count:,}" for count in counts.values()))
    console.print(table)


# ----------------------------------------------------------------------------------------------- lists


def print_signals() -> None:
    """Every signal with its definition, range, suspicious end and source."""
    console = Console(highlight=False)
    for signal in signals.SIGNALS:
        console.print(Text(signal.name, style="bold"))
        console.print(Padding(Text(signal.definition), (0, 0, 0, 2)))
        needs = "; needs all probabilities" if signal.all_probs else ""
        facts = f"{signal.range}; suspicious end: {signal.suspicious or 'neither'}; {signal.source}{needs}"
        console.print(Padding(Text(facts, style="dim"), (0, 0, 0, 2)))


def signals_markdown() -> str:
    """The same as a Markdown document."""
    rows = [
        f"| `{signal.name}` | {signal.definition} | {signal.range} | {signal.suspicious or '–'} | "
        f"{'yes' if signal.all_probs else '–'} | {signal.source} |"
        for signal in signals.SIGNALS
    ]
    return "\n".join([_SIGNALS_HEAD, *rows]) + "\n"


_SIGNALS_HEAD = """\
# The signals

A column of `summary.tsv` and `summary.parquet` each, a row per training example. Written by
`datamap signals --markdown` from the registry in the code.

T evaluations, numbered from 0; at evaluation t, p_t is the probability of the given label, c_t whether the prediction
was right; C classes. The suspicious end is where mislabelled examples gather. What needs the probabilities of all
classes is empty where `signals.probs: label` keeps the label's and the runner-up's only; the others are the same to the
last bit.

| column | definition | range | suspicious end | needs all probabilities | source |
|---|---|---|---|---|---|"""


def print_checks(checks: Iterable[Check]) -> bool:
    """A line per check as it comes, with the remedy below what does not work; whether nothing is broken."""
    console = Console(highlight=False)
    marks = {"works": ("ok", "green"), "missing": ("--", "yellow"), "broken": ("NO", "red")}
    sound = True
    for check in checks:
        mark, style = marks[check.state]
        table = Table.grid(padding=(0, 2))
        table.add_column(width=2)
        table.add_column(width=17)
        table.add_column(overflow="fold")
        table.add_row(Text(mark, style=style), check.what, Text(check.found))
        if check.remedy:
            table.add_row("", "", Text(check.remedy, style=style))
        console.print(table)
        sound = sound and check.state != "broken"
    return sound
