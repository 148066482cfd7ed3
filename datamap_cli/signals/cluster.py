"""Summarizing on a Dask cluster: blocks of examples go to the workers, which run the same expressions.

The workers see the run directory by the same path, as on a shared file system, and have datamap-cli installed.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
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


class Workers:
    """Summarizes blocks of rows on the workers of a cluster, bit for bit as `signals.summarize_block` does here."""

    def __init__(self, client: Any) -> None:
        self.client = client

    def __call__(
        self,
        evaluations: Mapping[str, pl.LazyFrame],
        starts: range,
        files: Sequence[Path],
        options: signals.Options,
    ) -> None:
        from distributed import wait

        futures = [
            self.client.submit(
                signals.summarize_block, dict(evaluations), start, starts.step, file.absolute(), options, pure=False
            )
            for start, file in zip(starts, files, strict=True)
        ]
        wait(futures)  # where one fails, the others must not go on writing into what is cleaned up
        self.client.gather(futures)
