"""Every input, damaged at random: a result or a line, and never a traceback. `make fuzz N=1000` tries more."""

from __future__ import annotations

import os
import random
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from datamap_cli.config import DataConfig
from datamap_cli.data import dataset
from datamap_cli.errors import DatamapError
from tests import mutations
from tests.support import examples_frame, random_probs, write_run

Cli = Callable[..., tuple[int, str, str]]
Mutate = Callable[[bytes, random.Random], bytes]

# mutated inputs of each kind; data sets are loaded, which costs little, twenty times as often
NUMBER = int(os.environ.get("DATAMAP_FUZZ", "3"))

EXAMPLES, PROBS = examples_frame(8, 3, s_label=True), random_probs(8, 3, 2)
LONG = pl.concat(
    EXAMPLES.with_columns(step=pl.lit(10 * t), probs=pl.Series(p.round(6).tolist()), own=pl.lit(True), note=pl.lit("a"))
    for t, p in enumerate(PROBS)
).drop("text_a", "text_b")
BY_CLASS = LONG.with_columns(pl.col("probs").list.get(k).alias(f"probs_{k}") for k in range(3)).drop("probs")


def tutorial(path: Path) -> None:
    path.write_text("".join(f"{row}\n" for row in LONG.drop("step").to_dicts()))


def cartography(path: Path) -> None:
    path.parent.mkdir()
    for t, p in enumerate(PROBS):
        logits = pl.Series(f"logits_epoch_{t}", np.log(p).tolist())
        frame = EXAMPLES.select(guid="id", gold="label").with_columns(logits)
        frame.write_ndjson(path.with_name(f"dynamics_epoch_{t}.jsonl"))


def arrays(path: Path) -> None:
    np.savez(path, probs=PROBS, labels=EXAMPLES["label"].to_numpy(), ids=EXAMPLES["id"].to_numpy())


SUMMARY = pl.DataFrame(
    {
        "id": range(8),
        "s_label": [0, 1, 2, 0, 0, 0, 0, 0],
        "avg_probs": [0.1 * k for k in range(8)],
        "label_var": [0.02 * k for k in range(8)],
        "correct_ratio": [0.0, 0.5, 1.0, 0.5, 0.0, 1.0, 0.5, 1.0],
        "forgetting_times": [0, 1, 0, 2, 0, 3, 0, 1],
        "never_learnt": [True, False] * 4,
    }
)
COORDINATES = SUMMARY.select(
    guid="id", correctness=pl.col("correct_ratio") * 2, avg_probs="avg_probs", label_var="label_var"
)


@dataclass(frozen=True)
class Kind:
    """A kind of input: how a whole one is written and damaged, and the commands that read it.

    A damaged one is read by one series of commands, the next one by the next.
    """

    name: str
    write: Callable[[Path], object]
    mutate: Mutate
    series: tuple[tuple[tuple[object, ...], ...], ...]


def imported(name: str, write: Callable[[Path], object], mutate: Mutate = mutations.of_text) -> Kind:
    source = name.partition("/")[0]
    return Kind(
        name,
        write,
        mutate,
        ((("import", source, "--run-dir", "out", "--overwrite"), ("summarize", "--run-dir", "out")),),
    )


def drawn(name: str, write: Callable[[Path], object], mutate: Mutate = mutations.of_text) -> Kind:
    return Kind(name, write, mutate, ((("plot", "--summary", name, "--no-png", "--output", "map"),),))


def of_run(name: str, write: Callable[[Path], object], mutate: Mutate = mutations.of_text) -> Kind:
    of = ("--run-dir", "run")
    commands = ("summarize", *of), ("plot", *of, "--no-png"), ("suspects", *of, "--top", "3")
    return Kind(f"run/{name}", write, mutate, tuple((command,) for command in commands))


def data_set(name: str, write: Callable[[Path], object], mutate: Mutate = mutations.of_text) -> Kind:
    texts = ("import", "whole.npz", "--run-dir", "out", "--overwrite", "--examples", name)
    rows = ("select", "--run-dir", "run", "--data", name, "--force", "--output", f"out-{name}", "--overwrite")
    return Kind(name, write, mutate, ((texts,), ((*rows, "--where", "avg_probs < 0.5"),)))


def run_of(format: str) -> Callable[[Path], object]:
    return lambda _: write_run(Path("run"), EXAMPLES, PROBS, format=format, overwrite=True)


