"""What makes sampling fast on a GPU: a network's calls as a CUDA graph, and a decoder that takes few latents at a time.

Neither changes what is computed. A graph is recorded at the first call of each shape, in a second, and replayed at the
others: the GPU then never waits for Python between two kernels, which at small batches is most of its time.
"""

from collections.abc import Callable, Hashable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_flatten, tree_map_only

from cxr.errors import BadInput

# Latents: on a GPU a decoder's memory grows with each, its speed hardly any more; a CPU's caches hold few.
DECODED_AT_ONCE = {"cuda": 8, "cpu": 4}
WARM_UPS = 3  # calls before a recording, in which libraries choose kernels and take their memory

Work = Callable[[], Any]
Record = Callable[[Work], tuple[Callable[[], object], Any]]
"""Given work on tensors that stay where they are: what does it again, and where it leaves its results."""


@dataclass(frozen=True)
class Recorded:
    inputs: list[Tensor]
    replay: Callable[[], object]
    outputs: Any


class GraphedCalls:
    """A network's `forward` that is recorded for each shape of its arguments. Without gradients alone."""

    def __init__(self, forward: Callable[..., Any], device: torch.device, record: Record) -> None:
        self.forward, self.device, self.record = forward, device, record
        self.recorded: dict[Hashable, Recorded] = {}

    def __call__(self, *args: Any, **named: Any) -> Any:
        """The same as `forward` of these: fresh tensors, which no later call writes to."""
        leaves, form = tree_flatten((args, named))
        given = [leaf for leaf in leaves if isinstance(leaf, Tensor)]
        key = repr(form), tuple(describe(leaf) for leaf in leaves)
        if key not in self.recorded:
            self.recorded[key] = self.record_call(leaves, form)
        call = self.recorded[key]
        for kept, tensor in zip(call.inputs, given, strict=True):
            kept.copy_(tensor)
        call.replay()
        return tree_map_only(Tensor, torch.clone, call.outputs)

    def record_call(self, leaves: list[Any], form: Any) -> Recorded:
        kept = [leaf.to(self.device, copy=True) if isinstance(leaf, Tensor) else leaf for leaf in leaves]
        args, named = form.unflatten(kept)
        replay, outputs = self.record(lambda: self.forward(*args, **named))
        return Recorded([leaf for leaf in kept if isinstance(leaf, Tensor)], replay, outputs)


def describe(leaf: Any) -> Hashable:
    """What a recording holds for: a tensor's shape and type, any other value itself."""
    return (tuple(leaf.shape), leaf.dtype, leaf.stride()) if isinstance(leaf, Tensor) else leaf


def record_cuda_graph(work: Work) -> tuple[Callable[[], object], Any]:
    """As `Record`, on the current CUDA device.

    Raises:
        BadInput: the work does what no graph can hold, as copying from the CPU.
    """
    beside = torch.cuda.Stream()
    beside.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(beside):
        for _ in range(WARM_UPS):
            work()
    torch.cuda.current_stream().wait_stream(beside)
    graph = torch.cuda.CUDAGraph()
    try:
        with torch.cuda.graph(graph):
            outputs = work()
    except torch.OutOfMemoryError:
        raise
    except RuntimeError as error:
        why = str(error).partition("\n")[0]
        raise BadInput(f"--cuda-graphs: this model's network cannot be recorded ({why}); leave it out") from error
    return graph.replay, outputs


def graph_calls(network: nn.Module, record: Record = record_cuda_graph) -> None:
    """From now on the network's calls are recorded and replayed."""
    device = next(network.parameters()).device
    network.forward = GraphedCalls(network.forward, device, record)  # type: ignore[method-assign]


def decode_in_parts(autoencoder: Any, most: int) -> None:
    """From now on the autoencoder decodes at most so many latents at once: a batch's pictures need no more memory."""
    decode = autoencoder.decode

    def decode_parts(latents: Tensor, *args: Any, **named: Any) -> Any:
        parts = [decode(part, *args, **named) for part in latents.split(most)]
        pictures = torch.cat([part[0] for part in parts])
        return (pictures,) if isinstance(parts[0], tuple) else type(parts[0])(sample=pictures)

    autoencoder.decode = decode_parts
