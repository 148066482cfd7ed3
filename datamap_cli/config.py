"""The configuration: one YAML tree as typed models, and the ways in and out of it.

The models are the single source: the commented template, the JSON Schema and the messages about wrong
keys are all made from their fields and docstrings.
"""

from __future__ import annotations

import difflib
import json
from collections.abc import Hashable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from datamap_cli.errors import DatamapError

# strict: without it `epochs: true` is read as 1
Count = Annotated[int, Field(ge=1, strict=True)]
Threshold = Annotated[int, Field(ge=-1, strict=True)]
Fraction = Annotated[float, Field(ge=0, le=1)]


class Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)


class DataConfig(Section):
    """The data set: .tsv, .csv, .jsonl or .parquet, a row per training example."""

    train: Path | None = None
    """The training data, the one key that training cannot do without; relative to the working directory."""
    dev: Path | None = None
    """A second file of the same columns and classes, never trained on: accuracy and F1 at every evaluation."""
    text_a: str = "text_a"
    """Column of the text, or of the first text of a pair."""
    text_b: str | None = "text_b"
    """Column of the second text; a column that is absent or empty makes single texts."""
    label: str = "label"
    """Column of the label: integers or names."""
    s_label: str = "s_label"
    """Column that marks examples for checking: 0 plain, 1 hard, 2 planted dirty; may be absent."""
    id: str | None = None
    """Column of unique ids; null: the 0-based row in the file."""
    on_bad_rows: Literal["error", "skip"] = "error"
    """What to do with a malformed row or one without text or label; skipping never shifts ids."""
    quoting: Literal["auto", "csv", "none"] = "auto"
    """Quotes around fields: csv reads them as quotes, none as text; auto: csv for .csv, none for .tsv."""


class ModelConfig(Section):
    """The classifier that is fine-tuned."""

    name: str = "ernie-3.0-base-zh"
    """A PaddleNLP name, a local directory, or tiny: a small ERNIE trained from scratch, no download."""
    max_seq_len: Annotated[int, Field(ge=4, strict=True)] = 256
    """Longest input in tokens; longer texts are truncated."""


class TrainConfig(Section):
    """The training: AdamW, linear decay with warm-up."""

    epochs: Count = 5
    """Times the training data is gone through."""
    max_steps: Count | None = None
    """Stop after so many training steps, though the epochs are not over; the learning rate decays until there."""
    batch_size: Count = 32
    """Examples a process takes at a time."""
    gradient_accumulation: Count = 1
    """Batches each process takes for one training step, for large steps in little memory."""
    eval_batch_tokens: Count | None = None
    """Padded tokens in a batch of an evaluation; null: 2,048 on a CPU, 32,768 on a GPU."""
    learning_rate: Annotated[float, Field(gt=0)] = 3.0e-5
    """Peak learning rate, reached at the end of the warm-up."""
    warmup_proportion: Fraction = 0.1
    """Share of all steps over which the learning rate rises from 0."""
    weight_decay: Annotated[float, Field(ge=0)] = 0.0
    """Decoupled weight decay; biases and norms are left out."""
    seed: Annotated[int, Field(ge=0, lt=2**32, strict=True)] = 1000
    """Seeds the weights, the order of the examples and dropout."""
    device: Annotated[str, Field(pattern=r"^(auto|cpu|gpu(:\d+)?)$")] = "auto"
    """auto, cpu, gpu or gpu:N."""
    folds: Annotated[int, Field(ge=2, strict=True)] | None = None
    """Train so many models, each on all examples but its share, and collect each example's signals while held out."""
    amp: Literal["none", "bf16", "fp16"] = "none"
    """Mixed precision: bf16 and fp16 are faster and smaller on GPUs that have them."""
    keep: Literal["last", "best"] = "last"
    """Which weights are saved: the last, or those of the evaluation with the best macro-F1 on data.dev."""
    checkpoint_steps: Annotated[int, Field(ge=0, strict=True)] | None = None
    """A checkpoint every so many steps; null: at the end of every epoch; 0: only when interrupted."""


