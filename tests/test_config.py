"""The YAML tree: what is accepted, what is said of what is not, and the forms it is written in."""

from __future__ import annotations

import json
from pathlib import Path

import jsonschema
import pytest
import yaml

from datamap_cli import config
from datamap_cli.errors import DatamapError
from tests.support import REPOSITORY

SHIPPED = sorted((REPOSITORY / "configs").glob("*.yaml"))


def write(directory: Path, text: str) -> Path:
    path = directory / "datamap.yaml"
    path.write_text(text, encoding="utf-8")
    return path


def refusal(directory: Path, text: str, *overrides: str) -> str:
    with pytest.raises(DatamapError) as error:
        config.load(write(directory, text), overrides)
    return str(error.value).replace(str(directory), "")


def test_every_key_but_the_data_has_the_tutorials_default(tmp_path: Path) -> None:
    loaded = config.load(write(tmp_path, "data:\n  train: t.tsv\nmodel:\n"))
    assert (5, 32, 3e-5, 0.1, 0.0, 1000) == (
        loaded.train.epochs,
        loaded.train.batch_size,
        loaded.train.learning_rate,
        loaded.train.warmup_proportion,
        loaded.train.weight_decay,
        loaded.train.seed,
    )
    assert ("ernie-3.0-base-zh", 256) == (loaded.model.name, loaded.model.max_seq_len)
    assert ("avg_probs", "label_var", None, 0, -1, -1) == (
        loaded.plot.attr1,
        loaded.plot.attr2,
        loaded.plot.criterion,
        loaded.plot.threshold,
        loaded.plot.use_f_times,
        loaded.plot.use_l_times,
    )


def test_overrides_are_read_as_yaml_and_options_win(tmp_path: Path) -> None:
    path = write(tmp_path, "data:\n  train: t.tsv\n")
    loaded = config.load(path, ["train.learning_rate=1e-3", "data.text_b=null", "train.epochs=3"], {"train.epochs": 7})
    assert (1e-3, None, 7) == (loaded.train.learning_rate, loaded.data.text_b, loaded.train.epochs)


def test_all_problems_are_told_at_once_each_with_its_path(tmp_path: Path) -> None:
    text = "modle: {}\ndata:\n  trian: x\ntrain:\n  epochs: five\n  batch_size: 0\n  device: tpu\nplot: 7\n"
    assert [
        "/datamap.yaml: 6 problems",
        "  data.trian: unknown key; did you mean data.train?",
        '  train.epochs: "five": expected a whole number',
        "  train.batch_size: 0: expected greater than or equal to 1",
        '  train.device: "tpu": expected auto, cpu, gpu or gpu:N',
        "  plot: expected keys below it, not 7",
        "  modle: unknown key; did you mean model?",
    ] == refusal(tmp_path, text).splitlines()


@pytest.mark.parametrize(
    ("text", "overrides", "message"),
    [
        ("data:\n  train: x\n bad\n", [], "/datamap.yaml, line 3, column 2: not valid YAML"),
        ("data: {train: x}\ndata: {train: y}\n", [], "line 2, column 1: not valid YAML: the key 'data' stands twice"),
        ("- a\n", [], "/datamap.yaml: expected keys and values, such as `data:`, not a list"),
        ("data: {train: x}\nepochs: 3\n", [], "epochs: unknown key; did you mean train.epochs?"),
        (
            "data: {train: x}\ntrain: {xyzzy: 3}\n",
            [],
            "train.xyzzy: unknown key; known here: epochs, max_steps, batch_size",
        ),
        ("data: {train: x}\ntrain: {epochs: true}\n", [], "train.epochs: true: expected a whole number"),
        ("data: {train: x}\ntrain: {seed: -1}\n", [], "train.seed: -1: expected greater than or equal to 0"),
        ("data: {train: [a]}\n", [], 'data.train: ["a"]: expected a path'),
        ("data: {train: x}\n", ["train.epochs"], "--set train.epochs: expected key.path=value"),
        ("data: {train: x}\n", ["run_dir.x=3"], "run_dir: "),
        ("data: {train: x}\n", ["train.epochs=[1"], "--set train.epochs=[1, line 2, column 1: not valid YAML"),
        ("data: {train: x}\n", ["signals.format=json"], "signals.format: \"json\": expected 'jsonl' or 'parquet'"),
        (
            "data: {train: x}\nplot: {use_f_times: 0, use_l_times: 0}\n",
            [],
            "plot: only one of use_f_times and use_l_times can be on",
        ),
        (
            "data: {train: x}\ntrain: {folds: 5}\nsignals: {mode: online}\n",
            [],
            "/datamap.yaml: train.folds: collects from examples that are held out; expected signals.mode: evaluate",
        ),
        ("data: {train: x}\ntrain: {folds: 1}\n", [], "train.folds: 1: expected greater than or equal to 2"),
        ("data: !!python/object/apply:os.system ['true']\n", [], "not valid YAML"),
    ],
)
def test_one_problem_is_one_line(tmp_path: Path, text: str, overrides: list[str], message: str) -> None:
    refused = refusal(tmp_path, text, *overrides)
    assert message in refused
    assert "\n" not in refused


def test_a_file_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(DatamapError, match="no such file; `datamap init` writes"):
        config.load(tmp_path / "nowhere.yaml")
    (tmp_path / "latin.yaml").write_bytes(b"run_dir: caf\xe9\n")
    with pytest.raises(DatamapError, match=r"latin\.yaml: not UTF-8 text"):
        config.load(tmp_path / "latin.yaml")


def test_the_template_holds_every_key_with_its_comment_and_default() -> None:
    text = config.template({"data.train": "data/train.tsv"})
    tree = yaml.safe_load(text)
    assert config.parse({"data": {"train": "data/train.tsv"}}, "defaults").model_dump(mode="json") == tree
    assert "  # Longest input in tokens; longer texts are truncated.\n  max_seq_len: 256\n" in text


def test_what_is_dumped_is_read_back_the_same(tmp_path: Path) -> None:
    original = config.parse({"data": {"train": "数据/train.tsv", "id": "no"}, "train": {"epochs": 2}}, "test")
    assert original == config.load(write(tmp_path, config.dump(original)))


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.name)
def test_every_shipped_yaml_is_valid_and_valid_by_the_schema(path: Path) -> None:
    loaded = config.load(path)
    assert path.stem == loaded.run_dir.name
    jsonschema.validate(yaml.safe_load(path.read_text(encoding="utf-8")), json.loads(config.json_schema()))


def test_the_shipped_schema_is_the_models() -> None:
    shipped = (REPOSITORY / "configs" / "datamap.schema.json").read_text(encoding="utf-8")
    assert config.json_schema() == shipped, "write it anew: datamap init --schema"


def test_there_is_a_yaml_for_each_way_to_begin() -> None:
    assert ["lcqmc.yaml", "quickstart.yaml", "single_text.yaml"] == [path.name for path in SHIPPED]
