"""Does the embedded model show every finding that is asked for, and no other? Pictures from rephrased prompts of
several findings, looked at by a classifier of phantoms that answers for each finding by itself."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np
import torch
from sklearn.metrics import roc_auc_score
from torch import Tensor

from cxr.classify.small_cnn import SmallCnn, pixels_to_input
from cxr.classify.task import SeveralFindings
from cxr.data.prompt_accuracy import PromptAccuracy
from cxr.prompts.findings import Attributes, sample_attributes
from cxr.prompts.phrases import REPHRASED
from cxr.prompts.templates import describe_attributes
from cxr.report.pages import markdown_table

STEPS, BATCH, RATE = 1200, 32, 4e-3  # of the classifier
ALONE = 0.4  # share of the steps
SHOWN = 0.5  # probability from which it sees a finding

Labelled = tuple[np.ndarray, np.ndarray]  # uint8 [N, H, W], and bool [N, F]: which findings each shows
See = Callable[[np.ndarray], np.ndarray]  # uint8 [N, H, W] to the probability of each finding, float32 [N, F]


@dataclass(frozen=True)
class Combinations:
    """What was asked and seen, bool [N, F], and the same of phantoms, whose truth is known."""

    findings: tuple[str, ...]
    asked: np.ndarray
    seen: np.ndarray
    fresh: np.ndarray
    fresh_seen: np.ndarray
    auroc: tuple[float, ...]  # of the classifier on these phantoms, by finding

    def accuracy(self, finding: str, asked: bool) -> PromptAccuracy:
        """Of the pictures that it was asked for, or of all others."""
        column = self.findings.index(finding)
        seen = self.seen[self.asked[:, column] == asked, column]
        with_it, without = (self.fresh_seen[self.fresh[:, column] == there, column].mean() for there in (True, False))
        return PromptAccuracy(finding, int(seen.sum()), len(seen), float(with_it), float(without))

    def share(self, finding: str, asked: bool) -> float:
        """In which it is seen."""
        found = self.accuracy(finding, asked)
        return found.seen / found.total

    @property
    def all_right(self) -> float:
        """Share of pictures that show what was asked in every finding; 1/2^F by chance."""
        return float((self.asked == self.seen).all(axis=1).mean())


def labels_of(shown: Sequence[Attributes], findings: Sequence[str]) -> np.ndarray:
    """Which findings, each a pattern, each picture shows, bool [N, F]."""
    patterns = [{sign.pattern for sign in one.signs} for one in shown]
    return np.array([[finding in one for finding in findings] for one in patterns])


def measure_combinations(
    sample: Callable[[Sequence[str], Sequence[int]], np.ndarray],
    see: See,
    fresh: Labelled,
    findings: tuple[str, ...],
    per_combination: int,
    seed: int,
) -> Combinations:
    """Asks for every combination of the findings, and for none of them, in sentences that no training caption has.

    Args:
        sample: prompts and seeds to uint8 [N, H, W].
        fresh: phantoms that neither model nor classifier saw.
    """
    rng = np.random.default_rng(seed)
    asked = np.repeat(list(product((False, True), repeat=len(findings))), per_combination, axis=0)
    prompts = []
    for row in asked:
        shown = [finding for finding, there in zip(findings, row, strict=True) if there]
        attributes = sample_attributes(shown, "FM"[rng.integers(2)], int(rng.integers(3, 95)), rng)
        prompts.append(describe_attributes(attributes, rng, REPHRASED))
    seen = see(sample(prompts, range(len(prompts)))) >= SHOWN
    pixels, labels = fresh
    probabilities = see(pixels)
    auroc = tuple(float(roc_auc_score(*both)) for both in zip(labels.T, probabilities.T, strict=True))
    return Combinations(findings, asked, seen, labels, probabilities >= SHOWN, auroc)


class AnywhereCnn(SmallCnn):
    """Sees a finding where any place of the picture shows it: the log of the sum of exponentials over places, a smooth
    maximum (Pinheiro and Collobert 2015, arXiv:1411.6228). In the mean over all places a nodule is lost."""

    def forward(self, pictures: Tensor) -> Tensor:
        """float32 [B, 1, H, W] in [-1, 1] to logits [B, classes]."""
        return self.head(self.stages(pictures).permute(0, 2, 3, 1)).flatten(1, 2).logsumexp(dim=1)


def train_multi_label(
    first: Labelled, others: Labelled, seed: int, advance: Callable[[], object] = lambda: None
) -> See:
    """A small network that learns each finding by itself.

    Args:
        first: pictures that show these findings alone, seen alone in the beginning: among many others a nodule is not
            learned.
        others: pictures of others too, which it learns to tell from them.
    """
    pixels, labels = (np.concatenate(both) for both in zip(first, others, strict=True))
    task = SeveralFindings(labels.shape[1])
    targets = task.targets(labels)
    torch.manual_seed(seed)
    rng, network = np.random.default_rng(seed), AnywhereCnn(task.outputs)
    optimizer = torch.optim.AdamW(network.parameters())
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, RATE, total_steps=STEPS)
    for step in range(STEPS):
        rows = rng.integers(len(first[0]) if step < ALONE * STEPS else len(pixels), size=BATCH)
        loss = task.loss(network(pixels_to_input(pixels[rows])), torch.from_numpy(targets[rows])) / BATCH
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
        advance()
    network.eval()

    @torch.inference_mode()
    def see(pictures: np.ndarray) -> np.ndarray:
        batches = (pixels_to_input(pictures[at : at + 64]) for at in range(0, len(pictures), 64))
        return torch.cat([task.probabilities(network(batch)) for batch in batches]).numpy()

    return see


def combinations_table(found: Combinations) -> str:
    """In Markdown; beside what is seen, what is there by an estimate that allows for the classifier's errors."""
    head = ["finding", "seen where asked for", "there", "seen where not", "there", "the classifier"]
    return markdown_table(head, [_row(found, finding) for finding in found.findings])


def _row(found: Combinations, finding: str) -> list[str]:
    asked, others = found.accuracy(finding, True), found.accuracy(finding, False)
    cells = [finding]
    for one in (asked, others):
        cells += [f"{one.seen} of {one.total} ({one.seen / one.total:.0%})", _percent(one.right)]
    auroc = found.auroc[found.findings.index(finding)]
    return [*cells, f"sees {asked.sensitivity:.0%} and {asked.false_alarms:.0%} of phantoms, AUROC {auroc:.3f}"]


def _percent(share: float | None) -> str:
    return "unclear" if share is None else f"about {share:.0%}"
