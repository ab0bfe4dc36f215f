"""The ingest job as users run it: local Ray, a folder and a real S3 server."""

import signal
import time
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, SecondaryCaptureImageStorage, generate_uid

from cxr.data.images import encode_png
from cxr.embedded.phantoms import draw_phantom
from cxr.prompts.findings import BINARY


def test_the_set_is_split_by_patient_and_verifies(jobs, real_set):
    catalog = pq.read_table(real_set / "catalog.parquet").to_pylist()
    assert len(catalog) == 160
    sides = {}
    for row in catalog:
        sides.setdefault(row["patient_id"], set()).add(row["split"])
    assert all(len(side) == 1 for side in sides.values()) and len(sides) < 160
    assert jobs.verify(real_set).returncode == 0


def test_the_same_command_again_finishes_at_once(jobs, ingest_words, real_set):
    done = jobs.run(*ingest_words, "--out", real_set)
    assert done.returncode == 0 and "already there: 160 images" in done.stdout


@pytest.mark.slow
def test_a_killed_driver_goes_on_and_ends_with_the_same_bytes(jobs, ingest_words, real_set, contents, tmp_path):
    place = tmp_path / "set"
    words = (*ingest_words, "--out", place, "--workers", 1)
    job = jobs.start_job(*words)
    while not list(place.glob("commits/*.json")):
        assert job.poll() is None, job.communicate()
        time.sleep(0.01)
    job.send_signal(signal.SIGKILL)
    job.communicate()
    assert not (place / "record.json").exists()
    done = jobs.run(*words)
    assert done.returncode == 0, done.stderr
    assert contents(place) == contents(real_set)


@pytest.mark.slow
def test_into_a_bucket_the_same_bytes(s3, jobs, ingest_words, real_set, contents):
    place = f"s3://{s3.make_bucket()}/set"
    done = jobs.run(*ingest_words, "--out", place, env=s3.env)
    assert done.returncode == 0, done.stderr
    assert contents(place) == contents(real_set)


PERSON = {
    "PatientName": "Doe^Jane", "PatientID": "ID4711", "OtherPatientIDs": "OLD0815", "AccessionNumber": "ACC2323",
    "InstitutionName": "Mercy Hospital", "PatientBirthDate": "19501224", "ReferringPhysicianName": "House^Gregory",
}  # fmt: skip


def write_dicom(path: Path, number: int, **tags: str) -> None:
    image = Dataset()
    image.file_meta = FileMetaDataset()
    image.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    image.file_meta.MediaStorageSOPClassUID = image.SOPClassUID = SecondaryCaptureImageStorage
    image.file_meta.MediaStorageSOPInstanceUID = image.SOPInstanceUID = generate_uid()
    image.Rows = image.Columns = 128
    image.SamplesPerPixel, image.PhotometricInterpretation, image.PixelRepresentation = 1, "MONOCHROME2", 0
    image.BitsAllocated, image.BitsStored, image.HighBit = 8, 8, 7
    image.PixelData = draw_phantom(3, number, BINARY).pixels.tobytes()
    for tag, value in tags.items():
        setattr(image, tag, value)
    path.parent.mkdir(parents=True, exist_ok=True)
    image.save_as(path, enforce_file_format=True)


def test_nothing_that_identifies_a_person_is_in_a_set_from_dicom(jobs, shared_ray, contents, tmp_path):
    for number in range(60):
        person = {**PERSON, "PatientID": f"ID4711-{number // 2}", "PatientSex": "F", "ViewPosition": "PA"}
        write_dicom(tmp_path / "dicom" / BINARY[number // 2 % 2] / f"Doe_Jane_{number}.dcm", number, **person)
    (tmp_path / "dicom" / BINARY[0] / "Doe_Jane_broken.dcm").write_bytes(b"Doe Jane")
    done = jobs.call("ingest.py", "tiny", "--source", f"dicom:{tmp_path}/dicom", "--out", tmp_path / "set")
    catalog = pq.read_table(tmp_path / "set" / "catalog.parquet").to_pylist()
    assert len(catalog) == 60 and len({row["patient_id"] for row in catalog}) == 30
    assert {(row["sex"], row["view"]) for row in catalog} == {("F", "PA")}
    held = contents(tmp_path / "set")
    assert b"not a DICOM file" in held["rejected.jsonl"]
    everything = b"\n".join([done.stdout.encode(), done.stderr.encode(), *map(str.encode, held), *held.values()])
    for word in ("Doe", "Jane", "4711", "OLD0815", "ACC2323", "Mercy", "19501224", "House"):
        assert word.encode() not in everything, word
    parquet = [pq.read_table(tmp_path / "set" / name).to_pylist() for name in ("catalog.parquet", "plan.parquet")]
    assert "Doe" not in str(parquet) and "4711" not in str(parquet)


@pytest.mark.slow
def test_the_publishers_split_is_kept_and_what_is_wrong_with_it_told(jobs, tmp_path):
    parts = ["train"] * 80 + ["val"] * 4 + ["test"] * 30
    for number, part in enumerate(parts):
        drawn = draw_phantom(5, number, BINARY)
        name = f"{number // 3:08d}_{number % 3:03d}.png"  # NIH's way: patient and follow-up; 26 is in train and val
        file = tmp_path / "xrays" / part / drawn.attributes.findings[0] / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(encode_png(drawn.pixels))
    words = ("ingest.py", "tiny", "--source", f"folder:{tmp_path}/xrays", "--out", tmp_path / "set")
    done = jobs.run(*words, "--split", "official")
    assert done.returncode == 0, done.stderr
    catalog = pq.read_table(tmp_path / "set" / "catalog.parquet").to_pylist()
    assert sorted(row["split"] for row in catalog) == sorted(p.replace("val", "validation") for p in parts)
    assert "the validation part is tiny: 4 of 114 images" in done.stderr
    assert "patients are in more than one part" in done.stderr
    assert "patients are in more than one part" in (tmp_path / "set" / "split_report.md").read_text()
    refused = jobs.run(*words)  # by patient, into the same place
    assert refused.returncode == 2 and "another recipe's artifact (split" in refused.stderr
