"""The model that is attacked: what is read of it, and what cannot be attacked is said in one line."""

import io
import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from cxr.artifact import Made, Record, commit_record, recipe_digest
from cxr.artifact.kinds import FINE_TUNED_MODEL
from cxr.artifact.metrics import Promise
from cxr.audit import forecast
from cxr.audit.attacked import AttackedModel, choose_canaries, choose_pairs, choose_targets, find_attacked
from cxr.audit.config import AuditConfig
from cxr.audit.denoising import BATCH
from cxr.data.canaries import draw_canaries
from cxr.data.catalog import CatalogSet
from cxr.data.lineage import hashed_id, pseudonymise, record_lineage
from cxr.data.lineage_key import owner_key
from cxr.data.lineage_lists import encode_lists, read_lists
from cxr.errors import BadInput
from cxr.report.forecast import Timed
from cxr.store import open_store
from cxr.weights import resolve
from cxr.weights.kinds import LORA_FILE
from tests.unit.audit.conftest import TEST, TRAIN, VALIDATION

PARTS = ["train"] * TRAIN + ["validation"] * VALIDATION + ["test"] * TEST
COUNT = len(PARTS)
COLUMNS = {
    "finding": ["a", "b"] * (COUNT // 2), "view": ["PA"] * COUNT, "split": PARTS,
    "patient_id": [f"patient-{row // 2}" for row in range(COUNT)],  # two pictures each
}  # fmt: skip


@pytest.fixture(scope="module")
def sets(stored_set) -> dict[str, CatalogSet]:
    pixels = np.random.default_rng(0).integers(0, 255, (COUNT, 64, 64), dtype=np.uint8)
    some = {**COLUMNS, "patient_id": [None, None, *COLUMNS["patient_id"][2:]]}
    return {
        "real": stored_set("real", pixels, **COLUMNS),
        "other": stored_set("other", pixels[:, ::-1], **COLUMNS),
        "nameless": stored_set("nameless", pixels, **{**COLUMNS, "patient_id": [None] * COUNT}),
        "some": stored_set("some", pixels, **some),
        "synthetic": stored_set("synthetic", pixels[:4]),
    }


@dataclass(frozen=True)
class Tuned:
    """A fine-tuned model as its job leaves it; nothing was trained for it."""

    place: str
    record: Record

    def find(self, real: CatalogSet, synthetic: CatalogSet, base: str | None = None) -> AttackedModel | str:
        return find_attacked(self.place, base, real, synthetic, read_lists(open_store(self.place)))


@pytest.fixture
def tuned(sets, tmp_path: Path):
    """`tuned(real, **changes)`: on the first 20 training pictures, of ten patients, or those of whom a coin says so."""
    import torch
    from safetensors.torch import save

    def store_model(
        name: str = "real", base: str | None = None, key: str | None = None, canaries: int = 0, seed: int = 0,
        known: bool = True, **metrics: object,
    ) -> Tuned:  # fmt: skip
        real, store = sets[name], open_store(str(tmp_path / "model"))
        rows = [row for row in real.table.to_pylist() if row["split"] != "train" or int(row["image_id"][-4:]) < 20]
        if canaries:
            drawn = draw_canaries(
                {row["patient_id"] for row in rows if row["split"] == "train"}, canaries, 0, owner_key()
            )
            rows = [row if drawn.get(row["patient_id"], True) else {**row, "split": "left out"} for row in rows]
        columns = ("image_id", "key", "sha256", "finding", "split")
        plan, sink = (
            [{n: row[n] for n in columns} | {"caption": f"shows {row['finding']}"} for row in rows],
            io.BytesIO(),
        )
        pq.write_table(pa.Table.from_pylist(plan), sink)
        seen = [row for row in rows if row["split"] in ("train", "validation")]
        lineage = (pseudonymise((hashed_id(row["patient_id"], row["image_id"]) for row in seen), owner_key()),)
        layer = "unet.down_blocks.0.attentions.0.transformer_blocks.0.attn1.to_q"
        lora = save({f"{layer}.lora_{half}.weight": torch.zeros(1, 1) for half in "AB"})
        pieces = {"plan.parquet": sink.getvalue(), "lineage.json": encode_lists(lineage), LORA_FILE: lora}
        objects = [store.put(name, data) for name, data in pieces.items()]
        how = {"method": "lora", "size": 64, "sampling_steps": 20, "guidance": 3.0}
        recipe = {**how, **({"canaries": canaries, "seed": seed} if canaries else {})}
        noted = [one | ({"key": key} if key else {}) for one in record_lineage(lineage) or []]
        record = Record(
            kind=FINE_TUNED_MODEL, recipe=recipe, recipe_digest=recipe_digest(recipe), objects=objects,
            made=Made(count=1, bytes=1, digest="0"),
            inputs={"model": base or resolve("tiny").digest, "data": real.digest},
            metrics={"lineage": noted if known else None, "sources": [], **metrics},
        )  # fmt: skip
        return Tuned(store.uri, commit_record(store, record))

    return store_model


def test_captions_and_parts_are_those_of_the_training_and_patients_come_in_pairs(tuned, sets):
    found = tuned().find(sets["real"], sets["synthetic"])
    assert isinstance(found, AttackedModel) and found.sampler.size == 64 and not found.canaries
    assert found.promise is None and (found.sampler.steps, found.sampler.guidance) == (20, 3.0)
    assert found.tuned.path.name == LORA_FILE and found.base.spec == "tiny"
    rows = found.rows.to_pylist()
    assert [row["split"] for row in rows] == ["train"] * 20 + ["test"] * TEST
    assert {(row["finding"], row["caption"]) for row in rows} == {("a", "shows a"), ("b", "shows b")}
    pairs = choose_pairs(found.rows, 8, np.random.default_rng(0))
    assert pairs.member.sum() == (~pairs.member).sum() == 8 and len(pairs.rows) == 32  # whole patients
    trained = [part == "train" for part in pairs.rows["split"].to_pylist()]
    assert pairs.member[pairs.owners].tolist() == trained and set(pairs.strata) == {"a, PA"}


def test_the_promise_of_a_private_training_is_read(tuned, sets):
    told = {"epsilon": 7.99, "delta": 1e-4, "sigma": 0.75}
    assert tuned(privacy=told).find(sets["real"], sets["synthetic"]).promise == Promise(epsilon=7.99, delta=1e-4)


def test_canaries_are_drawn_again_by_the_owner_s_key(tuned, sets, monkeypatch):
    monkeypatch.setattr("cxr.data.canaries.FEWEST", 4)
    found = tuned(canaries=8).find(sets["real"], sets["synthetic"])
    assert isinstance(found, AttackedModel) and len(found.canaries) == 8
    left = {patient for patient, kept in found.canaries.items() if not kept}
    assert left and left == {row["patient_id"] for row in found.rows.to_pylist() if row["split"] == "left out"}
    chosen = choose_canaries(found)
    assert len(chosen.rows) == 16 and chosen.member.sum() == 8 - len(left)  # two pictures each
    assert not left & set(choose_pairs(found.rows, 400, np.random.default_rng(0)).rows["patient_id"].to_pylist())


def test_a_picture_each_of_canaries_and_of_test_patients_like_them_is_asked_for(tuned, sets, monkeypatch):
    monkeypatch.setattr("cxr.data.canaries.FEWEST", 4)
    found = tuned(canaries=8).find(sets["real"], sets["synthetic"])
    assert isinstance(found, AttackedModel)
    targets = choose_targets(found, 5, np.random.default_rng(0))
    patients = np.array(targets.rows["patient_id"].to_pylist())
    assert {*patients[targets.canary]} == {*found.canaries} and len({*patients}) == len(patients) == 8 + 5
    assert {*patients[targets.kept]} == {patient for patient, kept in found.canaries.items() if kept}
    assert {*targets.rows.filter(pa.array(~targets.canary))["split"].to_pylist()} == {"test"}


def test_canaries_of_another_draw_are_no_model_of_ours(tuned, sets, monkeypatch):
    monkeypatch.setattr("cxr.data.canaries.FEWEST", 4)
    with pytest.raises(BadInput, match="leaves out other canaries than recipe and key draw"):
        tuned(canaries=8, seed=1).find(sets["real"], sets["synthetic"])


def test_patients_who_are_not_known_are_left_out(tuned, sets):
    found = tuned("some").find(sets["some"], sets["synthetic"])
    assert isinstance(found, AttackedModel) and len(found.rows) == 18 + TEST


@pytest.mark.parametrize(
    ("real", "changes", "reason"),
    [
        ("nameless", {}, "the real set names no patients"),
        ("other", {}, "the model was fine-tuned on another set than --real, with other pictures, sizes or findings"),
        ("real", {"base": "f" * 64}, r"from another base than tiny \(digest f{16}\); give it with --base"),
        ("real", {"known": False}, r"nobody knows whom its base was trained on, .*; fine-tune from an alias \(tiny, "),
        ("real", {"key": "0" * 16}, r"was written under a key that is not here \(CXR_LINEAGE_KEY\)"),
    ],
)
def test_why_a_model_is_not_attacked(tuned, sets, real: str, changes: dict, reason: str):
    found = tuned(**changes).find(sets[real], sets["synthetic"])
    assert isinstance(found, str) and re.search(reason, found)


def test_a_distilled_model_is_not_attacked_but_the_one_behind_it(tuned, sets):
    found = tuned(few_steps={"steps": 4, "solver": "ddim", "guidance": 3.0}).find(sets["real"], sets["synthetic"])
    assert str(found).startswith("the model was distilled to 4 steps") and "it was distilled from" in str(found)


def test_no_model_several_and_what_is_none_are_said(sets):
    for place, reason in ((None, "no model was given"), ("a,b", "several models"), (None, "--model")):
        assert reason in str(find_attacked(place, None, sets["real"], sets["synthetic"], {}))
    place = sets["real"].store.uri
    assert "was not fine-tuned by" in str(find_attacked(place, None, sets["real"], sets["synthetic"], {}))


def test_another_base_another_model_s_pictures_and_damage_are_bad_input(tuned, sets, random_model):
    model = tuned()
    with pytest.raises(BadInput, match=r"--base .*: --model was fine-tuned from another one"):
        model.find(sets["real"], sets["synthetic"], str(random_model))
    strange = sets["synthetic"].record.model_copy(update={"inputs": {"model": "0" * 64}})
    foreign = CatalogSet(sets["synthetic"].store, strange, sets["synthetic"].table)
    with pytest.raises(BadInput, match="--synthetic was made with another model"):
        model.find(sets["real"], foreign)
    Path(model.place, "plan.parquet").write_bytes(b"")
    with pytest.raises(BadInput, match=r"plan\.parquet is missing or damaged"):
        model.find(sets["real"], sets["synthetic"])


def test_the_time_of_the_attack_is_of_each_picture_once_by_the_model_and_its_base(tuned, sets, monkeypatch):
    found = tuned().find(sets["real"], sets["synthetic"])
    monkeypatch.setattr(forecast, "load_model", lambda base, tuned: None)
    monkeypatch.setattr(forecast, "timed", lambda work, *given, **named: Timed(None, 1.0))  # of BATCH pictures
    config = AuditConfig(max_patients=20)
    pictures = len(choose_pairs(found.rows, 20, np.random.default_rng(0)).rows)
    assert forecast.time_model(found, sets["real"], config) == 2 * pictures / BATCH
