"""LoRAs of every usual trainer change the same layers by as much; what does not fit in all its parts is refused."""

import json
import math
from pathlib import Path

import numpy as np
import pytest
import torch
from diffusers import UNet2DConditionModel
from diffusers.loaders.single_file_utils import convert_ldm_unet_checkpoint
from safetensors.torch import load_file

from cxr.diffusion.adapters import add_lora
from cxr.diffusion.config import SamplerConfig
from cxr.diffusion.layers import TEXT, UNET, original_name, read_layers
from cxr.diffusion.lora_files import check_values, read_lora
from cxr.diffusion.sampler import Sampler
from cxr.diffusion.stable_diffusion import StableDiffusion
from cxr.errors import BadInput
from cxr.weights import check_lora_spec, resolve_lora
from tests.unit.weights.conftest import ALPHA, RANK, diffusers_peft, kohya, peft, saved

CONFIG = SamplerConfig(size=64, steps=2, batch=1, guidance=3.0)
FORMS = (
    "diffusers, with settings", "diffusers", "diffusers of 2023", "diffusers of 2023, no part named", "peft",
    "peft, adapter named", "kohya", "kohya, lora_te1", "kohya, original blocks", "other UIs",
)  # fmt: skip


def picture(model: Path, lora: Path | None) -> np.ndarray:
    return Sampler.load(model, lora, CONFIG)(["Pneumonia"], [""], [3])[0].astype(int)


@pytest.fixture(scope="module")
def expected(random_model: Path, attention, tmp_path_factory) -> tuple[np.ndarray, np.ndarray]:
    """The picture of the base model, and the one that diffusers' own loading of its own form makes."""
    pipe = Sampler.load(random_model, None, CONFIG).model.pipe
    lora = diffusers_peft(tmp_path_factory.mktemp("lora"), attention)
    pipe.load_lora_weights(lora.parent, weight_name=lora.name, local_files_only=True)
    pipe.fuse_lora()
    pipe.unload_lora_weights()
    return picture(random_model, None), Sampler(StableDiffusion(pipe), CONFIG)(["Pneumonia"], [""], [3])[0].astype(int)


@pytest.mark.parametrize("form", FORMS)
def test_every_form_makes_the_picture_that_diffusers_makes_of_its_own(
    form: str, forms, attention, random_model: Path, expected, tmp_path: Path
) -> None:
    path = forms[form](tmp_path, attention)
    read = read_lora(resolve_lora(check_lora_spec(str(path))).path, random_model)
    counts = {part: sum(of == part for of, _ in attention) for part in (UNET, TEXT)}
    assert read.summary == {"layers": counts, "rank": RANK} and counts[UNET] > 10 and counts[TEXT] > 3
    made, (base, own) = picture(random_model, path), expected
    assert np.array_equal(made, own)
    assert np.abs(made - base).mean() > 1


def test_our_weights_are_those_of_diffusers_to_the_last_bit(attention, random_model: Path, tmp_path: Path) -> None:
    for lora in (diffusers_peft(tmp_path, attention), kohya(tmp_path, attention)):
        for scale in (1.0, 0.7):
            theirs = Sampler.load(random_model, None, CONFIG).model.pipe
            theirs.load_lora_weights(lora.parent, weight_name=lora.name, local_files_only=True)
            theirs.fuse_lora(lora_scale=scale)
            theirs.unload_lora_weights()
            ours = Sampler.load(random_model, lora, CONFIG.model_copy(update={"lora_scale": scale})).model.pipe
            for part in (UNET, TEXT):
                state = getattr(theirs, part).state_dict()
                assert all(torch.equal(held, state[name]) for name, held in getattr(ours, part).state_dict().items())


