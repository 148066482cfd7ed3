"""A training that was killed or stopped, and goes on: it leaves what it would have left without a break."""

from __future__ import annotations

import json
import random
import signal
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

from datamap_cli.run import Run
from tests.forking import Forker

pytestmark = pytest.mark.paddle

MODES = {
    "evaluate": {"signals.mode": "evaluate", "signals.per_epoch": "2"},
    "online": {"signals.mode": "online", "signals.format": "parquet", "train.checkpoint_steps": "3"},
    "folds": {"train.folds": "2", "signals.format": "parquet", "data.dev": "dev.tsv"},
    "dev": {"data.dev": "dev.tsv", "train.keep": "best", "train.epochs": "4"},
}


@pytest.fixture(scope="module")
def forker() -> Iterator[Forker]:
    forker = Forker()
    yield forker
    forker.close()


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("data") / "train.tsv"
    draw = random.Random(3)
    rows = [("".join(draw.choices("天地玄黄宇宙洪荒日月盈昃", k=draw.randrange(3, 20))), i % 2) for i in range(150)]
    lines = [f"{text}\t{label}\n" for text, label in rows]
    path.write_text("text_a\tlabel\n" + "".join(lines), encoding="utf-8")
    path.with_name("dev.tsv").write_text("text_a\tlabel\n" + "".join(lines[3:33:3] + lines[20:40:2]), encoding="utf-8")
    return path


def train(data: Path, run_dir: Path, mode: str, *more: str) -> list[str]:
    settings = {
        "data.train": data,
        "model.name": "tiny",
        "model.max_seq_len": 24,
        "train.epochs": 3,
        "train.batch_size": 16,
        "train.learning_rate": 1e-3,
        **MODES[mode],
    }
    if "data.dev" in settings:
        settings["data.dev"] = data.with_name("dev.tsv")
    path = data.with_name(f"{mode}.yaml")
    path.write_text("{}\n")
    pairs = [part for key, value in settings.items() for part in ("--set", f"{key}={value}")]
    return ["train", "-c", str(path), "--run-dir", str(run_dir), *pairs, *more]


def results(run_dir: Path) -> dict[str, bytes]:
    """The bytes of signals and summary, of the signals of a dev set, and of the weights that were kept."""
    files = [*(run_dir / "signals").iterdir(), run_dir / "summary.tsv", run_dir / "summary.parquet"]
    files += [*(run_dir / "dev" / "signals").glob("*"), *(run_dir / "checkpoints").glob("final/*.pdparams")]
    return {str(path.relative_to(run_dir)): path.read_bytes() for path in files} | {
        f"dev {entry.evaluation}": json.dumps(asdict(entry.dev)).encode()
        for entry in Run.open(run_dir).info.evaluations
        if entry.dev is not None
    }


@pytest.fixture(scope="module", params=MODES)
def whole(
    request: pytest.FixtureRequest, forker: Forker, data: Path, tmp_path_factory: pytest.TempPathFactory
) -> tuple[str, dict[str, bytes]]:
    """Mode and results of a run that nothing broke."""
    run_dir = tmp_path_factory.mktemp("whole") / "run"
    run = forker.run(*train(data, run_dir, request.param))
    assert 0 == run["status"], run["talk"]
    assert 0 == forker.run("summarize", "--run-dir", str(run_dir))["status"]
    # with folds there is no model of all examples to keep
    assert ([] if request.param == "folds" else ["final"]) == [
        path.name for path in (run_dir / "checkpoints").iterdir()
    ]
    return request.param, results(run_dir)


def test_the_same_seed_gives_the_same_bytes(
    whole: tuple[str, dict[str, bytes]], forker: Forker, data: Path, tmp_path: Path
) -> None:
    mode, expected = whole
    assert 0 == forker.run(*train(data, tmp_path / "run", mode))["status"]
    forker.run("summarize", "--run-dir", str(tmp_path / "run"))
    assert expected == results(tmp_path / "run")


# another one each day it is run: a failure names it
SEED = random.SystemRandom().randrange(10**6)


@pytest.mark.parametrize("way", ["at any time", "while a file is written"])
def test_a_run_killed_at_random_goes_on_as_if_it_had_not_been(
    whole: tuple[str, dict[str, bytes]], forker: Forker, data: Path, tmp_path: Path, way: str
) -> None:
    mode, expected = whole
    draw = random.Random(f"{SEED} {mode} {way}")
    run_dir = tmp_path / "run"
    deaths: list[tuple[dict[str, Any], int]] = []
    more: list[str] = []
    for death in range(3):
        how: dict[str, Any]
        if way == "at any time":  # a checkpoint is there from the twelfth batch on; none of these is past the last
            at = draw.randrange(14, 22) if death == 0 else draw.randrange(2, 5)
            how = {"at_batch": at, "later": draw.uniform(0, 2)}
        else:
            how = {"at_write": draw.randrange(5, 15) if death == 0 else draw.randrange(1, 7)}
        result = forker.run(*train(data, run_dir, mode, *more), **how)
        deaths, more = [*deaths, (how, result["status"])], ["--resume"]
    last = forker.run(*train(data, run_dir, mode, *more))
    assert 0 == last["status"], (SEED, deaths, last["talk"])
    assert (-signal.SIGALRM if way == "at any time" else -signal.SIGKILL) == deaths[0][1], (SEED, deaths)
    if way == "at any time":
        assert f"going on from {run_dir}" in last["talk"], (SEED, deaths)
    else:  # the first checkpoint may have been cut off each time, or the third run have come to its end
        assert "going on from" in last["talk"] or "nothing to resume" in last["talk"], (SEED, deaths)
    assert 0 == forker.run("summarize", "--run-dir", str(run_dir))["status"]
    assert expected == results(run_dir), (SEED, deaths)
    assert [] == [path.name for path in run_dir.rglob("*.partial")]


