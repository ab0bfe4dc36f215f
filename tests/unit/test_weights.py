"""Models by name: what is accepted, what is refused, what reaches the disk over the real hub client and an S3 API."""

import hashlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save

import cxr.weights.hub
from cxr import recipes
from cxr.artifact import Made, Record, commit_record, recipe_digest
from cxr.data.lineage import PHANTOM, UNKNOWN_SOURCE, TrainingPatients
from cxr.diffusion.lora_files import read_lora
from cxr.errors import BadInput, StoreError
from cxr.store import StoredObject, digest_of, open_store
from cxr.weights import (
    EXTRACTOR,
    bucket,
    check_lora_spec,
    check_spec,
    found,
    names,
    resolve,
    resolve_extractor,
    resolve_lora,
    write_digest,
)
from cxr.weights.files import weight_files

COMMIT = "0123456789abcdef0123456789abcdef01234567"
LORA = "pytorch_lora_weights.safetensors"
EXTRACTOR_FILE = "model.safetensors"
UNET = "unet/diffusion_pytorch_model.safetensors"
CANARY = "hf_canaryCANARYcanary"


def _tensors(seed: int, n: int = 1000) -> bytes:
    return save({"w": np.random.default_rng(seed).random(n, np.float32)})


def _model(seed: int = 0) -> dict[str, bytes]:
    """The files of a small model in diffusers' layout."""
    parts = {"scheduler": "DDIMScheduler", "tokenizer": "CLIPTokenizer", "unet": "UNet2DConditionModel",
             "vae": "AutoencoderKL", "text_encoder": "CLIPTextModel", "safety_checker": "S"}  # fmt: skip
    index = {"_class_name": "StableDiffusionPipeline", "requires_safety_checker": True, "image_encoder": [None, None]}
    index |= {part: ["diffusers", name] for part, name in parts.items()}
    return {
        "model_index.json": json.dumps(index).encode(),
        "scheduler/scheduler_config.json": b"{}",
        "tokenizer/merges.txt": b"a b",
        "unet/config.json": b'{"in_channels": 4}',
        UNET: _tensors(seed),
        "vae/diffusion_pytorch_model.safetensors": _tensors(7),
        "text_encoder/model.safetensors": _tensors(8),
    }


STRAYS = {
    "unet/diffusion_pytorch_model.bin": b"pickle",
    "unet/diffusion_pytorch_model.fp16.safetensors": b"variant",
    "safety_checker/model.safetensors": b"unused",
    "v1-5-pruned.ckpt": b"pickle",
    "README.md": b"card",
}


def _lay(folder: Path, files: dict[str, bytes]) -> Path:
    for name, data in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)
    return folder


def _digest(files: dict[str, bytes]) -> str:
    return digest_of((name, hashlib.sha256(data).hexdigest()) for name, data in files.items())


def _record(files: dict[str, bytes]) -> Record:
    stored = [StoredObject(name, len(data), hashlib.sha256(data).hexdigest()) for name, data in files.items()]
    made = Made(count=len(files), bytes=sum(map(len, files.values())), digest=_digest(files))
    return Record(kind="model", recipe={}, recipe_digest=recipe_digest({}), made=made, objects=stored)


def _flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache"


# names


@pytest.mark.parametrize(
    ("spec", "says"),
    [
        ("sd51", "did you mean"),
        ("", "give a folder"),
        ("no\0thing", "give a folder"),
        ("x" * 5000, "no such model"),
        ("./nowhere", "give a folder"),
        ("owner/name", "owner/name@<40 hex digits>"),
        ("owner/name@main", "owner/name@<40 hex digits>"),
        ("runwayml/stable-diffusion-v1-5", "use sd15"),
        ("roentgen2", "stanfordmimi/RoentGen-v2@<40-hex commit>"),
        (f"stabilityai/stable-diffusion-2-1-base@{COMMIT}", "use sd21"),
        ("s3://key:secret@b/x", "no valid bucket name"),
        (__file__, "give the folder that holds model_index.json"),
        ("~nobody/model", "give a folder"),
    ],
)
def test_a_name_that_means_nothing_is_one_line_of_advice(spec, says):
    with pytest.raises(BadInput, match=says) as error:
        check_spec(spec)
    assert "\n" not in str(error.value) and "secret" not in str(error.value) and len(str(error.value)) < 500


