"""What else may be given for a model or a LoRA: told what it is, and what would help, before anything heavy."""

import json
import shutil
from pathlib import Path

import pytest
import torch
from diffusers import UNet2DConditionModel

from cxr.artifact import Made, Record, commit_record, recipe_digest
from cxr.diffusion.family import check_networks
from cxr.diffusion.layers import original_name
from cxr.errors import BadInput
from cxr.store import open_store
from cxr.weights import check_lora_spec, check_spec, resolve
from tests.unit.weights.conftest import diffusers_peft, kohya, peft, saved

X = torch.ones(4, 4)
OTHER_LORAS = {
    "LoHa": {"lora_unet_a.hada_w1_a": X, "lora_unet_a.hada_w1_b": X, "lora_unet_a.hada_w2_a": X},
    "LoKr": {"lora_unet_a.lokr_w1": X, "lora_unet_a.lokr_w2": X},
    "OFT": {"lora_unet_a.oft_blocks": X},
    "IA3": {"base_model.model.a.ia3_l": X},
    "DoRA": {"lora_unet_a.lora_down.weight": X, "lora_unet_a.lora_up.weight": X, "lora_unet_a.dora_scale": X},
    "textual inversion": {"emb_params": X},
    "an embedding": {"<chest>": X[0]},
    "a ControlNet": {"controlnet_cond_embedding.conv_in.weight": X, "down_blocks.0.x.weight": X},
    "an IP-Adapter": {"image_proj.proj.weight": X},
    "AnimateDiff": {"down_blocks.0.motion_modules.0.x.lora_A.weight": X},
    "an autoencoder": {"encoder.conv_in.weight": X, "decoder.conv_in.weight": X},
    "a whole UNet": {"conv_in.weight": X, "down_blocks.0.resnets.0.conv1.weight": X},
    "a whole model in a single file": {"model.diffusion_model.input_blocks.0.0.weight": X},
    "a text encoder": {"text_model.encoder.layers.0.mlp.fc1.weight": X},
    "a hypernetwork": {"320.0.linear1.weight": X},
    "a language model": {"model.layers.0.mlp.up.weight": X},
    "a T5": {"lora_te3_a.lora_down.weight": X, "lora_te3_a.lora_up.weight": X},
    "Flux": {"transformer.single_transformer_blocks.0.attn.to_q.lora_A.weight": X},
    "no LoRA that is known": {"a.b.c.d": X, "e.f": X, "g.h": X, "i.j": X, "k.l": X},
    "no tensor": {},
}


@pytest.mark.parametrize("what", OTHER_LORAS)
def test_what_is_no_lora_that_is_read_is_named_at_once(what: str, tmp_path: Path) -> None:
    path = saved(tmp_path / "given.safetensors", OTHER_LORAS[what])
    with pytest.raises(BadInput, match=what) as told:
        check_lora_spec(str(path))
    assert "; " in str(told.value) and "\n" not in str(told.value)


def with_index(folder: Path, base: Path, **changes: object) -> Path:
    shutil.copytree(base, folder)
    index = json.loads((folder / "model_index.json").read_text()) | changes
    (folder / "model_index.json").write_text(json.dumps({k: v for k, v in index.items() if v != "gone"}))
    return folder


@pytest.mark.parametrize(
    "name",
    ["FluxPipeline", "DiTPipeline", "PixArtAlphaPipeline", "SanaControlNetPipeline",
     "StableDiffusionInpaintPipeline", "StableDiffusionImg2ImgPipeline", "StableDiffusionControlNetPipeline",
     "StableDiffusionUpscalePipeline", "OnnxStableDiffusionPipeline", "LatentConsistencyModelPipeline"],
)  # fmt: skip
def test_another_pipeline_is_named_with_the_families_known(name: str, random_model: Path, tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=f"a {name}, .*Stable Diffusion 1.x and 2.x"):
        check_spec(str(with_index(tmp_path / "m", random_model, _class_name=name)))


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"vae": "gone"}, "without vae"),
        ({"text_encoder": [None, None]}, "without text_encoder"),
        ({"text_encoder": ["transformers", "T5EncoderModel"]}, "T5EncoderModel, CLIPTextModel is supported"),
        ({"unet": ["my_code", "UNet2DConditionModel"]}, "code of its own"),
        ({"vae": [1, 2]}, "damaged"),
    ],
)
def test_a_pipeline_of_other_parts_is_refused(changes, says, random_model, tmp_path) -> None:
    with pytest.raises(BadInput, match=says):
        check_spec(str(with_index(tmp_path / "m", random_model, **changes)))


