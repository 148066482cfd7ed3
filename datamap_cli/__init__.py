"""datamap: find the mislabelled, the ambiguous and the easy examples of a text data set."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from datamap_cli.errors import DatamapError
    from datamap_cli.run.recorder import SignalRecorder

__version__ = "0.1.0"
__all__ = ["DatamapError", "SignalRecorder", "__version__"]


def __getattr__(name: str) -> Any:
    # loaded when asked for: `datamap --help` must not wait for Polars
    if name == "SignalRecorder":
        from datamap_cli.run.recorder import SignalRecorder

        return SignalRecorder
    if name == "DatamapError":
        from datamap_cli.errors import DatamapError

        return DatamapError
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
