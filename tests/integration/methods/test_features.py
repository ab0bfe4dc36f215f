import itertools
import json
import pickle
import shutil
import sys
import types
import urllib.error
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from cxr.data.images import fit_square
from cxr.detectors.details import TrainingImageIndex
from cxr.embedded.phantoms import Phantom, draw_phantom
from cxr.errors import BadInput
from cxr.evaluate import features
from cxr.evaluate.conclude import gather_features
from cxr.evaluate.config import EvaluateConfig
from cxr.evaluate.features import Extractor, extractor_of, inception_extractor, tiny_extractor
from cxr.evaluate.finish import EvaluateJob
from cxr.evaluate.frechet import frechet_distance
from cxr.evaluate.kernel import kernel_distance
from cxr.evaluate.worker import EvaluateWorker, units_of
from cxr.prompts.findings import BINARY, FINDINGS
from cxr.store import open_store
from cxr.weights import found


@pytest.fixture(scope="module")
def tiny() -> Extractor:
    return tiny_extractor()


@pytest.fixture(scope="module")
def drawn() -> list[Phantom]:
    return [draw_phantom(77, number) for number in range(160)]


@pytest.fixture(scope="module")
def phantoms(drawn) -> np.ndarray:
    return np.stack([phantom.pixels for phantom in drawn])


def test_names_what_phantoms_show(tiny, drawn, phantoms):
    shown = [FINDINGS.index(phantom.attributes.findings[0]) for phantom in drawn[:80]]
    probabilities = tiny.probabilities(tiny(phantoms[:80]))
    assert probabilities.shape == (80, tiny.classes) and np.allclose(probabilities.sum(axis=1), 1, atol=1e-5)
    assert (probabilities.argmax(axis=1) == shown).mean() > 0.8


def test_features_do_not_depend_on_the_batch_and_progress_hears_of_every_picture(tiny, phantoms):
    heard = []
    together = tiny(phantoms[:90], heard.append)
    assert together.shape == (90, tiny.dimension) and together.dtype == np.float32
    assert sum(heard) == 90 and len(heard) > 1
    assert np.allclose(np.concatenate([tiny(phantoms[:7]), tiny(phantoms[7:90])]), together, atol=1e-4)


def test_any_size_is_brought_to_the_extractors_own(tiny, phantoms):
    wide = np.stack([fit_square(picture, 300, "square")[:, :200] for picture in phantoms[:5]])
    assert np.array_equal(tiny(wide), tiny(np.stack([fit_square(picture, 128, "keep") for picture in wide])))
    assert len(tiny(wide[:0])) == 0


def frechet(real: np.ndarray, synthetic: np.ndarray) -> float:
    return frechet_distance(real, synthetic)


def kernel(real: np.ndarray, synthetic: np.ndarray) -> float:
    return kernel_distance(real, synthetic)


def blurred(pictures: np.ndarray, sigma: float) -> np.ndarray:
    return np.stack([cv2.GaussianBlur(picture, (0, 0), sigma) if sigma else picture for picture in pictures])


def noisy(pictures: np.ndarray, deviation: float) -> np.ndarray:
    noise = deviation * np.random.default_rng(0).standard_normal(pictures.shape)
    return np.clip(pictures + noise, 0, 255).astype(np.uint8)


@pytest.mark.parametrize(("spoiled", "doses"), [(blurred, (0, 1, 2, 4)), (noisy, (0, 10, 30, 60))])
def test_the_more_blur_or_noise_the_larger_the_distance(tiny, phantoms, spoiled, doses):
    """Doses in pixels and in gray levels, on fresh phantoms."""
    reals, others = tiny(phantoms[:80]), phantoms[80:]
    seen = [tiny(spoiled(others, dose)) for dose in doses]
    for distance in (frechet, kernel):
        found = [distance(reals, each) for each in seen]
        assert (np.diff(found) > 0).all() and found[-1] > 3 * found[0], distance


