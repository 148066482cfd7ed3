"""Training and its passes against the bare forward, the tutorial's evaluation, and training that collects nothing.

    python -m tests.benchmarks.train [EXAMPLES [ROUNDS]]     default: 2000 3

Sentence pairs of LCQMC's lengths, random characters of the bundled example; a nano-shaped ERNIE (4 layers × 312, 12 heads)
with random weights, in a directory of its own. Every measurement is a process of its own, in turn, ROUNDS times, the order
reversed every other time; medians, and medians of the ratios within a round. What is compared to a few percent runs in
one process in alternation: each batch of a pass beside a bare forward of the same batch, ready-made; each step of online mode
beside a bare step on the same batch, the collecting, recording and writing at the end of the epoch added.

The tutorial's evaluation is written from its description: batches of 32 in file order, padded to the longest; on each
batch the criterion once and softmax twice, and on each example the criterion twice. Tokenizing and writing count on no
side.
"""

from __future__ import annotations

import json
import os
import re
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from datamap_cli import SignalRecorder, train
from datamap_cli import config as configuration
from datamap_cli.config import Config
from datamap_cli.examples import PATH
from datamap_cli.train import environment
from tests.support import REPOSITORY

EXAMPLES, ROUNDS = 2_000, 3
PASSES, EPOCHS, BATCH = 5, 2, 32
CLASSES = ["0", "1"]
# what Paddle, MKL, OpenMP and malloc read from the environment
SETTINGS = ("FLAGS_", "GLOG_", "KMP_", "MALLOC_", "MKL_", "OMP_")


def pairs(count: int) -> pl.DataFrame:
    """Sentence pairs with the lengths of LCQMC: mean 11 characters, standard deviation 4.5, 0.85 correlated."""
    rng = np.random.default_rng(0)
    together, apart = rng.normal(size=(count, 1)), rng.normal(size=(count, 2))
    lengths = np.exp(np.log(10.2) + 0.4 * (0.85**0.5 * together + 0.15**0.5 * apart)).round().clip(4, 49).astype(int)
    characters = np.array(sorted(set(PATH.read_text(encoding="utf-8")) - set("\t\n\r ")))
    texts = [["".join(rng.choice(characters, length)) for length in pair] for pair in lengths]
    return pl.DataFrame(
        {
            "id": range(count),
            "text_a": [pair[0] for pair in texts],
            "text_b": [pair[1] for pair in texts],
            "label": rng.integers(0, 2, count),
            "s_label": pl.Series([None] * count, dtype=pl.Int64),
        }
    )


def nano(directory: Path, examples: pl.DataFrame) -> None:
    """Writes an untrained ERNIE in PaddleNLP's layout."""
    environment.load_paddle()
    from paddlenlp.transformers import ErnieConfig, ErnieForSequenceClassification, ErnieTokenizer

    from datamap_cli.train.model import vocabulary

    directory.mkdir()
    tokens = vocabulary([examples["text_a"], examples["text_b"]])
    (directory / "vocab.txt").write_text("".join(f"{token}\n" for token in tokens), encoding="utf-8")
    shape = ErnieConfig(
        vocab_size=len(tokens),
        hidden_size=312,
        num_hidden_layers=4,
        num_attention_heads=12,
        intermediate_size=1_248,
        max_position_embeddings=512,
        type_vocab_size=4,
        num_labels=2,
    )
    with environment.quiet():
        ErnieForSequenceClassification(shape).save_pretrained(str(directory))
        ErnieTokenizer(str(directory / "vocab.txt")).save_pretrained(str(directory))


def configured(directory: Path, values: Mapping[str, Any]) -> Config:
    """The defaults of `datamap train` for the nano-shaped ERNIE without checkpoints, with `values` by dotted key."""
    return configuration.load(
        None, values={"model.name": str(directory / "model"), "train.checkpoint_steps": 0, **values}
    )


# ---------------------------------------------------------------------------------------- measurements


def prepare(directory: Path, examples: pl.DataFrame) -> dict[str, float]:
    nano(directory / "model", examples)
    return {}