def test_convolutions_feed_forward_and_time_are_changed_too(random_model: Path, tmp_path: Path) -> None:
    """LoCon: down [rank, inputs, height, width], up of one pixel."""
    chance, halves = torch.Generator().manual_seed(1), {}
    for layer, shape in read_layers(random_model)[UNET].items():
        up = (shape[0], RANK, *[1] * (len(shape) - 2))
        halves[UNET, layer] = torch.randn(RANK, *shape[1:], generator=chance), torch.randn(up, generator=chance)
    original = kohya(tmp_path, halves, original=read_layers(random_model)[UNET])
    base = Sampler.load(random_model, None, CONFIG).model.pipe.unet.state_dict()
    tuned = Sampler.load(random_model, original, CONFIG).model.pipe.unet.state_dict()
    assert any(len(shape) == 4 and shape[2] == 3 for shape in read_layers(random_model)[UNET].values())
    for (_, layer), (down, up) in halves.items():
        added = torch.einsum("or,r...->o...", up.flatten(1), down) * (ALPHA / RANK)
        torch.testing.assert_close(tuned[f"{layer}.weight"], base[f"{layer}.weight"] + added, rtol=1e-4, atol=1e-4)


def test_the_original_names_are_those_that_diffusers_converts(random_model: Path) -> None:
    config = UNet2DConditionModel.load_config(random_model / "unet")
    unet = UNet2DConditionModel.from_config(config)
    layers = read_layers(random_model)[UNET]
    state = {}
    for name, value in unet.state_dict().items():
        layer, _, kind = name.rpartition(".")
        norm = {"norm1": "in_layers.0", "norm2": "out_layers.0"}.get(layer.rpartition(".")[2])
        if layer == "conv_norm_out":
            old = "out.0"
        elif norm and "resnets" in layer:
            old = original_name(f"{layer.rpartition('.')[0]}.conv1", layers).replace("in_layers.2", norm)
        else:
            old = original_name(layer, layers)
        state[f"model.diffusion_model.{old}.{kind}"] = value
    converted = convert_ldm_unet_checkpoint(state, dict(config))
    assert {name: tuple(value.shape) for name, value in converted.items()} == {
        name: tuple(value.shape) for name, value in unet.state_dict().items()
    }
    assert all(torch.equal(value, converted[name]) for name, value in unet.state_dict().items())


def test_peft_s_settings_say_how_strong_each_layer_is(attention, random_model: Path, tmp_path: Path) -> None:
    patterns = {"attn1.to_q": 2.0, "text_model.encoder.layers.0.self_attn.q_proj": 3.0}
    lora = read_lora(peft(tmp_path / "a", attention, alpha_pattern=patterns), random_model)
    for change in lora.changes:
        own = {"attn1.to_q": 2.0, "self_attn.q_proj": 3.0}.get(".".join(change.layer.split(".")[-2:]), ALPHA)
        assert change.strength == own / RANK
    root = read_lora(peft(tmp_path / "b", attention, use_rslora=True), random_model)
    assert {change.strength for change in root.changes} == {ALPHA / math.sqrt(RANK)}
    silent = peft(tmp_path / "c", attention)
    (silent.parent / "adapter_config.json").unlink()
    found = read_lora(silent, random_model)
    assert {change.strength for change in found.changes} == {1.0}
    assert "its alpha is taken to be its rank" in check_values(found)[0]


def test_ranks_and_alphas_may_differ_by_layer(attention, random_model: Path, tmp_path: Path) -> None:
    state = load_file(kohya(tmp_path, attention))
    stem = next(name for name in state if name.endswith(".alpha")).removesuffix(".alpha")
    state[f"{stem}.alpha"] = torch.tensor([12.0], dtype=torch.bfloat16)
    state[f"{stem}.lora_down.weight"] = state[f"{stem}.lora_down.weight"][:2]
    state[f"{stem}.lora_up.weight"] = state[f"{stem}.lora_up.weight"][:, :2].contiguous()
    lora = read_lora(saved(tmp_path / "other.safetensors", state), random_model)
    assert sorted({change.strength for change in lora.changes}) == [ALPHA / RANK, 12.0 / 2]
    assert lora.summary["rank"] == [2, RANK]


