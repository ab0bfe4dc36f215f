"""Asking a model for its canaries: pictures that come out are found, others' pictures are not."""

import importlib
from contextlib import nullcontext
from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from cxr.audit import conduct_model
from cxr.audit.attacked import AttackedModel, ExtractionTargets
from cxr.audit.conduct import detectors
from cxr.audit.config import AuditConfig
from cxr.audit.extraction import compare_sides, match_own
from cxr.audit.planted import COPIES
from cxr.audit.results import AttackResult
from cxr.detectors.matches import Matches
from cxr.diffusion.config import SamplerConfig

CANARIES, TEST, SIDE = 40, 24, 64
CONFIG = AuditConfig(false_alarms=0.05, permutations=400, planted=5, canary_images=2)
NAMES = "extraction of canaries, by details", "extracted copies of canaries, by details"
LEFT_IN = np.arange(CANARIES) % 2 == 0


class Recalling:
    """A model that makes changed copies of the pictures whose captions it knows; else another picture each time."""

    def __init__(self, known: dict[str, np.ndarray], others: np.ndarray, change: str) -> None:
        self.known, self.others, self.change, self.made = known, others, COPIES[change], 0

    def encode_ahead(self, texts, negatives=()):
        return {}

    def latent_shape(self, height, width):
        return 1, 1, 1

    def sample(self, prompts, negatives, noise, size, steps, guidance):
        import torch

        pictures = []
        for prompt in prompts:
            own = self.known.get(prompt)
            other = self.others[self.made % len(self.others)]
            pictures.append(other if own is None else self.change(own, own, np.random.default_rng(0)))
            self.made += 1
        return torch.from_numpy(np.stack(pictures)).float()[:, None].expand(-1, 3, -1, -1) / 255


class PlainSearch:
    """A fast detector: the correlation of whole pictures."""

    def __init__(self, pixels: np.ndarray) -> None:
        self.vectors = unit(pixels)

    def nearest(self, pixels, *, advance) -> Matches:
        likeness = unit(pixels) @ self.vectors.T
        return Matches(likeness.max(axis=1), likeness.argmax(axis=1))


def unit(pixels: np.ndarray) -> np.ndarray:
    vectors = pixels.reshape(len(pixels), -1).astype(np.float32)
    vectors -= vectors.mean(axis=1, keepdims=True)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


@cache
def draw_smooth(count: int, seed: int) -> np.ndarray:
    """uint8 [count, SIDE, SIDE], of which none is like another."""
    rng = np.random.default_rng(seed)
    return np.stack([COPIES["blurred 3 px"](one, one, rng)
                     for one in rng.integers(0, 255, (count, SIDE, SIDE), dtype=np.uint8)])  # fmt: skip


@pytest.fixture
def extract(monkeypatch):
    """`extract(recalled, ...)`: of a model that knows so many of the canaries who were left in."""

    def run(
        recalled: int, captions: int | None = None, pixels: np.ndarray | None = None, others: np.ndarray | None = None,
        searches: dict | None = None, change: str = "blurred 3 px", **changes: Any,
    ) -> dict[str, AttackResult]:  # fmt: skip
        count = CANARIES + TEST
        pixels = draw_smooth(count, 0) if pixels is None else pixels
        others = draw_smooth(2 * CANARIES, 1) if others is None else others
        names = [f"patient-{row:03d}" for row in range(count)]
        said = [f"shows {row % captions if captions else row}" for row in range(count)]
        parts = ["train" if kept else "left out" for kept in LEFT_IN] + ["test"] * TEST
        same = {"finding": ["a"] * count, "view": ["PA"] * count}
        table = pa.table({"image_id": names, "patient_id": names, "caption": said, "split": parts, **same})
        known = {said[row]: pixels[row] for row in np.flatnonzero(LEFT_IN)[:recalled]}
        monkeypatch.setattr(conduct_model, "load_model", lambda base, tuned: Recalling(known, others, change))
        nothing: Any = None
        canaries = dict(zip(names, LEFT_IN.tolist(), strict=False))
        sampler = SamplerConfig(size=pixels.shape[1])
        fields = {"canaries": canaries} | {name: changes.pop(name) for name in [*changes] if name == "canaries"}
        model = AttackedModel(nothing, nothing, sampler, table, fields["canaries"], None)
        heard: list[int] = []
        found = conduct_model.extract_canaries(
            model, CONFIG.model_copy(update=changes), "details", searches or {"details": PlainSearch},
            lambda rows: pixels[[int(name[-3:]) for name in rows["image_id"].to_pylist()]],
            lambda pictures: nullcontext(heard.append),
        )  # fmt: skip
        assert sum(heard) in (0, 2 * CANARIES)
        return {result.name: result for result in found}

    return run