@pytest.fixture(scope="module")
def of_findings(tiny) -> dict[tuple[int, str], np.ndarray]:
    """Features of 40 phantoms of a seed and a finding."""
    return {
        (seed, shown): tiny(np.stack([draw_phantom(seed, number, (shown,)).pixels for number in range(40)]))
        for seed, shown in itertools.product((1, 2), BINARY)
    }


@pytest.mark.parametrize("distance", [frechet, kernel])
@pytest.mark.parametrize(("finding", "other"), [BINARY, BINARY[::-1]])
def test_the_more_findings_are_swapped_the_larger_the_distance_to_real_ones_of_that_finding(
    of_findings, distance, finding, other
):
    reals, fresh, others = (of_findings[key] for key in ((1, finding), (2, finding), (2, other)))
    found = [distance(reals, np.concatenate([others[:swapped], fresh[swapped:]])) for swapped in (0, 10, 20, 40)]
    assert (np.diff(found) > 0).all() and found[-1] > 3 * found[0]


def test_a_damaged_file_of_the_package_is_named(tmp_path, monkeypatch):
    shutil.copytree(found.TINY_EXTRACTOR, tmp_path / "extractor")
    monkeypatch.setattr(found, "TINY_EXTRACTOR", tmp_path / "extractor")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    state = load_file(tmp_path / "extractor" / "model.safetensors")
    save_file({**state, "head.bias": state["head.bias"] + 1}, tmp_path / "extractor" / "model.safetensors")
    with pytest.raises(BadInput, match="damaged, its files are not those of DIGEST"):
        tiny_extractor()


# --- inception ---


@pytest.fixture(scope="module")
def weights(tmp_path_factory) -> str:
    """Random weights with the names and shapes of the published ones, in one file for pytorch-fid and for us."""
    from torchvision.models import inception_v3

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        state = inception_v3(weights=None, num_classes=1008, aux_logits=False, init_weights=False).state_dict()
    for name, tensor in state.items():
        if name.endswith("conv.weight"):
            tensor *= 6**0.5  # torch draws within fan_in^-0.5; of this width signals neither fade nor grow
    path = tmp_path_factory.mktemp("weights") / "inception.safetensors"
    save_file(state, path)
    return str(path)


@pytest.mark.slow
def test_an_evaluation_gives_pytorch_fids_number(weights, stored_set, tmp_path, monkeypatch):
    """On pictures that are larger than the network takes and than `size`, through what a worker does."""
    from pytorch_fid import fid_score
    from pytorch_fid import inception as network

    monkeypatch.setattr(network, "load_state_dict_from_url", lambda *_, **__: load_file(weights))
    monkeypatch.setattr(fid_score, "tqdm", lambda batches: batches)
    pixels = [np.stack([draw_phantom(seed, n, size=400).pixels for n in range(12)]) for seed in (1, 2)]
    sets = [stored_set(name, pictures) for name, pictures in zip("ab", pixels, strict=True)]
    folders = [f"{found.store.uri}/images/normal" for found in sets]
    theirs = fid_score.calculate_fid_given_paths(folders, 4, "cpu", 2048, num_workers=0)

    extractor = inception_extractor(f"inception={weights}")
    config = EvaluateConfig(extractor=f"inception={weights}", size=64)
    job = EvaluateJob(open_store(str(tmp_path / "out")), {"extractor": extractor.digest}, config, *sets)
    units = units_of(job)
    look = EvaluateWorker(job.store, config.extractor, config.size, threads=1, earlier=None)
    index, predict = TrainingImageIndex(pixels[0], range(12)), lambda shown: np.ones((len(shown), 1))
    for number, unit in enumerate([*units.real, *units.synthetic]):
        look(number, pickle.dumps(unit), index, predict)
    sides = [gather_features(job.store, side, np.arange(12), {})[0].values for side in (units.real, units.synthetic)]
    assert frechet_distance(*sides) == pytest.approx(theirs, rel=1e-3)
    assert (extractor.name, extractor.dimension, extractor.classes) == ("inception, own weights", 2048, 1008)
    assert np.allclose(extractor.probabilities(sides[0][:2]).sum(axis=1), 1, atol=1e-5)


