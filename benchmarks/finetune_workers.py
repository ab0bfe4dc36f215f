"""Claim: two workers train at least 0.95 as fast as two plain processes with half of the batch each, one thread each.

The same steps in turns: in a pair of Ray Train workers by one of them alone while the other waits, and by both; and by
two processes without Ray, each with half of the batch, that exchange no gradients.
"""

import statistics
import time

import torch
import torch.distributed as dist
from _half_batch import CONFIG, STEPS, prepare_half, take_steps, trainer
from _plain_pair import GOAL, PlainPair, share
from _side_by_side import TURNS, verdict

from cxr import cluster
from cxr.ranks import Ranks


def main() -> None:
    with cluster.session(2):
        (told,) = cluster.train(work, (2, 2), 1)
    one, two, limit = (statistics.median(told[side]) / STEPS for side in ("one", "two", "plain"))
    print(f"every weight of the UNet, batch {CONFIG.batch}, {STEPS} steps a turn")
    print(f"  seconds a step: two workers {two:.3f}, one {one:.3f}, two plain processes {limit:.3f}")
    speeds = [[1 / seconds for seconds in told[side]] for side in ("two", "plain")]
    verdict(limit / two >= GOAL, share(*speeds))


def work(tell: cluster.SendMessage) -> None:
    torch.set_num_threads(1)
    ranks = Ranks.here()
    pair, alone = trainer(CONFIG, ranks), trainer(CONFIG)
    plain = PlainPair([prepare_half] * 2) if ranks.rank == 0 else None
    seconds: dict[str, list[float]] = {"one": [], "two": [], "plain": []}
    for turn in range(TURNS):
        for side in sorted(seconds, reverse=turn % 2 == 1):
            dist.barrier()
            start = time.perf_counter()
            if side == "two":
                take_steps(pair)
            elif plain:
                take_steps(alone) if side == "one" else plain()
            dist.barrier()
            seconds[side].append(time.perf_counter() - start)
    if plain:
        plain.close()
        tell(seconds)


if __name__ == "__main__":
    main()
