"""What the page carries of the points: ids, texts, signals, courses, evidence, each deflated and in base64.

Everything is in the order of the point traces end to end: the position of a point is its place in all of it.
"""

from __future__ import annotations

import json
import math
import zlib
from base64 import b64encode
from collections.abc import Collection, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from datamap_cli.config import PlotConfig
from datamap_cli.plot import encoding, hover, legends, marginals
from datamap_cli.plot.words import Words
from datamap_cli.signals import Derivation, find, is_class

BLOCK = 1024
"""Examples whose ids, or texts, are inflated together."""
SIGNALS_MB, COURSES_MB, EVIDENCE_MB = 8.0, 4.0, 3.0
"""Megabytes of the page that the signals, the courses of the examples, and the evidence may take."""
QUOTED = 200
"""Characters of a text that the evidence quotes because no point has it."""

# carried before all others where not all fit, after the classes
_FIRST = ("s_label", "correct_times", "correct_ratio", "forgetting_times")

_MEGABYTE = 1_000_000
_LEVEL = 6
_NULL = 0xFFFF
_STEPS = 0x3FFF
_FEW = 0xFF


@dataclass(frozen=True)
class Trajectories:
    """The courses of the examples: of each evaluation that is carried, the probabilities of label and runner-up."""

    evaluations: Sequence[int]
    """Their numbers, of T columns."""
    label_probs: npt.NDArray[np.float32]
    """(N, T), a row per point; NaN where there is no record."""
    runner_up_probs: npt.NDArray[np.float32]


@dataclass(frozen=True)
class Evidence:
    """Why labels are suspected."""

    suspects: pl.DataFrame
    """Points, the most suspicious first: id, joined_label, part_… of each opinion, nearest (ids), similarity,
    contradiction (an id), marks_a and marks_b (spans of characters)."""
    others: pl.DataFrame
    """The examples that these name and that are no points: id, label, text_a, text_b."""


@dataclass(frozen=True)
class Payload:
    about: dict[str, Any]
    """What the page's scripts must know of the blocks."""
    blocks: dict[str, str]
    """Base64 by the id of its element."""


def carried_evaluations(points: int, evaluations: int) -> list[int]:
    """Numbers of the evaluations whose probabilities fit into the page, evenly spaced; none where two do not fit."""
    most = int(COURSES_MB * _MEGABYTE * 3 / 4 / max(2 * points, 1))
    if most < 2 <= evaluations:
        return []
    return [int(t) for t in np.linspace(0, evaluations - 1, min(most, evaluations)).round()]


def pack(
    summary: pl.DataFrame,
    examples: pl.DataFrame | None,
    trajectories: Trajectories | None,
    axes: Mapping[str, str],
    classes: Sequence[str],
    settings: PlotConfig,
    evidence: Evidence | None = None,
) -> Payload:
    """The blocks of these points, whose frames have a row each; `axes` are the signals of the drawn "x" and "y"."""
    with ThreadPoolExecutor(2) as pool:  # zlib lets go of the interpreter
        # as texts: JavaScript knows no whole numbers beyond 2⁵³
        names = summary["id"].cast(pl.String)
        ids = _listed("ids", [_lists([names], None, start) for start in _starts(summary)], pool)
        texts, about_texts = _texts(examples, settings.text_budget_mb, pool)
        signals, about_signals = _signals(summary, axes, classes, Words(settings.language), pool)
        courses, about_courses = _courses(trajectories)
        why, about_why = _evidence(evidence, summary["id"], about_texts, pool)
    about = {"points": summary.height, "block": BLOCK, "texts": about_texts, **about_signals, "courses": about_courses}
    return Payload({**about, **about_why}, {**ids, **texts, **signals, **courses, **why})


def _starts(frame: pl.DataFrame) -> range:
    return range(0, frame.height, BLOCK)


