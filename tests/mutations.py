"""Files as they come out of accidents: bytes lost, values of another type, columns gone. Seeded."""

from __future__ import annotations

import io
import random
import re
from collections.abc import Callable

import numpy as np
import polars as pl

# what stands where a number, a text or a list was
_VALUES = [
    *("null", "None", "true", "True", '""', "''", "-1", "0", "0.5", "1e999", "-1e999", "NaN", "nan", "[]", "{}"),
    *("[1]", '["a"]', '{"a": 1}', '"x"', "'x'", "x", "9" * 30, "1e308", "1.5", "99", '"\\ud800"', "2020-01-01", ""),
]
_VALUE = re.compile(r"\"[^\"\n]*\"|'[^'\n]*'|-?\d+(?:\.\d+)?|\[[^\[\]\n]*\]|\b[a-zA-Z_]+\b")


def of_text(content: bytes, rng: random.Random) -> bytes:
    """Bytes altered, the end cut off, values replaced, lines lost, doubled or in another order."""
    match rng.randrange(6):
        case 0:
            return _bytes(content, rng)
        case 1:
            return content[: rng.randrange(len(content))]
        case 2:
            lines = content.splitlines(keepends=True)
            i, j = rng.randrange(len(lines)), rng.randrange(len(lines))
            lines[i : i + 1] = rng.choice([[], [lines[i]] * 2, [lines[j]], [b"\n", lines[i]]])
            return b"".join(lines)
        case _:
            text = content.decode()
            for _ in range(rng.choice([1, 1, 2, 3])):
                found = rng.choice([*_VALUE.finditer(text), None])
                if found is not None:
                    text = text[: found.start()] + rng.choice(_VALUES) + text[found.end() :]
            return text.encode(errors="surrogatepass")


def of_bytes(content: bytes, rng: random.Random) -> bytes:
    return _bytes(content, rng) if rng.random() < 0.5 else content[: rng.randrange(len(content))]


def _bytes(content: bytes, rng: random.Random) -> bytes:
    altered = bytearray(content)
    for _ in range(rng.choice([1, 1, 3, 10])):
        altered[rng.randrange(len(altered))] = rng.choice([rng.randrange(256), *b"\"'{}[],:\n\t\\0 -e"])
    return bytes(altered)


_COLUMNS: list[Callable[[int], pl.Series]] = [
    lambda n: pl.Series([None] * n),
    lambda n: pl.Series([None] * n, dtype=pl.Float64),
    lambda n: pl.Series([float("nan")] * n),
    lambda n: pl.Series([float("inf"), 0.5] * n)[:n],
    lambda n: pl.Series([0.5, None] * n)[:n],
    lambda n: pl.Series([0] * n),
    lambda n: pl.Series([-1, 7] * n)[:n],
    lambda n: pl.Series([10**12, 3] * n)[:n],
    lambda n: pl.Series([True, None] * n)[:n],
    lambda n: pl.Series(["x", None] * n)[:n],
    lambda n: pl.Series(["a\nb\x1b[31m", "1"] * n)[:n],
    lambda n: pl.Series(["x", "y"] * n, dtype=pl.Categorical)[:n],
    lambda n: pl.Series([b"\xff", b""] * n)[:n],
    lambda n: pl.Series([[0.5, 0.5], []] * n)[:n],
    lambda n: pl.Series([{"a": 1}] * n),
    lambda n: pl.Series([1] * n, dtype=pl.Date),
    lambda n: pl.Series([1] * n, dtype=pl.Duration("us")),
    lambda n: pl.Series([1, 0] * n, dtype=pl.UInt8)[:n],
    lambda n: pl.Series(range(n), dtype=pl.Float32),
]


def of_frame(frame: pl.DataFrame, rng: random.Random) -> pl.DataFrame:
    """A column of another type, one gone, one of another's name, rows doubled, in another order or gone."""
    name = rng.choice(frame.columns)
    match rng.randrange(8):
        case 0:
            return frame.drop(name)
        case 1:
            other = rng.choice(
                ["id", "step", "probs", "avg_probs", "correctness", "label", "row", "", "a\nb", name * 99]
            )
            return frame if other in frame.columns else frame.rename({name: other})
        case 2:
            rows = rng.choices(range(frame.height), k=rng.randrange(frame.height + 3))
            return frame[rows]
        case _:
            return frame.with_columns(rng.choice(_COLUMNS)(frame.height).alias(name))


def of_parquet(content: bytes, rng: random.Random) -> bytes:
    if rng.random() < 0.25:
        return of_bytes(content, rng)
    buffer = io.BytesIO()
    of_frame(pl.read_parquet(io.BytesIO(content)), rng).write_parquet(buffer)
    return buffer.getvalue()


def of_arrays(content: bytes, rng: random.Random) -> bytes:
    if rng.random() < 0.25:
        return of_bytes(content, rng)
    with np.load(io.BytesIO(content)) as archive:
        arrays = dict(archive)
    name = rng.choice([*arrays])
    match rng.randrange(6):
        case 0:
            del arrays[name]
        case 1:
            arrays[name] = arrays[name].astype(rng.choice(["U9", "f2", "i8", "?", "c16", "S3"]))
        case 2:
            arrays[name] = arrays[name][..., : rng.randrange(3)]
        case 3:
            arrays[name] = np.array(rng.choice([np.nan, np.inf, -1, 0.5, 99])) + np.zeros(arrays[name].shape)
        case 4:
            arrays[name] = arrays[name][None]
        case _:
            arrays[rng.choice(["ids", "steps", "classes", "s_label", "more"])] = arrays[name].reshape(-1)
    buffer = io.BytesIO()
    np.savez(buffer, **arrays)
    return buffer.getvalue()
