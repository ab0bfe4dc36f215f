"""What training leaves: a folder or LoRA files that load into a fresh pipeline and give the model in memory."""

import copy
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from diffusers import StableDiffusionPipeline
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from cxr.diffusion.adapters import KOHYA_FILE, LORA_FILE, sort_metadata
from cxr.diffusion.config import SamplerConfig
from cxr.diffusion.sampler import Sampler
from cxr.diffusion.stable_diffusion import StableDiffusion
from cxr.errors import BadInput
from cxr.weights import resolve, resolve_lora

TEXTS = pytest.mark.parametrize("train_text_encoder", [False, True], ids=["unet", "unet and text"])


@torch.no_grad()
def answer(pipe: StableDiffusionPipeline) -> torch.Tensor:
    """What text encoder and UNet say of a fixed input."""
    pipe.unet.eval(), pipe.text_encoder.eval()
    chance = torch.Generator().manual_seed(0)
    noisy = torch.randn((2, pipe.unet.config.in_channels, 16, 16), generator=chance)
    ids = pipe.tokenizer(["pneumonia", "normal"], padding="max_length", return_tensors="pt").input_ids
    hidden = pipe.text_encoder(ids).last_hidden_state
    return pipe.unet(noisy, torch.tensor([10, 900]), hidden).sample


@pytest.fixture
def base(miniature: StableDiffusion):
    return lambda: copy.deepcopy(miniature.pipe)


@pytest.mark.parametrize(
    ("file", "train_text_encoder"),
    [
        (LORA_FILE, False),
        (KOHYA_FILE, True),
        *(pytest.param(*both, marks=pytest.mark.slow) for both in ((LORA_FILE, True), (KOHYA_FILE, False))),
    ],
)
def test_a_saved_lora_in_a_fresh_pipeline_is_the_model_in_memory(
    trainer, losses, base, tmp_path: Path, train_text_encoder: bool, file: str
) -> None:
    made = trainer(rank=4, alpha=12, train_text_encoder=train_text_encoder, learning_rate=0.03, schedule="constant")
    losses(made, 4)
    made.model.save(made.config, tmp_path)
    fresh = base()
    before = answer(fresh)
    fresh.load_lora_weights(resolve_lora(str(tmp_path / file)).path.parent, weight_name=file)
    moved = (answer(fresh) - before).abs().max()
    torch.testing.assert_close(answer(fresh), answer(made.model.pipe), rtol=1e-4, atol=1e-3 * moved.item())
    assert moved > 1e-3


@pytest.mark.parametrize("file", [LORA_FILE, KOHYA_FILE])
def test_a_saved_lora_does_not_name_this_machines_folders(
    trainer, random_model: Path, tmp_path: Path, file: str
) -> None:
    trained = trainer(rank=4, train_text_encoder=True)
    trained.model.save(trained.config, tmp_path)
    assert str(random_model).encode() not in (tmp_path / file).read_bytes()


def test_a_kohya_file_has_the_names_and_the_alpha_that_other_programs_read(trainer, tmp_path: Path) -> None:
    made = trainer(rank=4, alpha=12, train_text_encoder=True)
    made.model.save(made.config, tmp_path)
    state = load_file(tmp_path / KOHYA_FILE)
    layer = "lora_te_text_model_encoder_layers_0_self_attn_q_proj"
    assert state[f"{layer}.lora_down.weight"].shape[0] == 4
    assert state[f"{layer}.alpha"] == 12.0
    assert any(k.startswith("lora_unet_down_blocks_2_attentions_0_transformer_blocks_0_attn2_to_out_0") for k in state)
    assert {key.rsplit(".", 1)[1] for key in state} == {"weight", "alpha"}


@TEXTS
def test_a_saved_folder_is_the_model_in_memory(trainer, losses, tmp_path: Path, train_text_encoder: bool) -> None:
    made = trainer(method="dreambooth", train_text_encoder=train_text_encoder)
    losses(made, 2)
    made.model.save(made.config, tmp_path / "model")
    found = resolve(str(tmp_path / "model"))
    fresh = StableDiffusionPipeline.from_pretrained(found.path, safety_checker=None, local_files_only=True)
    assert torch.equal(answer(fresh), answer(made.model.pipe))
    assert all(p.dtype == torch.float32 for p in fresh.unet.parameters())
    assert fresh.scheduler.config.prediction_type == "v_prediction"
    assert str(tmp_path) not in (found.path / "unet" / "config.json").read_text()


