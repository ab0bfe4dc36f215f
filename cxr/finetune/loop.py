"""The one training loop, for both methods; the state between two steps is all that a restart needs."""

import contextlib
import json
import pickle
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from cxr.diffusion.family import DiffusionModel
from cxr.diffusion.precision import pick_dtype
from cxr.diffusion.training import average_weights, schedule_rates
from cxr.errors import BadInput
from cxr.finetune.batches import LORA, CaptionedImages, DrawSchedule, derive_seed
from cxr.finetune.config import FinetuneConfig, Metrics, check_batch, total_steps
from cxr.finetune.losses import Objective
from cxr.finetune.selection import Selection
from cxr.ranks import Ranks

TRAINING_ADVICE = "lower --learning-rate, or use --precision fp32 or bf16; the last checkpoint is kept"


class Trainer:
    """Trains the networks of `model` in place, a step at a time.

    Args:
        model: the base model in float32.
        instances: the set, [N, size, size].
        classes: class pictures for prior preservation, or None.
        recipe: `config.identity`; a checkpoint of another one is refused.
        ranks: this worker among those that train together; all draw the same order and take their own slots of it.
        units: what an epoch goes over, where it is not the set's pictures.

    Raises:
        BadInput: the set is too small, or the batch cannot be shared by the workers.
    """

    objective: Any  # gives the errors of what is drawn, as `Objective`
    draw_schedule: Any  # as `DrawSchedule`

    def __init__(
        self, model: DiffusionModel, config: FinetuneConfig, instances: CaptionedImages,
        classes: CaptionedImages | None = None, recipe: dict[str, Any] | None = None, ranks: Ranks = Ranks(),  # noqa: B008
        units: int | None = None,
    ) -> None:  # fmt: skip
        check(config, instances, classes, ranks)
        self.model, self.config, self.recipe, self.ranks = model, config, recipe or {}, ranks
        self.parameters = model.make_trainable(config, lambda number: derive_seed(config.seed, LORA, number))
        self.precision = pick_dtype(config.precision, "train", model.device)
        self.units = units or len(instances)
        self.steps = total_steps(config, self.units)
        self.prepare_objective(instances, classes)
        trained = list(self.parameters.values())
        self.optimizer = torch.optim.AdamW(
            trained, lr=config.learning_rate, weight_decay=config.weight_decay, fused=True
        )
        self.rates = schedule_rates(self.optimizer, config.schedule, config.warmup, self.steps)
        self.scaler = torch.amp.GradScaler(model.device.type, enabled=self.precision == torch.float16)
        self.ema = average_weights(trained, config.ema) if config.ema else None
        self.selection = Selection(config.select, config.patience)
        self.done = 0  # steps

    def prepare_objective(self, instances: CaptionedImages, classes: CaptionedImages | None) -> None:
        """Sets what steps are drawn from, and how wrong the model is at them."""
        pictures = instances + classes if classes else instances
        self.objective = Objective(self.model, pictures, self.config.cache, self.precision)
        self.draw_schedule = DrawSchedule(
            self.config, pictures.captions, len(instances), self.objective.latent_shape(), self.model.draw_time
        )

    @property
    def finished(self) -> bool:
        return self.done >= self.steps or self.selection.exhausted

    @property
    def validation_due(self) -> bool:
        return self.done % self.config.validate_every == 0 or self.done >= self.steps

    def step(self) -> Metrics:
        """One update of the weights. All metrics are of all workers together.

        Raises:
            BadInput: the loss is no number any more; the weights are those of the step before.
        """
        start = time.perf_counter()
        loss = self.backward()
        rate = float(self.rates.get_last_lr()[0])
        norm = self.update(loss)
        self.done += 1
        metrics = {"loss": loss, "learning_rate": rate, "gradient_norm": norm}
        return {"step": self.done, **metrics, "seconds": time.perf_counter() - start}

    def backward(self) -> float:
        """Leaves the gradient of the next step's loss, both of all workers together; returns the loss."""
        passes = self.config.accumulation
        total = torch.zeros((), device=self.model.device)
        for turn in range(passes):
            slots = self.ranks.slots(self.config.batch, turn)
            batch = self.draw_schedule.batch(self.done, slots)
            errors = self.objective.errors(batch)
            loss = (errors * batch.weights.to(errors.device)).sum() / (self.config.batch * passes)
            self.scaler.scale(loss).backward()
            total += loss.detach()
        self.ranks.all_reduce([total, *self.gradients()])
        return total.item()

    def update(self, loss: float) -> float:
        """The optimizer's step on the clipped gradient; returns its norm before that."""
        self.scaler.unscale_(self.optimizer)
        norm = self.clip()
        # Half precision overflows now and then: its scaler then leaves the step out and scales less.
        if not torch.isfinite(torch.tensor(loss)) or not (self.scaler.is_enabled() or torch.isfinite(norm)):
            self.optimizer.zero_grad()
            raise BadInput(
                f"step {self.done + 1}: the loss or its gradient is not a number any more; {TRAINING_ADVICE}"
            )
        self.scaler.step(self.optimizer)
        self.scaler.update()
        self.rates.step()
        self.optimizer.zero_grad()
        if self.ema:
            self.ema.step(self.parameters.values())
        return norm.item()

    def clip(self) -> Tensor:
        """Cuts a long gradient; returns its norm before that."""
        return torch.nn.utils.clip_grad_norm_(self.parameters.values(), self.config.max_grad_norm)

    def gradients(self) -> list[Tensor]:
        return [parameter.grad for parameter in self.parameters.values() if parameter.grad is not None]

    @contextlib.contextmanager
    def averaged(self) -> Iterator[None]:
        """Inside, the model is what would be kept now: the moving average, if there is one, and in evaluation mode."""
        trained = list(self.parameters.values())
        modules = [module for module in self.model.networks if module.training]
        if self.ema:
            self.ema.store(trained)
            self.ema.copy_to(trained)
        for module in modules:
            module.eval()
        try:
            with torch.no_grad(), torch.autocast(
                self.model.device.type, self.precision, enabled=self.precision != torch.float32
            ):  # fmt: skip
                yield
        finally:
            for module in modules:
                module.train()
            if self.ema:
                self.ema.restore(trained)

    def state_dict(self) -> dict[str, Any]:
        """References to all that changes from step to step; loads with `weights_only=True`."""
        return {
            "step": self.done,
            "recipe": json.dumps(self.recipe, sort_keys=True),
            "parameters": {name: parameter.detach() for name, parameter in self.parameters.items()},
            "optimizer": self.optimizer.state_dict(),
            "rates": self.rates.state_dict(),
            "scaler": self.scaler.state_dict(),
            "ema": self.ema.state_dict() if self.ema else None,
            "selection": self.selection.state_dict(),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Goes on where `state_dict` was taken.

        Raises:
            BadInput: it was taken under another recipe.
        """
        refuse_other_recipe(json.loads(state["recipe"]), self.recipe, state["step"])
        with torch.no_grad():
            for name, parameter in self.parameters.items():
                parameter.copy_(state["parameters"][name])
        self.optimizer.load_state_dict(state["optimizer"])
        self.rates.load_state_dict(state["rates"])
        self.scaler.load_state_dict(state["scaler"])
        if self.ema:
            self.ema.load_state_dict(state["ema"])
            self.ema.to(self.model.device)
        self.selection = Selection(**state["selection"])
        self.done = state["step"]


def train(
    trainer: Trainer, validate: Callable[[], Metrics], report: Callable[[Metrics], None], keep: Callable[[bool], None]
) -> None:
    """Steps until the end, or until the selection is exhausted; a trainer that has finished is left as it is.

    Args:
        validate: measures the model as it would be kept now; called on the first worker only.
        report: gets the metrics of every step, with those of the validation where there was one.
        keep: stores a checkpoint after a validation and its report, on every worker; called with whether it is the best
            so far. The model to leave is the one inside `trainer.averaged()`.
    """
    while not trainer.finished:
        metrics = trainer.step()
        if not trainer.validation_due:
            report(metrics)
            continue
        with trainer.averaged():
            scores = trainer.ranks.broadcast_from_first(lambda: run_validation(validate, trainer.done))
        best = trainer.selection.update(trainer.done, scores)
        report(metrics | scores)
        keep(best)


def run_validation(validate: Callable[[], Metrics], step: int) -> Metrics:
    """The scores; `BadInput` if the model has come to show nothing that is a number."""
    try:
        return validate()
    except FloatingPointError as error:
        raise BadInput(f"step {step}: {error}; {TRAINING_ADVICE}") from None


def save_checkpoint(trainer: Trainer, path: Path) -> None:
    torch.save(trainer.state_dict(), path)


def load_checkpoint(trainer: Trainer, path: Path) -> None:
    """Goes on from a file of `save_checkpoint`.

    Raises:
        BadInput: the file is damaged or of another recipe.
    """
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except (OSError, RuntimeError, EOFError, pickle.UnpicklingError):
        raise BadInput(f"{path}: not a whole checkpoint; remove it to go on from the one before") from None
    trainer.load_state_dict(state)


def check(config: FinetuneConfig, instances: CaptionedImages, classes: CaptionedImages | None, ranks: Ranks) -> None:
    """`BadInput` unless a step can be filled."""
    check_batch(config, len(instances))
    if bool(config.prior_weight) != bool(classes and len(classes)):
        raise BadInput(
            f"--prior-weight {config.prior_weight:g} with {len(classes or ())} class pictures; give both or neither"
        )
    ranks.check(config.batch)


def refuse_other_recipe(stored: dict[str, Any], ours: dict[str, Any], step: int) -> None:
    """`BadInput` unless a checkpoint's recipe is this one."""
    changed = [f"{k} {stored.get(k)} -> {ours.get(k)}" for k in sorted(stored | ours) if stored.get(k) != ours.get(k)]
    if changed:
        raise BadInput(
            f"the checkpoint of step {step} is of another recipe ({', '.join(changed[:4])}); use another --out"
        )
