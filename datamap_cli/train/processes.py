"""The processes that train together: one, or as many as Paddle's launcher started."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
import paddle
import paddle.distributed
from numpy.typing import NDArray

Numbers = TypeVar("Numbers", np.float32, np.float64)

# numbers that are added up at a time, 64 MB
_PART = 1 << 24


@dataclass(frozen=True)
class Processes:
    count: int
    rank: int

    def share(self, indices: NDArray[np.int64]) -> NDArray[np.int64]:
        """What of `indices` falls to this process: every one to one process, as evenly as can be."""
        return indices[self.rank :: self.count]

    def total(self, numbers: NDArray[Numbers]) -> NDArray[Numbers]:
        """The sum over all processes; each has to ask, in the same order."""
        if self.count == 1:
            return numbers
        flat = numbers.reshape(-1)
        sums = np.empty_like(flat)
        for start in range(0, len(flat), _PART):
            part = paddle.to_tensor(flat[start : start + _PART])
            paddle.distributed.all_reduce(part)
            sums[start : start + _PART] = part.numpy()
        return sums.reshape(numbers.shape)

    def any(self, flag: bool) -> bool:
        """Whether it is so in any process; each has to ask, in the same order."""
        return bool(self.total(np.array([flag], np.float32))[0])

    def parallel(self, model: Any) -> Any:
        """The model, whose gradients become the mean over the processes where there are several."""
        # a classifier may have weights that its output does not depend on
        return model if self.count == 1 else paddle.DataParallel(model, find_unused_parameters=True)


def connect() -> Processes:
    """Joins the processes that Paddle's launcher started, if it did. The device is chosen by now."""
    if int(os.environ.get("PADDLE_TRAINERS_NUM", "1")) == 1:
        return Processes(1, 0)
    paddle.distributed.init_parallel_env()
    return Processes(paddle.distributed.get_world_size(), paddle.distributed.get_rank())