def test_names_that_can_be_meant_pass_without_network(tmp_path):
    for spec in (*names.ALIASES, f"owner/name@{COMMIT}", "s3://bucket/models/a", str(_lay(tmp_path, _model()))):
        check_spec(spec)
    check_lora_spec(f"owner/name@{COMMIT}")


# local folders


def test_a_folder_is_its_loaded_files_only(tmp_path):
    plain = resolve(str(_lay(tmp_path / "a", _model())))
    strewn = resolve(str(_lay(tmp_path / "b", _model() | STRAYS)))
    other = resolve(str(_lay(tmp_path / "c", _model(seed=1))))
    assert plain.path == tmp_path / "a" and plain.source == "folder"
    assert plain.digest == strewn.digest == _digest(_model()) != other.digest


def _halves() -> dict[str, bytes]:
    """A model whose UNet is there in half precision alone, in two shards, beside an autoencoder in both."""
    files, half = _model(), "unet/diffusion_pytorch_model.fp16-0000{}-of-00002.safetensors"
    files |= {half.format(1): save({"a": np.ones(2, np.float16)}), half.format(2): save({"b": np.ones(2, np.float16)})}
    placed = {"a": Path(half.format(1)).name, "b": Path(half.format(2)).name}
    index = {"metadata": {}, "weight_map": placed}
    files["unet/diffusion_pytorch_model.safetensors.index.fp16.json"] = json.dumps(index).encode()
    del files[UNET]
    return files


def test_half_precision_is_read_where_there_is_no_other(tmp_path):
    vae = {"vae/diffusion_pytorch_model.fp16.safetensors": b"of no use"}
    place = _lay(tmp_path / "given", _halves() | vae)
    found = resolve(check_spec(str(place)))
    assert found.digest == _digest(_halves()) and found.path != place
    assert [path.name for path in weight_files(found.path / "unet")] == [
        "diffusion_pytorch_model-00001-of-00002.safetensors", "diffusion_pytorch_model-00002-of-00002.safetensors"
    ]  # fmt: skip
    assert weight_files(found.path / "vae")[0].read_bytes() == _model()["vae/diffusion_pytorch_model.safetensors"]
    (place / "unet/diffusion_pytorch_model.fp16-00002-of-00002.safetensors").unlink()
    with pytest.raises(BadInput, match="of 2 shards is missing"):
        resolve(str(place))


def test_a_path_may_be_relative(tmp_path, monkeypatch):
    _lay(tmp_path / "m", _model())
    monkeypatch.chdir(tmp_path)
    assert resolve("m").path == tmp_path / "m"


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({UNET: None, "unet/diffusion_pytorch_model.bin": b"x"}, "only pickles"),
        ({UNET: None, "unet/diffusion_pytorch_model.non_ema.safetensors": b"x"}, "only a variant"),
        ({UNET: None, "unet/config.json": None}, "unet/ is missing"),
        ({"tokenizer/merges.txt": None}, "tokenizer/ is missing"),
        ({"model_index.json": None}, "no model_index.json"),
        ({"model_index.json": b"[1"}, "model_index.json is damaged"),
    ],
)
def test_an_unusable_folder_is_refused_at_once(tmp_path, change, says):
    files = {name: data for name, data in (_model() | change).items() if data is not None}
    with pytest.raises(BadInput, match=says):
        check_spec(str(_lay(tmp_path, files)))


@pytest.mark.parametrize(
    "data", [b"version https://git-lfs.github.com/spec/v1\noid sha256:aa\nsize 9\n", _tensors(0)[:-9]]
)
def test_half_a_safetensors_file_is_refused(tmp_path, data):
    with pytest.raises(BadInput, match="not a whole safetensors file"):
        resolve(str(_lay(tmp_path, _model() | {UNET: data})))


def test_the_second_start_hashes_nothing_but_sees_a_change(tmp_path, monkeypatch):
    folder = _lay(tmp_path / "m", _model())
    first = resolve(str(folder)).digest
    read = []
    real = hashlib.file_digest
    monkeypatch.setattr(hashlib, "file_digest", lambda file, name: read.append(file.name) or real(file, name))
    assert resolve(str(folder)).digest == first and not read
    _flip(folder / UNET)
    assert resolve(str(folder)).digest != first and read == [str(folder / UNET)]


