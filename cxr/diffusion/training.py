"""What a training takes from diffusers beside the model: its learning rates and the moving average of its weights."""

from collections.abc import Iterable
from typing import Literal

from diffusers.optimization import get_scheduler
from diffusers.training_utils import EMAModel
from torch import nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR


def schedule_rates(optimizer: Optimizer, schedule: Literal["cosine", "constant"], warmup: int, steps: int) -> LambdaLR:
    """The learning rate of every step: up over `warmup` steps, then level, or down to 0 after `steps`."""
    name = "constant_with_warmup" if schedule == "constant" else schedule
    return get_scheduler(name, optimizer, num_warmup_steps=warmup, num_training_steps=steps)


def average_weights(parameters: Iterable[nn.Parameter], decay: float) -> EMAModel:
    return EMAModel(parameters, decay=decay, foreach=True)