def test_canaries_who_come_out_are_found(extract):
    found = extract(recalled=20)
    assert {found[name].verdict for name in NAMES} == {"leak found"} and {*found} == {*NAMES}
    assert all(found[name].risks == ("singling out",) for name in NAMES)
    nearer, copies = (found[name] for name in NAMES)
    assert nearer.metrics["share"] == 1 and "in 100.0 % of such pairs (by chance in 50 %)" in nearer.result
    assert (copies.metrics["flagged"], copies.metrics["clear"], copies.metrics["flagged_left_out"]) == (20, 20, 0)
    assert "20 of 20 left in" in copies.result and "20 clear copies; placebo" in copies.result


def test_one_canary_who_comes_out_is_found_as_a_copy(extract):
    found = extract(recalled=1)
    assert found[NAMES[0]].verdict == "no leak found at this power"
    assert "10 of the 20 canaries who were left in come out" in found[NAMES[0]].power
    assert found[NAMES[1]].verdict == "leak found" and found[NAMES[1]].metrics["clear"] == 1


def test_others_pictures_are_no_leak(extract):
    found = extract(recalled=0)
    assert {result.verdict for result in found.values()} == {"no leak found at this power"}
    assert "found 80 times in 100 where 1 of the 20 canaries who were left in come out" in found[NAMES[1]].power
    assert "threshold from 44 patients whom the model never saw" in found[NAMES[1]].power


def test_one_caption_of_all_is_said_and_what_comes_out_is_found_all_the_same(extract):
    found = extract(recalled=1, captions=1)[NAMES[1]]
    assert found.verdict == "leak found" and found.metrics["clear"] == 1  # the one that the caption brings
    power = extract(recalled=0, captions=1)[NAMES[0]].power
    assert "80 pictures of one caption, which all share, so that it asks for nobody, for 40 canaries" in power


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"canaries": {}}, "the model was trained without (cxr finetune --canaries)"),
        ({"canary_images": 0}, "no picture was asked for (--canary-images 0)"),
        ({"canaries": {"patient-000": True}}, "the coin left all of the few canaries on the same side"),
    ],
)
def test_why_nobody_was_asked_for(extract, changes: dict, reason: str):
    found = extract(recalled=20, **changes)
    assert found["extraction of canaries"].decision == f"not tested, because {reason}"


def test_too_few_patients_for_a_threshold_are_said(extract):
    reason = "44 patients whom the model never saw are too few to say which likeness 1 % reach by chance; 99 are needed"
    found = extract(recalled=20, false_alarms=0.01)
    assert found[NAMES[1]].reason == reason and found[NAMES[0]].verdict == "leak found"


def test_chance_is_called_a_leak_at_the_nominal_rate():
    """Of 200 draws each, at p below 0.1: 20, and more than 36 once in 5,000."""
    rng, limit = np.random.default_rng(0), 0.1
    config, nothing = CONFIG.model_copy(update={"max_p": limit, "permutations": 100}), pa.table({})
    canary = np.arange(CANARIES + 2 * TEST) < CANARIES
    pixels, leaks = np.zeros((len(canary), 1, 1), np.uint8), np.zeros(2, int)

    class Chance(PlainSearch):
        def __init__(self, pixels) -> None: ...

        def nearest(self, pixels, *, advance) -> Matches:
            return Matches(np.tanh(rng.normal(0.5, 0.2, len(pixels))), np.arange(len(pixels)))

    for _ in range(200):
        kept = np.zeros(len(canary), bool)
        kept[:CANARIES] = rng.random(CANARIES) < 0.5
        leaks[0] += compare_sides(rng.normal(size=CANARIES), kept[:CANARIES], 100, limit, rng).p < limit
        targets = ExtractionTargets(nothing, canary, kept)
        found = conduct_model.find_extracted("details", Chance, True, pixels, pixels, targets, config, rng)
        leaks[1] += found.verdict == "leak found"
    assert 7 <= leaks[0] <= 36 and leaks[1] <= 36, leaks


