"""The GAN job as users run it: sources and sets in, a set out; one clear line for what a user can mend."""

import gzip
import importlib
import json
import struct
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from cxr import cli
from cxr.data.catalog import read_set
from cxr.errors import BadInput
from cxr.store import open_store

JOB = Path(__file__).parents[2] / "jobs" / "gan.py"
SMALL = ("--width", 4, "--epochs", 2, "--batch-size", 16, "--lenet-epochs", 2, "--count", 20, "--checkpoint-every", 1)


@pytest.fixture(scope="module")
def lab(jobs, tmp_path_factory) -> Path:
    """200 digits, two epochs. For reading only."""
    out = tmp_path_factory.mktemp("gan") / "out"
    done = jobs.call("gan.py", "digits", "--data", "digits:200", "--out", out, *SMALL)
    assert done.stdout.startswith("20 pictures, ") and f"look at {out}/samples.gif" in done.stdout
    return out


def test_pictures_lie_in_folders_of_what_they_are_named_and_verify(jobs, lab: Path) -> None:
    assert jobs.verify(lab).returncode == 0
    lines = [json.loads(line) for line in (lab / "images" / "metadata.jsonl").read_text().splitlines()]
    assert {path.parent.name + "/" + path.name for path in lab.glob("images/*/*.png")} == {
        f"{line['named']}/{line['image_id']}.png" for line in lines
    }
    assert len(read_set(open_store(str(lab))).table) == len(lines) == 20
    assert {path.name for path in lab.iterdir() if path.is_file()} == {
        "README.md", "catalog.parquet", "classes.png", "confusion.png", "curves.png", "discriminator.safetensors",
        "generator.safetensors", "history.jsonl", "lenet.safetensors", "plan.parquet", "record.json", "samples.gif",
        "samples.png",
    } | {path.name for path in lab.glob("generator_epoch*")}  # fmt: skip


def test_a_generator_that_has_learned_nothing_yet_is_called_collapsed(lab: Path) -> None:
    figures = json.loads((lab / "record.json").read_text())["metrics"]
    assert figures["collapsed"] and "pictures of a class are alike" in "; ".join(figures["collapsed_because"])
    card = (lab / "README.md").read_text()
    assert "**Collapsed:**" in card and "- Unaudited: nothing here tests by attack" in card


def test_the_same_command_again_finishes_at_once_and_another_is_refused(job, lab: Path, contents, capsys) -> None:
    before = contents(lab)
    assert run(job, "digits", "--data", "digits:200", "--out", lab, *SMALL) == 0
    assert "already there" in capsys.readouterr().out
    with pytest.raises(BadInput, match=r"holds another recipe's artifact \(beta1 0.5 -> 0.4\)"):
        run(job, "digits", "--data", "digits:200", "--out", lab, *SMALL, "--beta1", 0.4)
    assert contents(lab) == before


def test_a_class_can_be_asked_for_and_a_set_of_ours_is_a_source_too(job, tmp_path: Path) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    assert run(job, "digits", "--data", "digits:200", "--out", first, *SMALL, "--count", 40, "--conditional") == 0
    made = read_set(open_store(str(first)))
    assert made.table["finding"].to_pylist() == [f"digit_{n}" for n in range(10)] * 4
    assert 0 <= made.record.metrics["asked_agreement"] <= 1 and made.record.metrics["lineage"] is None
    assert run(job, "digits", "--data", first, "--out", second, *SMALL) == 0
    record = read_set(open_store(str(second))).record
    assert record.inputs == {"data": made.digest} and len(record.metrics["lineage"]) == 1


@pytest.fixture(scope="module")
def job() -> ModuleType:
    """jobs/gan.py as a module: a process for each test would spend seconds on imports."""
    return importlib.import_module("cxr.jobs.gan")


