"""The whole generate job into a local folder: what it leaves, what it says, and what it refuses."""

import csv
import io
import json
from collections import Counter
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from PIL import Image

from cxr import cluster
from cxr.artifact import read_record
from cxr.data.catalog import CATALOG
from cxr.errors import BadInput
from cxr.store import digest_of, open_store, sha256
from cxr.weights import resolve

COUNTS = {"Normal_Anatomy": 13, "Medical_Devices": 13}
BESIDE = {"README.md", "catalog.parquet", "contact_sheet.png", "images/metadata.jsonl", "plan.parquet", "record.json"}


def files(folder: Path) -> dict[str, int]:
    """Every file below the folder, with the moment it was written."""
    return {str(p.relative_to(folder)): p.stat().st_mtime_ns for p in folder.rglob("*") if p.is_file()}


def one_line(text: str) -> str:
    """What a job said, if that was a single line."""
    assert text.count("\n") == 1 and text.endswith("\n"), text
    return text.strip()


def test_the_folder_holds_the_pictures_and_what_belongs_to_them_and_nothing_else(small_set):
    found = set(files(small_set))
    pictures = found - BESIDE
    assert found >= BESIDE and len(pictures) == 26
    assert Counter(key.split("/")[1] for key in pictures) == COUNTS
    assert all(key.startswith("images/") and key.endswith(".png") for key in pictures)
    assert {path.name for path in small_set.iterdir() if path.is_dir()} == {"images"}


def test_the_record_says_what_was_made_from_what(small_set, random_model):
    record = read_record(open_store(str(small_set)))
    pictures = {key: (small_set / key).read_bytes() for key in set(files(small_set)) - BESIDE}
    assert record.kind == "generated images"
    assert record.made.count == 26 and record.made.bytes == sum(map(len, pictures.values()))
    assert record.made.digest == digest_of((key, sha256(data)) for key, data in pictures.items())
    assert {o.key for o in record.objects} == BESIDE - {"record.json"}
    assert record.inputs["model"] == record.recipe["model"] == resolve(str(random_model)).digest
    assert record.recipe["sampler"]["steps"] == 2 and record.recipe["sampler"]["size"] == 64
    assert {"torch", "diffusers", "ray", "python"} <= set(record.versions)
    assert record.timings["total"] > 0 and record.device
    assert record.metrics["findings"] == COUNTS
    assert str(small_set) not in (small_set / "record.json").read_text()


