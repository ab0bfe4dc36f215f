"""Claim: a distilled model makes at least 8 times the pictures a second of 30 steps with guidance, and loses no more
than 3 points of prompt accuracy.

Every sampler makes the same pictures, by prompt and seed, asked for in sentences that no training caption has. Pictures
a second are of whole pictures, encoded as PNG, in turns in one process. Judges are README's classifier of phantoms, one
a seed, which share no network with the Frechet distance; a difference is paired by picture, and non-inferior where its
95 % interval ends above -3 points for every judge. Recall, coverage and sharpness stand beside, because the distance
alone prefers pictures that are all alike. What is done is kept in --work: the same command goes on.
"""

import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import tyro
from _distilled import distil, save_whole
from _side_by_side import verdict

from cxr.classify.best_of import predict, small_config, train_one
from cxr.classify.task import OneFinding
from cxr.data.images import encode_png
from cxr.diffusion.config import SamplerConfig
from cxr.diffusion.sampler import Sampler
from cxr.evaluate.features import tiny_extractor
from cxr.evaluate.frechet import frechet_distance
from cxr.evaluate.prdc import prdc
from cxr.jobs.pretrain import JUDGE_EPOCHS, labelled_phantoms
from cxr.progress import progress
from cxr.prompts.findings import FINDINGS
from cxr.prompts.phrases import REPHRASED
from cxr.prompts.templates import template_prompts
from cxr.report.pages import markdown_table
from cxr.weights import resolve

GOAL, MARGIN = 8.0, 0.03
SIZE, TURNS, CHUNK = 128, 3, 100
USUAL = "30 steps, guidance 3"
REAL_SERIES, JUDGE_SERIES = 900, (101, 404)


@dataclass(frozen=True)
class Way:
    """A model, and how it is sampled."""

    folder: Path
    config: SamplerConfig

    def load(self) -> Sampler:
        return Sampler.load(self.folder, None, self.config)


def main(
    work: Path = Path("out/fast-sampling"),
    per_finding: int = 100,
    judges: int = 2,
    judge_phantoms: int = 12_000,
    training_seeds: int = 1,
    noises: int = 1100,
    steps: int = 240,
) -> None:
    ways = all_ways(work, training_seeds, noises, steps)
    speeds = pictures_a_second(ways)
    prompts = [prompt for finding in FINDINGS for prompt in template_prompts(finding, per_finding, 303, REPHRASED)]
    asked = np.repeat(np.arange(len(FINDINGS)), per_finding)
    pictures = {name: sampled(work, name, way, prompts) for name, way in ways.items()}
    right: dict[str, list[np.ndarray]] = {name: [] for name in ways}
    for number in range(judges):
        judge, share = train_judge(number, judge_phantoms)
        print(f"judge {number + 1} names {share:.1%} of fresh phantoms rightly", flush=True)
        for name, pixels in pictures.items():
            right[name].append(judge(pixels) == asked)
    print(markdown_table(*tabulate(pictures, right, speeds)))
    fast = {name: speeds[name] / speeds[USUAL] for name in ways if "distilled" in name}
    proven = [name for name in fast if min(lower_bounds(right, name)) > -MARGIN]
    best = max(proven or fast, key=lambda name: fast[name])
    verdict(
        best in proven and fast[best] >= GOAL,
        f"{best}: {fast[best]:.1f} times the pictures a second, lower bounds of the difference in prompt accuracy "
        f"{', '.join(f'{100 * bound:+.1f}' for bound in lower_bounds(right, best))} points, {len(asked)} pictures",
    )