@pytest.mark.parametrize(
    ("whole", "name", "code"), [("evaluate", "SIGINT", 130), ("online", "SIGTERM", 143)], indirect=["whole"]
)
def test_a_run_that_is_stopped_says_how_to_go_on(
    whole: tuple[str, dict[str, bytes]], forker: Forker, data: Path, tmp_path: Path, name: str, code: int
) -> None:
    mode, expected = whole
    run_dir = tmp_path / "run"
    stopped = forker.run(*train(data, run_dir, mode), signal=name, at_batch=14)
    assert code == stopped["status"], stopped["talk"]
    assert f"stopped by {name} after step " in stopped["talk"]
    assert f"datamap train --run-dir {run_dir} --resume\n" in stopped["talk"]
    assert "Traceback" not in stopped["talk"]
    assert 0 == forker.run("train", "--run-dir", str(run_dir), "--resume")["status"]
    forker.run("summarize", "--run-dir", str(run_dir))
    assert expected == results(run_dir)


def test_a_check_that_is_stopped_goes_on_with_its_own_flips(forker: Forker, data: Path, tmp_path: Path) -> None:
    def check(name: str, *more: str, **how: Any) -> dict[str, Any]:
        return forker.run("selfcheck", *train(data, tmp_path / name, "evaluate", *more)[1:], "--no-png", **how)

    def report(name: str) -> dict[str, Any]:
        account: dict[str, Any] = json.loads((tmp_path / name / "selfcheck" / "selfcheck.json").read_text())
        return account | {"run": None}

    assert 0 == check("whole")["status"]
    stopped = check("broken", at_batch=14, signal="SIGINT")
    assert (130, True) == (stopped["status"], "to go on: the same command with --resume\n" in stopped["talk"])
    refused = forker.run("train", "--run-dir", str(tmp_path / "broken" / "selfcheck"), "--resume")
    assert (1, True) == (refused["status"], "not a run of `datamap train`, which alone" in refused["talk"])
    assert 0 == check("broken", "--resume")["status"]
    assert report("whole") == report("broken")
    assert results(tmp_path / "whole" / "selfcheck") == results(tmp_path / "broken" / "selfcheck")


@pytest.mark.parametrize("whole", ["evaluate"], indirect=True)
def test_a_damaged_checkpoint_is_passed_over_for_the_one_before(
    whole: tuple[str, dict[str, bytes]], forker: Forker, data: Path, tmp_path: Path
) -> None:
    mode, expected = whole
    run_dir = tmp_path / "run"
    writes = 0
    while len(list((run_dir / "checkpoints").glob("step-*"))) < 2:
        writes += 2
        forker.run(*train(data, run_dir, mode, "--resume"), at_write=writes)
    newest = sorted((run_dir / "checkpoints").glob("step-*"))[-1]
    weights = newest / "model.safetensors"
    content = bytearray(weights.read_bytes())
    content[-3] ^= 1
    weights.write_bytes(content)
    resumed = forker.run(*train(data, run_dir, mode, "--resume"))
    assert 0 == resumed["status"], resumed["talk"]
    assert f"{newest}: damaged (model.safetensors is not as written); the one before is used" in resumed["talk"]
    forker.run("summarize", "--run-dir", str(run_dir))
    assert expected == results(run_dir)


@pytest.mark.parametrize("whole", ["evaluate"], indirect=True)
def test_what_cannot_be_resumed_is_refused_in_one_line(
    whole: tuple[str, dict[str, bytes]], forker: Forker, data: Path, tmp_path: Path
) -> None:
    mode, _ = whole
    run_dir = tmp_path / "run"
    command = train(data, run_dir, mode)
    forker.run(*command, at_write=5)

    def refusal(*more: str) -> str:
        refused = forker.run(*command, *more)
        assert 1 == refused["status"]
        return str(refused["talk"].splitlines()[-1])

    assert "holds a run already" in refusal()
    assert "now different, with the value of then: train.epochs: 4 (3)" in refusal(
        "--resume", "--set", "train.epochs=4"
    )
    assert "--resume goes on with a run, --overwrite replaces it" in refusal("--resume", "--overwrite")
    original = data.read_bytes()
    data.write_bytes(original + "新的\t1\n".encode())
    changed = refusal("--resume")
    data.write_bytes(original)
    assert "changed since the run in" in changed
    assert 0 == forker.run(*command, "--resume")["status"]
    assert "the training is finished; there is nothing to resume" in forker.run(*command, "--resume")["talk"]


def test_a_checkpoint_holds_no_pickle(forker: Forker, data: Path, tmp_path: Path) -> None:
    run_dir = tmp_path / "run"
    forker.run(*train(data, run_dir, "online"), at_write=6)
    checkpoint = Run.open(run_dir).checkpoint()[0]
    assert checkpoint is not None
    files = {path.name for path in checkpoint.iterdir()}
    assert {
        "model.safetensors",
        "optimizer.safetensors",
        "logits.safetensors",
        "state.json",
        "sha256.json",
    } == files
    assert json.loads((checkpoint / "state.json").read_text())["progress"]["steps"] == 30