YAML = """\
run_dir: run
data: {train: data.tsv, text_a: text_a, label: label, id: null}
train: {epochs: 2, learning_rate: 3.0e-5, batch_size: 32}
signals: {mode: evaluate, format: jsonl, per_epoch: 1}
summarize: {incomplete: error, el2n_evaluations: 1}
plot: {attr1: avg_probs, attr2: label_var, criterion: null, threshold: 0, formats: [], color_by: label}
"""

KINDS = [
    imported("tutorial.json", tutorial),
    imported("epochs/dynamics_epoch_0.jsonl", cartography),
    imported("long.jsonl", lambda path: LONG.write_ndjson(path)),
    imported("long.csv", lambda path: BY_CLASS.write_csv(path)),
    imported("long.parquet", lambda path: LONG.write_parquet(path), mutations.of_parquet),
    imported("arrays.npz", arrays, mutations.of_arrays),
    drawn("summary.tsv", lambda path: SUMMARY.write_csv(path, separator="\t")),
    drawn("summary.csv", lambda path: COORDINATES.write_csv(path)),
    drawn("summary.jsonl", lambda path: COORDINATES.write_ndjson(path)),
    drawn("summary.parquet", lambda path: SUMMARY.write_parquet(path), mutations.of_parquet),
    of_run("run.json", run_of("jsonl")),
    of_run("signals/step-000010.jsonl", run_of("jsonl")),
    of_run("signals/step-000010.parquet", run_of("parquet"), mutations.of_parquet),
    of_run("examples.parquet", run_of("parquet"), mutations.of_parquet),
    data_set("data.tsv", lambda path: EXAMPLES.write_csv(path, separator="\t")),
    data_set("data.csv", lambda path: EXAMPLES.write_csv(path)),
    data_set("data.jsonl", lambda path: EXAMPLES.write_ndjson(path)),
    data_set("data.parquet", lambda path: EXAMPLES.write_parquet(path), mutations.of_parquet),
    Kind(
        "datamap.yaml",
        lambda path: path.write_text(YAML),
        mutations.of_text,
        ((("summarize", "-c", "datamap.yaml"),), (("plot", "-c", "datamap.yaml", "--no-png"),)),
    ),
]


@pytest.fixture(scope="module")
def summarized(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from datamap_cli.cli import main

    directory = tmp_path_factory.mktemp("summarized") / "run"
    write_run(directory, EXAMPLES, PROBS)
    with pytest.raises(SystemExit, match="0"):
        main(["summarize", "--run-dir", str(directory)])
    return directory


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_a_damaged_input_gives_a_result_or_a_line(
    kind: Kind, summarized: Path, tmp_path: Path, run_cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    arrays(Path("whole.npz"))
    shutil.copytree(summarized, "run")
    path = Path(kind.name)
    kind.write(path)
    content = path.read_bytes()
    for command in chain.from_iterable(kind.series):
        assert 0 == run_cli(*command)[0], f"{command}: of the whole input"
    for number in range(NUMBER):
        path.write_bytes(kind.mutate(content, random.Random(f"{kind.name} {number}")))
        for command in kind.series[number % len(kind.series)]:
            try:
                code, _, err = run_cli(*command)
            except Exception as error:
                raise AssertionError(f"number {number}: {path.read_bytes()[:2000]!r}") from error
            lines = [line for line in err.splitlines() if line.startswith("datamap: ")]
            assert (code, len(lines)) in ((0, 0), (1, 1)), f"number {number}: {err}"
            assert "Traceback" not in err
            if code == 1 and path.suffix != ".yaml":  # a configuration may list several mistakes
                assert lines[0] == err.splitlines()[-1], f"number {number}: {err}"


@pytest.mark.parametrize("name", ["data.tsv", "data.csv", "data.jsonl", "data.parquet"])
def test_a_damaged_data_set_is_loaded_or_refused(name: str, tmp_path: Path) -> None:
    kind = next(kind for kind in KINDS if kind.name == name)
    path = tmp_path / name
    kind.write(path)
    content = path.read_bytes()
    for number in range(20 * NUMBER):
        path.write_bytes(kind.mutate(content, random.Random(f"load {name} {number}")))
        for settings in (DataConfig(train=path), DataConfig(train=path, id="id", on_bad_rows="skip")):
            try:
                assert 2 <= dataset.load(settings).examples.height, number
            except DatamapError as error:  # noqa: PERF203
                assert 1 == len(str(error).splitlines()), number
