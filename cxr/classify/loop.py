"""The loop that trains a classifier on images in memory, and its predictions on others."""

import contextlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from cxr.classify.augment import RANDOM_NUMBERS_PER_IMAGE, augment, center_crop
from cxr.classify.classifiers import build_classifier
from cxr.classify.config import ClassifyConfig
from cxr.classify.curve import ValidationPoint, best_point
from cxr.classify.task import Task
from cxr.errors import BadInput
from cxr.ranks import Ranks

ORDER_STREAM, DROPOUT_STREAM = range(2)  # independent random streams of one seed
TRAINING_ADVICE = "lower --learning-rate, or use --precision fp32"


@dataclass(frozen=True)
class LabelledImages:
    """What a classifier is trained and evaluated on; only read, so that many trainings can share it."""

    pixels: np.ndarray  # uint8 [N, resize, resize]; where the network is frozen, its features float32 [N, d]
    targets: np.ndarray  # [N] or [N, outputs], what the task learns
    validation: np.ndarray  # rows that choose the best point, int [n]
    test: np.ndarray | None = None  # rows whose AUROC is recorded at each point, and never chosen by


@dataclass(frozen=True)
class TrainingPhase:
    """Pictures that are trained on for so many steps; each phase begins a new optimizer and a new cosine."""

    rows: np.ndarray  # int [n], a picture that counts twice stands twice
    steps: int


@dataclass(frozen=True)
class TrainedClassifier:
    """A network as it was at the best point of its curve, in evaluation mode and the layout that files have."""

    network: nn.Module
    curve: list[ValidationPoint]
    best: int


def train_classifier(
    pictures: LabelledImages,
    phases: Sequence[TrainingPhase],
    config: ClassifyConfig,
    task: Task,
    seed: int,
    watch: Callable[[ValidationPoint | None], object] = lambda point: None,
    ranks: Ranks = Ranks(),  # noqa: B008
) -> TrainedClassifier:
    """Trains a classifier and returns it as it was at the best of `config.epochs` validations.

    The validations are spread evenly over the steps of all phases; the best point is one of the last phase. The same
    seed gives the same curve on the same kind of device, whatever else runs there. Workers share each batch, and the
    curve is that of one worker but for what they do on their own as in DistributedDataParallel: batch normalisation in
    training, whose running statistics are averaged before each validation, and dropout.

    Args:
        watch: called after each step, with the point where there was a validation.

    Raises:
        BadInput: the validation part cannot choose, the ImageNet weights are not to be had, the batch is too small for
            the workers, or the loss is no number any more.
    """
    check_inputs(pictures, phases, config, task)
    ranks.check(config.batch)
    total = sum(phase.steps for phase in phases)
    due, last = validation_steps(total, config.epochs), total - phases[-1].steps
    curve, losses, state = [], [], {}
    with seed_torch(seed):
        model = start_model(config, task.outputs, pictures.pixels.shape[-1], seed, ranks)
        for step, loss in enumerate(training_steps(model, pictures, phases, config, task, seed, ranks), start=1):
            losses.append(loss)
            point = None
            if step in due:
                point = validate(model, pictures, config, task, step, losses, ranks)
                curve.append(point)
                losses.clear()
                if step > last and best_point(curve, last) == len(curve) - 1:
                    state = {name: tensor.clone() for name, tensor in model.state_dict().items()}
            watch(point)
    model.load_state_dict(state)
    return TrainedClassifier(model.eval().to(memory_format=torch.contiguous_format), curve, best_point(curve, last))


@torch.inference_mode()
def predict_probabilities(
    model: nn.Module, pixels: np.ndarray, rows: np.ndarray, config: ClassifyConfig, task: Task
) -> np.ndarray:
    """Of each finding, float32 [n, outputs], of the rows [n] of `LabelledImages.pixels`."""
    device = next(model.parameters()).device
    model.eval()
    parts = []
    for start in range(0, len(rows), config.batch):
        shown = torch.from_numpy(pixels[rows[start : start + config.batch]]).to(device)
        if not config.frozen:
            shown = center_crop(shown, config)
        with autocast(config, device):
            logits = model(shown)
        parts.append(task.probabilities(logits.float()).cpu())
    return torch.cat(parts).numpy()


def check_inputs(pictures: LabelledImages, phases: Sequence[TrainingPhase], config: ClassifyConfig, task: Task) -> None:
    """`BadInput` unless the validation part can choose; `ValueError` for what only a caller can mend."""
    dtype, shape = pictures.pixels.dtype, pictures.pixels.shape[1:]
    if config.frozen and (dtype != np.float32 or len(shape) != 1):
        raise ValueError(f"{dtype} of {shape}, not features float32 of one dimension")
    if not config.frozen and (dtype != np.uint8 or shape != (config.resize, config.resize)):
        raise ValueError(f"{dtype} pictures of {shape}, not uint8 of {config.resize} px")
    if not phases or any(phase.steps < 1 or not len(phase.rows) for phase in phases):
        raise ValueError("a phase without pictures or steps")
    task.check_validation(pictures.targets[pictures.validation])