def passes(directory: Path, examples: pl.DataFrame) -> dict[str, float]:
    """Passes as `datamap train` makes them, each batch beside a bare forward over the same, ready-made."""
    config = configured(directory, {"train.batch_size": 1, "train.max_steps": PASSES + 1, "signals.every_steps": 1})
    run = train.run(config, examples, CLASSES)
    assert isinstance(next(run), train.Started)
    import paddle

    from datamap_cli.train import loop
    from datamap_cli.train.batches import evaluation_batches, tokenize

    model, tokenizer = loaded(config, examples)
    model.eval()
    start = time.perf_counter()
    tokens = tokenize(tokenizer, examples["text_a"], examples["text_b"], config.model.max_seq_len)
    found = {"tokenizing": [time.perf_counter() - start]}
    batches = [
        [paddle.to_tensor(part) for part in tokens.pad(batch, tokenizer.pad_token_id, tokenizer.pad_token_type_id)]
        for batch in evaluation_batches(tokens.lengths, loop.TOKENS_ON_CPU)
    ]
    recorder = SignalRecorder(directory / "run", examples=examples, classes=CLASSES, format="jsonl", overwrite=True)
    for event in run:
        match event:
            case train.Step():
                clock, ready = Clock(found), iter(batches)
            case train.EvaluationProgress():
                clock("pass")
                ids, types = next(ready)
                with paddle.no_grad():
                    model(input_ids=ids, token_type_ids=types)
                clock("bare forward")
            case train.Evaluation():
                clock("pass")
                recorder.record(step=event.step, ids=examples["id"], logits=event.logits)
                clock("records")
                recorder.finish_evaluation()
                clock("writing")
    # the first of PASSES + 1 is the warm-up; a median of each batch, since something else may run at any time
    times = {name: np.array(seconds) for name, seconds in found.items() if name != "tokenizing"}
    medians = {name: np.median(t.reshape(PASSES + 1, -1)[1:], axis=0).sum() for name, t in times.items()}
    medians |= {"tokenizing": found["tokenizing"][0], "pass and records": medians["pass"] + medians["records"]}
    return {name: float(seconds) / examples.height for name, seconds in medians.items()}


def tutorial(directory: Path, examples: pl.DataFrame, *, ours: bool) -> dict[str, float]:
    """The tutorial's evaluation, with the settings of `datamap train` or with Paddle's own."""
    config = configured(directory, {})
    if ours:
        assert isinstance(next(train.run(config, examples, CLASSES)), train.Started)
    import paddle
    from paddle.nn.functional import softmax

    from datamap_cli.train.batches import tokenize

    model, tokenizer = loaded(config, examples)
    model.eval()
    tokens = tokenize(tokenizer, examples["text_a"], examples["text_b"], config.model.max_seq_len)
    label = examples["label"].to_numpy()
    criterion = paddle.nn.CrossEntropyLoss()

    def evaluate(rows: NDArray[np.int64]) -> Iterator[dict[str, Any]]:
        for batch in np.split(rows, range(BATCH, len(rows), BATCH)):
            ids, types = tokens.pad(batch, tokenizer.pad_token_id, tokenizer.pad_token_type_id)
            with paddle.no_grad():
                logits = model(input_ids=paddle.to_tensor(ids), token_type_ids=paddle.to_tensor(types))
                labels = paddle.to_tensor(label[batch])
                criterion(logits, labels).numpy()
                predicted = softmax(logits).argmax(axis=-1).numpy()
                probs = softmax(logits).numpy()
                for i, row in enumerate(batch):
                    criterion(logits[i : i + 1], labels[i : i + 1]).numpy()
                    yield {
                        "id": row,
                        "label": label[row],
                        "pred_label": predicted[i],
                        "correct": predicted[i] == label[row],
                        "loss": float(criterion(logits[i : i + 1], labels[i : i + 1])),
                        "probs": probs[i].tolist(),
                        "label_probs": probs[i][label[row]],
                    }

    list(evaluate(np.arange(min(4 * BATCH, len(label)))))
    start = time.perf_counter()
    assert len(label) == len(list(evaluate(np.arange(len(label)))))
    return {"tutorial" if ours else "tutorial, defaults": (time.perf_counter() - start) / len(label)}


def online(directory: Path, examples: pl.DataFrame) -> dict[str, float]:
    """Steps of online mode with all that it collects and writes, each beside a bare step on the same batch."""
    config = configured(directory, {"train.epochs": EPOCHS, "signals.mode": "online"})
    run = train.run(config, examples, CLASSES)
    assert isinstance(next(run), train.Started)
    import paddle
    from paddle.nn.functional import cross_entropy
    from paddlenlp.transformers import LinearDecayWithWarmup

    from datamap_cli.train.batches import tokenize
    from datamap_cli.train.plan import Plan

    plan = Plan.of(config, examples["label"].to_numpy(), 1)
    model, tokenizer = loaded(config, examples)
    model.train()
    tokens = tokenize(tokenizer, examples["text_a"], examples["text_b"], config.model.max_seq_len)
    label = examples["label"].to_numpy()
    schedule = LinearDecayWithWarmup(config.train.learning_rate, plan.steps, config.train.warmup_proportion)
    optimizer = paddle.optimizer.AdamW(schedule, parameters=model.parameters(), weight_decay=0.0)

    def step(batch: NDArray[np.int64]) -> None:
        ids, types = tokens.pad(batch, tokenizer.pad_token_id, tokenizer.pad_token_type_id)
        logits = model(input_ids=paddle.to_tensor(ids), token_type_ids=paddle.to_tensor(types))
        cross_entropy(logits, paddle.to_tensor(label[batch])).backward()
        optimizer.step()
        optimizer.clear_grad()
        schedule.step()

    recorder = SignalRecorder(directory / "run", examples=examples, classes=CLASSES, format="jsonl", overwrite=True)
    found: dict[str, list[float]] = {}
    clock = Clock(found)
    for event in run:
        match event:
            case train.Step():
                clock("online")
                step(plan.batch(event.step - 1)[1])
                clock("bare steps")
            case train.Evaluation():
                recorder.record(step=event.step, ids=examples["id"], logits=event.logits)
                recorder.finish_evaluation()
                clock("collecting")
    total = EPOCHS * examples.height
    return {
        "bare steps": statistics.median(found["bare steps"]) * plan.steps / total,
        "online steps": (statistics.median(found["online"]) * plan.steps + sum(found["collecting"])) / total,
    }


