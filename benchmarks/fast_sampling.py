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
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path

import numpy as np
import torch
import tyro
from _distilled import distil, put_whole, save_array
from _side_by_side import verdict
from torch import Tensor, nn

from cxr.audit.membership import MembershipTest, compare_members
from cxr.classify.best_of import small_config, train_one
from cxr.classify.loop import predict_probabilities
from cxr.classify.task import OneFinding
from cxr.data.images import encode_png
from cxr.diffusion.config import SamplerConfig
from cxr.diffusion.sampler import Sampler
from cxr.evaluate.features import tiny_extractor
from cxr.evaluate.frechet import frechet_distance
from cxr.evaluate.prdc import nearest_distances
from cxr.jobs.pretrain import JUDGE_EPOCHS, labelled_phantoms
from cxr.pretrain.build import draw_phantoms, draw_training_phantom
from cxr.progress import progress
from cxr.prompts.findings import FINDINGS
from cxr.prompts.phrases import REPHRASED
from cxr.prompts.templates import template_prompts
from cxr.report.pages import markdown_table
from cxr.weights import resolve

GOAL = 8.0
MARGIN, SPREAD_MARGIN, SHARPNESS_KEPT = 0.03, 0.05, 0.9
SIZE, TURNS, CHUNK, NEIGHBOURS, VIEWS = 128, 3, 100, 5, 3
USUAL = "30 steps, guidance 3"
REAL_SERIES, JUDGE_SERIES = 900, (101, 404)
TRAINING_SEED, SEVERAL, INDEPENDENT = 4, 0.15, 0.55  # of the phantoms of its last training (docs/model-card.md)


@dataclass(frozen=True)
class Way:
    """How the embedded model is sampled."""

    config: SamplerConfig
    lora: Path | None = None

    @property
    def name(self) -> str:
        """Of its files."""
        model = self.lora.parent.name if self.lora else "base"
        return f"{model}-{self.config.steps}" + (f"-{self.config.precision}" if self.config.precision != "auto" else "")

    def load(self) -> Sampler:
        return Sampler.load(resolve("tiny").path, self.lora, self.config)


@dataclass(frozen=True)
class Measured:
    """What was found out about a sampler's pictures; N of them, and N real ones beside."""

    speed: float  # pictures a second
    right: list[np.ndarray]  # by judge, the extractor last, bool [N]: shows what was asked
    distance: float
    recalled: np.ndarray  # bool [N], of the real pictures: within the reach of a generated one
    covered: np.ndarray  # bool [N]: a generated one is within its reach
    sharpness: float
    members: MembershipTest  # are the base's training phantoms nearer to its pictures than others?

    def differences(self, usual: "Measured") -> list[tuple[float, float, float]]:
        """Of each judge's, of recall and of coverage: the mean, and its 95 % interval."""
        pairs = [*zip(self.right, usual.right, strict=True), (self.recalled, usual.recalled),
                 (self.covered, usual.covered)]  # fmt: skip
        return [interval(ours.astype(float) - theirs) for ours, theirs in pairs]

    def failings(self, usual: "Measured") -> list[str]:
        """What is not proven to be as good."""
        *judged, recall, coverage = (low for _, low, _ in self.differences(usual))
        found = [f"prompt accuracy by judge {number + 1}" for number, low in enumerate(judged) if low <= -MARGIN]
        found += [name for name, low in (("recall", recall), ("coverage", coverage)) if low <= -SPREAD_MARGIN]
        return found + (["sharpness"] if self.sharpness < SHARPNESS_KEPT * usual.sharpness else [])


