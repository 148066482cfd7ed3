"""Why a label is suspected, so that nobody needs to trust us: the opinions, the nearest examples, the words. Pure."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import polars as pl

NEAREST = 3
_OPINIONS = ("dynamics", "linear", "embedding", "neighbours", "prior")


def referenced(opinions: pl.DataFrame) -> pl.Series:
    """The ids of the other examples that the evidence of these rows names, each once."""
    ids = [opinions["nearest"].explode(), opinions["contradiction"]]
    return pl.concat([series.alias("id") for series in ids]).drop_nulls().unique(maintain_order=True)


def table(opinions: pl.DataFrame, others: pl.DataFrame, label_of: Callable[[pl.Series], pl.Series]) -> pl.DataFrame:
    """The evidence of N suspects, a row each, in the order of their rows of `opinions`.

    `others` are the examples that these refer to (id, text_a, text_b, label); `label_of` names class indices. Columns:
    against (the opinions that contradict the label, the strongest first, with the part each adds), part_… of each; of
    the three nearest examples nearest_K_similarity, nearest_K_label and nearest_K_text; and same_text_other_label, the
    id of an example with the same text.
    """
    named = others.select(
        "id",
        text=pl.concat_str("text_a", "text_b", separator=" | ", ignore_nulls=True),
        name=label_of(others["label"]),
    )
    columns: dict[str, pl.Series] = {"against": _against(opinions)}
    columns |= {f"part_{name}": opinions[f"part_{name}"] for name in _OPINIONS if f"part_{name}" in opinions.columns}
    for place in range(NEAREST):
        nearest = opinions.select(
            id=pl.col("nearest").list.get(place, null_on_oob=True),
            similarity=pl.col("similarity").list.get(place, null_on_oob=True).cast(pl.Float64).round(3),
        ).join(named, on="id", how="left", maintain_order="left")
        columns |= {
            f"nearest_{place + 1}_{what}": nearest[column]
            for what, column in (("similarity", "similarity"), ("label", "name"), ("text", "text"))
        }
    columns["same_text_other_label"] = opinions["contradiction"].cast(pl.String)
    return pl.DataFrame([series.alias(name) for name, series in columns.items()])


def _against(opinions: pl.DataFrame) -> pl.Series:
    """`linear +2.1, neighbours +0.8`: those that speak against the label, in nats."""
    rows = opinions.select(*(f"part_{name}" for name in _OPINIONS)).iter_rows()
    return pl.Series("against", [_ranked(parts) for parts in rows], dtype=pl.String)


def _ranked(parts: Sequence[float | None]) -> str:
    said = [(part, name) for part, name in zip(parts, _OPINIONS, strict=True) if part is not None and part > 0]
    return ", ".join(f"{name} +{part:.1f}" for part, name in sorted(said, reverse=True))


def speaking(text: str, spans: Sequence[Sequence[int]] | None) -> str:
    """The parts of the text that the spans mark, in one line."""
    return " … ".join(text[begin:end] for begin, end in spans or ())