def loaded(config: Config, examples: pl.DataFrame) -> tuple[Any, Any]:
    """The model and its tokenizer."""
    from datamap_cli.train.model import build

    classifier = build(config.model, 2, [examples["text_a"], examples["text_b"]])
    return classifier.model, classifier.tokenizer


class Clock:
    """Seconds between one call and the next, appended to `found` by name."""

    def __init__(self, found: dict[str, list[float]]) -> None:
        self.found = found
        self.last = time.perf_counter()

    def __call__(self, name: str) -> None:
        now = time.perf_counter()
        self.found.setdefault(name, []).append(now - self.last)
        self.last = now


# each finds seconds per example, by what they were spent on
MEASUREMENTS: dict[str, Callable[[Path, pl.DataFrame], dict[str, float]]] = {
    "passes": passes,
    "tutorial": lambda directory, examples: tutorial(directory, examples, ours=True),
    "tutorial, defaults": lambda directory, examples: tutorial(directory, examples, ours=False),
    "online": online,
}


# --------------------------------------------------------------------------------------------- report


def measured(name: str, directory: Path) -> dict[str, float]:
    """What a measurement finds in a process of its own, without settings from this one's environment."""
    found: dict[str, float] = json.loads(
        child("-m", "tests.benchmarks.train", "--measure", name, directory).stdout.splitlines()[-1]
    )
    return found


def child(*arguments: object) -> subprocess.CompletedProcess[str]:
    plain = {name: value for name, value in os.environ.items() if not name.startswith(SETTINGS)}
    result = subprocess.run(
        [sys.executable, *map(str, arguments)], cwd=REPOSITORY, env=plain, capture_output=True, text=True, check=False
    )
    if result.returncode:
        raise SystemExit(f"{arguments}: {result.stderr}")
    return result


def quickstart(directory: Path) -> None:
    """Prints each phase's share of `datamap train` as the command tells it, and of what is around it."""
    start = time.perf_counter()
    arguments = ["-m", "datamap_cli", "train", "-c", "configs/quickstart.yaml", "--run-dir", directory / "quickstart"]
    talk = child(*arguments).stderr
    seconds = time.perf_counter() - start
    line = next(line for line in talk.splitlines() if " in all: " in line)
    phases = {name: float(value) for name, value in re.findall(r"(?:: |, )([\w ]+?) ([\d.]+) s \(", line)}
    phases["starting and the rest"] = seconds - sum(phases.values())
    print(f"datamap train, quickstart: {seconds:.1f} s (a third at most for all but training and evaluations)")
    for name, value in phases.items():
        print(f"  {name:32} {value:6.1f} s  {value / seconds:4.0%}")


LINES = {
    "tokenizing": None,
    "bare forward": None,
    "pass": ("bare forward", "at most 1.05"),
    "pass and records": None,
    "tutorial": ("pass and records", "at least 2.2"),
    "tutorial, defaults": ("pass and records", "at least 5"),
    "writing": None,
    "bare steps": None,
    "online steps": ("bare steps", "at most 1.02"),
}


def main(count: int = EXAMPLES, rounds: int = ROUNDS) -> None:
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        pairs(count).write_parquet(directory / "examples.parquet")
        measured("prepare", directory)
        found = [
            {
                key: seconds
                for name in list(MEASUREMENTS)[:: -1 if number % 2 else 1]
                for key, seconds in measured(name, directory).items()
            }
            for number in range(rounds)
        ]
        print(f"{count:,} pairs of LCQMC's lengths, ERNIE 4 × 312, median of {rounds}, milliseconds an example")
        for name, against in LINES.items():
            line = f"  {name:20} {1000 * statistics.median(run[name] for run in found):8.3f}"
            if against is not None:
                base, asked = against
                times = statistics.median(run[name] / run[base] for run in found)
                line += f"  {times:5.2f} × {base} ({asked})"
            print(line)
        quickstart(directory)


if __name__ == "__main__":
    if sys.argv[1:2] == ["--measure"]:
        measurement, place = {**MEASUREMENTS, "prepare": prepare}[sys.argv[2]], Path(sys.argv[3])
        print(json.dumps(measurement(place, pl.read_parquet(place / "examples.parquet"))))
    else:
        main(*(int(argument) for argument in sys.argv[1:]))