def test_an_unwritable_cache_costs_only_time(tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    assert resolve(str(_lay(tmp_path / "m", _model()))).digest == _digest(_model())


def test_the_embedded_model_is_held_against_its_digest(tmp_path, monkeypatch):
    monkeypatch.setattr(found, "TINY", _lay(tmp_path / "tiny", _model()))
    with pytest.raises(BadInput, match="install"):
        resolve("tiny")
    assert write_digest(tmp_path / "tiny") == _digest(_model()) == resolve("tiny").digest
    assert resolve("tiny").source == "embedded"
    _flip(tmp_path / "tiny" / UNET)
    with pytest.raises(BadInput, match="damaged"):
        resolve("tiny")


def test_an_artifact_is_held_against_its_record(tmp_path):
    commit_record(open_store(str(_lay(tmp_path, _model()))), _record(_model()))
    assert resolve(str(tmp_path)).digest == _digest(_model())
    _flip(tmp_path / UNET)
    with pytest.raises(BadInput, match=f"{UNET} is not the file"):
        resolve(str(tmp_path))


def test_whom_a_model_has_seen_and_what_of_is_what_its_record_tells(tmp_path):
    unknown = resolve(str(_lay(tmp_path / "m", _model())))
    assert (unknown.lineage, unknown.sources) == (None, (UNKNOWN_SOURCE,))
    lineage = [{"key": "k", "commitment": "c"}]
    told = _record(_model()).model_copy(update={"metrics": {"lineage": lineage, "sources": [PHANTOM, "folder"]}})
    commit_record(open_store(str(tmp_path / "m")), told)
    known = resolve(str(tmp_path / "m"))
    assert (known.lineage, known.sources) == ((TrainingPatients("k", "c"),), ("folder", PHANTOM))
    assert known.place == str(tmp_path / "m") and resolve_lora(str(_lora_beside(known.path))).place == known.place
    assert (resolve("tiny").lineage, resolve("tiny").sources) == ((), (PHANTOM,))


def _lora_beside(folder):
    (folder / LORA).write_bytes(_tensors(1))
    (folder / "record.json").unlink()
    return folder / LORA


def test_a_lora_is_a_folder_or_a_file(tmp_path):
    _lay(tmp_path, {LORA: _tensors(1), "other.safetensors": _tensors(2), "old.bin": b"x"})
    assert resolve_lora(str(tmp_path)).path == tmp_path / LORA
    assert resolve_lora(str(tmp_path)).digest == _digest({LORA: _tensors(1)})
    assert resolve_lora(str(tmp_path / "other.safetensors")).digest == _digest({"other.safetensors": _tensors(2)})
    with pytest.raises(BadInput, match="pickles"):
        resolve_lora(str(tmp_path / "old.bin"))
    with pytest.raises(BadInput, match=f"no {LORA}"):
        resolve_lora(str(_lay(tmp_path / "m", _model())))


def test_the_embedded_lora_is_what_its_card_names_fits_its_base_and_says_how_it_is_sampled(tmp_path, monkeypatch):
    (spec,) = names.EMBEDDED_LORAS
    assert check_lora_spec(spec) == spec
    weights = resolve_lora(spec)
    assert (weights.lineage, weights.sources, weights.source) == ((), (PHANTOM,), "embedded")
    assert weights.digest in (weights.path.parent / "README.md").read_text()
    assert read_lora(weights.path, resolve("tiny").path).changes
    sampler = recipes.tiny_fast().sampler
    assert (sampler.steps, sampler.solver) == (weights.few_steps.steps, weights.few_steps.solver)
    monkeypatch.setattr(found, "TINY_FAST", shutil.copytree(weights.path.parent, tmp_path / "fast"))
    _flip(tmp_path / "fast" / LORA)
    with pytest.raises(BadInput, match="damaged"):
        resolve_lora(spec)


def test_what_the_package_embeds_stays_small():
    sizes = [path.stat().st_size for path in found.ASSETS.rglob("*") if path.is_file()]
    assert sum(sizes) <= 12e6


# extractors


def test_the_embedded_extractor_is_what_its_card_names():
    weights = resolve_extractor("tiny")
    assert weights.source == "embedded" and weights.path.name == EXTRACTOR_FILE
    assert weights.digest in (weights.path.parent / "README.md").read_text()


def test_an_extractor_is_a_folder_or_a_file(tmp_path):
    _lay(tmp_path, {EXTRACTOR_FILE: _tensors(1), "other.safetensors": _tensors(2), "old.pth": b"pickle"})
    assert resolve_extractor(f"inception={tmp_path}").path == tmp_path / EXTRACTOR_FILE
    other = resolve_extractor(f"xrv={tmp_path / 'other.safetensors'}")
    assert other.digest == _digest({"other.safetensors": _tensors(2)})
    with pytest.raises(BadInput, match="pickles"):
        resolve_extractor(f"xrv={tmp_path / 'old.pth'}")
    with pytest.raises(BadInput, match="file of the extractor"):
        resolve_extractor(f"inception={_lay(tmp_path / 'm', _model())}")


@pytest.mark.parametrize(
    ("spec", "says"),
    [
        ("incption", "did you mean inception"),
        ("x" * 5000, "known: tiny, inception, xrv, rad-dino"),
        (__file__, "NETWORK=PLACE"),
        ("tiny=weights.safetensors", "for all but tiny"),
        ("xrv=", "give a folder"),
        ("rad-dino=owner/name", "owner/name@<40 hex digits>"),
        (f"rad-dino={__file__}", "give the folder that holds config.json"),
    ],
)
def test_an_extractor_that_means_nothing_is_one_line_of_advice(spec, says):
    with pytest.raises(BadInput, match=says) as error:
        resolve_extractor(spec)
    assert "\n" not in str(error.value) and len(str(error.value)) < 500


def _rad_dino(seed: int = 1) -> dict[str, bytes]:
    return {"config.json": b"{}", EXTRACTOR_FILE: _tensors(seed)}


def test_rad_dino_is_a_folder_of_two_files(tmp_path):
    weights = resolve_extractor(f"rad-dino={_lay(tmp_path / 'whole', _rad_dino() | STRAYS)}")
    assert weights.path == tmp_path / "whole" and weights.digest == _digest(_rad_dino())
    with pytest.raises(BadInput, match=r"no config\.json; give the folder of the extractor"):
        resolve_extractor(f"rad-dino={_lay(tmp_path / 'half', {EXTRACTOR_FILE: _tensors(1)})}")


def test_a_sealed_extractor_that_was_damaged_is_refused(tmp_path):
    _lay(tmp_path, {EXTRACTOR_FILE: _tensors(1)})
    assert write_digest(tmp_path, EXTRACTOR) == resolve_extractor(f"inception={tmp_path}").digest
    _flip(tmp_path / EXTRACTOR_FILE)
    with pytest.raises(BadInput, match="damaged"):
        resolve_extractor(f"inception={tmp_path}")


# a bucket


def _upload(s3, files: dict[str, bytes]) -> str:
    for name, data in files.items():
        s3.put_object(Bucket="bucket", Key=f"base/{name}", Body=data)
    return "s3://bucket/base"


def _copies(cache: Path) -> list[str]:
    return sorted(p.suffix for p in (cache / "cxr/weights/s3").glob("*"))


def test_a_bucket_is_copied_once_without_pickles(s3, cache, monkeypatch):
    weights = resolve(_upload(s3, _model() | STRAYS))
    assert weights.digest == _digest(_model()) and weights.source == "s3://bucket/base"
    assert not list(weights.path.rglob("*.bin")) and not (weights.path / "safety_checker").exists()
    monkeypatch.setattr(bucket, "_copy", None)
    assert resolve("s3://bucket/base") == weights
    assert _copies(cache) == [""]


def test_a_changed_bucket_is_a_new_copy_and_a_damaged_copy_is_replaced(s3):
    first = resolve(_upload(s3, _model()))
    larger = {UNET: _tensors(3, 2000)}
    second = resolve(_upload(s3, larger))
    assert second.digest == _digest(_model() | larger) and second.path != first.path
    _flip(second.path / UNET)
    assert resolve("s3://bucket/base") == second


def test_half_precision_is_copied_where_there_is_no_other(s3):
    found = resolve(_upload(s3, _halves() | {"vae/diffusion_pytorch_model.fp16.safetensors": b"of no use"}))
    assert found.digest == _digest(_halves()) and found.source == "s3://bucket/base"


def test_a_lora_from_a_bucket(s3):
    weights = resolve_lora(_upload(s3, _model() | {LORA: _tensors(1)}))
    assert weights.digest == _digest({LORA: _tensors(1)}) and weights.path.read_bytes() == _tensors(1)


def test_rad_dino_from_a_bucket(s3):
    weights = resolve_extractor(f"rad-dino={_upload(s3, _rad_dino() | STRAYS)}")
    assert weights.digest == _digest(_rad_dino()) and weights.source == "s3://bucket/base"
    assert (weights.path / "config.json").is_file() and not (weights.path / "README.md").exists()


def test_an_artifact_that_its_record_does_not_fit_leaves_nothing(s3, cache):
    _upload(s3, _model())
    commit_record(open_store("s3://bucket/base"), _record(_model()))
    assert resolve("s3://bucket/base").digest == _digest(_model())
    _upload(s3, {UNET: _tensors(1)})  # of the same size
    shutil.rmtree(cache)
    with pytest.raises(BadInput, match=r"^s3://bucket/base: .*record.json"):
        resolve("s3://bucket/base")
    assert _copies(cache) == []


def test_a_prefix_without_a_model_or_bucket_is_bad_input(s3):
    with pytest.raises(BadInput, match=r"no model_index.json"):
        resolve("s3://bucket/nothing")
    with pytest.raises(BadInput, match="nosuchbucket") as error:
        resolve("s3://nosuchbucket/base")
    assert os.environ["AWS_SECRET_ACCESS_KEY"] not in str(error.value)


def test_of_two_that_want_a_bucket_one_copies(s3, monkeypatch):
    real, copied = bucket._copy, Counter()

    def slowly(store, key, path):
        copied[key] += 1
        time.sleep(0.05)
        real(store, key, path)

    monkeypatch.setattr(bucket, "_copy", slowly)
    spec = _upload(s3, _model())
    with ThreadPoolExecutor(2) as pool:
        first, second = pool.map(resolve, [spec, spec])
    assert first == second and copied == Counter(list(_model()))


def test_a_copy_that_breaks_off_is_none(s3, cache, monkeypatch):
    real, copied = bucket._copy, []

    def break_off(store, key, path):
        copied.append(key)
        if len(copied) == 3:
            raise OSError(28, "No space left on device")
        real(store, key, path)

    monkeypatch.setattr(bucket, "_copy", break_off)
    with pytest.raises(StoreError, match="disk full"):
        resolve(_upload(s3, _model()))
    assert _copies(cache) == [".part"]
    assert resolve("s3://bucket/base").digest == _digest(_model())
    assert _copies(cache) == [""]


# the hub, by its real client


class FakeHub(ThreadingHTTPServer):
    """Repositories by id, each at COMMIT; what was asked is counted. `corrupt` maps a path to other bytes to send."""

    daemon_threads = True

    def __init__(self):
        super().__init__(("127.0.0.1", 0), FakeHubHandler)
        self.repos: dict[str, dict[str, bytes]] = {}
        self.corrupt: dict[str, bytes] = {}
        self.fetched: Counter[str] = Counter()
        self.delay = 0.0
        self.started = threading.Event()
        threading.Thread(target=self.serve_forever, args=(0.01,), daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"


class FakeHubHandler(BaseHTTPRequestHandler):
    server: FakeHub

    def do_HEAD(self):
        self.do_GET()

    def do_GET(self):
        path = self.path.partition("?")[0].removeprefix("/api/models").strip("/")
        if not path:
            return self._send(200, b"hub")
        repo, kind, commit, name = ("/".join(part) for part in _split(path.split("/")))
        files = self.server.repos.get(repo)
        if files is None:
            return self._send(404, b"{}", {"X-Error-Code": "RepoNotFound"})
        if commit != COMMIT:
            return self._send(404, b"{}", {"X-Error-Code": "RevisionNotFound"})
        return self._tree(files) if kind == "tree" else self._file(name, files[name])

    def _tree(self, files: dict[str, bytes]) -> None:
        self._send(200, json.dumps([_tree_entry(name, data) for name, data in files.items()]).encode())

    def _file(self, name: str, data: bytes) -> None:
        entry = _tree_entry(name, data)
        headers = {"X-Repo-Commit": COMMIT, "ETag": f'"{entry["lfs"]["oid"] if "lfs" in entry else entry["oid"]}"'}
        if self.command == "GET":
            self.server.fetched[name] += 1
            data = self.server.corrupt.get(name, data)
        self._send(200, data, headers, self.server.delay)

    def _send(self, status: int, data: bytes, headers: dict[str, str] | None = None, delay: float = 0) -> None:
        self.send_response(status)
        for name, value in ({"Content-Length": str(len(data))} | (headers or {})).items():
            self.send_header(name, value)
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(data[:100])
            self.wfile.flush()
            if delay:
                self.server.started.set()
                time.sleep(delay)
            self.wfile.write(data[100:])

    def log_message(self, *_):
        pass


def _split(parts: list[str]) -> tuple[list[str], ...]:
    return parts[:2], parts[2:3], parts[3:4], parts[4:]


def _tree_entry(name: str, data: bytes) -> dict:
    """As the hub lists it: weights in LFS, whose git id is that of the pointer."""
    sha = hashlib.sha256(data).hexdigest()
    pointer = f"version https://git-lfs.github.com/spec/v1\noid sha256:{sha}\nsize {len(data)}\n".encode()
    in_git = pointer if name.endswith(".safetensors") else data
    oid = hashlib.sha1(b"blob %d\0" % len(in_git) + in_git).hexdigest()
    entry = {"type": "file", "path": name, "size": len(data), "oid": oid}
    return entry | ({"lfs": {"oid": sha, "size": len(data), "pointerSize": len(pointer)}} if in_git is pointer else {})


@pytest.fixture
def hub():
    server = FakeHub()
    yield server
    server.shutdown()
    server.server_close()


CHILD = """
import json, sys
from cxr.errors import BadInput
from cxr.weights import found, hub, names, resolve, resolve_extractor, resolve_lora
hub._PROBE_SECONDS = 0.3
call, spec, pinned, *mirrors = sys.argv[1:]
names.ALIASES["sd15"] = found.RAD_DINO_ALIAS = names.Alias("x", tuple(mirrors), json.loads(pinned))
try:
    weights = {"resolve": resolve, "resolve_extractor": resolve_extractor, "resolve_lora": resolve_lora}[call](spec)
    answer = {"path": str(weights.path), "digest": weights.digest, "source": weights.source}
    answer["prompts"] = weights.trained and dict(weights.trained.prompts)
except BadInput as error:
    answer = {"error": str(error)}
assert not {"torch", "diffusers", "transformers"} & set(sys.modules)
print(json.dumps(answer))
"""
PUBLISHED = {UNET: _tensors(0)} | _rad_dino()
PINNED = json.dumps({name: hashlib.sha256(data).hexdigest() for name, data in PUBLISHED.items()})


def _start(endpoint: str, cache: Path, spec: str, *mirrors: str, call: str = "resolve") -> subprocess.Popen:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("HF_", "HUGGINGFACE_"))}
    env = kept | {"HF_ENDPOINT": endpoint, "HF_HOME": str(cache / "hf"), "HF_TOKEN": CANARY, "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-c", CHILD, call, spec, PINNED, *mirrors]
    return subprocess.Popen(command, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def _answer(child: subprocess.Popen) -> dict:
    out, err = child.communicate(timeout=60)
    assert CANARY not in out + err
    assert child.returncode == 0, err
    return json.loads(out)


def _ask(hub: FakeHub, cache: Path, spec: str, *mirrors: str, call: str = "resolve") -> dict:
    """In this process what a child answers: what the hub's client reads of its environment at first is changed."""
    from huggingface_hub import constants

    alias = names.Alias("x", mirrors, json.loads(PINNED))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(constants, "ENDPOINT", hub.url)
        patch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", hub.url + "/{repo_id}/resolve/{revision}/{filename}")
        patch.setattr(constants, "HF_HUB_CACHE", str(cache / "hf/hub"))
        patch.setattr(cxr.weights.hub, "_PROBE_SECONDS", 0.3)
        patch.setattr(found, "RAD_DINO_ALIAS", alias)
        patch.setitem(names.ALIASES, "sd15", alias)
        patch.setenv("HF_TOKEN", CANARY)
        try:
            weights = {"resolve": resolve, "resolve_extractor": resolve_extractor, "resolve_lora": resolve_lora}[call](
                spec
            )
        except BadInput as error:
            assert CANARY not in str(error)
            return {"error": str(error)}
    answer = {"path": str(weights.path), "digest": weights.digest, "source": weights.source}
    return answer | {"prompts": weights.trained and dict(weights.trained.prompts)}


def _spec(repo: str) -> str:
    return f"{repo}@{COMMIT}"


def test_a_pinned_commit_is_fetched_once_and_only_what_is_loaded(hub, cache):
    hub.repos["own/er"] = _model() | STRAYS
    first = _answer(_start(hub.url, cache, _spec("own/er")))
    assert first["digest"] == _digest(_model()) and first["source"] == f"hub own/er@{COMMIT}"
    assert hub.fetched == Counter(list(_model()))
    assert _ask(hub, cache, _spec("own/er")) == first and hub.fetched == Counter(list(_model()))
    hub.shutdown()
    hub.server_close()
    assert _ask(hub, cache, _spec("own/er")) == first  # no internet any more


def test_half_precision_is_fetched_where_there_is_no_other(hub, cache):
    hub.repos["own/er"] = _halves()
    found = _ask(hub, cache, _spec("own/er"))
    assert found["digest"] == _digest(_halves()) and hub.fetched == Counter(list(_halves()))


def test_another_commit_is_another_model(hub, cache):
    hub.repos["own/er"] = _model()
    other = "f" * 40
    assert f"own/er@{other} (HTTP 404)" in _ask(hub, cache, f"own/er@{other}")["error"]


def test_the_second_mirror_serves_when_the_first_is_gone_or_holds_another_model(hub, cache):
    hub.repos |= {"good/one": _model(), "bad/one": _model(seed=1)}
    mirrors = [_spec(repo) for repo in ("gone/one", "bad/one", "good/one")]
    assert _ask(hub, cache, "sd15", *mirrors)["source"] == f"hub {mirrors[2]}"
    refused = _ask(hub, cache, "sd15", *mirrors[:2])["error"]
    assert f"{mirrors[0]} (HTTP 404)" in refused and f"{mirrors[1]} ({UNET} is not the published one" in refused


def test_a_gated_model_says_how_to_ask_for_it(hub, cache, monkeypatch):
    for alias in names.ALIASES.values():
        assert all(names._COMMIT.fullmatch(mirror.partition("@")[2]) for mirror in alias.mirrors) and alias.licence
    asked = names.ALIASES["sd35_medium"].access
    assert "accept its licence on https://huggingface.co/stabilityai/" in asked
    plain = names.Alias
    monkeypatch.setattr(names, "Alias", lambda licence, mirrors, sha256: plain(licence, mirrors, sha256, asked))
    assert asked in _ask(hub, cache, "sd15", _spec("gone/one"))["error"]


def test_a_damaged_file_is_refused_and_fetched_again(hub, cache):
    hub.repos["own/er"] = _model()
    hub.corrupt[UNET] = _tensors(1)  # a whole file of the same size
    assert f"{UNET} was damaged" in _ask(hub, cache, _spec("own/er"))["error"]
    hub.corrupt.clear()
    answer = _ask(hub, cache, _spec("own/er"))
    assert answer["digest"] == _digest(_model())
    _flip(Path(answer["path"], UNET).resolve())
    assert _ask(hub, cache, _spec("own/er")) == answer
    assert hub.fetched[UNET] == 3 and hub.fetched["unet/config.json"] == 1


def test_a_lora_from_the_hub(hub, cache):
    hub.repos["own/lora"] = {LORA: _tensors(1), "other.safetensors": b"x", "README.md": b"y"}
    answer = _ask(hub, cache, _spec("own/lora"), call="resolve_lora")
    assert answer["digest"] == _digest({LORA: _tensors(1)}) and Path(answer["path"]).name == LORA
    assert hub.fetched == Counter([LORA])


def test_rad_dino_from_the_hub_is_the_published_one_or_refused(hub, cache):
    hub.repos |= {"bad/one": _rad_dino(seed=2) | STRAYS, "good/one": _rad_dino() | STRAYS}
    bad, good = _spec("bad/one"), _spec("good/one")
    refused = _ask(hub, cache, "rad-dino", bad, call="resolve_extractor")["error"]
    assert f"{bad} ({EXTRACTOR_FILE} is not the published one" in refused and "or give rad-dino=PLACE" in refused
    hub.fetched.clear()
    answer = _ask(hub, cache, "rad-dino", _spec("gone/one"), good, call="resolve_extractor")
    assert answer["digest"] == _digest(_rad_dino()) and answer["source"] == f"hub {good}"
    assert hub.fetched == Counter(list(_rad_dino()))


@pytest.mark.slow
def test_of_two_processes_one_fetches(hub, cache):
    hub.repos["own/er"] = _model()
    hub.delay = 0.5
    children = [_start(hub.url, cache, _spec("own/er")) for _ in range(2)]
    first, second = map(_answer, children)
    assert first == second and first["digest"] == _digest(_model())
    assert hub.fetched == Counter(list(_model()))


@pytest.mark.slow
def test_a_killed_download_leaves_nothing_under_the_final_name(hub, cache):
    hub.repos["own/er"] = _model()
    hub.delay = 30
    child = _start(hub.url, cache, _spec("own/er"))
    assert hub.started.wait(30)
    time.sleep(0.5)
    child.send_signal(signal.SIGKILL)
    child.communicate()
    snapshot = cache / "hf/hub/models--own--er/snapshots" / COMMIT
    assert not (snapshot / UNET).exists() and list(cache.glob("hf/hub/models--own--er/blobs/*.incomplete"))
    hub.delay = 0
    assert _ask(hub, cache, _spec("own/er"))["digest"] == _digest(_model())


@pytest.mark.parametrize("answers", ["refuses", pytest.param("is silent", marks=pytest.mark.slow)])
def test_without_internet_one_line_names_what_was_tried_within_seconds(cache, answers):
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        if answers == "is silent":
            listener.listen()
        start = time.monotonic()
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        says = _answer(_start(url, cache, "sd15", _spec("a/one"), _spec("b/two")))["error"]
    assert _spec("a/one") in says and _spec("b/two") in says and "s3://bucket/prefix" in says and "\n" not in says
    assert time.monotonic() - start < 15 and cxr.weights.hub._PROBE_SECONDS <= 5


# what the record of a fine-tuned one tells of its captions


CAPTIONS = {"kind": "a prompt for each finding", "findings": ["normal"], "prompts": {"normal": "an X-ray of normal"}}


def _tuned(metrics: dict) -> dict[str, bytes]:
    """A LoRA and its record."""
    files = {LORA: _tensors(1)}
    return files | {"record.json": _record(files).model_copy(update={"metrics": metrics}).model_dump_json().encode()}


@pytest.mark.parametrize(("metrics", "prompts"), [({"captions": CAPTIONS}, CAPTIONS["prompts"]), ({}, None)])
def test_prompts_are_read_in_a_folder_and_in_a_bucket(s3, tmp_path, metrics, prompts):
    for place in (str(_lay(tmp_path, _tuned(metrics))), _upload(s3, _tuned(metrics)), str(tmp_path / LORA)):
        trained = resolve_lora(place).trained
        assert (trained and dict(trained.prompts)) == prompts


def test_prompts_are_read_from_the_hub(hub, cache):
    hub.repos["own/lora"] = _tuned({"captions": CAPTIONS}) | {"README.md": b"y"}
    answer = _ask(hub, cache, _spec("own/lora"), call="resolve_lora")
    assert answer["prompts"] == CAPTIONS["prompts"] and hub.fetched == Counter([LORA, "record.json"])
    hub.repos["own/er"] = _model()
    assert _ask(hub, cache, _spec("own/er"))["prompts"] is None
    hub.corrupt["record.json"] = _tuned({"captions": CAPTIONS})["record.json"].replace(b"X-ray", b"X-ry!")
    shutil.rmtree(cache / "hf")
    assert "record.json was damaged" in _ask(hub, cache, _spec("own/lora"), call="resolve_lora")["error"]
