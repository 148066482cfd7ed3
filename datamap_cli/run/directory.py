"""The run directory: the only place that knows its paths and formats.

A file is there whole or not at all: it is written beside its place, then renamed.
"""

from __future__ import annotations

import hashlib
import json
import platform
import re
import secrets
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import replace
from datetime import datetime, timezone
from importlib import metadata
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Literal

import polars as pl

from datamap_cli.config import PlotConfig
from datamap_cli.errors import DatamapError
from datamap_cli.run import embeddings, files, lock, parts, reports
from datamap_cli.run.output import Output
from datamap_cli.run.records import ROW_GROUP, as_parquet, scan_records
from datamap_cli.run.reports import EvaluationInfo, Origin, RunInfo
from datamap_cli.signals import Quality
from datamap_cli.text import first_line, short

_LARGE_JSONL = 10**9


def versions() -> dict[str, str]:
    """Of Python and of those of our packages that are installed; summarize and plot work without Paddle."""
    versions = {"python": platform.python_version()}
    for name in ("datamap-cli", "paddlepaddle", "paddlepaddle-gpu", "paddlenlp", "polars"):
        with suppress(metadata.PackageNotFoundError):
            versions[name] = metadata.version(name)
    return versions


class Run:
    """A run directory that holds a run."""

    def __init__(self, directory: Path, info: RunInfo) -> None:
        self.directory = directory
        self.info = info

    @property
    def signals(self) -> Path:
        """Where the signal records are, a file or several per evaluation."""
        return self.directory / "signals"

    @property
    def dev(self) -> Path:
        """Where the run of the dev set is, if there is one."""
        return self.directory / parts.DEV

    @staticmethod
    def config_in(directory: Path) -> Path:
        """Where the configuration of a run in `directory` is."""
        return directory / parts.CONFIG

    @staticmethod
    def selfcheck_in(directory: Path) -> Path:
        """Where the run that checks the signals of one in `directory` is."""
        return directory / parts.SELFCHECK

    @staticmethod
    def check_in(directory: Path, name: str) -> Path:
        """The stem of what the check of the data file with this name writes for a run in `directory`."""
        return directory / "check" / name

    @staticmethod
    def gain_in(directory: Path) -> Path:
        """Where the comparison of files goes that are trained as the run in `directory`."""
        return directory / "gain"

    @property
    def selfcheck_report(self) -> Path:
        """What a self-check found, in the run that it made."""
        return self.directory / "selfcheck.json"

    @property
    def title(self) -> str:
        """What the run is of, in a few words."""
        names = [Path(self.info.origin.data).name] if self.info.origin.data else [self.directory.name]
        return ", ".join([*names, *([Path(self.info.origin.model).name] if self.info.origin.model else [])])

    # ------------------------------------------------------------------------------- coming to be

    @classmethod
    def create(
        cls,
        directory: Path,
        *,
        examples: pl.DataFrame,
        classes: Sequence[str],
        config: str,
        origin: Origin,
        overwrite: bool,
    ) -> Run:
        """Starts a run in `directory`; a run that is there already is refused, or removed if `overwrite`."""
        started = datetime.now(timezone.utc)
        info = RunInfo(
            run_id=f"{started:%Y%m%d-%H%M%S}-{secrets.token_hex(3)}",
            started=started.isoformat(timespec="seconds"),
            finished=None,
            classes=list(classes),
            examples=examples.height,
            origin=origin,
            versions=versions(),
        )
        cls.refuse_existing(directory, overwrite=overwrite)
        run = cls(directory, info)
        with files.writing(directory):
            parts.start(directory, info.run_id)
        files.write_text(directory / parts.CONFIG, config)
        with files.replacing(directory / parts.EXAMPLES) as partial:
            examples.write_parquet(partial)
        run._write_info()
        return run

    @classmethod
    def refuse_existing(cls, directory: Path, *, overwrite: bool) -> None:
        """Raises DatamapError where a new run cannot be put: a run is there, or what no run of ours has written."""
        if directory.exists() and not directory.is_dir():
            raise DatamapError(f"run_dir: {directory}: not a directory")
        if not overwrite and cls.holds_run(directory):
            raise DatamapError(
                f"run_dir: {directory} holds a run already; give another one with --run-dir, "
                "--resume to go on with it, or --overwrite to replace it"
            )
        if foreign := parts.foreign(directory):
            raise DatamapError(
                f"run_dir: {directory}: {', '.join(foreign)} there, and not written by a run; give another directory "
                "with --run-dir, or put it elsewhere: a run needs the name and replaces nothing but its own"
            )

    @staticmethod
    def holds_run(directory: Path) -> bool:
        """Whether a run is there to go on with; what a start that was cut off has left is none. Deletes nothing."""
        return parts.holds_run(directory)

    @classmethod
    def refuse_dev_of_another(cls, directory: Path) -> None:
        """Raises DatamapError where the run in `directory` has no place for that of its dev set: one is there."""
        found = parts.mark(directory)
        if parts.DEV not in (found.written if found is not None else []):
            cls.refuse_existing(directory / parts.DEV, overwrite=False)

    @staticmethod
    def holding(directory: Path) -> AbstractContextManager[None]:
        """Keeps other processes from writing to `directory` meanwhile; raises DatamapError naming one that does."""
        return lock.holding(directory)

    @classmethod
    def open(cls, directory: Path) -> Run:
        """The run in `directory`; raises DatamapError where there is none."""
        path = directory / parts.INFO
        try:
            return cls(directory, parts.info(directory))
        except (FileNotFoundError, NotADirectoryError):
            if directory.is_dir() and parts.holds_run(directory):
                raise DatamapError(f"{path}: missing, though other parts of the run are there") from None
            raise DatamapError(f"{directory}: no run here; `datamap train` makes one") from None
        except OSError as error:
            raise DatamapError(f"{path}: cannot be read: {error.strerror}") from None
        except ValueError as error:
            raise DatamapError(
                f"{path}: damaged: not the description of a run as `datamap train` writes it: {short(str(error))}"
            ) from error

    # ----------------------------------------------------------------------------------- training

    def write_evaluation(
        self,
        records: pl.DataFrame,
        *,
        format: Literal["jsonl", "parquet"],
        step: int,
        epoch: float | None,
        train_loss: float | None,
        accuracy: float,
        seconds: float,
        dev: Quality | None = None,
    ) -> None:
        """Writes the signal records of the next evaluation and enters it in run.json."""
        path = self.signals / f"step-{step:06d}.{format}"
        self.enter(path)
        with files.replacing(path) as partial:
            if format == "jsonl":
                records.write_ndjson(partial)
            else:
                records.write_parquet(partial, row_group_size=ROW_GROUP)
        entry = EvaluationInfo(
            evaluation=len(self.info.evaluations),
            step=step,
            epoch=epoch,
            train_loss=train_loss,
            accuracy=accuracy,
            seconds=round(seconds, 3),
            files=[path.relative_to(self.directory).as_posix()],
            dev=dev,
        )
        # after the file: what run.json names is there
        self.info = replace(self.info, evaluations=[*self.info.evaluations, entry])
        self._write_info()

    def finish(self, save_model: Callable[[Path], None] | None = None) -> None:
        """Keeps the trained model, if there is one, marks the run as finished, and drops the checkpoints before it."""
        if save_model is not None:
            self._write_checkpoint("final", save_model)
        self.info = replace(self.info, finished=datetime.now(timezone.utc).isoformat(timespec="seconds"))
        self._write_info()
        for path in self._checkpoints():
            files.remove(path)

    # ------------------------------------------------------------------------------- checkpoints

    def write_checkpoint(self, step: int, save: Callable[[Path], None]) -> Path:
        """Keeps what `save` writes of the training after `step` steps; of those before only the newest stays."""
        path = self._write_checkpoint(f"step-{step:06d}", save)
        for older in self._checkpoints()[:-2]:
            files.remove(older)
        return path

    def checkpoint(self) -> tuple[Path | None, list[str]]:
        """The newest checkpoint that is whole, or None, and a line on each newer one that is not."""
        damaged: list[str] = []
        for path in reversed(self._checkpoints()):
            fault = _damage(path)
            if fault is None:
                return path, damaged
            damaged.append(f"{path}: damaged ({fault}); the one before is used")
        return None, damaged

    def rewind(self, evaluations: int) -> None:
        """Takes back all but the first so many evaluations: a training that goes on from there records them anew."""
        kept = self.info.evaluations[:evaluations]
        mark = parts.mark(self.directory)
        written = set(mark.written) if mark is not None else set()
        with files.writing(self.directory):
            for path in (self.directory / part for part in written):
                files.remove(path.with_name(f".{path.name}.partial"))
        taken_back = self.info.evaluations[len(kept) :]
        self.info = replace(self.info, evaluations=kept, finished=None)
        self._write_info()  # before the files go: what run.json names is there
        with files.writing(self.directory):
            for name in written.intersection(file for entry in taken_back for file in entry.files):
                files.remove(self.directory / name)

    def _write_checkpoint(self, name: str, save: Callable[[Path], None]) -> Path:
        path = self.directory / "checkpoints" / name
        self.enter(path)
        with files.replacing(path) as partial:
            partial.mkdir(parents=True)
            save(partial)
            digests = {file.relative_to(partial).as_posix(): files.sha256(file) for file in files.files_in(partial)}
            (partial / parts.DIGESTS).write_text(json.dumps(digests, indent=1) + "\n", encoding="utf-8")
        return path

    def _checkpoints(self) -> list[Path]:
        """Those of the training before its end, the oldest first."""
        mark = parts.mark(self.directory)
        written = [part for part in mark.written if part.startswith("checkpoints/step-")] if mark is not None else []
        paths = (self.directory / part for part in written)
        return sorted((path for path in paths if path.is_dir()), key=lambda path: (len(path.name), path.name))

    def _write_info(self) -> None:
        reports.write(self.directory / parts.INFO, self.info)

    # ------------------------------------------------------------------------------------ reading

    def evaluations(self, scratch: Path | None = None) -> dict[str, pl.LazyFrame]:
        """The signal records of every evaluation, in order, by the path of their file.

        With `scratch`, JSONL of more than a gigabyte is turned into Parquet there: of JSONL no part can be read
        but after all that stands before it.
        """
        if not self.info.evaluations:
            raise DatamapError(f"{self.directory}: no evaluation yet; `datamap train` collects the signals")
        paths = [[self.directory / file for file in entry.files] for entry in self.info.evaluations]
        records = {
            ", ".join(map(str, files)): pl.concat([scan_records(path) for path in files], how="diagonal")
            if len(files) > 1
            else scan_records(files[0])
            for files in paths
        }
        jsonl = sum(path.stat().st_size for files in paths for path in files if path.suffix == ".jsonl")
        if scratch is None or jsonl <= _LARGE_JSONL:
            return records
        return {name: as_parquet(frame, scratch / f"{t}.parquet") for t, (name, frame) in enumerate(records.items())}

    def scan_examples(self) -> pl.LazyFrame:
        """Lazily: id, text_a, text_b, label (class index), s_label: a row per training example."""
        path = self.directory / parts.EXAMPLES
        examples = _scan_parquet(path, "`datamap train` writes it")
        schema = examples.collect_schema()
        types = {"text_a": pl.String, "text_b": pl.String, "label": pl.Int64, "s_label": pl.Int64}
        wrong = [name for name, dtype in types.items() if schema.get(name) != dtype]
        if wrong or schema.get("id") not in (pl.Int64, pl.String):
            raise DatamapError(f"{path}: damaged ({(wrong or ['id'])[0]} is not as `datamap train` writes it)")
        return examples

    def texts(self, ids: pl.Series) -> pl.DataFrame | None:
        """text_a and text_b of the examples with these ids, in their order; None where the run has no texts."""
        wanted = pl.LazyFrame({"id": ids})
        # of another type only where a file was damaged: none is found then
        examples = self.scan_examples().select(pl.col("id").cast(ids.dtype, strict=False), "text_a", "text_b")
        texts = wanted.join(examples, on="id", how="left", maintain_order="left").drop("id").collect()
        if texts["text_a"].is_null().all():
            return None
        # a text that is missing among others is shown as empty; no text_b at all means single texts
        filled = ["text_a"] if texts["text_b"].is_null().all() else ["text_a", "text_b"]
        return texts.with_columns(pl.col(filled).fill_null(""))

    def labels(self, ids: Iterable[int | str]) -> dict[int | str, str]:
        """The class names of those of these ids that are examples of the run."""
        wanted = pl.Series(list({str(identity) for identity in ids}), dtype=pl.String).implode()
        examples = self.scan_examples().select("id", "label").filter(pl.col("id").cast(pl.String).is_in(wanted))
        return {identity: self.info.classes[label] for identity, label in examples.collect().iter_rows()}

    def id_type(self) -> type[int] | type[str]:
        """What the ids of its examples are."""
        return int if self.scan_examples().collect_schema()["id"].is_integer() else str

    @property
    def verdicts(self) -> Path:
        """Where what reviewers decide is appended; it is theirs, and outlives the run."""
        return self.directory / "verdicts.jsonl"

    @property
    def audit(self) -> Path:
        """The sample that tells how many labels are wrong."""
        return self.directory / "audit.json"

    def enter(self, *paths: Path) -> None:
        """Enters paths that are to be written as the run's, as far as they lie in its directory: they go with it."""
        with files.writing(self.directory):
            parts.enter(self.directory, paths)

    def write_embeddings(self, vectors: Sequence[embeddings.Vectors]) -> None:
        """Keeps vectors of text_a, and of text_b where there are pairs, (N, D) in the order of the examples."""
        path = self.directory / "embeddings.npz"
        self.enter(path)
        embeddings.write(path, vectors)

    def embeddings(self) -> list[embeddings.Vectors]:
        """The vectors that are kept, as `write_embeddings` took them; nothing where there are none."""
        return embeddings.read(self.directory / "embeddings.npz", self.info.examples)

    def write_opinions(self, opinions: pl.DataFrame, report: reports.OpinionsReport) -> None:
        """Keeps what was said of every label, and how."""
        paths = [self.directory / "opinions.parquet", self.directory / "opinions.json"]
        self.enter(*paths)
        with files.replacing(paths[0]) as partial:
            opinions.write_parquet(partial)
        reports.write(paths[1], report)

    def opinions(self) -> tuple[pl.LazyFrame, reports.OpinionsReport] | None:
        """The opinions and how they came to be; None where they were not gathered."""
        path = self.directory / "opinions.json"
        if not path.is_file():
            return None
        remedy = "run `datamap summarize` again"
        try:
            report = reports.read(path, reports.OpinionsReport)
        except ValueError as error:
            raise DatamapError(f"{path}: damaged ({error}); {remedy}") from error
        return _scan_parquet(self.directory / "opinions.parquet", remedy), report

    def write_report(self, path: Path, report: object) -> None:
        """Writes a report of `reports` to a path in the directory."""
        self.enter(path)
        reports.write(path, report)

    # ------------------------------------------------------------------------------------ summary

    def write_summary(self, summary: pl.LazyFrame) -> list[Path]:
        """Runs the query of the summary into summary.tsv and summary.parquet, in one pass; returns their paths."""
        paths = [self.directory / "summary.tsv", self.directory / "summary.parquet"]
        self.enter(*paths)
        with files.replacing(paths[0]) as tsv, files.replacing(paths[1]) as parquet:
            sinks = [summary.sink_csv(tsv, separator="\t", lazy=True), summary.sink_parquet(parquet, lazy=True)]
            pl.collect_all(sinks, engine="streaming")
        return paths

    def scan_summary(self) -> pl.LazyFrame:
        """The summary, lazily; raises DatamapError where there is none yet."""
        return _scan_parquet(self.directory / "summary.parquet", "run `datamap summarize` first")

    @contextmanager
    def scratch(self) -> Iterator[Path]:
        """A directory for what need not outlive a command."""
        with files.writing(self.directory), TemporaryDirectory(prefix=".scratch-", dir=self.directory) as directory:
            yield Path(directory)

    # --------------------------------------------------------------------------------------- maps

    def comparison_output(self, other: Path) -> Output:
        """Where the comparison with the run in `other` goes."""
        return Output(self.directory / "maps" / f"compare-{other.resolve().name}")

    def curves_output(self) -> Output:
        """Where the curves of a self-check go."""
        return Output(self.directory / "maps" / "precision-recall")

    def map_output(self, plot: PlotConfig) -> Output:
        """Where the page of a map goes, and its pictures beside it; the name says what it shows."""
        parts = [f"{plot.attr1}-{plot.attr2}"]
        if plot.criterion is not None:
            parts.append(f"{plot.criterion}-{plot.threshold:g}")
        parts += [f"f_times-{plot.use_f_times}"] if plot.use_f_times >= 0 else []
        parts += [f"l_times-{plot.use_l_times}"] if plot.use_l_times >= 0 else []
        parts += [f"color-{plot.color_by}"] if plot.color_by is not None else []
        parts += [f"shape-{plot.shape_by}"] if plot.shape_by is not None else []
        if plot.where is not None:  # any length: a digest tells those apart whose beginnings are alike
            digest = hashlib.sha256(plot.where.encode()).hexdigest()[:8]
            parts.append(f"where-{re.sub(r'[^A-Za-z0-9_.]+', '-', plot.where)[:40].strip('-')}-{digest}")
        return Output(self.directory / "maps" / re.sub(r"[^\w.+-]", "_", ".".join(parts)))


def _scan_parquet(path: Path, remedy: str) -> pl.LazyFrame:
    if not path.is_file():
        raise DatamapError(f"{path}: no such file; {remedy}")
    try:
        frame = pl.scan_parquet(path)
        frame.collect_schema()
    except pl.exceptions.PolarsError as error:
        raise DatamapError(f"{path}: damaged ({first_line(error)}); {remedy}") from error
    return frame


def _damage(checkpoint: Path) -> str | None:
    """What is wrong with a checkpoint, or None: each file is compared with what was written."""
    try:
        digests = json.loads((checkpoint / parts.DIGESTS).read_bytes())
        return next(
            (f"{name} is not as written" for name in digests if files.sha256(checkpoint / name) != digests[name]), None
        )
    except (OSError, ValueError, AttributeError):
        return f"{parts.DIGESTS} cannot be read"
