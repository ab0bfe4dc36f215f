"""DICOM files written with pydicom: right shades, nothing that identifies a person, a reason for what is refused."""

import os
import sys
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pydicom
import pytest
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, JPEG2000Lossless, SecondaryCaptureImageStorage, generate_uid

from cxr.data.images import MissingImage, RejectedImage, read_gray
from cxr.data.sources.dicom import dicom_rows, load_dicom
from cxr.data.sources.row import SourceOptions, SourceRow
from cxr.errors import BadInput

RAMP = np.arange(0, 4096, 16, dtype=np.uint16).reshape(16, 16)  # 12 bits
PLANTED = ("Doe", "Jane", "ID4711", "OLD0815", "ACC2323", "Mercy", "Secret", "19501224", "House")


def picture(pixels: np.ndarray = RAMP, **tags) -> Dataset:
    image = Dataset()
    image.file_meta = FileMetaDataset()
    image.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    image.file_meta.MediaStorageSOPClassUID = image.SOPClassUID = SecondaryCaptureImageStorage
    image.file_meta.MediaStorageSOPInstanceUID = image.SOPInstanceUID = generate_uid()
    image.Rows, image.Columns = pixels.shape[-2:]
    image.SamplesPerPixel, image.PhotometricInterpretation = 1, "MONOCHROME2"
    image.BitsAllocated, image.BitsStored, image.HighBit = 8 * pixels.itemsize, 12 if pixels.itemsize == 2 else 8, 0
    image.HighBit = image.BitsStored - 1
    image.PixelRepresentation = int(pixels.dtype.kind == "i")
    image.PixelData = pixels.tobytes()
    for tag, value in tags.items():
        setattr(image, tag, value)
    return image