def changed(state: dict, name: str) -> dict:
    """The kohya file's tensors after one mistake."""
    down = next(key for key in state if key.endswith("attn1_to_q.lora_down.weight"))
    stem = down.removesuffix(".lora_down.weight")
    wide = {
        key: torch.cat([value, value], 1) if "attn2_to_k.lora_down" in key or "attn2_to_v.lora_down" in key else value
        for key, value in state.items()
    }
    return {
        "one layer more": state | {key.replace(stem, "lora_unet_down_blocks_9_x"): state[key].clone()
                                   for key in state if key.startswith(stem)},
        "no layer": {key.replace("lora_unet_", "lora_unet_x_").replace("lora_te_", "lora_te_x_"): value
                     for key, value in state.items()},
        "text wider": wide,
        "layer wider": state | {down: torch.zeros(RANK, 99)},
        "half": {key: value for key, value in state.items() if key != f"{stem}.lora_up.weight"},
        "halves apart": state | {f"{stem}.lora_up.weight": state[f"{stem}.lora_up.weight"][:, :1]},
        "alpha of two": state | {f"{stem}.alpha": torch.zeros(2)},
        "alpha no number": state | {f"{stem}.alpha": torch.tensor(float("nan"))},
        "integers": state | {down: state[down].to(torch.int8)},
        "twice": state | {"base_model.model." + key.removeprefix("lora_unet_"): value.clone()
                          for key, value in state.items() if key.startswith(stem)},
        "dora": state | {f"{stem}.dora_scale": torch.ones(1)},
        "tucker": state | {f"{stem}.lora_mid.weight": torch.ones(1)},
        "difference": state | {f"{stem}.diff_b": torch.ones(1)},
        "stranger": state | {"extra": torch.ones(1)},
        "xl": state | {key.replace("lora_te_", "lora_te2_"): value.clone() for key, value in state.items()},
    }[name]  # fmt: skip


@pytest.mark.parametrize(
    ("mistake", "says"),
    [
        ("one layer more", r"another base model \(1 of its \d+ layers, .*give the base"),
        ("no layer", r"another base model \(\d+ of its \d+ layers"),
        ("text wider", r"another base model \(for a text encoder 32 wide, this one's is 16\)"),
        ("layer wider", r"another base model \(.*attn1.to_q is .* in this one"),
        ("half", "only half"),
        ("halves apart", "do not fit together"),
        ("alpha of two", "not one number"),
        ("alpha no number", "not one number"),
        ("integers", "I8, not floating point"),
        ("twice", "twice"),
        ("dora", "DoRA"),
        ("tucker", "Tucker"),
        ("difference", "full difference"),
        ("stranger", "holds 'extra' beside a LoRA"),
        ("xl", "Stable Diffusion XL"),
    ],
)
def test_a_lora_that_fits_not_in_all_parts_is_refused(
    mistake: str, says: str, attention, random_model: Path, tmp_path: Path
) -> None:
    path = saved(tmp_path / "x.safetensors", changed(load_file(kohya(tmp_path, attention)), mistake))
    with pytest.raises(BadInput, match=says) as told:
        read_lora(path, random_model)
    assert "\n" not in str(told.value) and len(str(told.value)) < 600


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"peft_type": "IA3"}, "IA3"),
        ({"peft_type": "LOHA"}, "LOHA"),
        ({"use_dora": True}, "DoRA"),
        ({"init_lora_weights": "pissa_niter_4"}, "changes the base model too"),
        ({"lora_alpha": None}, "no alpha"),
        ({"lora_alpha": math.nan}, "no alpha"),
        ({"lora_alpha": 10**400}, "no alpha"),
        ({"alpha_pattern": {"(": 1}}, "no alpha"),
        ({"alpha_pattern": [1]}, "no alpha"),
    ],
)
def test_settings_that_cannot_be_followed_are_refused(settings, says, attention, random_model, tmp_path) -> None:
    with pytest.raises(BadInput, match=says):
        read_lora(peft(tmp_path, attention, **settings), random_model)


