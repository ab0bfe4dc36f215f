"""Claim: a distilled model makes at least 8 times the pictures a second of 30 steps with guidance, and is no worse.

Every sampler makes the same pictures, by prompt and seed, asked for in sentences that no training caption has. Pictures
a second are of whole pictures, encoded as PNG, in turns in one process. What "no worse" means was laid down before the
figures were seen: against 30 steps, the 95 % interval of the difference in prompt accuracy, paired by picture, ends
above -3 points for every judge, those of recall and coverage, paired by real picture, above -5, and the pictures keep
0.9 of the sharpness, because the distance alone prefers pictures that are blurred or all alike; of every training seed.
Judges are classifiers of phantoms like README's, of other phantoms and first weights each, and share no network with
the distance; the last one does, as it is the extractor's own head. What is done is kept in --work: the same command
goes on.
"""

import time
from itertools import product
from pathlib import Path

import numpy as np
import tyro
from _distilled import distil
from _samplers_pictures import SIZE, Looker, Measured, Way, sharpness
from _side_by_side import verdict
from _worth_of_pictures import read_worths

from cxr.data.images import encode_png
from cxr.diffusion.config import Precision, SamplerConfig
from cxr.prompts.findings import FINDINGS
from cxr.report.pages import markdown_table
from cxr.study.worth_words import count_of_100, describe_worth

GOAL = 8.0
TURNS = 7
USUAL = "30 steps, guidance 3"


def main(
    work: Path = Path("out/fast-sampling"),
    per_finding: int = 100,
    judges: int = 2,
    judge_phantoms: int = 12_000,
    plain: tuple[int, ...] = (12, 8),
    interval: int | None = 12,
    few: tuple[int, ...] = (4, 2),
    training_seeds: int = 2,
    precisions: tuple[Precision, ...] = ("auto", "bf16"),
    noises: int = 1100,
    steps: int = 960,
) -> None:
    """Measures all samplers; prints a table and the verdict.

    Args:
        plain: steps of the model as it is, beside the usual 30; few: of its students.
        interval: steps of the model that is guided in the middle half of them alone; None: not tried.
        precisions: that students compute in; a CPU without bf16 units takes longer for it.
        steps: of the training to 4 steps; the one to 2 takes half as many more.
    """
    ways = {f"{n} steps, guidance 3": Way(settings(steps=n, guidance=3.0)) for n in (30, *plain)}
    if interval:
        middle = range(interval // 4, interval - interval // 4)
        ways[f"{interval} steps, guidance 3 in the middle half"] = Way(
            settings(steps=interval, guidance=3.0), guided=middle
        )
    students: dict[str, list[str]] = {}  # of each kind one of every training seed
    for n, seed in product(few, range(1, training_seeds + 1)):
        lora = distil(work, n, seed, noises=noises, max_train_steps=steps * (3 if n == 2 else 2) // 2)
        for precision in precisions:
            kind = f"distilled, {n} steps" + (f", {precision}" if precision != "auto" else "")
            name = f"{kind}, seed {seed}"
            students.setdefault(kind, []).append(name)
            ways[name] = Way(settings(steps=n, guidance=1.0, solver="ddim", precision=precision), lora)
    look = Looker(work, per_finding, judges, judge_phantoms)
    speeds = pictures_a_second(ways)
    found = {name: look(name, way, speeds[name]) for name, way in ways.items()}
    made = {way.name: look.sampled(name, way) for name, way in ways.items()}
    curve = read_worths(work, made, look.asked, len(FINDINGS))
    shares = ", ".join(f"{100 * share:.1f}" for share in look.judges_right)
    print(f"of fresh phantoms the judges name {shares} % rightly; their sharpness is {sharpness(look.real):.0f}")
    print(*(describe_worth(curve) if curve else ()), sep="\n")
    worths = {one.arm: "{} ({} to {})".format(*count_of_100(curve, one)) for one in curve.readings} if curve else {}
    rows = [[*row(name, one, found[USUAL]), worths.get(ways[name].name, "-")] for name, one in found.items()]
    print(markdown_table([*HEAD, "100 are worth"], rows))
    judged = {kind: of_several_seeds([found[name] for name in names], found[USUAL]) for kind, names in students.items()}
    for kind, (times, lacking) in judged.items():
        print(f"{kind}: {times:.1f} times as fast; not proven: {', '.join(lacking) or 'nothing'}")
    times, kind = max(((times, kind) for kind, (times, lacking) in judged.items() if not lacking), default=(0, ""))
    verdict(times >= GOAL, f"{times:.1f} times, {kind}" if kind else "none is proven to be no worse")


def of_several_seeds(students: list[Measured], usual: Measured) -> tuple[float, list[str]]:
    """How many times as fast, of the slowest; and what of any is not proven."""
    lacking = sorted({failing for one in students for failing in one.failings(usual)})
    return min(one.speed for one in students) / usual.speed, lacking


def settings(**fields: object) -> SamplerConfig:
    return SamplerConfig.model_validate({"size": SIZE, "batch": 8, **fields})


def pictures_a_second(ways: dict[str, Way]) -> dict[str, float]:
    """Medians of turns."""
    samplers = {name: way.load() for name, way in ways.items()}
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    for turn in range(TURNS + 1):  # the first one warms up
        for name, sampler in samplers.items():
            start = time.perf_counter()
            for pixels in sampler(["chest X-ray"] * 8, [""] * 8, range(8)):
                encode_png(pixels)
            if turn:
                seconds[name].append(time.perf_counter() - start)
    return {name: 8 / float(np.median(taken)) for name, taken in seconds.items()}


HEAD = ["sampler", "pictures/s", "times", "prompt accuracy", "difference (95 %)", "Frechet distance", "recall",
        "difference", "coverage", "difference", "sharpness", "membership AUC", "not proven"]  # fmt: skip


def row(name: str, found: Measured, usual: Measured) -> list[str]:
    told = [
        f"{100 * mean:+.1f} ({100 * low:+.1f} to {100 * high:+.1f})" for mean, low, high in found.differences(usual)
    ]
    *judged, recall, coverage = ["-"] * len(told) if found is usual else told
    shares, auc = ", ".join(f"{100 * right.mean():.1f}" for right in found.right), found.members.auc
    return [
        name, f"{found.speed:.2f}", f"{found.speed / usual.speed:.1f}", shares, "; ".join(judged),
        f"{found.distance:.2f}", f"{100 * found.recalled.mean():.1f}", recall, f"{100 * found.covered.mean():.1f}",
        coverage, f"{found.sharpness:.0f}", f"{auc.value:.3f} ({auc.low:.3f} to {auc.high:.3f})",
        "-" if found is usual else ", ".join(found.failings(usual)) or "nothing",
    ]  # fmt: skip


if __name__ == "__main__":
    tyro.cli(main)
