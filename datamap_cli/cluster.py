"""Summarizing on a Dask cluster: blocks of examples go to the workers, which run the same expressions.

The workers see the run directory by the same path, as on a shared file system, and have datamap-cli installed.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

import polars as pl

from datamap_cli import signals
from datamap_cli.errors import DatamapError

# examples that a worker summarizes at a time
BLOCK = 250_000
_SECONDS = 20


@contextmanager
def client(scheduler: str) -> Iterator[Any]:
    """A connection to the scheduler. Raises DatamapError where there is none, no worker, or no Dask here."""
    try:
        from distributed import Client
    except ImportError:
        raise DatamapError("summarize.engine: dask needs Dask: pip install 'datamap-cli[dask]'") from None
    try:
        connection = Client(scheduler, timeout=_SECONDS)
    except (OSError, ValueError) as error:
        raise DatamapError(
            f"summarize.scheduler: {scheduler}: cannot be reached ({type(error).__name__}); "
            "expected the address that `dask scheduler` prints, such as tcp://10.0.0.1:8786"
        ) from None
    with connection:
        if not connection.scheduler_info()["workers"]:
            raise DatamapError(f"summarize.scheduler: {scheduler}: has no workers; start some with `dask worker`")
        yield connection


class ClusterSummarize:
    """`signals.summarize` on the workers of a cluster, equal to it bit for bit; parts go to `scratch`."""

    def __init__(self, client: Any, scratch: Path, block: int = BLOCK) -> None:
        self.client = client
        self.scratch = scratch
        self.block = block

    def __call__(
        self, evaluations: Mapping[str, pl.LazyFrame], *, el2n_evaluations: int, incomplete: bool
    ) -> pl.LazyFrame:
        directory = Path(mkdtemp(dir=self.scratch))
        # a block of a Parquet file is read by itself, one of a JSONL file only after all that stands before it
        names = list(evaluations)
        files = [str(directory / f"evaluation-{t}.parquet") for t in range(len(names))]
        rows = self._results(_as_parquet, list(evaluations.values()), files)
        starts = range(0, max(rows), self.block)
        parts = [str(directory / f"{start:012d}.parquet") for start in starts]
        options = {"el2n_evaluations": el2n_evaluations, "incomplete": incomplete}
        blocks = [
            {name: pl.scan_parquet(file).slice(start, self.block) for name, file in zip(names, files, strict=True)}
            for start in starts
        ]
        self._results(_summarize_block, blocks, parts, [options] * len(parts))
        return pl.scan_parquet(parts)

    def _results(self, function: Any, *arguments: list[Any]) -> list[Any]:
        from distributed import wait

        futures = self.client.map(function, *arguments, pure=False)
        wait(futures)  # where one fails, the others must not go on writing into what is cleaned up
        results: list[Any] = self.client.gather(futures)
        return results


def _as_parquet(evaluation: pl.LazyFrame, file: str) -> int:
    """Writes the records as Parquet; their number."""
    evaluation.sink_parquet(file)
    count: int = pl.scan_parquet(file).select(pl.len()).collect().item()
    return count


def _summarize_block(evaluations: dict[str, pl.LazyFrame], file: str, options: dict[str, Any]) -> None:
    signals.summarize(evaluations, **options).sink_parquet(file)
