"""A worker's place among those that train together; without torch.distributed it is alone."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

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
        """`BadInput` unless the batch can be shared out evenly."""
        if batch % self.size:
            raise BadInput(f"--batch {batch} cannot be shared by {self.size} workers; give a multiple of {self.size}")

    def slots(self, batch: int, turn: int) -> range:
        """This worker's slots in the pass number `turn` of a step."""
        share = batch // self.size
        start = turn * batch + self.rank * share
        return range(start, start + share)

    @torch.no_grad()
    def average(self, tensors: Sequence[Tensor]) -> None:
        """Puts in place of each tensor its mean over the workers, a bucket of them in one message."""
        if self.size == 1:
            return
        bucket: list[Tensor] = []
        for tensor in tensors:
            bucket.append(tensor)
            if sum(t.numel() for t in bucket) >= BUCKET:
                self._average(bucket)
                bucket = []
        if bucket:
            self._average(bucket)

    def _average(self, bucket: Sequence[Tensor]) -> None:
        flat = torch.cat([tensor.reshape(-1) for tensor in bucket])
        dist.all_reduce(flat)
        for tensor, mean in zip(bucket, (flat / self.size).split([t.numel() for t in bucket]), strict=True):
            tensor.copy_(mean.view_as(tensor))

    def from_first(self, make: Callable[[], T]) -> T:
        """What `make` gives on the first worker, on all of them."""
        if self.size == 1:
            return make()
        told = [make() if self.rank == 0 else None]
        dist.broadcast_object_list(told)
        return told[0]
