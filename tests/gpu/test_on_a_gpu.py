"""What holds on a GPU alone. `benchmarks/gpu.py` runs these there; where there is none they are skipped."""

import numpy as np
import pytest
import torch

from cxr import recipes
from cxr.classify.config import ClassifyConfig
from cxr.classify.loop import LabelledImages, TrainingPhase, train_classifier
from cxr.classify.task import OneFinding
from cxr.diffusion.config import SamplerConfig
from cxr.diffusion.gpu import decode_in_parts
from cxr.diffusion.sampler import Sampler
from cxr.diffusion.stable_diffusion import StableDiffusion
from cxr.embedded.phantoms import draw_phantom
from cxr.evaluate.features import tiny_extractor
from cxr.finetune.batches import CaptionedImages
from cxr.finetune.loop import Trainer
from cxr.weights.found import TINY

pytestmark = pytest.mark.skipif(
    not torch.cuda.is_available(), reason="no CUDA device: benchmarks/gpu.sh runs these on a machine that has one"
)
CONFIG = SamplerConfig(size=128, steps=4, batch=4, guidance=3.0)
PROMPTS, NO, SEEDS = [f"Chest X-ray number {i}" for i in range(6)], [""] * 6, range(6)


def sample(**options: object) -> np.ndarray:
    sampler = Sampler.load(TINY, None, CONFIG.model_copy(update=options))
    assert sampler.model.device.type == "cuda"
    return sampler(PROMPTS, NO, SEEDS).astype(int)


@pytest.fixture(scope="module")
def phantoms() -> np.ndarray:
    return np.stack([draw_phantom(0, number, size=128).pixels for number in range(16)])


def test_the_same_recipe_gives_the_same_pictures() -> None:
    assert np.array_equal(sample(), sample())


def test_cuda_graphs_give_the_same_pictures() -> None:
    graphed = sample(cuda_graphs=True)
    assert np.abs(graphed - sample()).max() <= 1 and len({picture.tobytes() for picture in graphed}) == 6


def test_half_precision_is_close_to_full_precision() -> None:
    assert np.abs(sample() - sample(precision="fp32")).mean() < 2


def test_a_decoder_that_takes_few_latents_at_a_time_needs_less_memory() -> None:
    peaks = []
    for most in (1, 16):
        model = StableDiffusion.load(TINY, torch.float32)
        decode_in_parts(model.pipe.vae, most)
        torch.cuda.reset_peak_memory_stats()
        with torch.inference_mode():
            model.pipe.vae.decode(torch.zeros(16, *model.latent_shape(128, 128), device="cuda"))
        peaks.append(torch.cuda.max_memory_allocated())
    assert peaks[0] < peaks[1]


def test_a_training_in_bf16_lowers_the_loss_of_its_pictures(phantoms: np.ndarray) -> None:
    config = recipes.replace_fields(
        recipes.FINETUNE["tiny"](), size=128, batch=8, max_train_steps=60, method="dreambooth", learning_rate=1e-4
    )
    pictures = CaptionedImages(phantoms, ["an X-ray of another clinic"] * len(phantoms))
    trainer = Trainer(StableDiffusion.load(TINY, torch.float32), config, pictures)
    assert trainer.precision == torch.bfloat16 or not torch.cuda.is_bf16_supported(including_emulation=False)
    losses = [trainer.step()["loss"] for _ in range(60)]
    assert np.mean(losses[-20:]) < np.mean(losses[:20])


def test_a_classifier_has_the_same_curve_again(phantoms: np.ndarray) -> None:
    config = ClassifyConfig(pretrained=False, network="resnet18", resize=128, size=112, batch=8, epochs=2)
    task, rows = OneFinding(2), np.arange(16)
    targets = task.targets(np.eye(2, dtype=np.float32)[rows % 2])
    curves = [
        train_classifier(LabelledImages(phantoms, targets, rows), [TrainingPhase(rows, 6)], config, task, seed=1).curve
        for _ in range(2)
    ]
    assert curves[0] == curves[1]


def test_features_are_those_of_a_cpu(phantoms: np.ndarray, monkeypatch: pytest.MonkeyPatch) -> None:
    extractor = tiny_extractor()
    assert extractor.device == "cuda"
    with monkeypatch.context() as patched:
        patched.setattr(torch.cuda, "is_available", lambda: False)
        expected = tiny_extractor()(phantoms)
    assert np.linalg.norm(extractor(phantoms) - expected) < 1e-2 * np.linalg.norm(expected)
