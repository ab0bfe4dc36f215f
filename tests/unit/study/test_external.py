"""Other hospitals: whose labels are taken how, who is refused, and how far an arm falls there."""

from dataclasses import replace

import numpy as np
import pyarrow.compute as pc
import pytest

from cxr import cli
from cxr.classify.config import ClassifyConfig
from cxr.classify.curve import ValidationPoint
from cxr.data.catalog import CatalogSet
from cxr.data.labels import Labels
from cxr.data.lineage import hashed_id, pseudonymise, record_lineage
from cxr.data.lineage_key import owner_key
from cxr.data.lineage_lists import save_for_owner
from cxr.errors import BadInput
from cxr.jobs.study import Args, external_places
from cxr.store import open_store
from cxr.study import finish, job
from cxr.study.config import BASELINE, Arm, StudyConfig
from cxr.study.differences import Measurements
from cxr.study.external import match_external
from cxr.study.external_summary import read_drop, summarise_external
from cxr.study.external_words import describe_external
from cxr.study.influence import auroc
from cxr.study.pages import rows
from cxr.study.results import MAIN, TestSet, Trial, read_trial, trial_key
from cxr.study.sets import load, match_sets
from tests.stored import label_columns
from tests.unit.study.conftest import CLASSES, of_record

FAST = ClassifyConfig(network="cnn", pretrained=False, resize=32, size=32, epochs=1, batch=8)
CONFIG = StudyConfig(arms=(Arm(name=BASELINE), Arm(name="synth_50", synthetic=50)), seeds=(1, 2), classifier=FAST,
                     resamples=100, allow_unchecked_copies=True)  # fmt: skip


@pytest.fixture(scope="module")
def clinic(stored_set) -> CatalogSet:
    """24 pictures of 12 patients of another hospital, in words of its own."""
    pixels = np.random.default_rng(8).integers(0, 256, (24, 32, 32), dtype=np.uint8)
    found = [["Normal"], ["Infiltrate"], ["Consolidation"], ["Fracture"]] * 6
    labels = [Labels(tuple(one), None) for one in found]
    columns = label_columns(labels, ("Consolidation", "Fracture", "Infiltrate", "Normal"))
    columns["metrics"] = columns["metrics"] | {"exclusive": True}
    return stored_set("clinic", pixels, patient_id=[f"c{row // 2}" for row in range(24)], **columns)


WORDS = {"normal": ("normal",), "pneumonia": ("Infiltrate", "consolidation")}


def matched(found: CatalogSet, real: CatalogSet, groups=WORDS):
    return match_external("clinic", found, groups, real, CLASSES, several=False)


def test_findings_are_taken_by_the_mapping_and_pictures_without_a_class_left_out(clinic, real_set) -> None:
    found = matched(clinic, real_set)
    assert found.findings == {"normal": ["Normal"], "pneumonia": ["Infiltrate", "Consolidation"]}
    assert found.left_out == 6 and found.data.table["finding"].to_pylist() == ["normal", "pneumonia", "pneumonia"] * 6
    assert found.data.digest == clinic.digest


def test_without_a_mapping_names_are_the_same_but_for_their_case(stored_set, real_set) -> None:
    pixels = np.random.default_rng(9).integers(0, 256, (8, 32, 32), dtype=np.uint8)
    other = stored_set("case", pixels, finding=["Normal", "PNEUMONIA"] * 4)
    assert set(matched(other, real_set, None).data.table["finding"].to_pylist()) == set(CLASSES)


@pytest.mark.parametrize(
    ("groups", "why"),
    [
        (None, r"shows no pneumonia; .*--external-findings clinic:pneumonia=THEIRS"),
        ({"pneumonia": ("Edema",)}, "the set has no finding 'Edema'"),
        ({"edema": ("Normal",)}, "edema is no finding of this study"),
    ],
)
def test_a_mapping_that_does_not_fit(clinic, real_set, groups, why: str) -> None:
    with pytest.raises(BadInput, match=why):
        matched(clinic, real_set, groups)