def test_weights_that_are_no_numbers_are_refused_and_idle_ones_are_said(attention, random_model, tmp_path) -> None:
    first, *_ = halves = dict(attention)
    assert check_values(read_lora(kohya(tmp_path, halves), random_model)) == []
    halves[first] = halves[first][0], torch.zeros_like(halves[first][1])
    assert "nothing in 1 of its" in check_values(read_lora(kohya(tmp_path, halves), random_model))[0]
    halves[first] = halves[first][0], torch.full_like(halves[first][1], math.nan)
    with pytest.raises(BadInput, match="not numbers"):
        check_values(read_lora(kohya(tmp_path, halves), random_model))
    state = {name: torch.tensor(0.0) if name.endswith(".alpha") else value
             for name, value in load_file(kohya(tmp_path, attention)).items()}  # fmt: skip
    idle = check_values(read_lora(saved(tmp_path / "zero.safetensors", state), random_model))
    assert f"nothing in {len(attention)} of its {len(attention)}" in idle[0]


def test_a_layer_that_only_the_files_have_is_an_error(attention, random_model, tmp_path) -> None:
    pipe, lora = (
        Sampler.load(random_model, None, CONFIG).model.pipe,
        read_lora(kohya(tmp_path, attention), random_model),
    )
    del pipe.unet.mid_block.attentions
    with pytest.raises(BadInput, match="is not in this base model"):
        add_lora(pipe, lora, 1.0)


def test_a_lora_that_is_too_strong_is_an_error_and_no_black_picture(attention, random_model, tmp_path) -> None:
    halves = {key: (down * 1e30, up * 1e30) for key, (down, up) in attention.items()}
    with pytest.raises(BadInput, match="no numbers"):
        Sampler.load(random_model, kohya(tmp_path, halves), CONFIG)


def test_which_file_of_a_folder_is_the_lora(attention, tmp_path: Path) -> None:
    only = kohya(tmp_path / "one", attention)
    assert resolve_lora(str(only.parent)).path == only
    adapter = peft(tmp_path / "one", attention)
    assert resolve_lora(str(adapter.parent)).path == adapter  # and kohya's is passed over
    before = resolve_lora(str(adapter)).digest
    (adapter.parent / "adapter_config.json").write_text(json.dumps({"peft_type": "LORA", "lora_alpha": 1}))
    assert before != resolve_lora(str(adapter)).digest == resolve_lora(str(adapter.parent)).digest
    own = diffusers_peft(tmp_path / "one", attention)
    assert resolve_lora(str(own.parent)).path == own
    saved(tmp_path / "two/a.safetensors", {"x": torch.ones(1)})
    saved(tmp_path / "two/b.safetensors", {"x": torch.ones(1)})
    with pytest.raises(BadInput, match=r"2 safetensors files, a\.safetensors, b\.safetensors"):
        check_lora_spec(str(tmp_path / "two"))
    (tmp_path / "parts").mkdir()
    peft(tmp_path / "parts" / "unet", attention)
    with pytest.raises(BadInput, match=r"give .*parts/unet"):
        check_lora_spec(str(tmp_path / "parts"))
    peft(tmp_path / "parts" / "text_encoder", attention)
    with pytest.raises(BadInput, match="save them as one"):
        check_lora_spec(str(tmp_path / "parts"))
    (tmp_path / "old").mkdir()
    (tmp_path / "old" / "pytorch_lora_weights.bin").write_bytes(b"x")
    for place in (tmp_path / "old", tmp_path / "old" / "pytorch_lora_weights.bin"):
        with pytest.raises(BadInput, match="convert it once"):
            check_lora_spec(str(place))


def test_the_driver_refuses_before_anything_is_written(attention, random_model: Path, tmp_path: Path) -> None:
    from cxr.generate.config import GenerateConfig
    from cxr.generate.job import prepare
    from cxr.prompts.lists import PromptRow
    from cxr.store import open_store

    lora = saved(tmp_path / "x.safetensors", changed(load_file(kohya(tmp_path, attention)), "one layer more"))
    config = GenerateConfig(model=str(random_model), lora=str(lora), sampler=CONFIG)
    rows, work = [PromptRow("x", "x", "", 1, None)], tmp_path / "work"
    work.mkdir()
    with pytest.raises(BadInput, match="another base model"):
        prepare(open_store(str(tmp_path / "out")), config, rows, work, print)
    assert not (tmp_path / "out").exists()
    good = config.model_copy(update={"lora": str(kohya(tmp_path, attention))})
    assert prepare(open_store(str(tmp_path / "out")), good, rows, work, print).applied["rank"] == RANK
