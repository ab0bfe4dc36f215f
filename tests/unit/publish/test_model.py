"""A model goes on as its weights and a card: a LoRA in both formats, and nothing of its training beside them."""

from pathlib import Path

import numpy as np
import pytest
import yaml
from huggingface_hub import constants
from safetensors.numpy import load, save

from cxr import cli
from cxr.artifact import Made, Record, commit_record, read_record, recipe_digest, verify
from cxr.artifact.keys import CARD_KEY, PLAN_KEY
from cxr.artifact.kinds import FINE_TUNED_MODEL
from cxr.data.lineage import LINEAGE, SET_SOURCES
from cxr.errors import BadInput
from cxr.jobs import publish
from cxr.store import digest_of, open_store
from cxr.weights import resolve, resolve_lora
from cxr.weights.kinds import KOHYA_FILE, LORA_FILE
from tests.unit.publish.conftest import BUCKET, CANARIES, HOME, PATIENT, store_audit, store_record
from tests.unit.publish.hub_server import UploadHub

NONE = "no leak found at this power"
KEY = "unet.down_blocks.0.attentions.0.to_q.lora_{}.weight"


def store_model(
    place: Path, texts: dict[str, str] | None = None, leave_out: str = "", **told: object
) -> tuple[str, str]:
    """A fine-tuned LoRA with canaries in all that lies beside it; returns its place and the digest of its weights."""
    store = open_store(str(place))
    tensors = {KEY.format(half): np.full((2, 3), number, np.float32) for number, half in enumerate("AB")}
    files = {
        LORA_FILE: save(tensors, texts or {"rank": "2"}), KOHYA_FILE: save(tensors, {"ss_network_dim": "2"}),
        "lineage.json": PATIENT.encode(), "history.jsonl": HOME.encode(), "samples/final/1.png": PATIENT.encode(),
        PLAN_KEY: PATIENT.encode(), CARD_KEY: f"trained on {HOME}, {PATIENT}".encode(),
    }  # fmt: skip
    objects = [store.put(name, data) for name, data in files.items() if name != leave_out]
    metrics = {
        "step": 40, LINEAGE: [{"key": "k", "commitment": PATIENT}], SET_SOURCES: ["NIH ChestX-ray14", BUCKET],
        "privacy": {"epsilon": 8.0, "delta": 1e-4}, **told,
    }  # fmt: skip
    recipe = {"method": "lora", "rank": 2, "instance_prompt": f"of {PATIENT}", "data": HOME}
    weights = [one for one in objects if one.key == LORA_FILE]
    record = Record(
        kind=FINE_TUNED_MODEL, recipe=recipe, recipe_digest=recipe_digest(recipe), made=Made.of(objects),
        objects=objects, metrics=metrics, inputs={"model": "b" * 64, "data": PATIENT}, device=HOME,
    )  # fmt: skip
    commit_record(store, record)
    return str(place), digest_of((one.key, one.sha256) for one in weights)


def audit_model(place: Path, model: str, **tests: str) -> str:
    told = store_audit(place.with_name(f"{place.name}-set"), "s" * 64, **tests)
    metrics = read_record(open_store(told)).metrics
    return store_record(place, "audit", {"real": "r" * 64, "synthetic": "s" * 64, "model": model}, metrics)


def run(*words: object) -> int:
    return publish.main(cli.parse(publish.Args, [*map(str, words)]))


def test_how_a_distilled_model_is_sampled_goes_on_with_it(tmp_path):
    few = {"steps": 4, "solver": "ddim", "guidance": 3.0}
    place, _ = store_model(tmp_path / "lora", few_steps=few)
    assert run(place, "--to", tmp_path / "out", "--unaudited") == 0
    assert resolve_lora(str(tmp_path / "out")).few_steps.model_dump() == few
    assert "sample it in 4 steps by DDIM" in (tmp_path / "out" / CARD_KEY).read_text()


def test_a_dry_run_says_how_much_it_would_be_and_writes_nothing(tmp_path, capsys):
    place, _ = store_model(tmp_path / "lora")
    assert run(place, "--to", tmp_path / "out", "--unaudited", "--dry-run") == 0
    told = capsys.readouterr().out
    assert "reads: 2 files of a LoRA, unaudited\n" in told and "\ntime: " in told
    assert not list((tmp_path / "out").rglob("*"))