def test_pictures_of_several_findings_become_those_of_one_or_are_left_out(stored_set, real_set) -> None:
    labels = [Labels((), None), Labels(("a",), None), Labels(("a", "b"), None), Labels(("c",), None), Labels((), ())]
    pixels = np.random.default_rng(10).integers(0, 256, (5, 32, 32), dtype=np.uint8)
    other = stored_set("many", pixels, **label_columns(labels, ("a", "b", "c")))
    taken = matched(other, real_set, {"normal": ("No_Finding",), "pneumonia": ("a", "b")})
    assert taken.data.table["finding"].to_pylist() == ["normal", "pneumonia", "pneumonia"] and taken.left_out == 2
    several = match_external("o", other, {"x": ("a", "b"), "y": ("c",)}, real_set, ("x", "y"), several=True)
    assert several.data.table["present"].to_pylist() == [[], ["x"], ["x"], ["y"]]


@pytest.mark.parametrize(("column", "noun"), [("patient_id", "1 of its patients"), ("sha256", "1 of its pictures")])
def test_who_is_in_the_study_is_refused(clinic, real_set, column: str, noun: str) -> None:
    values = clinic.table[column].to_pylist()
    values[0] = real_set.table[column][0].as_py()
    place = clinic.table.schema.get_field_index(column)
    both = replace(clinic, table=clinic.table.set_column(place, column, [values]))
    with pytest.raises(BadInput, match=f"--external clinic=.*: {noun} are in --real too"):
        matched(both, real_set)


@pytest.mark.parametrize("patient", ["c1", "c99"])
def test_a_patient_whom_a_generator_was_shown_is_refused_and_no_other(
    clinic, real_set, synthetic_set, tmp_path, patient: str
) -> None:
    shown = pseudonymise({hashed_id(patient, "")}, owner_key())
    save_for_owner((shown,))
    synthetic = of_record(synthetic_set, metrics={"lineage": record_lineage((shown,))})
    given = (open_store(str(tmp_path / "out")), CONFIG, real_set, synthetic, None, None)
    if patient == "c99":
        job.prepare(*given, external={"clinic": (clinic, WORDS)})
        return
    with pytest.raises(BadInput, match="1 of its patients were shown to the generator of"):
        job.prepare(*given, external={"clinic": (clinic, WORDS)})


def test_a_picture_that_is_one_of_the_study_in_another_file_is_refused(
    stored_set, clinic, real_set, synthetic_set
) -> None:
    sets = match_sets(real_set, synthetic_set, CONFIG, None, {"clinic": (clinic, WORDS)})
    assert load(sets, np.arange(len(sets.labels)), 32, lambda count: None).shape == (60 + 48 + 18, 32, 32)
    pixels = np.random.default_rng(1).integers(0, 256, (60, 32, 32), dtype=np.uint8)[:8]
    larger = stored_set("larger", pixels.repeat(2, 1).repeat(2, 2), finding=CLASSES * 4)
    sets = match_sets(real_set, synthetic_set, CONFIG, None, {"larger": (larger, None)})
    with pytest.raises(BadInput, match="--external larger: 8 of its pictures are in --real or --synthetic"):
        load(sets, np.arange(len(sets.labels)), 32, lambda count: None)


def test_every_trial_reads_it_once_at_its_own_operating_point(clinic, real_set, synthetic_set, tmp_path) -> None:
    """A whole small study: the internal scores are those of a study without another hospital."""
    studies = {}
    for name, external in (("with", {"clinic": (clinic, WORDS)}), ("without", {})):
        store = open_store(str(tmp_path / name))
        ready = job.prepare(store, CONFIG, real_set, synthetic_set, None, None, external=external)
        pixels = load(ready.sets, ready.used, 32, lambda count: None)
        for run in job.pending_trials(ready, 1):
            run(lambda told: None, pixels, ready.sets.labels[ready.used])
        studies[name] = ready
    trials = {name: job.read_trials(ready) for name, ready in studies.items()}
    assert [one.scores for one in trials["with"]] == [one.scores for one in trials["without"]]
    assert [len(one.external["clinic"]) for one in trials["with"]] == [18] * 4
    assert "external" not in studies["without"].recipe
    assert studies["with"].recipe["external"]["clinic"]["set"] == clinic.digest
    assert read_trial(studies["with"].store, trial_key(BASELINE, 1), studies["with"].digest) == trials["with"][0]
    study = finish.describe_study(studies["with"], trials["with"])
    [found] = study.external
    assert (found.pictures, found.patients, found.left_out) == (18, 12, 6)
    assert found.classes == {"normal": 6, "pneumonia": 12}
    assert [one.arm for one in found.arms] == [BASELINE, "synth_50"] and found.arms[0].extra_drop is None
    assert any(line.startswith("At clinic (12 patients) the AUROC of baseline") for line in study.details)
    assert "external clinic" in {one.name for one in study.sources}
    head, lines = rows.external(study, found)
    assert head[:4] == ["arm", "AUROC here", "AUROC at clinic", "drop"] and len(lines) == 2