def _listed(name: str, blocks: Iterable[bytes], pool: ThreadPoolExecutor) -> dict[str, str]:
    return {f"{name}-{number}": block for number, block in enumerate(pool.map(_deflated, blocks))}


def _deflated(data: bytes) -> str:
    compressor = zlib.compressobj(_LEVEL, zlib.DEFLATED, -zlib.MAX_WBITS)
    return b64encode(compressor.compress(data) + compressor.flush()).decode()


def _lists(columns: Sequence[pl.Series], length: int | None, start: int) -> bytes:
    """A block of rows as JSON, a list per column."""
    block = [column[start : start + BLOCK] for column in columns]
    if length is not None:
        block = [_cut(column, length) for column in block]
    return _json([column.to_list() for column in block])


def _json(tree: Any) -> bytes:
    return json.dumps(tree, ensure_ascii=False, separators=(",", ":")).encode()


# ------------------------------------------------------------------------------------------------- texts


def _texts(
    examples: pl.DataFrame | None, budget: float, pool: ThreadPoolExecutor
) -> tuple[dict[str, str], dict[str, Any]]:
    """Blocks of the texts, all cut to one length where they would take more than `budget` megabytes."""
    names = [] if examples is None else text_columns(examples)
    if examples is None or examples.is_empty():
        return {}, {"names": names, "cut": None}
    columns = [examples[name].fill_null("") for name in names]
    length = _fitting_length(columns, budget * _MEGABYTE)
    while length != 0:
        blocks = _listed("texts", [_lists(columns, length, start) for start in _starts(examples)], pool)
        if length is None or sum(map(len, blocks.values())) <= budget * _MEGABYTE:
            return blocks, {"names": names, "cut": length}
        length = length * 9 // 10
    return {}, {"names": [], "cut": 0}


def text_columns(examples: pl.DataFrame) -> list[str]:
    """text_a, and text_b where there are pairs."""
    return ["text_a"] if examples["text_b"].is_null().all() else ["text_a", "text_b"]