def save(image: Dataset, path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    image.save_as(path, enforce_file_format=True)
    return path


def shown(tmp_path: Path, pixels: np.ndarray = RAMP, **tags) -> np.ndarray:
    return load_dicom(save(picture(pixels, **tags), tmp_path / "a.dcm"))


def reason(path: Path) -> str:
    with pytest.raises(RejectedImage) as caught:
        load_dicom(path)
    return str(caught.value)


def rows(root: Path) -> list[SourceRow]:
    return list(dicom_rows(str(root), SourceOptions()))


# --- shades ---


def test_without_a_window_the_extremes_are_black_and_white(tmp_path: Path):
    pixels = shown(tmp_path)
    assert pixels.dtype == np.uint16 and pixels.shape == (16, 16)
    np.testing.assert_allclose(pixels, RAMP / 4080 * 65535, atol=1)


def test_monochrome1_is_inverted(tmp_path: Path):
    inverted = shown(tmp_path, PhotometricInterpretation="MONOCHROME1")
    np.testing.assert_allclose(inverted, 65535 - RAMP / 4080 * 65535, atol=1)


def test_window(tmp_path: Path):
    pixels = shown(tmp_path, WindowCenter=2048, WindowWidth=1024)
    assert (pixels[RAMP <= 1535] == 0).all() and (pixels[RAMP >= 2560] == 255).all()
    expected = ((RAMP - 2047.5) / 1023 + 0.5) * 255  # PS3.3 C.11.2.1.2.1
    assert pixels.dtype == np.uint8
    np.testing.assert_allclose(pixels, np.clip(expected, 0, 255), atol=0.51)


def test_window_does_not_stretch_a_picture_that_fills_it_in_part(tmp_path: Path):
    pixels = read_gray(shown(tmp_path, RAMP // 4 + 1024, WindowCenter=2048, WindowWidth=4096))
    assert (pixels.min(), pixels.max()) == (64, 127)


def test_modality_rescale_comes_before_the_window(tmp_path: Path):
    plain = shown(tmp_path, WindowCenter=2048, WindowWidth=1024)
    scaled = shown(tmp_path, WindowCenter=2 * 2048 - 100, WindowWidth=2048, RescaleSlope=2, RescaleIntercept=-100)
    np.testing.assert_allclose(scaled.astype(int), plain.astype(int), atol=1)


def lut() -> Dataset:
    """From 12 bits to 16, the other way round."""
    table = Dataset()
    table.LUTDescriptor = [4096, 0, 16]
    table.add_new("LUTData", "OW", (np.arange(4096, dtype=np.uint16)[::-1] * 16).tobytes())
    return table


def test_modality_lut(tmp_path: Path):
    pixels = shown(tmp_path, ModalityLUTSequence=[lut()], WindowCenter=32768, WindowWidth=65536)
    np.testing.assert_allclose(pixels, (4095 - RAMP) * (16 / 257), atol=0.51)


def test_of_several_windows_the_first(tmp_path: Path):
    one = shown(tmp_path, WindowCenter=2048, WindowWidth=1024)
    np.testing.assert_array_equal(shown(tmp_path, WindowCenter=[2048, 100], WindowWidth=[1024, 50]), one)


def test_voi_lut(tmp_path: Path):
    pixels = shown(tmp_path, RAMP // 4 + 1024, VOILUTSequence=[lut()])
    np.testing.assert_allclose(read_gray(pixels), (4095 - (RAMP // 4 + 1024)) * (16 / 257), atol=0.51)


def test_signed_pixels(tmp_path: Path):
    signed = RAMP.astype(np.int16) - 2048
    np.testing.assert_array_equal(shown(tmp_path, signed), shown(tmp_path, RAMP))


def test_unused_bits_do_not_count(tmp_path: Path):
    np.testing.assert_array_equal(shown(tmp_path, RAMP | 0xF000), shown(tmp_path, RAMP))


def test_eight_bits(tmp_path: Path):
    pixels = np.arange(256, dtype=np.uint8).reshape(16, 16)
    np.testing.assert_array_equal(shown(tmp_path, pixels), pixels.astype(int) * 257)


# --- what leaves the reader ---


def planted(folder: Path, number: int, patient: str = "ID4711") -> Path:
    image = picture(
        PatientName="Doe^Jane", PatientID=patient, OtherPatientIDs="OLD0815", AccessionNumber="ACC2323",
        InstitutionName="Mercy", PatientBirthDate="19501224", ReferringPhysicianName="House^Gregory",
        PatientSex="F", PatientAge="045Y", ViewPosition="PA",
    )  # fmt: skip
    image.private_block(0x0099, "Secret Vendor", create=True).add_new(1, "LO", "Secret of Jane Doe")
    return save(image, folder / f"Doe_Jane_ID4711_{number}.dcm")


def test_nothing_that_identifies_a_person_leaves(tmp_path: Path):
    for number in range(3):
        planted(tmp_path / "pneumonia", number)
    planted(tmp_path / "normal", 3, patient="ID4712")
    (tmp_path / "normal" / "Doe_Jane_broken.dcm").write_bytes(b"Jane Doe")
    found = rows(tmp_path)
    assert [row.name for row in found] == [f"dicom-file-{n:06d}" for n in range(1, 6)]
    seen = repr(found) + " ".join(str(value) for row in found for key, value in asdict(row).items() if key != "load")
    for row in found:
        try:
            seen += row.load().tobytes().decode("latin-1")
        except RejectedImage as why:
            seen += str(why)
    assert not [word for word in PLANTED if word in seen]
    assert (found[0].view, found[0].sex, found[0].age) == ("PA", "F", 45)


def test_patients_are_numbered_alike_in_any_order(tmp_path: Path):
    for number, patient in enumerate(["ID1", "ID2", "ID1", "", "ID3"]):
        planted(tmp_path / "a", number, patient)
    ids = [row.patient_id for row in rows(tmp_path)]
    assert ids[0] == ids[2] and ids[3] is None and len(set(ids) - {None}) == 3
    assert set(ids) - {None} == {"dicom-000001", "dicom-000002", "dicom-000003"}


@pytest.mark.parametrize(
    ("tags", "told"),
    [
        ({"PatientAge": "093Y"}, (90, None, None)),
        ({"PatientAge": "018M", "PatientSex": "O"}, (1, None, None)),
        ({"ViewPosition": "DOE JANE", "PatientSex": "M"}, (None, "M", None)),
        ({"ViewPosition": "ll"}, (None, None, "LL")),
    ],
)
def test_only_known_words_leave(tmp_path: Path, tags: dict, told: tuple):
    save(picture(**tags), tmp_path / "x" / "a.dcm")
    (row,) = rows(tmp_path)
    assert (row.age, row.sex, row.view) == told


@pytest.mark.parametrize("folder", ["Doe Jane", "id4711", "ID4711 chest"])
def test_folders_named_after_patients_are_refused(tmp_path: Path, folder: str):
    image = picture(PatientName="Doe^Jane", PatientID="ID4711")
    save(image, tmp_path / folder / "a.dcm")
    with pytest.raises(BadInput, match="is named after its patient") as caught:
        rows(tmp_path)
    assert folder not in str(caught.value)


def test_findings_are_the_first_folders(tmp_path: Path):
    for name in ("NORMAL/a.dcm", "mass/p1/s1/b.dcm", "c.dcm", "DICOMDIR"):
        save(picture(), tmp_path / name)
    assert [row.finding for row in rows(tmp_path)] == ["normal", "unlabelled", "mass"]


def test_no_files_and_folders_that_are_no_findings(tmp_path: Path):
    with pytest.raises(BadInput, match="holds no files"):
        rows(tmp_path)
    save(picture(), tmp_path / "1.2.840" / "a.dcm")
    with pytest.raises(BadInput, match="has a name that no finding can have") as caught:
        rows(tmp_path)
    assert "1.2.840" not in str(caught.value)


# --- what is refused ---


def test_refused_pictures(tmp_path: Path):
    without = picture()
    del without.PixelData
    several = picture(np.stack([RAMP, RAMP]), NumberOfFrames=2)
    cases = {
        "DICOM without pixels": without,
        "burned-in annotation": picture(BurnedInAnnotation="YES"),
        "several frames": several,
        "not a gray DICOM": picture(PhotometricInterpretation="PALETTE COLOR"),
        "HighBit": picture(HighBit=15),
        "more than 64,000,000 pixels": picture(Rows=60000, Columns=60000),
        "truncated DICOM": picture(Rows=17),
    }
    for told, image in cases.items():
        assert told in reason(save(image, tmp_path / "a.dcm"))
    assert load_dicom(save(picture(BurnedInAnnotation="NO"), tmp_path / "a.dcm")).shape == (16, 16)


def test_no_decoder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    image = picture()
    image.file_meta.TransferSyntaxUID = JPEG2000Lossless
    image.PixelData = pydicom.encaps.encapsulate([b"\0" * 64])
    image["PixelData"].VR = "OB"
    path = save(image, tmp_path / "a.dcm")
    monkeypatch.setattr("pydicom.pixels.common.CoderBase.is_available", property(lambda self: False))
    told = "no decoder for JPEG 2000 Image Compression (Lossless Only) is installed; pip install python-gdcm"
    assert reason(path) == told


def test_files_that_are_no_dicom(tmp_path: Path):
    path = tmp_path / "a.dcm"
    path.write_bytes(b"\x89PNG and so on" * 100)
    assert reason(path) == "not a DICOM file"
    with pytest.raises(MissingImage, match="no such file"):
        load_dicom(tmp_path / "gone.dcm")
    assert rows(tmp_path)[0].patient_id is None


def test_damaged_files_are_refused_and_never_crash(tmp_path: Path):
    whole, path = save(picture(PatientName="Doe^Jane"), tmp_path / "a.dcm").read_bytes(), tmp_path / "a.dcm"
    rng = np.random.default_rng(0)
    for _ in range(60):
        data = bytearray(whole)
        for place in rng.integers(128, len(data), 8):
            data[place] = rng.integers(256)
        path.write_bytes(data[: rng.integers(132, len(data))])
        try:
            assert load_dicom(path).dtype == np.uint16
        except RejectedImage as why:
            assert "Doe" not in str(why)


def test_without_pydicom_one_line_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "pydicom", None)
    with pytest.raises(BadInput, match="is not installed; pip install pydicom"):
        next(dicom_rows(str(tmp_path), SourceOptions()))


def test_a_file_that_is_written_again_has_another_mark(tmp_path: Path):
    before = rows(save(picture(), tmp_path / "mass" / "a.dcm").parents[1])
    os.utime(save(picture(RAMP.T), tmp_path / "mass" / "a.dcm"), (1, 1))
    (after,) = rows(tmp_path)
    assert after.mark != before[0].mark and replace(after, mark="", load=None) == replace(before[0], mark="", load=None)


def test_a_folder_that_cannot_be_read_is_told_without_its_name(tmp_path: Path, closed_folder):
    save(picture(), tmp_path / "mass" / "Doe_Jane" / "a.dcm")
    closed_folder(tmp_path / "mass" / "Doe_Jane")
    with pytest.raises(BadInput, match="a folder inside cannot be read") as caught:
        rows(tmp_path)
    assert "Doe" not in str(caught.value)


# --- what stands beside the pixels ---


def test_without_preamble_and_header(tmp_path: Path):
    whole = save(picture(PatientID="ID1", PatientSex="F"), tmp_path / "mass" / "a.dcm").read_bytes()
    start = 144 + int.from_bytes(whole[140:144], "little")  # behind the header, whose length it begins with
    (tmp_path / "mass" / "a.dcm").write_bytes(whole[start:])
    (row,) = rows(tmp_path)
    assert (row.patient_id, row.sex) == ("dicom-000001", "F")
    np.testing.assert_array_equal(row.load(), shown(tmp_path))


BROKEN_LUT = Dataset()
BROKEN_LUT.LUTDescriptor = [4096, 0, 16]
BESIDE = {
    "zero width": {"WindowCenter": 0, "WindowWidth": 0},
    "of 8 bits": {"WindowCenter": 127, "WindowWidth": 255},
    "wide, of 8 bits": {"WindowCenter": 10, "WindowWidth": 2200},
    "no width": {"WindowCenter": 2048},
    "a slope of nothing": {"RescaleSlope": 0, "RescaleIntercept": 7},
    "half a VOI LUT": {"VOILUTSequence": [BROKEN_LUT]},
    "half a modality LUT": {"ModalityLUTSequence": [BROKEN_LUT]},
}


@pytest.mark.parametrize("tags", BESIDE.values(), ids=BESIDE)
def test_what_is_of_no_use_beside_the_pixels_is_passed_over(tmp_path: Path, tags: dict):
    np.testing.assert_array_equal(shown(tmp_path, RAMP // 2 + 1024, **tags), shown(tmp_path, RAMP // 2 + 1024))


def test_the_first_window_of_use_counts(tmp_path: Path):
    pixels = RAMP // 2 + 1024
    one = shown(tmp_path, pixels, WindowCenter=2048, WindowWidth=1024)
    for centers, widths in (([0, 2048], [0, 1024]), ([127, 2048], [255, 1024])):
        np.testing.assert_array_equal(shown(tmp_path, pixels, WindowCenter=centers, WindowWidth=widths), one)


def test_a_window_of_stored_values_beside_a_rescale(tmp_path: Path):
    """Of values after the rescale, -8192 to -32, nothing lies inside."""
    tags = {"WindowCenter": 2048, "WindowWidth": 1024}
    rescaled = shown(tmp_path, RescaleSlope=2, RescaleIntercept=-8192, **tags)
    np.testing.assert_array_equal(rescaled, shown(tmp_path, **tags))


def bordered(value: int, dtype: type = np.uint16) -> np.ndarray:
    pixels = (RAMP // 16 + 1500).astype(dtype)
    pixels[:4] = value
    return pixels


@pytest.mark.parametrize(
    ("value", "dtype", "tags"),
    [
        (0, np.uint16, {"PixelPaddingValue": 0}),
        (4095, np.uint16, {"PixelPaddingValue": 4095}),
        (-2000, np.int16, {"PixelPaddingValue": -2000}),
        (20, np.uint16, {"PixelPaddingValue": 0, "PixelPaddingRangeLimit": 100}),
        (20, np.uint16, {"PixelPaddingValue": 100, "PixelPaddingRangeLimit": 0}),
        (0, np.uint16, {"PixelPaddingValue": 0, "RescaleSlope": 3, "RescaleIntercept": -9000}),
    ],
)
@pytest.mark.parametrize("inverted", [False, True])
def test_declared_padding_is_black_and_no_part_of_the_range(tmp_path: Path, value, dtype, tags, inverted):
    kind = "MONOCHROME1" if inverted else "MONOCHROME2"
    bits = {"BitsStored": 16, "HighBit": 15}
    pixels = shown(tmp_path, bordered(value, dtype), PhotometricInterpretation=kind, **bits, **tags)
    assert (pixels[:4] == 0).all() and (pixels[4:].min(), pixels[4:].max()) == (0, 65535)
    order = np.sign(np.diff(pixels[4:].astype(int).ravel()))
    assert (order == (-1 if inverted else 1)).all()


def test_padding_that_is_not_declared_or_is_everything_is_picture(tmp_path: Path):
    bits = {"BitsStored": 16, "HighBit": 15}
    assert shown(tmp_path, bordered(0), **bits)[4:].min() > 50_000
    everything = shown(tmp_path, RAMP, PixelPaddingValue=0, PixelPaddingRangeLimit=65535)
    np.testing.assert_array_equal(everything, shown(tmp_path))


# --- what is no picture ---


def test_files_without_pictures_are_passed_over_and_counted(tmp_path: Path):
    report = picture()
    for keyword in ("PixelData", "Rows", "Columns"):
        delattr(report, keyword)
    for name in ("mass/a.dcm", "mass/b", "edema/c.dcm", "mass/masks/d.dcm"):
        save(picture(), tmp_path / name)
    save(report, tmp_path / "mass" / "report.dcm")
    (tmp_path / "mass" / "notes.txt").write_text("Jane Doe")
    (tmp_path / "mass" / "Jane.Doe").write_text("Jane Doe")
    (tmp_path / "mass" / "damaged.dcm").write_bytes(b"Jane Doe")
    notes: list[str] = []
    found = list(dicom_rows(str(tmp_path), SourceOptions(notes=notes.append)))
    assert [row.finding for row in found] == ["edema", "mass", "mass", "mass"]
    assert notes == [
        "left out 1 files in folders of masks, heat maps or thumbnails",
        "passed over 2 files that are no pictures (1 .txt, 1 others)",
        "passed over 1 DICOM files that hold no picture (reports, presentation states, indexes)",
    ]


# --- pydicom's own files ---

REFUSED = (
    "DICOM without", "not a DICOM file", "not a gray DICOM", "several frames", "truncated DICOM",
    "DICOM whose NumberOfFrames is no number", "damaged pixels, or beyond pillow and gdcm",
)  # fmt: skip
FILES = sorted(path for path in (Path(pydicom.__file__).parent / "data").rglob("*") if path.is_file())
TWELVE_BITS = {"JPGExtended.dcm", "JPEG-lossy.dcm"}  # which GDCM decodes and pydicom does not ask it to


def test_all_of_pydicoms_own_files_are_read_right_or_refused_with_the_reason():
    read = 0
    for path in FILES:
        try:
            pixels = load_dicom(path).astype(float)
        except RejectedImage as why:
            assert str(why).startswith(REFUSED), (path.name, str(why))
            continue
        read += 1
        image = pydicom.dcmread(path)
        assert pixels.shape == (image.Rows, image.Columns), path.name
        if path.name in TWELVE_BITS:  # the values of pydicom's own tests of these files
            top = 264 / 65535
            assert (round(pixels[420, 140] * top), round(pixels[230, 120] * top)) == (244, 95)
            continue
        stored = image.pixel_array.astype(float)
        inside = (pixels > 0) & (pixels < pixels.max())
        sign = -1 if image.PhotometricInterpretation == "MONOCHROME1" else 1
        if inside.sum() > 20:
            assert sign * np.corrcoef(pixels[inside], stored[inside])[0, 1] > 0.99, path.name
    assert read >= 60