def test_weights_of_another_network_are_refused(tmp_path):
    save_file({"fc.weight": torch.zeros(1008, 2048)}, tmp_path / "other.safetensors")
    with pytest.raises(BadInput, match="not the weights of pytorch-fid's Inception"):
        inception_extractor(f"inception={tmp_path / 'other.safetensors'}")
    shutil.copy(found.TINY_EXTRACTOR / "model.safetensors", tmp_path)
    with pytest.raises(BadInput, match="not the weights of pytorch-fid's Inception"):
        inception_extractor(f"inception={tmp_path}")


def test_without_internet_one_line_names_what_was_tried(tmp_path, monkeypatch):
    def unreachable(*_, **__):
        raise urllib.error.URLError("no route")

    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path / "hub"))
    monkeypatch.setattr("urllib.request.urlopen", unreachable)
    with pytest.raises(BadInput, match=r"tried .*hub/checkpoints/pt_inception.* and https://github.com/") as error:
        inception_extractor()
    assert "\n" not in str(error.value)


def test_a_file_that_is_not_the_published_one_is_never_opened(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    monkeypatch.setattr(torch, "load", None)
    (tmp_path / "checkpoints").mkdir()
    (tmp_path / "checkpoints" / "pt_inception-2015-12-05-6726825d.pth").write_bytes(b"another")
    with pytest.raises(BadInput, match="not the published weights"):
        inception_extractor()


# --- xrv ---


@pytest.fixture(scope="module")
def densenet() -> torch.nn.Module:
    """torchvision's DenseNet-121 of gray pictures and 18 findings, with torchxrayvision's names; weights are random."""
    from torchvision.models import densenet121

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network = densenet121(weights=None, num_classes=18)
        network.features.conv0 = torch.nn.Conv2d(1, 64, 7, stride=2, padding=3, bias=False)
    return network.eval().requires_grad_(False)


@pytest.fixture(scope="module")
def xrv(densenet, tmp_path_factory) -> Extractor:
    path = tmp_path_factory.mktemp("xrv") / "xrv.safetensors"
    save_file(densenet.state_dict(), path)
    return extractor_of(f"xrv={path}")


def test_xrv_gives_what_the_last_layer_is_given(xrv, densenet, phantoms):
    pictures = np.stack([fit_square(picture, 224, "square") for picture in phantoms[:3]])
    found = xrv(pictures)
    logits = densenet(torch.from_numpy((2 * (pictures / np.float32(255)) - 1) * 1024)[:, None])
    assert (xrv.name, xrv.dimension, found.shape) == ("xrv", 1024, (3, 1024))
    assert torch.allclose(densenet.classifier(torch.from_numpy(found)), logits, rtol=1e-3, atol=1e-4 * logits.std())


def test_xrv_has_no_inception_score(xrv, phantoms):
    assert xrv.classes is None
    with pytest.raises(BadInput, match="xrv: has no classes"):
        xrv.probabilities(xrv(phantoms[:1]))


@pytest.mark.parametrize("shape", [(320, 257), (128, 128)])
def test_xrv_gives_torchxrayvisions_features(xrv, densenet, phantoms, shape):
    library = pytest.importorskip("torchxrayvision")
    theirs = library.models.DenseNet().eval()
    theirs.load_state_dict(densenet.state_dict())
    theirs.input_resolution = 224  # as its published models have it
    pictures = [fit_square(picture, 320, "square")[: shape[0], : shape[1]] for picture in phantoms[:3]]
    crop = library.datasets.XRayCenterCrop()
    scaled = [crop(library.utils.normalize(picture, 255)[None]) for picture in pictures]
    with torch.inference_mode():
        expected = theirs.features2(torch.from_numpy(np.stack(scaled))).numpy()
    assert np.allclose(xrv(np.stack(pictures)), expected, rtol=1e-3, atol=1e-4 * expected.std())


def test_the_line_that_converts_xrv_makes_a_file_that_is_read(xrv, densenet, phantoms, tmp_path, monkeypatch):
    published = types.SimpleNamespace(DenseNet=lambda weights: {"densenet121-res224-all": densenet}[weights])
    monkeypatch.setitem(sys.modules, "torchxrayvision", types.SimpleNamespace(models=published))
    monkeypatch.chdir(tmp_path)
    with pytest.raises(BadInput, match="pickled module") as error:
        extractor_of("xrv")
    assert "\n" not in str(error.value)
    exec(str(error.value).partition('python -c "')[2].removesuffix('"'), {})
    assert np.array_equal(extractor_of("xrv=xrv.safetensors")(phantoms[:2]), xrv(phantoms[:2]))


# --- rad-dino ---

PREPROCESSOR = {
    "image_processor_type": "BitImageProcessor", "do_convert_rgb": True, "do_resize": True, "resample": 3,
    "size": {"shortest_edge": 518}, "do_center_crop": True, "crop_size": {"height": 518, "width": 518},
    "do_rescale": True, "rescale_factor": 1 / 255, "do_normalize": True,
    "image_mean": [0.5307] * 3, "image_std": [0.2583] * 3,
}  # fmt: skip


@pytest.fixture(scope="module")
def dino(tmp_path_factory) -> Path:
    """A small Dinov2Model with random weights, in the files and under the names of microsoft/rad-dino."""
    from transformers import Dinov2Config, Dinov2Model

    folder = tmp_path_factory.mktemp("rad-dino")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        shape = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "image_size": 518}
        model = Dinov2Model(Dinov2Config(**shape, initializer_range=0.3))
    model.save_pretrained(folder)
    (folder / "preprocessor_config.json").write_text(json.dumps(PREPROCESSOR))
    return folder