def validation_steps(total: int, count: int) -> set[int]:
    """So many steps of a total, spread evenly, or all where there are fewer; the last step is one of them."""
    return {total * number // count for number in range(1, count + 1)} - {0}


@contextlib.contextmanager
def seed_torch(seed: int) -> Iterator[None]:
    """Inside, torch's random numbers follow from the seed and convolutions are deterministic."""
    devices = [torch.cuda.current_device()] if torch.cuda.is_available() else []
    cudnn = torch.backends.cudnn.flags(enabled=True, benchmark=False, deterministic=True)
    with torch.random.fork_rng(devices), cudnn:
        torch.manual_seed(seed)
        yield


def start_model(config: ClassifyConfig, outputs: int, features: int, seed: int, ranks: Ranks) -> nn.Module:
    """The network on its device with the first weights, the same on every worker; dropout is each worker's own.

    Args:
        features: how many a picture has, where the network is frozen.
    """
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    layout = torch.channels_last if uses_bf16(config, device) else torch.contiguous_format
    model = build_classifier(config, outputs, features).to(device).to(memory_format=layout)
    torch.manual_seed(int(np.random.default_rng([seed, DROPOUT_STREAM, ranks.rank]).integers(2**62)))
    return model


def uses_bf16(config: ClassifyConfig, device: torch.device) -> bool:
    """Whether the network computes in bfloat16: by default where the hardware does. Its weights are float32 anyway."""
    if config.precision != "auto":
        return config.precision == "bf16"
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    able = torch.cpu.get_capabilities()
    return bool(able.get("amx_bf16") or able.get("avx512_bf16"))


def autocast(config: ClassifyConfig, device: torch.device) -> torch.autocast:
    return torch.autocast(device.type, torch.bfloat16, enabled=uses_bf16(config, device))


def training_steps(
    model: nn.Module,
    pictures: LabelledImages,
    phases: Sequence[TrainingPhase],
    config: ClassifyConfig,
    task: Task,
    seed: int,
    ranks: Ranks,
) -> Iterator[Tensor]:
    """Trains in place with AdamW and a cosine; the loss of each step, of all workers together."""
    weights = list(model.parameters())
    for number, phase in enumerate(phases):
        optimizer = torch.optim.AdamW(weights, config.learning_rate, weight_decay=config.weight_decay, fused=True)
        rates = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, phase.steps)
        for rows, randoms in draw_batches(phase, config.batch, np.random.default_rng([seed, ORDER_STREAM, number])):
            share = ranks.slots(config.batch, 0)
            mine = slice(share.start, share.stop)
            loss = backpropagate(model, pictures, rows[mine], randoms[mine], config, task)
            ranks.all_reduce([loss, *(weight.grad for weight in weights if weight.grad is not None)])
            optimizer.step()
            rates.step()
            optimizer.zero_grad()
            yield loss


def draw_batches(phase: TrainingPhase, batch: int, rng: np.random.Generator) -> Iterator[tuple[np.ndarray, Tensor]]:
    """Of each step the rows [batch] and their random numbers; one pass over the rows follows another."""
    waiting = phase.rows[:0]
    for _ in range(phase.steps):
        while len(waiting) < batch:
            waiting = np.concatenate([waiting, rng.permutation(phase.rows)])
        yield waiting[:batch], torch.from_numpy(rng.random((batch, RANDOM_NUMBERS_PER_IMAGE), np.float32))
        waiting = waiting[batch:]


def backpropagate(
    model: nn.Module, pictures: LabelledImages, rows: np.ndarray, randoms: Tensor, config: ClassifyConfig, task: Task
) -> Tensor:
    """Adds this worker's share of the gradient of the batch's mean loss; returns its share of that loss."""
    device = next(model.parameters()).device
    model.train()
    shown = torch.from_numpy(pictures.pixels[rows]).to(device)
    if not config.frozen:
        shown = augment(shown, randoms.to(device), config)
    with autocast(config, device):
        logits = model(shown)
    loss = task.loss(logits.float(), torch.from_numpy(pictures.targets[rows]).to(device)) / config.batch
    loss.backward()
    return loss.detach()


def validate(
    model: nn.Module,
    pictures: LabelledImages,
    config: ClassifyConfig,
    task: Task,
    step: int,
    losses: Sequence[Tensor],
    ranks: Ranks,
) -> ValidationPoint:
    """The point of the curve after this step, the same on every worker; `losses` are those since the last point."""
    recent = torch.stack(list(losses)).cpu()
    if not recent.isfinite().all():
        first = step - len(recent) + 1 + int((~recent.isfinite()).nonzero()[0])
        raise BadInput(f"step {first}: the loss is not a number any more; {TRAINING_ADVICE}")
    average_statistics(model, ranks)
    return ranks.broadcast_from_first(lambda: measure_point(model, pictures, config, task, step, recent.mean().item()))


def average_statistics(model: nn.Module, ranks: Ranks) -> None:
    """Puts the mean over the workers in place of the running statistics that each has gathered on its own shares."""
    if ranks.size > 1:
        statistics = [buffer for buffer in model.buffers() if buffer.is_floating_point()]
        ranks.all_reduce(statistics)
        for each in statistics:
            each /= ranks.size


def measure_point(
    model: nn.Module, pictures: LabelledImages, config: ClassifyConfig, task: Task, step: int, loss: float
) -> ValidationPoint:
    targets = pictures.targets[pictures.validation]
    shares = predict_probabilities(model, pictures.pixels, pictures.validation, config, task)
    if not np.isfinite(shares).all():
        raise BadInput(f"step {step}: the network's output is not a number any more; {TRAINING_ADVICE}")
    test = None
    if pictures.test is not None:
        tested = predict_probabilities(model, pictures.pixels, pictures.test, config, task)
        test = task.auroc(tested, pictures.targets[pictures.test])
    return ValidationPoint(step, loss, task.auroc(shares, targets), task.accuracy(shares, targets), test)
