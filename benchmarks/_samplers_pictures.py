"""What is found out about the pictures of a way to sample the embedded model, beside those of another."""

from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path

import numpy as np
import torch
from _distilled import put_whole, save_array
from _guidance_interval import IntervalSampler
from torch import Tensor, nn

from cxr.audit.membership import MembershipTest, compare_members
from cxr.classify.best_of import small_config, train_one
from cxr.classify.loop import predict_probabilities
from cxr.classify.task import OneFinding
from cxr.diffusion.config import SamplerConfig
from cxr.diffusion.sampler import Sampler
from cxr.diffusion.stable_diffusion import StableDiffusion
from cxr.evaluate.features import tiny_extractor
from cxr.evaluate.frechet import frechet_distance
from cxr.evaluate.prdc import nearest_distances
from cxr.jobs.pretrain import JUDGE_EPOCHS, labelled_phantoms
from cxr.pretrain.build import draw_phantoms, draw_training_phantom
from cxr.progress import progress
from cxr.prompts.findings import FINDINGS
from cxr.prompts.phrases import REPHRASED
from cxr.prompts.templates import template_prompts
from cxr.weights import resolve

MARGIN, SPREAD_MARGIN, SHARPNESS_KEPT = 0.03, 0.05, 0.9
SIZE, CHUNK, NEIGHBOURS, VIEWS = 128, 100, 5, 3
REAL_SERIES, JUDGE_SERIES = 900, (101, 404)
TRAINING_SEED, SEVERAL, INDEPENDENT = 4, 0.15, 0.55  # of the phantoms of its last training (docs/model-card.md)


@dataclass(frozen=True)
class Way:
    """How the embedded model is sampled."""

    config: SamplerConfig
    lora: Path | None = None
    guided: range | None = None  # the steps that are, if not all

    @property
    def name(self) -> str:
        """Of its files."""
        model = self.lora.parent.name if self.lora else "base"
        precision = "" if self.config.precision == "auto" else f"-{self.config.precision}"
        return f"{model}-{self.config.steps}" + precision + ("-interval" if self.guided else "")

    def load(self) -> Sampler:
        sampler = Sampler.load(resolve("tiny").path, self.lora, self.config)
        if not self.guided:
            return sampler
        assert isinstance(sampler.model, StableDiffusion)
        return IntervalSampler(sampler.model, self.config, self.guided)


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


@dataclass
class Looker:
    """Makes pictures, and looks at them."""

    work: Path
    per_finding: int
    judges: int
    judge_phantoms: int

    def __call__(self, name: str, way: Way, speed: float) -> Measured:
        pixels = self.sampled(name, way)
        seen = self.extract(pixels)
        recalled, covered = neighbours(*map(torch.from_numpy, (self.real_features, seen)))
        answers = [self.judge(number, pixels) for number in range(self.judges)]
        answers.append(self.extract.probabilities(seen).argmax(axis=1))
        return Measured(
            speed, [answer == self.asked for answer in answers], frechet_distance(self.real_features, seen), recalled,
            covered, sharpness(pixels), self.attack(seen),
        )  # fmt: skip

    @property
    def asked(self) -> np.ndarray:
        """The class number of what each picture should show, int [N]."""
        return np.repeat(np.arange(len(FINDINGS)), self.per_finding)

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
