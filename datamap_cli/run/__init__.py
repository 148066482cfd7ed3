"""The run directory, and the one way into it."""

from datamap_cli.run.directory import EvaluationInfo, Origin, Run, RunInfo

__all__ = ["EvaluationInfo", "Origin", "Run", "RunInfo"]