def test_a_lora_goes_on_in_both_formats_and_nothing_else(tmp_path, capsys):
    place, digest = store_model(tmp_path / "lora")
    audit, out = audit_model(tmp_path / "audit", digest, membership=NONE, canaries="not tested"), tmp_path / "out"
    assert run(place, "--to", out, "--audit", audit, "--licence", "openrail") == 0
    files = {str(path.relative_to(out)): path.read_bytes() for path in out.rglob("*") if path.is_file()}
    assert set(files) == {LORA_FILE, KOHYA_FILE, "README.md", "record.json"}
    private = [*CANARIES, str(tmp_path)]
    assert not [(name, word) for name, data in files.items() for word in private if word.encode() in data]
    assert load(files[LORA_FILE])[KEY.format("B")].max() == 1 and verify(open_store(str(out))).clean
    _, matter, text = files["README.md"].decode().split("---\n", 2)
    assert yaml.safe_load(matter)["license"] == "openrail" and "lora" in yaml.safe_load(matter)["tags"]
    assert f"| membership | {NONE} |" in text and "**Not tested:** canaries." in text and "Unaudited" not in text
    assert "NIH ChestX-ray14; a local source" in text and "epsilon 8, delta 0.0001" in text
    assert "safe" not in text.casefold().replace("safetensors", "")
    assert run(place, "--to", out, "--audit", audit, "--licence", "openrail") == 0
    assert "already there: 2 files of a model" in capsys.readouterr().out
    assert resolve_lora(str(out)).digest == digest  # what is published is the model that was audited


def test_a_whole_model_goes_on_in_all_its_parts_and_nothing_else(random_model, tmp_path):
    store = open_store(str(tmp_path / "model"))
    files = {
        str(path.relative_to(random_model)): path.read_bytes() for path in random_model.rglob("*") if path.is_file()
    }
    inside = [store.put(name, data) for name, data in sorted(files.items()) if name != "record.json"]
    fold = [store.put(f"folds/best_model_fold1_epoch2/{one.key}", PATIENT.encode()) for one in inside]
    recipe = {"method": "dreambooth", "instance_prompt": HOME}
    record = Record(
        kind=FINE_TUNED_MODEL, recipe=recipe, recipe_digest=recipe_digest(recipe), made=Made.of(inside),
        objects=[*inside, *fold], metrics={"step": 9},
    )  # fmt: skip
    commit_record(store, record)
    assert run(store.uri, "--to", tmp_path / "out", "--unaudited") == 0
    out = tmp_path / "out"
    assert verify(open_store(str(out))).clean and resolve(str(out)).digest == resolve(str(random_model)).digest
    assert not [path for path in out.rglob("*") if path.is_file() and PATIENT.encode() in path.read_bytes()]
    assert "# A diffusion model of chest X-rays (unaudited)" in (out / "README.md").read_text()


def test_an_unaudited_model_is_called_so(tmp_path):
    place, _ = store_model(tmp_path / "lora")
    assert run(place, "--to", tmp_path / "out", "--unaudited") == 0
    text = (tmp_path / "out/README.md").read_text()
    assert "# A LoRA of chest X-rays (unaudited)" in text and "**Unaudited: nothing here tests by attack" in text


def test_a_model_that_may_not_leave_is_refused(tmp_path):
    place, digest = store_model(tmp_path / "lora")
    named, _ = store_model(tmp_path / "named", {"base": f"{HOME}/sd15"})
    old, _ = store_model(tmp_path / "old", leave_out=LORA_FILE)
    leaking = audit_model(tmp_path / "leaking", digest, membership="leak found")
    other = audit_model(tmp_path / "other", "0" * 64, membership=NONE)
    for words, told in (
        ((place,), "--audit: missing"),
        ((place, "--audit", leaking), "leak found by membership; the model is not published"),
        ((place, "--audit", other), "did not attack this model"),
        ((named, "--unaudited"), "names a path of a machine"),
        ((old, "--unaudited"), f"names no {LORA_FILE}"),
    ):
        with pytest.raises(BadInput, match=told):
            run(*words, "--to", tmp_path / "out")
        assert not (tmp_path / "out/record.json").exists() and not (tmp_path / f"out/{LORA_FILE}").exists()


def test_a_model_goes_to_the_hub_as_a_model(tmp_path, monkeypatch):
    server = UploadHub()
    monkeypatch.setattr(constants, "ENDPOINT", server.url)
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)
    monkeypatch.setenv("HF_TOKEN", "hf_canarytoken")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    place, _ = store_model(tmp_path / "lora")
    assert run(place, "--to", "hub:own/lora", "--unaudited") == 0
    wanted = {".gitattributes", LORA_FILE, KOHYA_FILE, "README.md", "record.json"}
    assert set(server.repos["models/own/lora"]) == wanted and server.private["models/own/lora"]
    server.shutdown()
    server.server_close()