def test_as_many_extractions_as_said_are_found_80_times_in_100():
    rng, kept = np.random.default_rng(0), np.arange(60) < 30
    needed = int(compare_sides(rng.normal(size=60), kept, 2000, 0.05, rng).extracted)
    for extracted, low, high in ((needed, 0.7, 0.95), (needed - 5, 0.0, 0.6)):
        scores = rng.normal(size=(100, 60)) + 10 * (np.arange(60) < extracted)
        found = np.mean([compare_sides(row, kept, 100, 0.05, rng).p < 0.05 for row in scores])
        assert low <= found <= high, (extracted, found)
    assert compare_sides(rng.normal(size=6), np.arange(6) < 3, 200, 0.01, rng).extracted == np.inf  # 1 in 20 by chance


def test_a_picture_is_held_against_what_its_own_caption_gave():
    pixels, others = draw_smooth(3, 0), draw_smooth(2, 1)
    samples = np.concatenate([pixels[:1], pixels[1:2], others])
    found = match_own(pixels, ["a", "b", "c"], samples, ["a", "c", "b", "c"])
    assert found[0] == pytest.approx(1) and abs(found[1]) < 0.3 and abs(found[2]) < 0.3


@pytest.mark.slow
def test_the_job_asks_the_embedded_model_by_its_own_sampler_and_the_page_says_what_came(stored_set, tmp_path):
    """A model that saw no canary: the base in the place of what was fine-tuned from it."""
    from cxr.audit.finish import AuditJob
    from cxr.audit.page import page
    from cxr.audit.results import Audit
    from cxr.store import open_store
    from cxr.weights import resolve

    count, tiny, job = 20 + TEST, resolve("tiny"), importlib.import_module("cxr.jobs.audit")
    names, parts = [f"patient-{row}" for row in range(count)], ["train", "left out"] * 10 + ["test"] * TEST
    columns = {"patient_id": names, "view": ["PA"] * count, "split": parts}
    real = stored_set("real", draw_smooth(count, 2), **columns)
    rows = real.table.append_column("caption", pa.array(["chest X-ray"] * count))
    canaries = {name: part == "train" for name, part in zip(names[:20], parts, strict=False)}
    model = AttackedModel(tiny, replace(tiny), SamplerConfig(size=SIDE, steps=1, guidance=1), rows, canaries, None)
    config = CONFIG.model_copy(update={"canary_images": 1})
    place = open_store(str(tmp_path / "audit"))
    tests = job.attack_the_model(AuditJob(place, {}, config, real, real, None, model))
    found = {test.name: test for test in tests}
    nearer = found["extraction of canaries, by details"]
    assert nearer.metrics["pictures"] == 20 and nearer.verdict == "no leak found at this power"
    assert {"extracted copies of canaries, by details", "extracted copies of canaries, by key points"} < {*found}
    shown = page(Audit("0" * 64, "1" * 64, 20, dict.fromkeys(("train", "validation", "test"), 20), tests, [], []))
    assert "20 pictures of one caption, which all share" in shown.decode() and "singling out" in shown.decode()


@pytest.mark.slow
def test_both_detectors_see_phantoms_come_out(extract):
    from cxr.embedded.phantoms import draw_phantom

    def draw(seed: int, count: int) -> np.ndarray:
        return np.stack([draw_phantom(seed, 3 * number, size=128).pixels for number in range(count)])

    pixels, others = draw(31, CANARIES + TEST), draw(32, 2 * CANARIES)
    searches = detectors(CONFIG)
    ours = {"pixels": pixels, "others": others, "searches": searches, "change": "noise 20"}
    found, none = (extract(count, **ours) for count in (20, 0))
    for name in found:
        print(name, found[name].result, found[name].power, none[name].result, sep="\n")
    assert found[NAMES[0]].verdict == found[NAMES[1]].verdict == "leak found"
    assert "leak found" not in {result.verdict for result in none.values()} and len(none) == 3