def test_catalog_and_metadata_name_every_picture(small_set):
    catalog = pq.read_table(small_set / "catalog.parquet")
    assert catalog.schema.equals(CATALOG)
    plan = pq.read_table(small_set / "plan.parquet").to_pylist()
    told = [json.loads(line) for line in (small_set / "images/metadata.jsonl").read_text().splitlines()]
    for row, asked, line in zip(catalog.to_pylist(), plan, told, strict=True):
        assert sha256((small_set / row["key"]).read_bytes()) == row["sha256"] == line["sha256"]
        assert row["key"] == f"images/{asked['finding']}/{asked['image_id']}.png" == f"images/{line['file_name']}"
        assert (row["image_id"], row["finding"], row["text"]) == (asked["image_id"], asked["finding"], asked["prompt"])
        assert {name: line[name] for name in asked} == asked
        assert row["patient_id"] is row["split"] is None
    assert len({asked["prompt"] for asked in plan}) == len({asked["seed"] for asked in plan}) == 26
    assert [asked["unit"] for asked in plan] == [i // 4 for i in range(26)]


def test_each_picture_is_gray_and_carries_its_prompt_and_the_mark_of_generated_media(small_set, random_model):
    for row in pq.read_table(small_set / "plan.parquet").to_pylist():
        with Image.open(small_set / "images" / row["finding"] / f"{row['image_id']}.png") as picture:
            assert (picture.mode, picture.size) == ("L", (64, 64))
            assert len(np.unique(np.asarray(picture))) > 10
            made_from = json.loads(picture.text["cxr"])
            assert (made_from["prompt"], made_from["seed"]) == (row["prompt"], row["seed"])
            assert made_from["model"] == resolve(str(random_model)).digest
            assert "trainedAlgorithmicMedia" in picture.text["XML:com.adobe.xmp"]


@pytest.mark.slow
def test_a_filtered_set_is_the_same_for_any_number_of_workers(
    jobs, small_set, stored_set, shared_ray, contents, tmp_path
):
    """Judged by pictures of the same model, half of which are nearer to each other than `--max-percentile` allows."""
    rows = pq.read_table(small_set / "catalog.parquet").to_pylist()
    pixels = np.stack([np.asarray(Image.open(small_set / row["key"])) for row in rows])
    split = ["train" if number % 2 else "validation" for number in range(len(rows))]
    judge = stored_set("judge", pixels, finding=[row["finding"] for row in rows], split=split)
    asked = ("--findings", ",".join(COUNTS), "--accept", "realism", "--quota", 4, "--tries", 4, "--seed", 5)
    settings = ("--real", judge.store.uri, "--max-percentile", 60, "--steps", 2, "--batch", 4)
    one, two = (
        jobs.call(*jobs.words(tmp_path / f"{workers}", *asked, *settings, "--workers", workers)) for workers in (1, 2)
    )
    assert one.returncode == two.returncode == 0 and "refused by the first test that did: realism " in one.stdout
    assert contents(tmp_path / "1") == contents(tmp_path / "2")
    found = read_record(open_store(str(tmp_path / "1"))).metrics["filter"]
    assert found["accepted"] == dict.fromkeys(COUNTS, 4) and sum(found["made"].values()) > 8
    assert jobs.verify(tmp_path / "2").returncode == 0
    again = jobs.call(*jobs.words(tmp_path / "1", *asked, *settings))
    assert again.stdout.startswith("already there: 8 images") and again.returncode == 0


@pytest.mark.slow
def test_ray_needs_no_home_folder_and_does_not_tell_its_log_level(jobs, tmp_path):
    homeless = {"HOME": "/proc/nobody", "XDG_CACHE_HOME": "", "MPLCONFIGDIR": "", "RAY_AUTH_TOKEN": ""}
    done = jobs.generate(tmp_path / "out", "--prompt", "Clear lungs", "--steps", 1, env=homeless)
    assert done.returncode == 0, done.stderr
    assert "ray log level" not in done.stderr and done.stdout.startswith("1 images, ")


def test_contact_sheet_and_card(small_set):
    with Image.open(small_set / "contact_sheet.png") as sheet:
        lines, rest = divmod(sheet.height - 2 * 128, 20)
        assert sheet.width == 8 * 128 and 2 <= lines <= 8 and not rest
        pixels = np.asarray(sheet)
    assert all(pixels[-128:, x : x + 128].std() > 1 for x in range(0, 1024, 128))
    card = (small_set / "README.md").read_text()
    assert "\n- Unaudited: nothing here tests by attack what this set gives away" in card
    assert card.startswith("---\n") and "26 synthetic chest X-rays" in card and "| Medical_Devices | 13 |" in card


def test_torchvision_opens_it_as_an_image_folder(small_set):
    from torchvision.datasets import ImageFolder

    opened = ImageFolder(small_set / "images")
    assert opened.classes == sorted(COUNTS) and Counter(opened.targets) == {0: 13, 1: 13}


def test_datasets_opens_it_as_it_is(small_set, tmp_path):
    from datasets import load_dataset

    prompts = {row["prompt"] for row in pq.read_table(small_set / "plan.parquet").to_pylist()}
    for words in (("imagefolder", None, str(small_set / "images")), (str(small_set),)):
        opened = load_dataset(*words, split="train", cache_dir=str(tmp_path / words[0].replace("/", "_")))
        assert len(opened) == 26 and set(opened["prompt"]) == prompts
        assert Counter(opened["finding"]) == COUNTS and opened[0]["image"].size == (64, 64)


def test_verify_finds_it_whole(jobs, small_set):
    done = jobs.run("verify.py", small_set)
    assert done.returncode == 0, done.stdout
    assert done.stdout.startswith("31 objects, ") and done.stdout.endswith(": 0 missing, 0 extra, 0 damaged\n")


def test_the_same_command_again_finishes_at_once_and_writes_nothing(jobs, small, small_set):
    before, sessions = files(small_set), jobs.sessions()
    done = jobs.generate(small_set, *small, "--workers", 2)
    assert done.returncode == 0 and "already there: 26 images" in one_line(done.stdout)
    assert files(small_set) == before and jobs.sessions() == sessions


def test_another_recipe_into_the_same_place_is_refused_by_the_field_that_differs(jobs, small, small_set):
    before, sessions = files(small_set), jobs.sessions()
    done = jobs.generate(small_set, *small[:-3], 3, "--batch", 4)
    assert done.returncode == 2 and not done.stdout
    assert "sampler.steps 2 -> 3" in one_line(done.stderr) and "choose another --out" in done.stderr
    assert files(small_set) == before and jobs.sessions() == sessions


def test_a_folder_with_other_things_is_refused_and_left_alone(jobs, small, tmp_path):
    (tmp_path / "thesis.docx").write_text("years of work")
    with pytest.raises(BadInput, match="not empty"):
        jobs.call(*jobs.words(tmp_path, *small))
    assert set(files(tmp_path)) == {"thesis.docx"}


@pytest.mark.slow
def test_two_workers_make_the_same_bytes(jobs, small, small_set, contents, tmp_path):
    done = jobs.generate(tmp_path / "set", *small, "--workers", 2)
    assert done.returncode == 0, done.stderr
    assert contents(tmp_path / "set") == contents(small_set)
    ours, theirs = (read_record(open_store(str(place))) for place in (tmp_path / "set", small_set))
    leave_out = {"timings", "versions", "device"}
    assert ours.model_dump(exclude=leave_out) == theirs.model_dump(exclude=leave_out)


@pytest.fixture(scope="module")
def own_list(jobs, tmp_path_factory):
    """A user's CSV with every column, marks in it, and a row without a finding: the finished job and its place."""
    folder = tmp_path_factory.mktemp("own")
    rows = [
        ("prompt", "finding", "negative_prompt", "count", "seed"),
        ("Right effusion since XXXX", "effusion", "text", 3, 100),
        ("clear lungs, ___ year old man", "", "", 2, ""),
        ("clear lungs", "Normal Anatomy", "", "", 7),
    ]
    with (folder / "prompts.csv").open("w", newline="") as file:
        csv.writer(file).writerows(rows)
    done = jobs.generate(folder / "set", "--prompts", folder / "prompts.csv", "--steps", 1, "--batch", 8)
    assert done.returncode == 0, done.stderr
    return done, folder / "set"


@pytest.mark.slow
def test_a_users_list_is_made_as_its_columns_say(own_list):
    _, place = own_list
    rows = pq.read_table(place / "plan.parquet").to_pylist()
    asked = [(row["prompt"], row["finding"], row["negative_prompt"]) for row in rows]
    assert asked == [
        *[("Right effusion since", "effusion", "text")] * 3,
        *[("clear lungs, year old man", "unlabelled", "")] * 2,
        ("clear lungs", "Normal Anatomy", ""),
    ]
    seeds = [row["seed"] for row in rows]
    assert seeds[:3] == [100, 101, 102] and seeds[5] == 7 and seeds[3] != seeds[4]
    assert all((place / "images" / row["finding"] / f"{row['image_id']}.png").is_file() for row in rows)


@pytest.mark.slow
def test_removed_marks_are_told(own_list):
    done, _ = own_list
    assert "note: prompts.csv: removed 2 de-identification marks" in done.stderr
    assert "from 2 of 3 prompts" in done.stderr


PROMPT = "The cardiomediastinal silhouette is within normal limits, XXXX lungs are clear"


def test_one_line_makes_a_picture_of_a_prompt(jobs, shared_ray, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for screen in ("DISPLAY", "WAYLAND_DISPLAY"):
        monkeypatch.setenv(screen, "")
    words = ("tiny", "--prompt", PROMPT, "--show", "--model", jobs.model, "--size", 64, "--steps", 1, "--workers", 1)
    done = jobs.call("generate.py", *words)
    [picture] = (tmp_path / "out/one").glob("*/images/unlabelled/*.png")
    assert done.stdout.splitlines()[-1] == str(picture)
    with Image.open(picture) as shown:
        assert json.loads(shown.text["cxr"])["prompt"] == PROMPT.replace("XXXX ", "")
    assert "note: --prompt: removed 1 de-identification mark" in done.stderr
    assert "note: --show: neither a notebook nor a screen is here" in done.stderr


@pytest.mark.slow
def test_several_pictures_of_a_prompt_differ_and_the_same_line_names_them_again(jobs, tmp_path):
    words = ("--prompt", "clear lungs", "--count", 3, "--steps", 1, "--batch", 4)
    first, again = (jobs.generate(tmp_path / "set", *words) for _ in range(2))
    assert first.returncode == again.returncode == 0, first.stderr + again.stderr
    named = first.stdout.splitlines()[-3:]
    assert again.stdout.splitlines()[-3:] == named
    assert len({Path(name).read_bytes() for name in named}) == 3


def test_dry_run_tells_size_time_and_bytes_and_leaves_nothing(jobs, tmp_path, monkeypatch):
    monkeypatch.setattr(cluster, "session", lambda *_: pytest.fail("Ray is started"))
    prompts = tmp_path / "prompts.txt"
    prompts.write_text("clear lungs\n" + "large left effusion with shift of the mediastinum " * 30 + "\n")
    done = jobs.call(*jobs.words(tmp_path / "set", "--prompts", prompts, "--steps", 2, "--batch", 1, "--dry-run"))
    assert done.returncode == 0
    assert "makes: 2 images in 2 units, 1 findings" in done.stdout and "nothing was written" in done.stdout
    assert "\ntime: " in done.stdout and "as two short batches took" in done.stdout
    assert "note: 1 of 2 prompts are longer than the text encoder reads" in done.stderr
    assert {path.name for path in tmp_path.iterdir()} == {"prompts.txt"}


@pytest.fixture(scope="module")
def shards(jobs, shared_ray, small, tmp_path_factory) -> Path:
    """The small set as shards, by two workers. For reading only."""
    place = tmp_path_factory.mktemp("shards") / "set"
    jobs.call(*jobs.words(place, *small, "--layout", "shards", "--workers", 2))
    return place


def test_shards_hold_the_same_pictures(jobs, small_set, shards):
    beside = {"README.md", "catalog.parquet", "contact_sheet.png", "plan.parquet", "record.json"}
    assert set(files(shards)) == beside | {"shards/00000000.parquet"}
    table = pq.read_table(shards / "shards/00000000.parquet")
    for row, line in zip(pq.read_table(shards / "catalog.parquet").to_pylist(), table.to_pylist(), strict=True):
        picture = line["image"]["bytes"]
        assert row["key"] == "shards/00000000.parquet" and row["sha256"] == line["sha256"] == sha256(picture)
        same = small_set / "images" / row["finding"] / f"{row['image_id']}.png"
        np.testing.assert_array_equal(Image.open(io.BytesIO(picture)), Image.open(same))
    assert jobs.verify(shards).returncode == 0


def test_datasets_opens_shards_as_pictures(small_set, shards, tmp_path):
    from datasets import load_dataset

    opened = load_dataset("parquet", data_files=f"{shards}/shards/*.parquet", split="train", cache_dir=str(tmp_path))
    assert len(opened) == 26 and opened[0]["image"].size == (64, 64) and opened[0]["image"].mode == "L"
    assert opened["prompt"][:] == pq.read_table(small_set / "plan.parquet")["prompt"].to_pylist()


@pytest.mark.slow
def test_more_than_one_shard(jobs, tmp_path):
    place = tmp_path / "set"
    words = ("--findings", "normal", "--per-finding", 1010, "--steps", 1, "--batch", 32, "--layout", "shards")
    done = jobs.generate(place, *words, "--workers", 2)
    assert done.returncode == 0, done.stderr
    rows = [pq.read_metadata(file).num_rows for file in sorted((place / "shards").iterdir())]
    assert rows == [1000, 10]
    catalog = pq.read_table(place / "catalog.parquet")
    assert Counter(catalog["key"].to_pylist()) == {"shards/00000000.parquet": 1000, "shards/00000001.parquet": 10}
    assert jobs.verify(place).returncode == 0
