"""The ingest job without Ray: rows in, one split set out, whatever was refused or repeated on the way."""

import functools
import json
import pickle
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

import cv2
import numpy as np
import pyarrow.parquet as pq
import pytest
from torchvision.datasets import ImageFolder

from cxr.artifact import Record, verify
from cxr.data.boxes import Box
from cxr.data.images import encode_png, fit_square, pixels_to_image_id, read_gray
from cxr.data.labels import Labels
from cxr.data.sources import SOURCES, SourceOptions, SourceRow
from cxr.data.sources.files import read_file
from cxr.embedded.phantoms import draw_phantom
from cxr.errors import BadInput
from cxr.ingest import checks, finish, job, units
from cxr.ingest.config import IngestConfig, identity
from cxr.prompts.findings import BINARY
from cxr.report.contact_sheet import COLUMNS, LINE, SIDE
from cxr.store import open_store

pytestmark = pytest.mark.usefixtures("unrendered")
CONFIG = IngestConfig(size=64, unit_images=16, folds=2, max_rejected=0.2)
PATIENTS, BAD = 40, 3


@functools.cache  # drawn once for all tests
def phantom_bytes(number: int) -> bytes:
    return encode_png(draw_phantom(7, number, BINARY, 64).pixels)


def rows() -> list[SourceRow]:
    """Two pictures a patient, one of all pictures there twice, some that are no pictures."""
    good = [
        SourceRow(
            name=f"{number}.png",
            load=partial(phantom_bytes, number),
            labels=Labels.only(BINARY[(number // 2) % 2]),
            patient_id=f"p{number // 2:03d}",
            text="a text",
            view="PA",
            sex="F",
            age=40,
            source="here",
        )
        for number in range(2 * PATIENTS)
    ]
    twin = SourceRow(name="twin.png", load=partial(phantom_bytes, 5), labels=good[5].labels, patient_id="other")
    bad = [SourceRow(f"bad{i}.png", partial(bytes, b"text, not a picture"), good[0].labels) for i in range(BAD)]
    return [*good, twin, *bad]


def make(
    out: Path, folder: Path, config: IngestConfig = CONFIG, given: Sequence[SourceRow] | None = None
) -> job.IngestJob:
    """Everything the command does, with the units one after the other."""
    folder.mkdir(exist_ok=True)
    ready = job.prepare(open_store(str(out)), config, given or rows(), folder)
    pending, watch = job.begin(ready)
    work = job.IngestWorker(ready.store, config, ready.vocabulary.findings)
    for unit in pending:
        watch.add(work(unit, ready.read_rows(unit)))
    return ready


def complete(ready: job.IngestJob, seconds: float = 0.0, note: Callable[[str], None] = lambda line: None) -> Record:
    return ready.make(lambda: finish.complete(ready, {"total": seconds}, note))


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> Path:
    place = tmp_path_factory.mktemp("ingest")
    complete(make(place / "set", place / "work"))
    return place / "set"


def test_the_catalog_lists_every_picture_once_with_its_split(made):
    catalog = pq.read_table(made / "catalog.parquet").to_pylist()
    assert len(catalog) == len({row["image_id"] for row in catalog}) == 2 * PATIENTS
    sides: dict[str, set[str]] = {}
    for row in catalog:
        sides.setdefault(row["patient_id"], set()).add(row["split"])
        assert (row["fold"] is not None) == (row["split"] == "train")
        assert (row["text"], row["view"], row["sex"], row["age"], row["source"]) == ("a text", "PA", "F", 40, "here")
    assert all(len(side) == 1 for side in sides.values())
    assert {side for s in sides.values() for side in s} == {"train", "validation", "test"}


def test_its_folders_open_with_the_lists_of_its_labels_and_name_no_patient(tmp_path, datasets):
    """Of several findings, some uncertain, of which the first pictures know nothing."""
    labels = [
        Labels((), ("Mass",)),
        Labels(("Edema", "Mass"), None),
        Labels(("Mass",), (), ("Edema",)),
        Labels((), None),
    ]
    given = [
        replace(row, labels=labels[i // 20], exclusive=False, view=None if i < 30 else "PA", age=None)
        for i, row in enumerate(rows()[: 2 * PATIENTS])
    ]
    complete(make(tmp_path / "set", tmp_path / "work", given=given))
    place = tmp_path / "set" / "images"
    found = ImageFolder(place)
    assert found.classes == ["Edema+Mass", "Mass", "No_Finding", "unlabelled"] and len(found) == 2 * PATIENTS
    names = ("finding", "present", "absent", "uncertain", "view", "sex", "age", "split")
    catalog = pq.read_table(tmp_path / "set" / "catalog.parquet").to_pylist()
    opened = datasets.load_dataset("imagefolder", data_dir=str(place), split="train")
    told = {row["image_id"]: {name: row[name] for name in names} for row in opened}
    assert told == {row["image_id"]: {name: row[name] for name in names} for row in catalog}
    assert {len(row["uncertain"]) for row in opened} == {0, 1} and opened[0]["image"].size == (64, 64)
    written = (place / "metadata.jsonl").read_text()
    assert "p001" not in written and "a text" not in written


def rejected(place: Path) -> list[str]:
    return [json.loads(line)["name"] for line in (place / "rejected.jsonl").read_text().splitlines()]


def test_what_was_refused_or_repeated_is_named_with_its_reason(made):
    lines = [json.loads(line) for line in (made / "rejected.jsonl").read_text().splitlines()]
    assert [line["name"] for line in lines] == [*(f"bad{i}.png" for i in range(BAD)), "twin.png"]
    assert all(line["reason"] for line in lines) and lines[-1]["reason"] == "same pixels as another picture"


def test_the_set_is_whole_and_without_debris(made):
    found = verify(open_store(str(made)))
    assert found.clean and not list((made / "commits").glob("*"))


def test_a_restart_reads_only_what_is_missing_and_ends_the_same(made, tmp_path):
    ready = make(tmp_path / "set", tmp_path / "work")
    (tmp_path / "set" / "commits" / "00000002.json").unlink()
    assert job.begin(ready)[0] == [2]
    again = make(tmp_path / "set", tmp_path / "work")
    complete(again)
    for name in ("catalog.parquet", "images/metadata.jsonl", "rejected.jsonl", "split_report.md"):
        assert (tmp_path / "set" / name).read_bytes() == (made / name).read_bytes()


def test_too_many_refused_pictures_stop_the_job_and_say_why(tmp_path):
    with pytest.raises(BadInput, match=r"3 of 84 pictures cannot be used \(3 x .*/set/rejected.jsonl.*--max-rejected"):
        make(tmp_path / "set", tmp_path / "work", CONFIG.model_copy(update={"max_rejected": 0.01}))
    assert rejected(tmp_path / "set") == [f"bad{i}.png" for i in range(BAD)]


def test_too_many_refused_pictures_are_told_again_by_a_second_start(tmp_path):
    strict = CONFIG.model_copy(update={"max_rejected": 0.01})
    for _ in range(2):
        with pytest.raises(BadInput, match="3 of 84 pictures cannot be used"):
            make(tmp_path / "set", tmp_path / "work", strict)


def test_mended_pictures_are_read_by_the_same_command(tmp_path):
    strict, given = CONFIG.model_copy(update={"max_rejected": 0.01}), rows()
    with pytest.raises(BadInput, match="mend them and run the same command again"):
        make(tmp_path / "set", tmp_path / "work", strict, given)
    mended = [replace(row, load=partial(phantom_bytes, 100 + i)) for i, row in enumerate(given[-BAD:])]
    ready = make(tmp_path / "set", tmp_path / "work", strict, given[:-BAD] + mended)
    record = complete(ready)
    assert (record.made.count, record.metrics["rejected"]) == (2 * PATIENTS + BAD, 0)


def marked(numbers: Sequence[int] = (), picture: int = 200) -> list[SourceRow]:
    """The rows as files have them, those of `numbers` with another picture than before."""
    given = [replace(row, mark="as made") for row in rows()]
    for number in numbers:
        given[number] = replace(given[number], load=partial(phantom_bytes, picture + number), mark="changed")
    return given


def test_a_source_that_has_changed_since_is_not_taken_for_the_set_that_is_there(tmp_path):
    ready = make(tmp_path / "set", tmp_path / "work", given=marked())
    record = complete(ready)
    assert job.read_finished_set(job.prepare(ready.store, CONFIG, marked(), ready.folder)) == record
    other = job.prepare(ready.store, CONFIG, marked([3, 70]), ready.folder)
    with pytest.raises(
        BadInput, match=r"/set: the source has changed since this set was made \(2 of 84 pictures\); give"
    ):
        job.read_finished_set(other)
    assert other.digest == record.recipe_digest and other.content_digest != ready.content_digest
    assert ready.content_digest == job.content_digest(record.recipe, record.inputs["marks"])


def test_changed_pictures_of_a_set_in_the_making_are_read_again_and_no_others(tmp_path):
    store = make(tmp_path / "set", tmp_path / "work", given=marked()).store
    again = job.prepare(store, CONFIG, marked([3, 70]), tmp_path / "work")
    assert job.begin(again)[0] == [0, 4]
    assert job.begin(again)[0] == [0, 4], "as long as they are not read"
    complete(make(tmp_path / "set", tmp_path / "work", given=marked([3, 70])))
    complete(make(tmp_path / "new", tmp_path / "work", given=marked([3, 70])))
    for name in ("catalog.parquet", "plan.parquet", "rejected.jsonl"):
        assert (tmp_path / "set" / name).read_bytes() == (tmp_path / "new" / name).read_bytes()
    assert verify(store).clean, "the pictures as they were before are gone"


def test_a_set_of_a_version_without_marks_stays_as_it_is(tmp_path):
    ready = make(tmp_path / "set", tmp_path / "work", given=marked())
    record = complete(ready)
    plan = pq.read_table(tmp_path / "set" / "plan.parquet").drop_columns("mark")
    pq.write_table(plan, tmp_path / "set" / "plan.parquet")
    assert job.read_finished_set(ready) == record


def broken(finding: str) -> list[SourceRow]:
    """The good rows, of which those of a finding are no pictures."""
    good = rows()[: 2 * PATIENTS]
    return [replace(row, load=partial(bytes, b"no picture")) if row.finding == finding else row for row in good]


@pytest.mark.parametrize(
    ("given", "lost"),
    [(broken("pneumonia"), "'pneumonia'"), ([replace(row, load=partial(bytes)) for row in rows()], "'normal', 'pneum")],
    ids=["one finding", "all"],
)
def test_a_finding_without_any_picture_left_is_told_and_read_again_once_mended(tmp_path, given, lost):
    lax = CONFIG.model_copy(update={"max_rejected": 1.0})
    ready = make(tmp_path / "set", tmp_path / "work", lax, given)
    with pytest.raises(
        BadInput, match=rf"no picture of {lost}.* can be used; .*/set/rejected.jsonl says why"
    ) as caught:
        complete(ready)
    assert "\n" not in str(caught.value) and len(rejected(tmp_path / "set")) >= PATIENTS
    mended = make(tmp_path / "set", tmp_path / "work", lax, rows()[: len(given)])
    assert complete(mended).made.count == 2 * PATIENTS


def test_pictures_in_two_parts_of_the_publishers_split_are_told(tmp_path):
    parts = ["train"] * 50 + ["validation"] * 10 + ["test"] * 20
    given = [replace(row, split=part) for row, part in zip(rows()[: 2 * PATIENTS], parts, strict=True)]
    given += [
        replace(given[n], name=f"again{n}.png", split=part) for n, part in ((0, "test"), (1, "test"), (2, "train"))
    ]
    lines = []
    ready = make(tmp_path / "set", tmp_path / "work", CONFIG.model_copy(update={"split": "official"}), given)
    complete(ready, note=lines.append)
    told = [line for line in lines if "the copy" in line]
    assert told == ["2 pictures are in more than one part; the copy in test was dropped"]
    assert told[0] in (tmp_path / "set" / "split_report.md").read_text()


def test_a_commit_that_is_gone_before_any_run_has_finished_is_an_error(tmp_path):
    ready = make(tmp_path / "set", tmp_path / "work")
    (tmp_path / "set" / "commits" / "00000002.json").unlink()
    with pytest.raises(KeyError):
        complete(ready)
    assert not (tmp_path / "set" / "record.json").exists()


def test_a_file_that_only_the_drivers_machine_has_ends_the_job(tmp_path):
    file = tmp_path / "a.png"
    listed = SourceRow("a.png", partial(read_file, file), Labels.only("normal"), mark="was there")
    here = job.IngestWorker(open_store(str(tmp_path / "set")), CONFIG, ())
    elsewhere = replace(here, driver="another machine")
    with pytest.raises(BadInput, match=r"a.png is not on machine .*: the source must be on a disk that all machines"):
        elsewhere(0, pickle.dumps([listed]))
    assert here(0, pickle.dumps([listed]))["reasons"] == {"no such file": 1}
    assert elsewhere(0, pickle.dumps([replace(listed, mark="")]))["reasons"] == {"no such file": 1}, (
        "nor on the driver's"
    )
    file.write_bytes(phantom_bytes(0))
    assert elsewhere(0, pickle.dumps([listed]))["refused"] == 0


def test_another_recipe_into_the_same_place_is_refused(made, tmp_path):
    with pytest.raises(BadInput, match=r"another recipe's artifact.*size 64 -> 32"):
        make(made, tmp_path / "work", CONFIG.model_copy(update={"size": 32}))


@pytest.mark.parametrize(
    ("taken", "told"), [(0, "holds no pictures"), (1, "holds one class only"), (None, "is there twice")]
)
def test_a_source_that_cannot_make_a_set_is_refused_before_anything_is_written(tmp_path, taken, told):
    given = rows()[:taken] if taken is not None else [*rows(), rows()[0]]
    with pytest.raises(BadInput, match=told):
        job.prepare(open_store(str(tmp_path / "set")), CONFIG, given, tmp_path)
    assert not (tmp_path / "set").exists()


@pytest.mark.parametrize(
    ("split", "told"),
    [
        ("official", "84 of 84 images have no known split; use --split patient"),
        ("patient", r"finding 'mass' has images of 2 patients .*at least 3"),
    ],
)
def test_a_split_that_cannot_be_is_told_before_a_picture_is_read(tmp_path, split, told):
    given = [*rows()[:-2], *(replace(row, labels=Labels.only("mass")) for row in rows()[-2:])]
    with pytest.raises(BadInput, match=told):
        job.prepare(open_store(str(tmp_path / "set")), CONFIG.model_copy(update={"split": split}), given, tmp_path)
    assert not (tmp_path / "set").exists()


# --- labels, masks and patients that are none ---


def test_pictures_without_a_label_are_left_out_and_counted(tmp_path):
    given = [replace(row, labels=Labels()) if number % 10 == 0 else row for number, row in enumerate(rows())]
    lines = []
    ready = job.prepare(open_store(str(tmp_path / "set")), CONFIG, given, tmp_path, lines.append)
    assert ready.images == len(given) - 9 and lines == ["9 of 84 pictures have no label and are left out"]
    with pytest.raises(BadInput, match=r"holds one class only, 'mass' \(3 more have no label and are left out\)"):
        few = [*alone(given, "mass", 8), *alone(given, "unlabelled", 3)]
        job.prepare(open_store(str(tmp_path / "one")), CONFIG, few, tmp_path)


def test_findings_that_no_picture_shows_make_no_set(tmp_path):
    none = [replace(row, labels=Labels((), ("Hernia",)), exclusive=False) for row in rows()]
    with pytest.raises(BadInput, match=r"none of its 84 pictures shows Hernia; .* --findings"):
        job.prepare(open_store(str(tmp_path / "set")), CONFIG, none, tmp_path)


def alone(given: Sequence[SourceRow], finding: str, count: int) -> list[SourceRow]:
    return [replace(given[0], name=f"{finding}{n}.png", labels=Labels.only(finding)) for n in range(count)]


def under_two_findings(count: int) -> list[SourceRow]:
    """The good rows, the first `count` of them once more under another finding."""
    good = rows()[: 2 * PATIENTS]
    return (
        good + [replace(row, name=f"again-{row.name}", labels=Labels.only("mass")) for row in good[:count]] + masses()
    )


def masses() -> list[SourceRow]:
    return [
        SourceRow(f"mass{n}.png", partial(phantom_bytes, 300 + n), Labels.only("mass"), patient_id=f"m{n}")
        for n in range(9)
    ]


def test_equal_pictures_of_two_findings_are_both_left_out_and_told(tmp_path):
    lines = []
    ready = make(tmp_path / "set", tmp_path / "work", given=under_two_findings(4))
    record = complete(ready, note=lines.append)
    assert record.made.count == 2 * PATIENTS - 4 + 9 and record.metrics["contradicting"] == 8
    assert lines[0] == (
        "4 pictures are there under several findings, pixel for pixel (2 x mass and normal; 2 x mass and pneumonia): "
        "nobody can tell which is right, so all 8 are left out; rejected.jsonl names them"
    )
    catalog = pq.read_table(tmp_path / "set" / "catalog.parquet")
    assert not set(catalog["image_id"].to_pylist()) & {units_id(row) for row in rows()[:4]}
    reasons = [json.loads(line) for line in (tmp_path / "set" / "rejected.jsonl").read_text().splitlines()]
    assert {line["name"] for line in reasons} == {f"{again}{n}.png" for n in range(4) for again in ("", "again-")}
    assert verify(open_store(str(tmp_path / "set"))).clean


def units_id(row: SourceRow) -> str:
    return pixels_to_image_id(fit_square(read_gray(row.load()), CONFIG.size, CONFIG.aspect))


def test_too_many_equal_pictures_of_two_findings_end_the_job_and_can_be_allowed(tmp_path):
    strict = CONFIG.model_copy(update={"max_rejected": 0.05})
    ready = make(tmp_path / "set", tmp_path / "work", strict, under_two_findings(8))
    with pytest.raises(
        BadInput, match=r"8 pictures are there under several findings.*16 files of 97.*--max-rejected 1"
    ):
        complete(ready)
    assert len(rejected(tmp_path / "set")) == 16 and not (tmp_path / "set" / "record.json").exists()
    lax = make(
        tmp_path / "set", tmp_path / "work", CONFIG.model_copy(update={"max_rejected": 1.0}), under_two_findings(8)
    )
    assert complete(lax).made.count == 2 * PATIENTS - 8 + 9


def mask(number: int, quality: int | None = None) -> bytes:
    drawn = np.zeros((128, 128), np.uint8)
    cv2.circle(drawn, (64, 40 + number), 30, 255, -1)
    return (
        cv2.imencode(".jpg", drawn, (cv2.IMWRITE_JPEG_QUALITY, quality))[1].tobytes() if quality else encode_png(drawn)
    )


@pytest.mark.parametrize("quality", [None, 95])
def test_masks_are_refused_by_what_they_are(tmp_path, quality):
    given = [*rows()[:-BAD], SourceRow("m.png", partial(mask, 3, quality), Labels.only("normal"), patient_id="m")]
    make(tmp_path / "set", tmp_path / "work", given=given)
    assert [one.reason for unit in units.read_refused(open_store(str(tmp_path / "set"))).values() for one in unit] == [
        "black and white only, as a mask is and no X-ray"
    ]


def test_handwritten_digits_and_phantoms_are_no_masks():
    digits = [row.load() for row in SOURCES["digits"]("40", SourceOptions())]
    enlarged = [cv2.resize(digit, (28, 28)) for digit in digits]
    assert not any(checks.is_mask(picture) for picture in enlarged)
    assert not any(checks.is_mask(read_gray(phantom_bytes(number))) for number in range(40))


def test_one_patient_id_for_all_is_told_with_the_option(tmp_path):
    given = [replace(row, patient_id="ANONYMOUS") for row in rows()]
    with pytest.raises(BadInput, match=r"all 84 pictures name the same patient, .* --ignore-patients"):
        job.prepare(open_store(str(tmp_path / "set")), CONFIG, given, tmp_path)
    by_folder = [replace(row, patient_id=row.finding) for row in rows()]
    with pytest.raises(BadInput, match=r"images of 1 patient .* split by picture with --ignore-patients"):
        job.prepare(open_store(str(tmp_path / "set")), CONFIG, by_folder, tmp_path)


def test_an_id_that_many_pictures_have_is_told(tmp_path):
    given = [replace(row, patient_id="0") if n < 30 else row for n, row in enumerate(rows())]
    lines = []
    job.prepare(open_store(str(tmp_path / "set")), CONFIG, given, tmp_path, lines.append)
    assert len(lines) == 1 and lines[0].startswith("30 of 84 pictures name one patient, '0', and stay on one side")
    job.prepare(open_store(str(tmp_path / "set")), CONFIG, rows(), tmp_path, lines.append)
    assert len(lines) == 1


def test_findings_that_differ_in_case_are_told(tmp_path):
    given = rows()
    given += [
        replace(row, name=f"{name}{row.name}", labels=Labels.only(name))
        for row in rows()[:40]
        for name in ("Mass", "mass")
    ]
    lines = []
    job.prepare(open_store(str(tmp_path / "set")), CONFIG, given, tmp_path, lines.append)
    assert lines == ["findings 'Mass' and 'mass' differ in upper and lower case only; they become two classes"]


# --- several findings a picture ---


def several() -> list[SourceRow]:
    """The good rows as a set of three findings; an edema in pictures of two patients only."""
    given = rows()[: 2 * PATIENTS]
    shown = [
        (("effusion",) * (n % 2 == 0)) + (("nodule",) * (n % 3 == 0)) + (("edema",) * (n in (8, 20)))
        for n in range(len(given))
    ]
    return [
        replace(row, labels=Labels(present, None), exclusive=False) for row, present in zip(given, shown, strict=True)
    ]


@pytest.fixture(scope="module")
def made_of_several(tmp_path_factory) -> tuple[Path, Record, list[str]]:
    place, lines = tmp_path_factory.mktemp("several"), []
    given = several()
    again = replace(given[0], name="again.png", labels=Labels(("effusion",), ("edema",)))  # says less, and the same
    other = replace(given[1], name="other.png", labels=Labels(("effusion",), ()))  # which is absent in the first
    return (
        place / "set",
        complete(make(place / "set", place / "work", given=[*given, again, other]), note=lines.append),
        lines,
    )


def test_a_set_of_several_findings_has_them_as_lists_and_is_not_refused_for_a_rare_one(made_of_several):
    place, record, lines = made_of_several
    catalog = pq.read_table(place / "catalog.parquet").to_pylist()
    assert record.made.count == len(catalog) == 2 * PATIENTS - 1
    assert record.metrics["vocabulary"] == ["edema", "effusion", "nodule"] and not record.metrics["exclusive"]
    assert {row["finding"] for row in catalog} >= {"effusion+nodule", "No_Finding", "nodule"}
    for row in catalog:
        assert {*row["present"], *row["absent"]} == {"edema", "effusion", "nodule"} and not row["uncertain"]
        assert set(row["present"]) == set(row["finding"].split("+")) - {"No_Finding"}
    assert len({row["split"] for row in catalog if "edema" in row["present"]}) == 2
    assert any(line.startswith("not in every part: 'edema' (2 patients, none in validation)") for line in lines)


def test_equal_pictures_stay_unless_one_shows_what_the_other_has_not(made_of_several):
    place, record, lines = made_of_several
    assert (record.metrics["repeated"], record.metrics["contradicting"]) == (1, 2)
    assert any(line.startswith("1 pictures are there under several findings, pixel for pixel") for line in lines)
    assert rejected(place) == ["again.png", "1.png", "other.png"]


def test_card_and_contact_sheet_have_a_row_for_each_finding(made_of_several):
    place, _, _ = made_of_several
    card = (place / "README.md").read_text()
    assert "79 chest X-rays of 3 findings" in card and "multi-label-image-classification" in card
    rows = [line.split(" | ")[0] for line in card.splitlines() if line.startswith("| ")]
    assert rows == ["| finding", "| ---", "| edema", "| effusion", "| nodule", "| No_Finding"]
    height, width = read_gray((place / "contact_sheet.png").read_bytes()).shape
    assert (height, width) == (4 * (SIDE + LINE), COLUMNS * SIDE)


@pytest.mark.parametrize(
    ("labels", "told"),
    [(Labels(("mass", "normal"), None), "'mass' and 'normal'"), (Labels((), ("mass",)), "none of its findings")],
)
def test_a_picture_of_two_findings_that_exclude_each_other_is_refused_by_name(tmp_path, labels, told):
    given = [*rows(), replace(rows()[0], name="both.png", labels=labels)]
    with pytest.raises(BadInput, match=rf"'both.png' shows {told}, where each picture shows one finding and no other"):
        job.prepare(open_store(str(tmp_path / "set")), CONFIG, given, tmp_path)


def test_boxes_stand_beside_the_catalog_in_pixels_of_the_stored_pictures(tmp_path):
    given = rows()
    given[0] = replace(given[0], boxes=(Box("normal", 32, 16, 8, 4, "R1"), Box("normal", 0, 0, 2, 2)))
    given[5] = replace(given[5], boxes=(Box("pneumonia", 512, 512, 256, 128, side=1024),))
    ready = make(tmp_path / "set", tmp_path / "work", CONFIG.model_copy(update={"size": 128}), given)
    record = complete(ready)
    names = {n: pixels_to_image_id(fit_square(read_gray(phantom_bytes(n)), 128, "keep")) for n in (0, 5)}
    found = pq.read_table(tmp_path / "set" / "boxes.parquet").to_pylist()
    assert sorted(found, key=lambda box: (box["finding"], -box["x"])) == [
        {"image_id": names[0], "finding": "normal", "x": 64, "y": 32, "width": 16, "height": 8, "reader": "R1"},
        {"image_id": names[0], "finding": "normal", "x": 0, "y": 0, "width": 4, "height": 4, "reader": None},
        {"image_id": names[5], "finding": "pneumonia", "x": 64, "y": 64, "width": 32, "height": 16, "reader": None},
    ]
    assert verify(ready.store).clean and "boxes.parquet" in {stored.key for stored in record.objects}
    plain = job.prepare(open_store(str(tmp_path / "other")), ready.config, rows(), tmp_path / "work")
    assert plain.recipe["rows"] != ready.recipe["rows"], "boxes are part of the recipe, where there are any"


def test_findings_are_part_of_the_recipe_where_some_are_asked_for():
    assert "findings" not in identity(CONFIG, "")
    assert identity(CONFIG.model_copy(update={"findings": "mass"}), "")["findings"] == "mass"