def test_rad_dino_gives_the_features_of_transformers_own_processor_and_model(dino, phantoms):
    from PIL import Image
    from transformers import AutoImageProcessor, AutoModel

    pictures = np.stack([fit_square(picture, 600, "square")[:, :480] for picture in phantoms[:3]])
    processor = AutoImageProcessor.from_pretrained(dino, backend="pil")
    shown = processor([Image.fromarray(picture).convert("RGB") for picture in pictures], return_tensors="pt")[
        "pixel_values"
    ]
    ours = features._as_rad_dino(pictures)
    assert ours.shape == shown.shape and (ours - shown).abs().max() < 1.01 / 255 / 0.2583  # one gray level
    extractor = extractor_of(f"rad-dino={dino}")
    with torch.inference_mode():
        expected = AutoModel.from_pretrained(dino).eval()(shown).last_hidden_state[:, 0].numpy()
    found = extractor(pictures)
    assert found.shape == (3, extractor.dimension) == (3, 32)
    assert np.abs(found - expected).max() < 0.01 * expected.std()
    assert found.std(axis=0).max() > 0.01 * expected.std()


def test_rad_dino_is_called_so_only_with_the_published_files(dino, monkeypatch):
    own = extractor_of(f"rad-dino={dino}")
    assert own.name == "rad-dino, own weights" and own.classes is None
    monkeypatch.setattr(features, "PUBLISHED_RAD_DINO", own.digest)
    assert extractor_of(f"rad-dino={dino}").name == "rad-dino"


@pytest.mark.parametrize(
    ("spec", "damage"),
    [
        ("rad-dino={}", {"model.safetensors": {"head.bias": torch.zeros(3)}}),
        ("rad-dino={}", {"model.safetensors": {"layernorm.weight": torch.zeros(3)}}),
        ("rad-dino={}", {"config.json": "[1"}),
        ("rad-dino={}", {"config.json": '{"hidden_size": "wide"}'}),
        ("xrv={}", {"model.safetensors": {"features.norm5.weight": torch.zeros(1024)}}),
        ("xrv={}", {}),
    ],
)
def test_weights_of_another_network_are_one_clear_line(dino, tmp_path, spec, damage):
    shutil.copytree(dino, tmp_path / "copy")
    for name, held in damage.items():
        path = tmp_path / "copy" / name
        path.write_text(held) if isinstance(held, str) else save_file(held, path)
    with pytest.raises(BadInput, match=r"copy.*not the weights of .*; give another") as error:
        extractor_of(spec.format(tmp_path / "copy"))
    assert "\n" not in str(error.value)