def all_ways(work: Path, training_seeds: int, noises: int, steps: int) -> dict[str, Way]:
    tiny = resolve("tiny").path
    ways = {f"{n} steps, guidance 3": Way(tiny, settings(steps=n, guidance=3.0)) for n in (30, 12, 8)}
    for few in (4, 2):
        for seed in range(training_seeds):
            folder = distil(work, few, seed, noises=noises, max_train_steps=steps * (2 if few == 4 else 3) // 2)
            ways[f"distilled, {few} steps, seed {seed}"] = Way(folder, settings(steps=few, guidance=1.0, solver="ddim"))
    return ways


def settings(**fields: object) -> SamplerConfig:
    return SamplerConfig(size=SIZE, batch=8, **fields)


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


def sampled(work: Path, name: str, way: Way, prompts: list[str]) -> np.ndarray:
    """uint8 [N, SIZE, SIZE], a chunk a time, each kept; picture i has seed i."""
    sampler, parts = way.load(), []
    with progress(name, len(prompts), "pictures") as advance:
        for first in range(0, len(prompts), CHUNK):
            some = prompts[first : first + CHUNK]
            model = way.folder.name if "distilled" in name else "base"
            kept = work / f"pictures-{model}-{way.config.steps}-{len(prompts)}-{first:05d}.npy"
            if not kept.is_file():
                save_whole(kept, sampler(some, [""] * len(some), range(first, first + len(some))))
            parts.append(np.load(kept))
            advance(len(some))
    return np.concatenate(parts)


def train_judge(number: int, count: int):
    """README's classifier of phantoms, and its share of fresh ones that it names rightly."""
    seed = 1000 * number
    training, validation, fresh = (
        labelled_phantoms(seed + series, size, SIZE)
        for series, size in zip((*JUDGE_SERIES, 202), (count, 1000, 1000), strict=True)
    )
    config, task = small_config(JUDGE_EPOCHS, SIZE, batch=32), OneFinding(len(FINDINGS))
    with progress(f"judge {number + 1}", config.steps(count), "steps") as advance:
        found = train_one(training, validation, config, task, number, advance)

    def name(pixels: np.ndarray) -> np.ndarray:
        return predict(found, pixels, config, task).argmax(axis=1)

    return name, float((name(fresh[0]) == fresh[1]).mean())


def lower_bounds(right: dict[str, list[np.ndarray]], name: str) -> list[float]:
    """Of the 95 % interval of the difference from the usual recipe, by judge, paired by picture."""
    differences = [a.astype(float) - b for a, b in zip(right[name], right[USUAL], strict=True)]
    return [float(d.mean() - 1.96 * d.std(ddof=1) / len(d) ** 0.5) for d in differences]


def tabulate(
    pictures: dict[str, np.ndarray], right: dict[str, list[np.ndarray]], speeds: dict[str, float]
) -> tuple[list[str], list[list[str]]]:
    extractor = tiny_extractor()
    real, _ = labelled_phantoms(REAL_SERIES, len(pictures[USUAL]), SIZE)
    features = extractor(real)
    head = ["sampler", "pictures/s", "times", "prompt accuracy", "difference, lower bounds", "Frechet distance",
            "recall", "coverage", "sharpness"]  # fmt: skip
    rows = [["fresh phantoms", "", "", "", "", "", "", "", f"{sharpness(real):.0f}"]]
    for name, pixels in pictures.items():
        seen = extractor(pixels)
        spread = prdc(features, seen)
        bounds = "" if name == USUAL else ", ".join(f"{100 * bound:+.1f}" for bound in lower_bounds(right, name))
        shares = ", ".join(f"{100 * judged.mean():.1f}" for judged in right[name])
        rows.append([
            name, f"{speeds[name]:.2f}", f"{speeds[name] / speeds[USUAL]:.1f}", shares, bounds,
            f"{frechet_distance(features, seen):.2f}", f"{spread['recall']:.2f}", f"{spread['coverage']:.2f}",
            f"{sharpness(pixels):.0f}",
        ])  # fmt: skip
    return head, rows


def sharpness(pixels: np.ndarray) -> float:
    """The mean variance of the Laplacian of [N, S, S]."""
    x = torch.from_numpy(pixels).float()[:, None]
    kernel = torch.tensor([[0.0, 1, 0], [1, -4, 1], [0, 1, 0]])[None, None]
    return float(torch.nn.functional.conv2d(x, kernel).var(dim=(1, 2, 3)).mean())


if __name__ == "__main__":
    tyro.cli(main)