def simulate(mark: float, seed: int, seeds: int = 3, shown: float = 0.5) -> tuple[list[Trial], TestSet, TestSet]:
    """Trials of two arms: the baseline sees the finding alone, the other also a mark that goes with it here and not
    there, where pictures are darker by a constant (which takes them across the threshold) and fewer show it."""
    rng = np.random.default_rng(seed)
    sides = []
    for patients, share, here in ((300, 0.5, True), (300, shown, False)):
        labels = (rng.random(patients) < share).astype(int)
        common = rng.normal(size=patients)
        marked = np.where(here, labels, rng.random(patients) < 0.5)
        sides.append((labels, common, marked, 0.0 if here else -0.5))

    def scores(weight: float) -> list[list[list[float]]]:
        found = []
        for labels, common, marked, shift in sides:
            light = 1.2 * labels + weight * (marked - 0.5) + common + 0.5 * rng.normal(size=len(labels)) + shift - 0.6
            found.append([[1 - p, p] for p in (1 / (1 + np.exp(-light))).tolist()])
        return found

    trials, point = [], ValidationPoint(1, 0.0, 0.0, 0.0)
    for arm, weight in ((BASELINE, 0.0), ("synth_50", mark)):
        for number in range(seeds):
            here, there = scores(weight)
            trials.append(Trial(arm, number, 1, 1, 1, 0, [point], here, "CPU", 1.0, 1.0, 0.5, {"h": there}))
    here, there = (as_tests(side[0], name) for side, name in zip(sides, "ab", strict=True))
    return trials, here, there


def as_tests(labels: np.ndarray, name: str) -> TestSet:
    ids = [f"{name}{row}" for row in range(len(labels))]
    return TestSet(ids, labels.tolist(), ids, {})


def found_of(mark: float, seed: int, shown: float = 0.5):
    trials, here, there = simulate(mark, seed, shown=shown)
    config = CONFIG.model_copy(update={"seeds": (0, 1, 2), "primary": "synth_50"})
    return summarise_external(config, "h", trials, here, there, CLASSES, 0, np.random.default_rng(0))


def test_an_arm_that_lives_on_a_mark_falls_and_the_others_do_not() -> None:
    found = found_of(2.0, seed=1)
    base, marked = found.arms
    assert abs(base.drops[MAIN].mean) < 0.04 and base.drops[MAIN].low < 0 < base.drops[MAIN].high
    assert marked.drops[MAIN].low > 0.08 and marked.extra_drop.low > 0.08
    assert marked.inside[MAIN].mean > base.inside[MAIN].mean > marked.metrics[MAIN].mean
    lines = describe_external([found], BASELINE, "synth_50")
    assert (
        "which can be chance" in lines[0]
        and "falls by" in lines[1]
        and "More than the baseline fall at h: synth_50" in lines[2]
    )


def test_an_arm_that_falls_less_is_named_too() -> None:
    trials, here, there = simulate(2.0, seed=1)
    swapped = {BASELINE: "synth_50", "synth_50": BASELINE}
    trials = sorted((replace(one, arm=swapped[one.arm]) for one in trials), key=lambda one: one.arm)
    config = CONFIG.model_copy(update={"seeds": (0, 1, 2), "primary": "synth_50"})
    found = summarise_external(config, "h", trials, here, there, CLASSES, 0, np.random.default_rng(0))
    lines = describe_external([found], BASELINE, "synth_50")
    assert lines[-1].startswith("Less than the baseline fall at h: synth_50 by 0.")


