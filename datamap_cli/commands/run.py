"""`datamap run`: train, summarize and plot, the three in a row."""

from __future__ import annotations

from datamap_cli.commands import plot, summarize, train
from datamap_cli.config import Config
from datamap_cli.train import is_main_process


def run(config: Config, *, overwrite: bool, resume: bool) -> None:
    """Trains, summarizes and draws; a map that cannot be drawn is refused before the training."""
    plot.check(config)
    train.train(config, overwrite=overwrite, resume=resume)
    if not is_main_process():
        return
    summarize.summarize(config)
    plot.draw(config, None)