def run(job: ModuleType, *words: str | Path | float) -> int:
    return job.main(cli.parse(job.Args, [*map(str, words)]))


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A folder with MNIST files that are none, and arrays that are no pictures."""
    images, labels = struct.pack(">IIII", 0x803, 2, 28, 28) + bytes(2 * 784), struct.pack(">II", 0x801, 2) + b"\0\1"
    for name, data in (("magic", b"\0\0\x0d\x03" + images[4:]), ("short", images[:-1])):
        (tmp_path / name).mkdir()
        (tmp_path / name / "train-images-idx3-ubyte.gz").write_bytes(gzip.compress(data))
        (tmp_path / name / "train-labels-idx1-ubyte.gz").write_bytes(gzip.compress(labels))
    np.savez(tmp_path / "flat.npz", train_images=np.zeros((3, 784), np.uint8), train_labels=np.arange(3))
    np.savez(tmp_path / "wide.npz", train_images=np.zeros((3, 28, 28, 4), np.uint8), train_labels=np.arange(3))
    return tmp_path


@pytest.mark.parametrize(
    ("typed", "told"),
    {
        "digit": "did you mean digits",
        "digits --noise-dim 0": "--noise-dim '0'",
        "digits --epochs -3": "--epochs '-3'",
        "digits --epochs 0": "--epochs '0'",
        "digits --batch-size 1": "--batch-size '1'",
        "digits --learning-rate nan": "--learning-rate 'nan'",
        "digits --learning-rate -1": "--learning-rate '-1",
        "digits --label-smoothing 0.5": "--label-smoothing '0.5'",
        "digits --count 5": "--count '5'",
        "digits --epochs many": "--epochs",
        "digits --data digits:0": "digits:0: give a number from 1 to 1,797",
        "digits --data digits:40 --batch-size 64": "--batch-size 64: more than the 2. pictures to train on",
        "digits --data digits:1": "holds pictures of 1 findings",
        "digits --data npz:": "--data npz: names no place",
        "digits --data nowhere": "nowhere: no such folder",
        "digits --data idx:{place}/nowhere": "nowhere': no such folder",
        "digits --data idx:{place}/magic": "train-images-idx3-ubyte.gz: not an IDX file: its header is not",
        "digits --data idx:{place}/short": "fewer bytes than its header states",
        "digits --data npz:{place}/nowhere.npz": "no such file",
        "digits --data npz:{place}/flat.npz": r"the pictures are uint8 \(3, 784\)",
        "digits --data npz:{place}/wide.npz": r"the pictures are uint8 \(3, 28, 28, 4\)",
        "digits --data {place}": "no record.json, so unfinished or not a set of ours",
    }.items(),
)
def test_bad_input_is_one_clear_line_and_nothing_is_written(job, place: Path, typed: str, told: str) -> None:
    with pytest.raises(BadInput, match=told) as caught:
        run(job, *typed.format(place=place).split(), "--out", place / "out")
    assert "\n" not in str(caught.value) and not (place / "out").exists()


def test_bad_input_ends_with_code_2(jobs, tmp_path: Path) -> None:
    done = jobs.run("gan.py", "digits", "--noise-dim", 0, "--out", tmp_path / "out")
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1)


@pytest.mark.slow
def test_evaluate_reads_what_the_gan_leaves(jobs, tmp_path: Path) -> None:
    real, made, out = (tmp_path / name for name in ("real", "made", "out"))
    assert jobs.run("ingest.py", "tiny", "--source", "digits:600", "--size", 28, "--out", real).returncode == 0
    words = ("--width", 16, "--epochs", 12, "--batch-size", 16, "--lenet-epochs", 20, "--count", 400, "--conditional")
    assert jobs.run("gan.py", "digits", "--data", real, "--out", made, *words).returncode == 0
    sets = ("--real", real, "--synthetic", made, "--out", out, "--quarantine", tmp_path / "clean")
    done = jobs.run("evaluate.py", "tiny", *sets, "--size", 32, "--resamples", 10)
    assert done.returncode == 0 and "of real pictures it sees the true one in" in done.stdout, done.stderr
    assert jobs.verify(out).returncode == jobs.verify(tmp_path / "clean").returncode == 0


@pytest.mark.slow
def test_into_a_bucket_the_same_bytes(s3, jobs, lab: Path, contents) -> None:
    out = f"s3://{s3.make_bucket()}/out"
    done = jobs.run("gan.py", "digits", "--data", "digits:200", "--out", out, *SMALL, env=s3.env)
    assert done.returncode == 0, done.stderr
    assert contents(out) == contents(lab) and jobs.verify(out).returncode == 0