def _fitting_length(columns: Sequence[pl.Series], budget: float) -> int | None:
    """Characters of each text that fit into `budget` bytes, by the blocks of a sample; None: all of them."""
    rows = len(columns[0])
    sample = range(0, rows, max(rows // 8 // BLOCK * BLOCK, BLOCK))
    taken = sum(len(_deflated(_lists(columns, None, start))) for start in sample)
    size = sum(int(column[start : start + BLOCK].str.len_bytes().sum()) for column in columns for start in sample)
    total = sum(int(column.str.len_bytes().sum()) for column in columns)
    if taken * total <= budget * max(size, 1):
        return None
    lengths = np.concatenate([column.str.len_chars().to_numpy() for column in columns])
    characters = budget / taken * size / total * lengths.sum()  # what fits, of all
    low, high = 0, int(lengths.max())
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if np.minimum(lengths, middle).sum() <= characters else (low, middle - 1)
    return low


def _cut(texts: pl.Series, length: int) -> pl.Series:
    """The texts, those of more than `length` characters ending in an ellipsis there."""
    cut = pl.concat_str(pl.col("text").str.slice(0, length), pl.lit("…"))
    whole = pl.col("text").str.len_chars() <= length
    return texts.alias("text").to_frame().select(pl.when(whole).then(pl.col("text")).otherwise(cut))["text"]


# ----------------------------------------------------------------------------------------------- signals


def _signals(
    summary: pl.DataFrame, axes: Mapping[str, str], classes: Sequence[str], words: Words, pool: ThreadPoolExecutor
) -> tuple[dict[str, str], dict[str, Any]]:
    """Blocks of the numeric columns, one each; the drawn axes have none, they are in the figure."""
    numeric = [name for name, kind in summary.schema.items() if kind.is_numeric() or kind == pl.Boolean]
    names = [name for name in numeric if name != "id" and (summary.is_empty() or summary[name].count() > 0)]
    forms: dict[str, dict[str, Any]] = {signal: {"form": axis} for axis, signal in axes.items()}
    for name in names:
        if name not in axes.values() and (derivation := _derivation(summary, name, axes.values())) is not None:
            forms[name] = {"form": "follows", "terms": derivation.terms, "power": derivation.power}
    first = (*filter(is_class, names), *_FIRST)
    coded = list(dict.fromkeys(name for name in (*first, *names) if name in names and name not in forms))
    packed = dict(zip(coded, pool.map(lambda name: _packed(summary[name]), coded), strict=True))
    carried, left = set(forms), SIGNALS_MB * _MEGABYTE
    for name, (_, block) in packed.items():
        if len(block) <= left:
            carried.add(name)
            left -= len(block)
    kept = [name for name in names if name in carried]
    looks = dict(zip(kept, pool.map(lambda name: _look(name, summary[name], words, classes), kept), strict=True))
    about = [
        {
            "name": name,
            "title": hover.escape(hover.cut(name)),
            "classes": bool(classes) and is_class(name),
            **(forms[name] if name in forms else packed[name][0]),
            **looks[name],
        }
        for name in kept
    ]
    blocks = {f"signal-{number}": packed[name][1] for number, name in enumerate(kept) if name in packed}
    return blocks, {"signals": about, "omitted": [name for name in names if name not in carried]}


def _look(name: str, values: pl.Series, words: Words, classes: Sequence[str]) -> dict[str, Any]:
    """The look of a signal, for the page's menus."""
    found = encoding.encode(name, values, words, classes)
    about = {
        "axis": found.axis.range,
        "tick": found.axis.tick,
        "legend": hover.escape(hover.cut(name, legends.NAME)),
    }
    if isinstance(found.color, encoding.Scale):
        return {**about, "scale": asdict(found.color)}
    scheme = found.color
    categories = [
        {
            "name": hover.escape(hover.cut(category.name, legends.NAME)),
            "short": hover.escape(hover.cut(category.short, marginals.SHORT)),
            "colour": category.color,
            "symbol": category.marker,
        }
        for category in scheme.categories
    ]
    indices = {"values": scheme.values, "others": scheme.others, "valueless": scheme.valueless}
    return {**about, "scheme": {"categories": categories, "listed": scheme.listed, **indices}}


def _derivation(summary: pl.DataFrame, name: str, drawn: Collection[str]) -> Derivation | None:
    """How the page can compute the signal from the drawn axes; None where it cannot."""
    derivation = find(name).derivation
    if derivation is None or not derivation.columns <= set(drawn):
        return None
    both = summary.select(pl.col(name).cast(pl.Float64).alias("given"), derived=derivation.expression())
    equal = np.allclose(both["given"].to_numpy(), both["derived"].to_numpy(), rtol=0, atol=1e-9)
    return derivation if equal else None


def _packed(values: pl.Series) -> tuple[dict[str, Any], str]:
    """How a signal is written, and the block: exactly where it has few values or small whole ones, else in 16,383
    steps over its range."""
    exact = values.cast(pl.Float64)
    known = exact.is_finite().fill_null(False).to_numpy()
    numbers = exact.fill_null(0).to_numpy()
    distinct = np.unique(numbers[known])
    if len(distinct) <= _FEW:
        codes = np.where(known, np.searchsorted(distinct, numbers), _FEW).astype(np.uint8)
        return {"form": "values", "values": distinct.tolist()}, _deflated(codes.tobytes())
    low, high = float(distinct[0]), float(distinct[-1])
    whole = high - low < _NULL and bool((distinct == np.floor(distinct)).all())
    step = 1.0 if whole else (high - low) / _STEPS
    codes = np.where(known, np.round((numbers - low) / step), _NULL).astype(np.uint16)
    # all high bytes, then all low ones: the high ones deflate
    planes = np.concatenate([codes >> 8, codes & 0xFF]).astype(np.uint8)
    decimals = max(0, math.ceil(-math.log10(step)))
    return {"form": "steps", "low": low, "step": step, "decimals": decimals}, _deflated(planes.tobytes())


# ----------------------------------------------------------------------------------------------- courses


def _courses(trajectories: Trajectories | None) -> tuple[dict[str, str], dict[str, Any] | None]:
    """One block of bytes, (T, 2, N): the label's probability in 254 steps, 255 where there is none, and what label and
    runner-up together lack of 1, which deflates to nothing where there are two classes."""
    if trajectories is None or not trajectories.evaluations:
        return {}, None
    label, runner_up = (_quantised(p.T) for p in (trajectories.label_probs, trajectories.runner_up_probs))
    rest = 254 - label.astype(np.int16) - runner_up
    block = np.stack([label, (rest & 0xFF).astype(np.uint8)], axis=1)
    return {"courses": _deflated(block.tobytes())}, {"evaluations": list(trajectories.evaluations)}


def _quantised(probabilities: npt.NDArray[np.float32]) -> npt.NDArray[np.uint8]:
    known = np.isfinite(probabilities)
    return np.where(known, np.round(np.where(known, probabilities, 0) * 254), 255).astype(np.uint8)


# ---------------------------------------------------------------------------------------------- evidence

_Row = list[Any]


def _evidence(
    evidence: Evidence | None, ids: pl.Series, texts: Mapping[str, Any], pool: ThreadPoolExecutor
) -> tuple[dict[str, str], dict[str, Any]]:
    """Blocks of the evidence, a row per suspect in the order of their positions, which stand in a block of their own;
    of so many suspects, the most suspicious ones, as fit."""
    if evidence is None or evidence.suspects.is_empty():
        return {}, {}
    names = [name for name in evidence.suspects.columns if name.startswith("part_")]
    position = {name: place for place, name in enumerate(ids.to_list())}
    rows = _evidence_rows(evidence, names, position, texts)
    while rows:
        ordered = sorted(rows, key=lambda row: row[0])
        positions, *columns = (list(column) for column in zip(*ordered, strict=True))
        starts = range(0, len(ordered), BLOCK)
        blocks = _listed("evidence", [_json([c[start : start + BLOCK] for c in columns]) for start in starts], pool)
        blocks["evidence-at"] = _deflated(_json([positions]))
        if sum(map(len, blocks.values())) <= EVIDENCE_MB * _MEGABYTE:
            return blocks, {"evidence": {"opinions": [name.removeprefix("part_") for name in names]}}
        rows = rows[: len(rows) * 9 // 10]
    return {}, {}


def _evidence_rows(
    evidence: Evidence, names: Sequence[str], position: Mapping[Any, int], texts: Mapping[str, Any]
) -> list[_Row]:
    """Of each suspect its position, the joined label, the parts, the nearest with their similarity, the same text under
    another label, and the marks; another example is its position, or id, label and texts where it is no point."""
    wanted = texts["names"]
    length = QUOTED if texts["cut"] is None else min(QUOTED, texts["cut"])
    quoted = [_cut(evidence.others[name].fill_null(""), length) for name in wanted]
    columns = [evidence.others["id"].cast(pl.String), evidence.others["label"], *quoted]
    quotes = (list(row) for row in zip(*columns, strict=True))
    known: dict[Any, int | _Row] = {**dict(zip(evidence.others["id"], quotes, strict=True)), **position}
    return [
        [
            position[row["id"]],
            row["joined_label"],
            [None if row[name] is None else round(row[name], 1) for name in names],
            [
                [known[other], round(like, 2)]
                for other, like in zip(row["nearest"] or (), row["similarity"] or (), strict=True)
                if other in known
            ],
            known.get(row["contradiction"]),
            [row[name.replace("text", "marks")] or [] for name in wanted],
        ]
        for row in evidence.suspects.iter_rows(named=True)
    ]
