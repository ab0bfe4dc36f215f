"""Claim: on 2 cores, two workers generate at least 1.85 times as fast as one, one thread each, start-up apart.

The whole job's stages in turns with one worker and with two, Ray being up. A worker's rate is counted from the end of
its first unit, which loads the model, to the end of its last one; the rates of those that work side by side add up.
"""

import tyro
from _side_by_side import TURNS, Sides, verdict
from actors_busy import watched

from cxr import cluster, recipes
from cxr.generate.config import GenerateConfig

GOAL = 1.85
UNITS = 12
RECIPE = recipes.tiny()
CONFIG = recipes.replace_fields(
    RECIPE,
    findings="Pleural_Conditions",
    per_finding=UNITS * RECIPE.unit_images,
)


def main() -> None:
    seconds: dict[int, list[float]] = {1: [], 2: []}
    with cluster.session():
        for turn in range(TURNS):
            for workers in sorted(seconds, reverse=turn % 2 == 1):
                seconds[workers].append(1 / rate(CONFIG, workers))
    sides = Sides(seconds[2], seconds[1])
    print(f"{UNITS} units of {CONFIG.unit_images} pictures, {CONFIG.sampler.steps} steps each, one thread a worker")
    print(f"  two workers {1 / sides.our_median:.2f} pictures/s, one {1 / sides.their_median:.2f}")
    print(f"  ratio of each turn: {', '.join(f'{ratio:.2f}' for ratio in sides.ratios)}")
    verdict(sides.ratio >= GOAL, f"{sides.ratio:.2f} times as fast (at least {GOAL})")


def rate(config: GenerateConfig, workers: int) -> float:
    """Pictures a second."""
    actors = watched(config, workers).values()
    if len(actors) != workers:
        raise RuntimeError(f"{len(actors)} actors made the units, not {workers}")
    return sum((len(units) - 1) * config.unit_images / (units[-1][1] - units[0][1]) for units in actors)


if __name__ == "__main__":
    tyro.cli(main)