def test_without_a_mark_nobody_is_accused_and_a_shift_of_labels_is_no_drop() -> None:
    accused = [found_of(0.0, seed, shown=0.2).arms[1].extra_drop for seed in range(20)]
    assert sum(one.low > 0 for one in accused) <= 3
    found = found_of(0.0, seed=3, shown=0.2)
    assert found.arms[0].drops[MAIN].low < 0 < found.arms[0].drops[MAIN].high
    assert found.classes["pneumonia"] < 90
    assert found.arms[0].drops["sensitivity"].low > 0  # darker pictures, at the threshold of here
    assert found.arms[0].drops["specificity"].high < 0


def test_the_interval_of_a_drop_holds_the_truth() -> None:
    """Of networks whose seeds differ, on new patients of both places; the truth is a drop of 0.05."""
    rng, held, studies = np.random.default_rng(0), 0, 200
    levels = np.array([1.19, 0.954])  # AUROC 0.80 and 0.75
    for _ in range(studies):
        seeds = rng.normal(0, 0.1, 3)
        sides = []
        for level in levels:
            shown, owners = np.arange(80) % 2 == 0, np.arange(80)
            common = rng.normal(size=80)
            scores = [
                np.sqrt(0.9) * common + np.sqrt(0.1) * rng.normal(size=80) + (level + one) * shown for one in seeds
            ]
            trials = [{MAIN: auroc(one, shown, owners)} for one in scores]
            sides.append(Measurements([0, 1, 2], trials, np.empty((3, 0))))
        drop = read_drop(sides[0], sides[1], MAIN)
        held += drop.low <= 0.05 <= drop.high
    assert held / studies >= 0.95 - 2 * np.sqrt(0.95 * 0.05 / studies)


def test_means_over_findings_are_of_the_same_findings_here_and_there() -> None:
    from cxr.study.external_summary import with_common_findings

    here = TestSet(list("abcd"), [[1, 1], [0, 0], [1, 0], [0, 1]], list("abcd"), {}, ("x", "y"))
    there = replace(here, labels=[[1, 0], [0, 0], [1, 0], [0, 0]])  # nobody shows y
    both = with_common_findings(here, there)
    assert all(np.isnan(np.array(one.labels)[:, 1]).all() for one in both)
    assert np.array(both[0].labels)[:, 0].tolist() == [1, 0, 1, 0]


@pytest.mark.parametrize(
    ("given", "findings", "why"),
    [
        (["out/clinic"], [], "write NAME=URI"),
        (["a=x", "a=y"], [], "write NAME=URI, each name once"),
        (["a=x"], ["pneumonia=P"], "write NAME:OURS=THEIRS"),
        (["a=x"], ["b:pneumonia=P"], "--external-findings b: no --external is called so"),
        (["a=x"], ["a:=P"], "write NAME or NAME=THEIRS"),
    ],
)
def test_options_that_cannot_be_read(given, findings, why: str) -> None:
    with pytest.raises(BadInput, match=why):
        external_places(given, findings)


def test_options_are_read() -> None:
    mapping = "b:normal=No_Finding,pneumonia=P,pneumonia=Q"
    words = f"tiny --real r --out o --external a=x --external b=s3://y/z --external-findings {mapping}"
    args = cli.parse(Args, words.split())
    assert external_places(args.external, args.external_findings) == {
        "a": ("x", None), "b": ("s3://y/z", {"normal": ("No_Finding",), "pneumonia": ("P", "Q")}),
    }  # fmt: skip


def test_a_set_with_one_patient_of_a_class_is_refused(clinic, real_set, synthetic_set, tmp_path) -> None:
    few = replace(
        clinic, table=clinic.table.filter(pc.is_in(clinic.table["patient_id"], clinic.table["patient_id"][:2]))
    )
    with pytest.raises(BadInput, match="--external clinic: 1 patients with normal"):
        job.prepare(
            open_store(str(tmp_path / "out")), CONFIG, real_set, synthetic_set, None, None,
            external={"clinic": (few, WORDS)},
        )  # fmt: skip
