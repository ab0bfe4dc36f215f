"""The one loop that trains a classifier on pictures held in memory, and asks it about others."""

import contextlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from cxr.classify.augment import CHANCES, augmented, centred
from cxr.classify.config import ClassifyConfig
from cxr.classify.curve import Point, best_of
from cxr.classify.networks import network
from cxr.classify.scores import auroc
from cxr.errors import BadInput
from cxr.ranks import Ranks

ORDER, DROPOUT = range(2)  # streams of draws of one seed
MENDED = "lower --learning-rate, or use --precision fp32"


@dataclass(frozen=True)
class Pictures:
    """What a classifier is trained and measured on; only read, so that many trainings can share it."""

    pixels: np.ndarray  # uint8 [N, resize, resize]
    labels: np.ndarray  # class numbers, int64 [N]
    validation: np.ndarray  # rows that choose the best point, int [n]
    test: np.ndarray | None = None  # rows whose AUROC is noted at each point, and never chosen by


@dataclass(frozen=True)
class Phase:
    """Pictures that are trained on for so many steps; each phase begins a new optimizer and a new cosine."""

    rows: np.ndarray  # int [n], a picture that counts twice stands twice
    steps: int


@dataclass(frozen=True)
class Trained:
    """A network as it was at the best point of its curve, in evaluation mode and the layout that files have."""

    network: nn.Module
    curve: list[Point]
    best: int


def train(
    pictures: Pictures,
    phases: Sequence[Phase],
    config: ClassifyConfig,
    classes: int,
    seed: int,
    watch: Callable[[Point | None], object] = lambda point: None,
    ranks: Ranks = Ranks(),  # noqa: B008
) -> Trained:
    """A classifier that the validation part has chosen among those of `config.epochs` moments of its training.

    The validations are spread evenly over the steps of all phases; the best point is one of the last phase. The same
    seed gives the same curve on the same kind of device, whatever else runs there. Workers share each batch, and the
    curve is that of one worker but for what they do on their own as in DistributedDataParallel: batch normalisation in
    training, whose running statistics are averaged before each validation, and dropout.

    Args:
        watch: called after each step, with the point where there was a validation.

    Raises:
        BadInput: the validation part lacks a class, the ImageNet weights are not to be had, the batch is too small for
            the workers, or the loss is no number any more.
    """
    check(pictures, phases, config, classes)
    ranks.check(config.batch)
    total = sum(phase.steps for phase in phases)
    due, last = moments(total, config.epochs), total - phases[-1].steps
    curve, losses, state = [], [], {}
    with seeded(seed):
        model = begun(config, classes, seed, ranks)
        for step, loss in enumerate(steps(model, pictures, phases, config, seed, ranks), start=1):
            losses.append(loss)
            point = None
            if step in due:
                point = validated(model, pictures, config, step, losses, ranks)
                curve.append(point)
                losses.clear()
                if step > last and best_of(curve, last) == len(curve) - 1:
                    state = {name: tensor.clone() for name, tensor in model.state_dict().items()}
            watch(point)
    model.load_state_dict(state)
    return Trained(model.eval().to(memory_format=torch.contiguous_format), curve, best_of(curve, last))


@torch.inference_mode()
def predict(model: nn.Module, pixels: np.ndarray, rows: np.ndarray, config: ClassifyConfig) -> np.ndarray:
    """Class probabilities, float32 [n, classes], of the rows [n] of uint8 [N, resize, resize]."""
    device = next(model.parameters()).device
    model.eval()
    parts = []
    for start in range(0, len(rows), config.batch):
        shown = centred(torch.from_numpy(pixels[rows[start : start + config.batch]]).to(device), config)
        with autocast(config, device):
            logits = model(shown)
        parts.append(logits.float().softmax(dim=1).cpu())
    return torch.cat(parts).numpy()


def check(pictures: Pictures, phases: Sequence[Phase], config: ClassifyConfig, classes: int) -> None:
    """`BadInput` unless the validation part shows every class; `ValueError` for what only a caller can mend."""
    shape = pictures.pixels.shape[1:]
    if pictures.pixels.dtype != np.uint8 or shape != (config.resize, config.resize):
        raise ValueError(f"{pictures.pixels.dtype} pictures of {shape}, not uint8 of {config.resize} px")
    if not phases or any(phase.steps < 1 or not len(phase.rows) for phase in phases):
        raise ValueError("a phase without pictures or steps")
    lacking = set(range(classes)) - set(pictures.labels[pictures.validation].tolist())
    if lacking:
        raise BadInput(f"the validation part shows no picture of class {min(lacking)}; it needs every class to choose")