class SignalsConfig(Section):
    """What is collected while training."""

    mode: Literal["evaluate", "online"] = "evaluate"
    """evaluate: a pass over the whole training data; online: from the training itself, once an epoch, at no cost."""
    probs: Literal["all", "label"] = "all"
    """Probabilities kept per record: of all classes, or of the label and the runner-up only, for many classes."""
    per_epoch: Count = 1
    """Evaluations of the whole training data per epoch, the last one on the final weights."""
    every_steps: Count | None = None
    """An evaluation every so many steps, and one on the final weights, instead of per_epoch."""
    format: Literal["jsonl", "parquet"] = "jsonl"
    """Format of the signal files: jsonl can be read by eye, parquet is smaller and faster."""
    embeddings: Literal["auto", "none"] = "auto"
    """auto: keep a vector of each text by the model as it was loaded, but for tiny; they have seen no label."""

    @model_validator(mode="after")
    def _online_once_an_epoch(self) -> SignalsConfig:
        if self.mode == "online" and (self.per_epoch != 1 or self.every_steps is not None):
            raise ValueError("mode: online collects once an epoch: per_epoch and every_steps are for mode: evaluate")
        return self


class SummarizeConfig(Section):
    """How the signals are condensed to a row per example."""

    el2n_evaluations: Count = 1
    """Evaluations, from the first, that el2n is averaged over."""
    incomplete: Literal["error", "drop", "keep"] = "error"
    """Examples missing in some evaluations: refuse, leave them out, or keep them and count what is there."""
    opinions: Literal["auto", "none"] = "auto"
    """auto: judge the labels by texts, vectors and neighbours too, up to 300,000 examples; needs scikit-learn."""
    engine: Literal["local", "dask"] = "local"
    """Where it is computed: on this machine, or on the workers of a Dask cluster that see the same files."""
    scheduler: str | None = None
    """Address of the Dask scheduler, such as tcp://10.0.0.1:8786."""

    @model_validator(mode="after")
    def _dask_has_a_scheduler(self) -> SummarizeConfig:
        if (self.engine == "dask") != (self.scheduler is not None):
            raise ValueError("engine: dask and scheduler: tcp://… go together")
        return self


class PlotConfig(Section):
    """What the map shows; any numeric column of the summary can be an axis or a criterion."""

    attr1: str = "avg_probs"
    """Signal on the y axis."""
    attr2: str = "label_var"
    """Signal on the x axis."""
    criterion: str | None = None
    """Draw only the examples whose value of this signal is at least the threshold."""
    threshold: float = 0
    """The least value of the criterion."""
    use_f_times: Threshold = -1
    """Draw only the examples forgotten at least so often, in classes of that count; -1: off."""
    use_l_times: Threshold = -1
    """The same for times learnt; only one of the two can be on."""
    where: str | None = None
    """Draw only the rows for which this SQL expression over the summary's columns is true: avg_probs < 0.3."""
    color_by: str | None = None
    """Signal that colours the points, in place of the categories."""
    shape_by: str | None = None
    """Signal that gives the points their shapes, in place of the categories."""
    max_points: Count = 300_000
    """Up to so many examples every one is a point; above, a density layer of all lies under a choice of them."""
    formats: list[Literal["png", "svg", "pdf"]] = ["png"]
    """Pictures to draw beside the HTML; they need a Chromium or Chrome."""
    width: Annotated[int, Field(ge=600, le=8000, strict=True)] = 1240
    """Width of the pictures, in CSS pixels."""
    height: Annotated[int, Field(ge=400, le=8000, strict=True)] = 860
    """Height of the pictures, in CSS pixels."""
    scale: Annotated[float, Field(gt=0, le=8)] = 2
    """Pixels of the PNG for each CSS pixel."""
    language: Literal["en", "zh"] = "en"
    """Language of the map's words and of the page's interface."""
    text_budget_mb: Annotated[float, Field(ge=0)] = 60
    """Megabytes of the page that texts may take; beyond that texts are cut, points never."""
    spreadsheet_safe: bool = True
    """Put an apostrophe before texts that a spreadsheet would take for a formula, in every table of examples."""

    @model_validator(mode="after")
    def _one_count(self) -> PlotConfig:
        if self.use_f_times >= 0 and self.use_l_times >= 0:
            raise ValueError("only one of use_f_times and use_l_times can be on; set the other to -1")
        return self


