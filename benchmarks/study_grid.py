"""Claim: a study's grid of trials is done at least 2.5 times as fast as by the serial script of the field's guides.

Ours: from the stored set to the results of all trials as jobs/study.py gets them, side by side on one thread each, in
bf16 where the CPU computes in it; Ray is up before. Theirs: one trial after another on all cores in fp32; ImageFolder
and a DataLoader decode the PNG files in every epoch. The same pictures, trials and epochs of a ResNet-18 from scratch.
"""

import os
import subprocess
import sys
import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import torch
from _side_by_side import side_by_side, verdict
from classifier_input import DEVIATION, MEAN, usual
from sklearn.metrics import roc_auc_score
from torch import nn
from torch.utils.data import DataLoader
from torchvision import transforms
from torchvision.datasets import ImageFolder
from torchvision.models import resnet18

from cxr import cluster
from cxr.classify.config import ClassifyConfig
from cxr.classify.loop import uses_bf16
from cxr.data.catalog import CatalogSet, read_set
from cxr.store import open_store
from cxr.study import job
from cxr.study.config import Arm, StudyConfig
from cxr.study.sets import Sets, load

GOAL = 2.5
THIN = 12  # every twelfth picture
CONFIG = StudyConfig(
    classifier=ClassifyConfig(network="resnet18", pretrained=False, epochs=2, batch=16),
    arms=(Arm(name="baseline"), Arm(name="half", real=50)),
    seeds=(42, 123),
    budget="epochs",
)
HERE = Path(__file__).parents[1]
REAL = HERE.parent / "shared" / "data" / "nih-cxr" / "manifest.csv"


def main() -> None:
    if not REAL.is_file():
        print(f"skipped: no {REAL}")
        return
    torch.set_num_threads(os.cpu_count() or 1)
    with tempfile.TemporaryDirectory() as folder, cluster.session(spare_cpus=0):
        real = thinned(folder)
        sides = side_by_side(lambda: ours(real), lambda: theirs(real, Path(folder)))
    units = (
        "bf16 units" if uses_bf16(CONFIG.classifier, torch.device("cpu")) else "no bf16 units, so ours is in fp32 too"
    )
    trials = len(CONFIG.arms) * len(CONFIG.seeds)
    print(f"{trials} trials on {len(real.table)} X-rays, {os.cpu_count()} CPUs with {units}")
    print(f"  ours {sides.our_median:.1f} s, the serial script {sides.their_median:.1f} s")
    print(f"  ratio of each turn: {', '.join(f'{ratio:.2f}' for ratio in sides.ratios)}")
    verdict(sides.ratio >= GOAL, f"{sides.ratio:.2f} times as fast (at least {GOAL})")


def thinned(folder: str) -> CatalogSet:
    """A part of the NIH set, as jobs/ingest.py stores it."""
    words = ("sd15", "--source", f"table:{REAL}", "--out", folder)
    subprocess.run([sys.executable, HERE / "jobs" / "ingest.py", *words], check=True, capture_output=True)
    found = read_set(open_store(folder))
    return replace(found, table=found.table.take(pa.array(range(0, len(found.table), THIN))))


def prepared(real: CatalogSet, out: str, config: StudyConfig = CONFIG) -> job.StudyJob:
    return job.prepare(open_store(out), config, real, synthetic=None, evaluation=None, weights=None)


def pictures(ready: job.StudyJob) -> tuple[np.ndarray, np.ndarray]:
    """The study's, decoded into what all trials read, and their labels."""
    pixels = load(ready.sets, ready.used, ready.config.classifier.resize, lambda count: None)
    return pixels, ready.sets.labels[ready.used]


def ours(real: CatalogSet) -> None:
    with tempfile.TemporaryDirectory() as out:
        ready = prepared(real, out)
        job.begin(ready)
        for _ in cluster.run_trials(job.pending_trials(ready, 1), 1, 1, cluster.share(*pictures(ready))):
            pass
        if len(job.read_trials(ready)) < len(ready.names):
            raise RuntimeError("a trial failed")


def theirs(real: CatalogSet, folder: Path) -> None:
    with tempfile.TemporaryDirectory() as out:
        ready = prepared(real, out)
    for (_, seed), drawn in ready.draws.items():
        torch.manual_seed(seed)
        train = DataLoader(files(ready.sets, drawn.real, folder, usual), CONFIG.classifier.batch, shuffle=True)
        held = [files(ready.sets, ready.sets.part(name), folder, plain) for name in ("validation", "test")]
        script(train, *(DataLoader(part, CONFIG.classifier.batch) for part in held))


def files(sets: Sets, rows: np.ndarray, folder: Path, change) -> ImageFolder:
    wanted = set(sets.real.table["image_id"].take(pa.array(rows)).to_pylist())
    return ImageFolder(
        folder / "images", change(CONFIG.classifier), is_valid_file=lambda file: Path(file).stem in wanted
    )


def plain(config: ClassifyConfig) -> transforms.Compose:
    return transforms.Compose([
        transforms.Resize((config.size, config.size)), transforms.ToTensor(), transforms.Normalize(MEAN, DEVIATION),
    ])  # fmt: skip


def script(train: DataLoader, validation: DataLoader, test: DataLoader) -> float:
    """One trial: the AUROC on the test part of the epoch that is best on the validation part."""
    device, config = "cuda" if torch.cuda.is_available() else "cpu", CONFIG.classifier
    model = resnet18(num_classes=2).to(device)
    optimizer = torch.optim.AdamW(model.parameters(), config.learning_rate, weight_decay=config.weight_decay)
    rates = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, config.epochs)
    best, kept = -1.0, {}
    for _ in range(config.epochs):
        model.train()
        for pictures, labels in train:
            loss = nn.functional.cross_entropy(model(pictures.to(device)), labels.to(device))
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        rates.step()
        if (found := auroc(model, validation, device)) > best:
            best, kept = found, {name: weight.clone() for name, weight in model.state_dict().items()}
    model.load_state_dict(kept)
    return auroc(model, test, device)


@torch.no_grad()
def auroc(model: nn.Module, pictures: DataLoader, device: str) -> float:
    model.eval()
    told = [(model(shown.to(device)).softmax(dim=1)[:, 1].cpu(), labels) for shown, labels in pictures]
    scores, labels = (torch.cat(part) for part in zip(*told, strict=True))
    return float(roc_auc_score(labels, scores))


if __name__ == "__main__":
    main()