def test_a_file_or_folder_that_is_no_model_is_told_what_would_help(
    attention, random_model: Path, tmp_path: Path
) -> None:
    def says(place: Path, words: str) -> None:
        with pytest.raises(BadInput, match=words) as told:
            check_spec(str(place))
        assert "\n" not in str(told.value)

    lora = kohya(tmp_path / "loras", attention)
    says(lora, "a LoRA; give it with --lora")
    says(saved(tmp_path / "vae.safetensors", {"encoder.conv_in.weight": X}), "an autoencoder")
    for name in ("m.ckpt", "m.gguf", "m.onnx"):
        (tmp_path / name).write_bytes(b"PK")
        says(tmp_path / name, "folder")
    (tmp_path / "llm").mkdir()
    (tmp_path / "llm" / "config.json").write_text('{"architectures": ["LlamaForCausalLM"]}')
    says(tmp_path / "llm", r"no model_index.json; a model of transformers \(LlamaForCausalLM\)")
    says(random_model / "unet", f"only a part, UNet2DConditionModel; give {random_model}")
    says(random_model.parent, f"give {random_model}")
    diffusers_peft(tmp_path / "lora", attention)
    says(tmp_path / "lora", "a LoRA; give it with --lora, and with --model the base")
    peft(tmp_path / "peft", attention, base_model_name_or_path="runwayml/x")
    says(tmp_path / "peft", r"--model its base \(runwayml/x\)")
    for digest, words in ((resolve("tiny").digest, "its base, tiny"), ("ab" * 32, r"its base \(digest abab")):
        record = Record(kind="fine-tuned model", recipe={}, recipe_digest=recipe_digest({}), objects=[],
                        inputs={"model": digest}, made=Made(count=1, bytes=1, digest="x"))  # fmt: skip
        folder = tmp_path / digest[:8]
        diffusers_peft(folder, attention)
        commit_record(open_store(str(folder)), record)
        says(folder, f"--lora, and with --model {words}")
    with pytest.raises(BadInput, match="a whole model; give it with --model"):
        check_lora_spec(str(random_model))


def unet(folder: Path, **changes: object) -> None:
    config = {k: v for k, v in UNet2DConditionModel.load_config(folder / "unet").items() if not k.startswith("_")}
    shutil.rmtree(folder / "unet")
    UNet2DConditionModel(**{**config, **changes}).save_pretrained(folder / "unet")


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"in_channels": 9}, r"9 channels \(inpainting\)"),
        ({"cross_attention_dim": 32}, "texts 32 wide, its text encoder writes 16"),
        ({"time_cond_proj_dim": 8}, "another family"),
    ],
)
def test_networks_of_another_family_under_the_usual_name_are_refused(changes, says, random_model, tmp_path) -> None:
    folder = tmp_path / "m"
    shutil.copytree(random_model, folder)
    check_networks(resolve(check_spec(str(folder))))
    unet(folder, **changes)
    with pytest.raises(BadInput, match=says):
        check_networks(resolve(check_spec(str(folder))))


def test_a_weight_too_few_of_another_shape_or_no_number_is_refused(random_model: Path, tmp_path: Path) -> None:
    from safetensors.torch import load_file, save_file

    file = "unet/diffusion_pytorch_model.safetensors"
    state = load_file(random_model / file)
    for change, says in (
        ({"conv_in.bias": None}, r"has no conv_in\.bias"),
        ({"conv_in.bias": torch.ones(3)}, r"conv_in\.bias is \[3\], by its config"),
        ({"more.weight": X}, r"holds more\.weight"),
        ({"conv_in.bias": state["conv_in.bias"] * float("nan")}, "not numbers"),
    ):
        folder = tmp_path / says[:9].replace("/", "")
        shutil.copytree(random_model, folder)
        save_file({k: v for k, v in (state | change).items() if v is not None}, folder / file)
        with pytest.raises(BadInput, match=says):
            check_networks(resolve(check_spec(str(folder))))


def test_a_sound_model_is_looked_through_once(random_model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from cxr.diffusion.stable_diffusion import StableDiffusion

    check_networks(resolve(str(random_model)))
    monkeypatch.setattr(StableDiffusion, "check_files", None)
    check_networks(resolve(str(random_model)))
    check_networks(resolve("tiny"))  # held against its digest instead


def test_the_blocks_of_stable_diffusion_1_are_numbered_as_published() -> None:
    with torch.device("meta"):
        network = UNet2DConditionModel(cross_attention_dim=768)
    layers = {name.removesuffix(".weight"): () for name, value in network.state_dict().items() if value.ndim > 1}
    known = {
        "down_blocks.0.downsamplers.0.conv": "input_blocks.3.0.op",
        "down_blocks.1.attentions.0.proj_in": "input_blocks.4.1.proj_in",
        "down_blocks.3.resnets.1.conv2": "input_blocks.11.0.out_layers.3",
        "mid_block.attentions.0.proj_out": "middle_block.1.proj_out",
        "up_blocks.0.upsamplers.0.conv": "output_blocks.2.1.conv",
        "up_blocks.1.upsamplers.0.conv": "output_blocks.5.2.conv",
        "up_blocks.3.attentions.2.proj_in": "output_blocks.11.1.proj_in",
        "up_blocks.1.resnets.0.conv_shortcut": "output_blocks.3.0.skip_connection",
    }
    assert {layer: original_name(layer, layers) for layer in known} == known
