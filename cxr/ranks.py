"""A worker's place among those that train together; without torch.distributed it is alone."""

import platform
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor

from cxr.errors import BadInput

T = TypeVar("T")
BUCKET = 32_000_000  # numbers in one message


@dataclass(frozen=True)
class Ranks:
    """This worker is number `rank` of `size`."""

    rank: int = 0
    size: int = 1

    @classmethod
    def here(cls) -> "Ranks":
        """As torch.distributed was set up in this process, if it was."""
        return cls(dist.get_rank(), dist.get_world_size()) if dist.is_initialized() else cls()

    def check(self, batch: int) -> None:
        """`BadInput` unless there is a picture of every batch for every worker."""
        if batch < self.size:
            raise BadInput(f"--batch {batch} is too small for {self.size} workers; give {self.size} or more")

    def slots(self, batch: int, turn: int) -> range:
        """This worker's slots in the pass number `turn` of a step; shares differ by one at most."""
        start, end = (batch * rank // self.size for rank in (self.rank, self.rank + 1))
        return range(turn * batch + start, turn * batch + end)

    @torch.no_grad()
    def all_reduce(self, tensors: Sequence[Tensor]) -> None:
        """Puts in place of each tensor its sum over the workers, a bucket of them in one message."""
        if self.size == 1:
            return
        bucket: list[Tensor] = []
        for tensor in tensors:
            bucket.append(tensor)
            if sum(t.numel() for t in bucket) >= BUCKET:
                self._all_reduce_bucket(bucket)
                bucket = []
        if bucket:
            self._all_reduce_bucket(bucket)

    def _all_reduce_bucket(self, bucket: Sequence[Tensor]) -> None:
        flat = torch.cat([tensor.reshape(-1) for tensor in bucket])
        dist.all_reduce(flat)
        for tensor, total in zip(bucket, flat.split([t.numel() for t in bucket]), strict=True):
            tensor.copy_(total.view_as(tensor))

    def broadcast_from_first(self, make: Callable[[], T]) -> T:
        """What `make` gives on the first worker, on all of them."""
        if self.size == 1:
            return make()
        shared: list[Any] = [make() if self.rank == 0 else None]
        dist.broadcast_object_list(shared)
        return shared[0]


def device_name() -> str:
    """What this worker computes on, for a record."""
    return torch.cuda.get_device_name() if torch.cuda.is_available() else f"CPU, {platform.machine()}"