class Config(Section):
    """Configuration of datamap. Every key but data.train is optional; the values are the defaults."""

    run_dir: Path = Path("outputs/run")
    """Where the run is kept: signals, summary and maps; relative to the working directory."""
    data: DataConfig = DataConfig()
    model: ModelConfig = ModelConfig()
    train: TrainConfig = TrainConfig()
    signals: SignalsConfig = SignalsConfig()
    summarize: SummarizeConfig = SummarizeConfig()
    plot: PlotConfig = PlotConfig()

    @model_validator(mode="after")
    def _held_out_is_not_trained_on(self) -> Config:
        if self.train.folds is not None and self.signals.mode == "online":
            raise ValueError("train.folds: collects from examples that are held out; expected signals.mode: evaluate")
        return self

    @model_validator(mode="after")
    def _best_is_told_by_a_dev_set(self) -> Config:
        if self.train.keep == "best" and self.data.dev is None:
            raise ValueError("train.keep: best is told by a dev set; give one as data.dev, or expected last")
        if self.train.keep == "best" and self.train.folds is not None:
            raise ValueError("train.keep: with train.folds no model is kept; expected last")
        return self


# --------------------------------------------------------------------------------------------- reading


class _Loader(yaml.CSafeLoader):
    """Safe YAML that refuses a key written twice, where PyYAML would silently keep the last."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        seen: set[Any] = set()
        for key_node, _ in node.value:
            key = self.construct_object(key_node, deep=True)
            if isinstance(key, Hashable) and key in seen:
                raise yaml.constructor.ConstructorError(
                    problem=f"the key {key!r} stands twice", problem_mark=key_node.start_mark
                )
            seen.add(key if isinstance(key, Hashable) else id(key))
        return super().construct_mapping(node, deep)


def load(path: Path | None, overrides: Sequence[str] = (), values: Mapping[str, Any] | None = None) -> Config:
    """The configuration in the YAML file `path`, with `key.path=value` overrides, then `values` by dotted path.

    Without a file, the defaults. Raises DatamapError naming every problem with its path.
    """
    tree = _read_tree(path) if path is not None else {}
    for override in overrides:
        dotted, equals, value = override.partition("=")
        if not equals or not dotted.strip():
            raise DatamapError(f"--set {override}: expected key.path=value, such as train.epochs=3")
        _set(tree, dotted.strip(), _parse_yaml(value, f"--set {override}"))
    for dotted, value in (values or {}).items():
        _set(tree, dotted, value)
    return parse(tree, source=str(path) if path is not None else "options")


def parse(tree: Mapping[str, Any], source: str) -> Config:
    """The typed form of a configuration tree; `source` names it in messages."""
    try:
        return Config.model_validate(tree)
    except ValidationError as error:
        problems = [_problem(detail) for detail in error.errors()]
    if len(problems) == 1:
        raise DatamapError(f"{source}: {problems[0]}")
    raise DatamapError("\n".join([f"{source}: {len(problems)} problems", *(f"  {p}" for p in problems)]))


def changes(before: Config, after: Config, sections: Sequence[str]) -> list[str]:
    """The keys of these sections whose values differ, as `key: after (before)`."""
    pairs = [(section, getattr(before, section), getattr(after, section)) for section in sections]
    return [
        f"{section}.{key}: {getattr(new, key)} ({getattr(old, key)})"
        for section, old, new in pairs
        for key in type(new).model_fields
        if getattr(old, key) != getattr(new, key)
    ]


def _read_tree(path: Path) -> dict[str, Any]:
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except FileNotFoundError:
        raise DatamapError(f"{path}: no such file; `datamap init` writes a configuration to start from") from None
    except OSError as error:
        raise DatamapError(f"{path}: cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise DatamapError(f"{path}: not UTF-8 text") from None
    tree = _parse_yaml(text, str(path))
    if tree is None:
        return {}
    if not isinstance(tree, dict):
        raise DatamapError(f"{path}: expected keys and values, such as `data:`, not {_kind(tree)}")
    # a section with nothing below it is the section's defaults
    return {key: {} if value is None and key in _sections() else value for key, value in tree.items()}


def _parse_yaml(text: str, source: str) -> Any:
    try:
        return yaml.load(text, _Loader)  # noqa: S506  a subclass of the safe loader
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        where = f", line {mark.line + 1}, column {mark.column + 1}" if mark else ""
        raise DatamapError(f"{source}{where}: not valid YAML: {error.problem}") from None
    except yaml.YAMLError as error:
        raise DatamapError(f"{source}: not valid YAML: {' '.join(str(error).split())}") from None


def _set(tree: dict[str, Any], dotted: str, value: Any) -> None:
    *parents, last = dotted.split(".")
    node = tree
    for name in parents:
        node = node.setdefault(name, {})
        if not isinstance(node, dict):
            raise DatamapError(f"{dotted}: {name} has no keys below it")
    node[last] = value


# -------------------------------------------------------------------------------------------- messages


# pydantic's error type -> what is accepted, where its own words are for programmers
_EXPECTED = {
    "path_type": "a path",
    "int_type": "a whole number",
    "float_type": "a number",
    "float_parsing": "a number",
    "string_type": "text",
    "bool_type": "true or false",
    "bool_parsing": "true or false",
}


def _problem(detail: Any) -> str:
    """One line for one problem pydantic found: its path, what is wrong, what is accepted."""
    location = tuple(str(part) for part in detail["loc"])
    path = ".".join(location)
    known = _keys()
    if detail["type"] == "extra_forbidden":
        return f"{path}: unknown key{_nearest(path, location, known)}"
    if detail["type"] == "value_error":
        where = f"{path}: " if path else ""  # of keys in several sections
        return f"{where}{detail['ctx']['error']}"
    if path in _sections():
        return f"{path}: expected keys below it, not {_kind(detail['input'])}"
    what = _EXPECTED.get(detail["type"]) or detail["msg"].removeprefix("Input should be ")
    if detail["type"] == "string_pattern_mismatch":
        what = known[path].description.rstrip(".")
    return f"{path}: {json.dumps(detail['input'], ensure_ascii=False, default=str)}: expected {what}"


def _nearest(path: str, location: tuple[str, ...], known: Mapping[str, Any]) -> str:
    everything = [*known, *_sections()]
    close = difflib.get_close_matches(path, everything, n=1, cutoff=0.75)
    if not close:  # a key in the wrong section: the same last name elsewhere
        close = [key for key in everything if key.split(".")[-1] == location[-1]][:1]
    if close:
        return f"; did you mean {close[0]}?"
    siblings = [key.split(".")[-1] for key in everything if tuple(key.split(".")[:-1]) == location[:-1]]
    return f"; known here: {', '.join(siblings)}" if siblings else ""


def _kind(value: Any) -> str:
    return {dict: "keys", list: "a list", str: "text", type(None): "nothing"}.get(type(value), repr(value))


def _sections() -> dict[str, type[Section]]:
    return {
        name: field.annotation
        for name, field in Config.model_fields.items()
        if isinstance(field.annotation, type) and issubclass(field.annotation, Section)
    }


def _keys() -> dict[str, Any]:
    """Every key of the tree by its dotted path, with its pydantic field."""
    keys = {name: field for name, field in Config.model_fields.items() if name not in _sections()}
    for section, model in _sections().items():
        keys |= {f"{section}.{name}": field for name, field in model.model_fields.items()}
    return keys


# --------------------------------------------------------------------------------------------- writing


def dump(config: Config) -> str:
    """The whole configuration as plain YAML, the form kept with a run."""
    return yaml.safe_dump(config.model_dump(mode="json"), sort_keys=False, allow_unicode=True)


def template(values: Mapping[str, Any], schema: str | None = None) -> str:
    """A commented YAML of every key: `values` by dotted path (data.train at least), else the defaults.

    `schema` is the path of the JSON Schema that editors are pointed to.
    """
    unknown = set(values) - set(_keys())
    if unknown:
        raise KeyError(f"not keys of the configuration: {sorted(unknown)}")
    return "\n".join(_template_lines(values, schema)) + "\n"


def _template_lines(values: Mapping[str, Any], schema: str | None) -> Iterator[str]:
    if schema is not None:
        yield f"# yaml-language-server: $schema={schema}"
    yield f"# {Config.__doc__}"
    for name, field in Config.model_fields.items():
        section = _sections().get(name)
        if section is None:
            yield from ("", f"# {field.description}", _entry(name, values.get(name, field.default)))
            continue
        yield from ("", f"# {section.__doc__}", f"{name}:")
        for key, entry in section.model_fields.items():
            yield f"  # {entry.description}"
            yield "  " + _entry(key, values.get(f"{name}.{key}", entry.default))


def _entry(key: str, value: Any) -> str:
    if isinstance(value, list):
        return f"{key}: {yaml.safe_dump(value, allow_unicode=True, default_flow_style=True).strip()}"
    return yaml.safe_dump({key: str(value) if isinstance(value, Path) else value}, allow_unicode=True).strip()


def json_schema() -> str:
    """JSON Schema of the configuration, for editors that complete and check YAML."""
    schema = {"$schema": "https://json-schema.org/draft/2020-12/schema", **Config.model_json_schema()}
    return json.dumps(schema, indent=2, ensure_ascii=False) + "\n"