@pytest.mark.parametrize("method", ["dreambooth", "lora"])
def test_what_is_saved_generates_what_the_model_in_training_generated(
    trainer, losses, random_model: Path, tmp_path: Path, method: str
) -> None:
    made = trainer(method=method)
    losses(made, 3)
    config = SamplerConfig(size=64, steps=2, batch=2, guidance=3.0)
    with made.averaged():
        during = Sampler(made.model, config)(["pneumonia"] * 2, [""] * 2, [0, 1])
    made.model.save(made.config, tmp_path)
    model, lora = (random_model, tmp_path / LORA_FILE) if method == "lora" else (tmp_path, None)
    after = Sampler.load(model, lora, config)(["pneumonia"] * 2, [""] * 2, [0, 1])
    assert abs(after.astype(int) - during).max() <= 1
    assert type(made.model.pipe.scheduler).__name__ == "DPMSolverMultistepScheduler"


def test_a_lora_in_half_precision_can_be_sampled_while_it_trains(trainer, losses) -> None:
    half, full = trainer(precision="bf16"), trainer()
    pictures = []
    for made in (half, full):
        losses(made, 2)
        with made.averaged():
            pictures.append(Sampler(made.model, SamplerConfig(size=64, steps=2, batch=1))(["normal"], [""], [0])[0])
    assert np.abs(pictures[0].astype(int) - pictures[1]).mean() < 3


@pytest.mark.parametrize("file", [LORA_FILE, KOHYA_FILE])
@pytest.mark.parametrize("change", ["another width", "a layer more"])
def test_a_lora_for_another_base_is_refused(
    trainer, random_model: Path, tmp_path: Path, change: str, file: str
) -> None:
    made = trainer()
    made.model.save(made.config, tmp_path)
    state = load_file(tmp_path / file)
    if change == "another width":
        state = {
            k: torch.cat([v, v], 1) if "attn2" in k and "to_k" in k and v.ndim == 2 else v for k, v in state.items()
        }
    else:
        state |= {k.replace("down_blocks.2", "down_blocks.7").replace("down_blocks_2", "down_blocks_7"): v.clone()
                  for k, v in state.items()}  # fmt: skip
    save_file(state, tmp_path / file)
    with pytest.raises(BadInput, match=r"made for another base model \(.*give the base it is for"):
        Sampler.load(random_model, tmp_path / file, SamplerConfig(size=64))


def test_a_lora_starts_as_no_change(trainer, base) -> None:
    torch.testing.assert_close(answer(trainer(train_text_encoder=True).model.pipe), answer(base()))


@pytest.mark.parametrize(
    ("fields", "parts"),
    [
        ({"method": "lora"}, {"unet"}),
        ({"method": "lora", "train_text_encoder": True}, {"unet", "text_encoder"}),
        ({"method": "dreambooth"}, {"unet"}),
        ({"method": "dreambooth", "train_text_encoder": True}, {"unet", "text_encoder"}),
    ],
)
def test_the_method_decides_what_is_trained(trainer, fields: dict, parts: set[str]) -> None:
    made = trainer(**fields)
    assert {name.split(".")[0] for name in made.parameters} == parts
    modules = (made.model.pipe.unet, made.model.pipe.text_encoder, made.model.pipe.vae)
    assert sum(p.requires_grad for module in modules for p in module.parameters()) == len(made.parameters)
    assert all(("lora" in name) == (fields["method"] == "lora") for name in made.parameters)
    if fields["method"] == "dreambooth":
        assert len([n for n in made.parameters if n.startswith("unet.")]) == len(
            list(made.model.pipe.unet.parameters())
        )


def test_the_same_lora_is_the_same_bytes(tmp_path: Path) -> None:
    state = {"a": torch.arange(3.0)}
    for names in ("xy", "yx"):
        save_file(state, tmp_path / names, metadata={"x": "1", "y": "\u00e9"})
        data = (tmp_path / names).read_bytes()
        end = 8 + int.from_bytes(data[:8], "little")
        header = json.loads(data[8:end])
        header["__metadata__"] = {name: header["__metadata__"][name] for name in names}
        text = json.dumps(header).encode()
        (tmp_path / names).write_bytes(len(text).to_bytes(8, "little") + text + data[end:])
        sort_metadata(tmp_path / names)
    assert (tmp_path / "xy").read_bytes() == (tmp_path / "yx").read_bytes()
    with safe_open(tmp_path / "xy", "pt") as file:
        assert file.metadata() == {"x": "1", "y": "\u00e9"} and torch.equal(file.get_tensor("a"), state["a"])