def moments(total: int, count: int) -> set[int]:
    """So many steps of a total, spread evenly, or all where there are fewer; the last step is one of them."""
    return {total * number // count for number in range(1, count + 1)} - {0}


@contextlib.contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Inside, torch's own draws follow from the seed, and convolutions add up in one order; outside nothing changes."""
    devices = [torch.cuda.current_device()] if torch.cuda.is_available() else []
    cudnn = torch.backends.cudnn.flags(enabled=True, benchmark=False, deterministic=True)
    with torch.random.fork_rng(devices), cudnn:
        torch.manual_seed(seed)
        yield


def begun(config: ClassifyConfig, classes: int, seed: int, ranks: Ranks) -> nn.Module:
    """The network on its device with the first weights, the same on every worker; dropout is each worker's own."""
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    layout = torch.channels_last if in_bf16(config, device) else torch.contiguous_format
    model = network(config, classes).to(device).to(memory_format=layout)
    torch.manual_seed(int(np.random.default_rng([seed, DROPOUT, ranks.rank]).integers(2**62)))
    return model


def in_bf16(config: ClassifyConfig, device: torch.device) -> bool:
    """Whether the network computes in bfloat16: by default where the hardware does. Its weights are float32 anyway."""
    if config.precision != "auto":
        return config.precision == "bf16"
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    able = torch.cpu.get_capabilities()
    return bool(able.get("amx_bf16") or able.get("avx512_bf16"))


def autocast(config: ClassifyConfig, device: torch.device) -> torch.autocast:
    return torch.autocast(device.type, torch.bfloat16, enabled=in_bf16(config, device))


def steps(
    model: nn.Module, pictures: Pictures, phases: Sequence[Phase], config: ClassifyConfig, seed: int, ranks: Ranks
) -> Iterator[Tensor]:
    """Trains in place with AdamW and a cosine; the loss of each step, of all workers together."""
    weights = list(model.parameters())
    for number, phase in enumerate(phases):
        optimizer = torch.optim.AdamW(weights, config.learning_rate, weight_decay=config.weight_decay, fused=True)
        rates = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, phase.steps)
        for rows, chances in batches(phase, config.batch, np.random.default_rng([seed, ORDER, number])):
            share = ranks.slots(config.batch, 0)
            mine = slice(share.start, share.stop)
            loss = backward(model, pictures, rows[mine], chances[mine], config)
            ranks.add_up([loss, *(weight.grad for weight in weights if weight.grad is not None)])
            optimizer.step()
            rates.step()
            optimizer.zero_grad()
            yield loss


def batches(phase: Phase, batch: int, rng: np.random.Generator) -> Iterator[tuple[np.ndarray, Tensor]]:
    """Of each step the rows [batch] and their chances [batch, CHANCES]; a pass over the rows goes on into the next."""
    waiting = phase.rows[:0]
    for _ in range(phase.steps):
        while len(waiting) < batch:
            waiting = np.concatenate([waiting, rng.permutation(phase.rows)])
        yield waiting[:batch], torch.from_numpy(rng.random((batch, CHANCES), np.float32))
        waiting = waiting[batch:]


def backward(model: nn.Module, pictures: Pictures, rows: np.ndarray, chances: Tensor, config: ClassifyConfig) -> Tensor:
    """Leaves this worker's part of the gradient of the batch's mean loss; returns its part of that loss."""
    device = next(model.parameters()).device
    model.train()
    shown = augmented(torch.from_numpy(pictures.pixels[rows]).to(device), chances.to(device), config)
    with autocast(config, device):
        logits = model(shown)
    labels = torch.from_numpy(pictures.labels[rows]).to(device)
    loss = F.cross_entropy(logits.float(), labels, reduction="sum") / config.batch
    loss.backward()
    return loss.detach()


def validated(
    model: nn.Module, pictures: Pictures, config: ClassifyConfig, step: int, losses: Sequence[Tensor], ranks: Ranks
) -> Point:
    """The point of the curve after this step, the same on every worker; the losses are those since the last one."""
    seen = torch.stack(list(losses)).cpu()
    if not seen.isfinite().all():
        first = step - len(seen) + 1 + int((~seen.isfinite()).nonzero()[0])
        raise BadInput(f"step {first}: the loss is not a number any more; {MENDED}")
    average_statistics(model, ranks)
    return ranks.from_first(lambda: measured(model, pictures, config, step, seen.mean().item()))


def average_statistics(model: nn.Module, ranks: Ranks) -> None:
    """Puts the mean over the workers in place of the running statistics that each has gathered on its own shares."""
    if ranks.size > 1:
        statistics = [buffer for buffer in model.buffers() if buffer.is_floating_point()]
        ranks.add_up(statistics)
        for each in statistics:
            each /= ranks.size


def measured(model: nn.Module, pictures: Pictures, config: ClassifyConfig, step: int, loss: float) -> Point:
    labels = pictures.labels[pictures.validation]
    shares = predict(model, pictures.pixels, pictures.validation, config)
    if not np.isfinite(shares).all():
        raise BadInput(f"step {step}: what the network says is not a number any more; {MENDED}")
    test = None
    if pictures.test is not None:
        test = auroc(predict(model, pictures.pixels, pictures.test, config), pictures.labels[pictures.test])
    accuracy = float((shares.argmax(axis=1) == labels).mean())
    return Point(step, loss, auroc(shares, labels), accuracy, test)