def main(
    work: Path = Path("out/fast-sampling"),
    per_finding: int = 100,
    judges: int = 2,
    judge_phantoms: int = 12_000,
    plain: tuple[int, ...] = (12, 8),
    few: tuple[int, ...] = (4, 2),
    training_seeds: int = 2,
    noises: int = 1100,
    steps: int = 240,
) -> None:
    """Measures all samplers; prints a table and the verdict.

    Args:
        plain: steps of the model as it is, beside the usual 30; few: of its students.
        steps: of the training to 4 steps; the one to 2 takes half as many more.
    """
    students = {student_name(n, seed): (n, seed) for n in few for seed in range(1, training_seeds + 1)}
    ways = {f"{n} steps, guidance 3": Way(settings(steps=n, guidance=3.0)) for n in (30, *plain)}
    for name, (n, seed) in students.items():
        lora = distil(work, n, seed, noises=noises, max_train_steps=steps * (3 if n == 2 else 2) // 2)
        ways[name] = Way(settings(steps=n, guidance=1.0, solver="ddim"), lora)
    look = Looker(work, per_finding, judges, judge_phantoms)
    speeds = pictures_a_second(ways)
    found = {name: look(name, way, speeds[name]) for name, way in ways.items()}
    shares = ", ".join(f"{100 * share:.1f}" for share in look.judges_right)
    print(f"of fresh phantoms the judges name {shares} % rightly; their sharpness is {sharpness(look.real):.0f}")
    print(markdown_table(HEAD, [row(name, one, found[USUAL]) for name, one in found.items()]))
    judged = {
        n: of_several_seeds([found[name] for name, (m, _) in students.items() if m == n], found[USUAL]) for n in few
    }
    for n, (times, lacking) in judged.items():
        print(f"{n} steps: {times:.1f} times as fast; not proven: {', '.join(lacking) or 'nothing'}")
    times, n = max(((times, n) for n, (times, lacking) in judged.items() if not lacking), default=(0, 0))
    verdict(times >= GOAL, f"{times:.1f} times, {n} steps" if n else "none is proven to be no worse")


def of_several_seeds(students: list[Measured], usual: Measured) -> tuple[float, list[str]]:
    """How many times as fast, of the slowest; and what of any is not proven."""
    lacking = sorted({failing for one in students for failing in one.failings(usual)})
    return min(one.speed for one in students) / usual.speed, lacking


def student_name(few: int, seed: int) -> str:
    return f"distilled, {few} steps, seed {seed}"


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


@dataclass
class Looker:
    """Makes pictures, and looks at them."""

    work: Path
    per_finding: int
    judges: int
    judge_phantoms: int

    def __call__(self, name: str, way: Way, speed: float) -> Measured:
        pixels = self.sampled(name, way)
        asked = np.repeat(np.arange(len(FINDINGS)), self.per_finding)
        seen = self.extract(pixels)
        recalled, covered = neighbours(*map(torch.from_numpy, (self.real_features, seen)))
        answers = [self.judge(number, pixels) for number in range(self.judges)]
        answers.append(self.extract.probabilities(seen).argmax(axis=1))
        return Measured(
            speed, [answer == asked for answer in answers], frechet_distance(self.real_features, seen), recalled,
            covered, sharpness(pixels), self.attack(seen),
        )  # fmt: skip

    def sampled(self, name: str, way: Way) -> np.ndarray:
        """uint8 [N, SIZE, SIZE], a chunk a time, each kept; picture i has seed i."""
        prompts = [text for finding in FINDINGS for text in template_prompts(finding, self.per_finding, 303, REPHRASED)]
        sampler, parts = way.load(), []
        with progress(name, len(prompts), "pictures") as advance:
            for first in range(0, len(prompts), CHUNK):
                some = prompts[first : first + CHUNK]
                kept = self.work / f"pictures-{way.name}-{len(prompts)}-{first:05d}.npy"
                if not kept.is_file():
                    save_array(kept, sampler(some, [""] * len(some), range(first, first + len(some))))
                parts.append(np.load(kept))
                advance(len(some))
        return np.concatenate(parts)

    def judge(self, number: int, pixels: np.ndarray) -> np.ndarray:
        """The finding that this judge sees in each picture."""
        config, task, kept = self.judge_config, OneFinding(len(FINDINGS)), self.work / f"judge-{number}.pt"
        if not kept.is_file():
            self.train_judge(number, kept)
        network: nn.Module = torch.load(kept, weights_only=False)  # our own file
        return predict_probabilities(network, pixels, np.arange(len(pixels)), config, task).argmax(axis=1)

    @property
    def judge_config(self):
        return small_config(JUDGE_EPOCHS, SIZE, batch=32)

    def train_judge(self, number: int, kept: Path) -> None:
        seed, sizes = 1000 * number, (self.judge_phantoms, 1000)
        training, validation = (
            labelled_phantoms(seed + series, size, SIZE) for series, size in zip(JUDGE_SERIES, sizes, strict=True)
        )
        config, task = self.judge_config, OneFinding(len(FINDINGS))
        with progress(f"judge {number + 1}", config.steps(self.judge_phantoms), "steps") as advance:
            found = train_one(training, validation, config, task, number, advance)
        put_whole(kept, partial(torch.save, found.network))

    @cached_property
    def judges_right(self) -> list[float]:
        """Which share of fresh phantoms each names rightly."""
        pixels, labels = labelled_phantoms(202, 1000, SIZE)
        answers = [self.judge(number, pixels) for number in range(self.judges)]
        answers.append(self.extract.probabilities(self.extract(pixels)).argmax(axis=1))
        return [float((answer == labels).mean()) for answer in answers]

    @cached_property
    def extract(self):
        return tiny_extractor()

    @cached_property
    def real(self) -> np.ndarray:
        return labelled_phantoms(REAL_SERIES, self.per_finding * len(FINDINGS), SIZE)[0]

    @cached_property
    def real_features(self) -> np.ndarray:
        return self.extract(self.real)

    @cached_property
    def targets(self) -> np.ndarray:
        """Features of as many of the base's training phantoms as of others, in this order."""
        count = self.per_finding * len(FINDINGS)
        sides = [
            draw_phantoms(partial(draw_training_phantom, seed, size=SIZE, several=SEVERAL, independent=INDEPENDENT),
                          count, SIZE)[0]
            for seed in (TRAINING_SEED, REAL_SERIES + 1)
        ]  # fmt: skip
        return self.extract(np.concatenate(sides))

    def attack(self, seen: np.ndarray) -> MembershipTest:
        """By the distance to the nearest of the pictures; three phantoms in a row show one patient."""
        patients = np.arange(len(self.targets) // 2) // VIEWS
        owners = np.concatenate([patients, patients + patients[-1] + 1])
        members = np.arange(owners[-1] + 1) <= patients[-1]
        return compare_members(-nearest_distances(self.targets, seen), owners, members, 1000, np.random.default_rng(0))


def neighbours(real: Tensor, seen: Tensor) -> tuple[np.ndarray, np.ndarray]:
    """Of each real picture, bool [N] each: what recall and coverage are the means of (`cxr.evaluate.prdc`)."""
    between = torch.cdist(real, seen)
    reaches = [torch.cdist(x, x).kthvalue(NEIGHBOURS + 1, dim=1).values for x in (real, seen)]
    return (between < reaches[1]).any(dim=1).numpy(), (between < reaches[0][:, None]).any(dim=1).numpy()


def interval(values: np.ndarray) -> tuple[float, float, float]:
    """The mean, and its 95 % interval."""
    mean, half = float(values.mean()), 1.96 * float(values.std(ddof=1)) / len(values) ** 0.5
    return mean, mean - half, mean + half


def sharpness(pixels: np.ndarray) -> float:
    """The mean variance of the Laplacian of [N, S, S]."""
    x = torch.from_numpy(pixels).float()[:, None]
    kernel = torch.tensor([[0.0, 1, 0], [1, -4, 1], [0, 1, 0]])[None, None]
    return float(nn.functional.conv2d(x, kernel).var(dim=(1, 2, 3)).mean())


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
