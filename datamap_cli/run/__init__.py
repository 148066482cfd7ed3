"""The run directory, and the one way into it."""

from datamap_cli.run.directory import Run
from datamap_cli.run.reports import EvaluationInfo, Origin, RunInfo

__all__ = ["EvaluationInfo", "Origin", "Run", "RunInfo"]
