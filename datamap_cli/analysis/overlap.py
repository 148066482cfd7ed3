"""Texts of one set that stand in another too, compared folded: what is measured on them says nothing new."""

from __future__ import annotations

import polars as pl

from datamap_cli.analysis.duplicates import folded


def known(examples: pl.DataFrame, others: pl.DataFrame) -> pl.Series:
    """Whether the text or pair of each example, (N,), is among `others`, whatever the label.

    Both have text_a and text_b (null throughout: single texts).
    """
    seen = _folded(others).unique().with_columns(seen=True)
    found = _folded(examples).join(seen, on=["first", "second"], how="left", maintain_order="left")
    return found["seen"].fill_null(False)


def _folded(examples: pl.DataFrame) -> pl.DataFrame:
    pairs = examples["text_b"].null_count() < examples.height
    return folded(examples["text_a"], examples["text_b"] if pairs else None)
