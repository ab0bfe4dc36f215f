"""Open-I: pictures with their reports, from folders, archives and strangers' archives."""

import errno
import io
import os
import tarfile
from pathlib import Path

import pytest

from cxr.data.images import RejectedImage
from cxr.data.labels import Labels
from cxr.data.sources.openi import PICTURE_ARCHIVE, openi_rows
from cxr.data.sources.openi_reports import REPORT_ARCHIVE, labels_of_mesh, openi_reports, parse_report, view_of
from cxr.data.sources.row import SourceOptions, SourceRow
from cxr.errors import BadInput

REPORT = """<?xml version="1.0" encoding="utf-8"?>
<eCitation><uId id="CXR{n}"/><MedlineCitation><Article><Abstract>
<AbstractText Label="INDICATION">Cough</AbstractText>
<AbstractText Label="FINDINGS">The heart is XXXX large.</AbstractText>
<AbstractText Label="IMPRESSION">Cardiomegaly.</AbstractText>
</Abstract></Article></MedlineCitation>
<MeSH><major>Aorta/tortuous</major><major>Cardiomegaly/mild</major></MeSH>
<parentImage id="CXR{n}_1_IM-0001-3001"><caption>{caption}</caption></parentImage>
<parentImage id="CXR{n}_1_IM-0001-4001"><caption>{caption}</caption></parentImage>
</eCitation>"""


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache"


def report(n: int, caption: str = "PA and lateral") -> bytes:
    return REPORT.format(n=n, caption=caption).encode()


def files(count: int = 2) -> tuple[dict[str, bytes], dict[str, bytes]]:
    """Reports and pictures as the archives name them."""
    reports = {f"ecgen-radiology/{n}.xml": report(n) for n in range(1, count + 1)}
    pictures = {f"CXR{n}_1_IM-0001-{v}001.png": f"{n} {v}".encode() for n in range(1, count + 1) for v in (3, 4)}
    return reports, pictures


def archive(path: Path, held: dict[str, bytes]) -> Path:
    with tarfile.open(path, "w:gz") as tar:
        for name, data in held.items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            tar.addfile(member, io.BytesIO(data))
    return path


def rows(place: Path) -> list[SourceRow]:
    return list(openi_rows(str(place), SourceOptions()))


def error_of(place: Path) -> str:
    with pytest.raises(BadInput) as caught:
        rows(place)
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize("form", ["archives", "archive of reports", "folders"])
def test_each_picture_with_its_report(tmp_path: Path, form: str):
    place, (reports, pictures) = tmp_path / "in", files()
    place.mkdir()
    if form == "folders":
        for name, data in {**reports, **{f"png/{name}": data for name, data in pictures.items()}}.items():
            (place / name).parent.mkdir(exist_ok=True)
            (place / name).write_bytes(data)
    else:
        archive(place / PICTURE_ARCHIVE, pictures)
        archive(place / REPORT_ARCHIVE, reports)
    for _ in range(2):  # the second time from what was unpacked
        found = rows(place / REPORT_ARCHIVE if form == "archive of reports" else place)
        assert [(row.name, row.load()) for row in found] == list(pictures.items())
    assert {row.text for row in found} == {"The heart is large. Cardiomegaly."}
    assert {row.labels.present for row in found} == {("Aorta tortuous", "Cardiomegaly")}
    assert not any(row.exclusive for row in found) and {row.view for row in found} == {None}
    assert [row.patient_id for row in found] == ["CXR1", "CXR1", "CXR2", "CXR2"]
    assert str(tmp_path) not in found[0].source and found[0].licence == "CC BY-NC-ND 4.0"


def test_a_missing_picture_is_refused_when_it_is_read(tmp_path: Path):
    (tmp_path / "1.xml").write_bytes(report(1))
    (tmp_path / "CXR1_1_IM-0001-3001.png").write_bytes(b"x")
    first, second = rows(tmp_path)
    assert first.load() == b"x" and first.mark and not second.mark
    with pytest.raises(RejectedImage, match="no such file"):
        second.load()
    notes: list[str] = []
    kept = openi_rows(str(tmp_path), SourceOptions(allow_missing=True, notes=notes.append))
    assert [row.name for row in kept] == [first.name]
    assert notes == ["1 of 2 pictures that the reports name are not there and are left out"]


def test_reports_without_pictures(tmp_path: Path):
    archive(tmp_path / REPORT_ARCHIVE, files()[0])
    assert f"no pictures; put {PICTURE_ARCHIVE}" in error_of(tmp_path)
    assert [found.uid for found in openi_reports(tmp_path / REPORT_ARCHIVE)] == ["CXR1", "CXR2"]


def test_pictures_without_reports(tmp_path: Path):
    archive(tmp_path / PICTURE_ARCHIVE, files()[1])
    assert "holds no reports" in error_of(tmp_path)


def test_two_reports_that_name_one_picture(tmp_path: Path):
    archive(tmp_path / PICTURE_ARCHIVE, files(1)[1])
    archive(tmp_path / REPORT_ARCHIVE, {"1.xml": report(1), "copy.xml": report(1)})
    assert "two reports name the picture 'CXR1_1_IM-0001-3001.png'" in error_of(tmp_path)


def hostile(path: Path, name: str, kind: bytes = tarfile.REGTYPE, target: str = "") -> Path:
    with tarfile.open(path, "w:gz") as tar:
        member = tarfile.TarInfo(name)
        member.type, member.linkname, member.size = kind, target, 1 if kind == tarfile.REGTYPE else 0
        tar.addfile(member, io.BytesIO(b"x"))
    return path


@pytest.mark.parametrize("which", [PICTURE_ARCHIVE, REPORT_ARCHIVE])
@pytest.mark.parametrize(
    ("name", "kind", "target"),
    [
        ("../../evil.png", tarfile.REGTYPE, ""),
        ("a/../../evil.png", tarfile.REGTYPE, ""),
        ("/tmp/evil.png", tarfile.REGTYPE, ""),
        ("link.png", tarfile.SYMTYPE, "/etc/passwd"),
        ("link.png", tarfile.SYMTYPE, "../.."),
        ("hard.png", tarfile.LNKTYPE, "../x"),
        ("pipe.png", tarfile.FIFOTYPE, ""),
    ],
)
def test_members_that_escape(tmp_path: Path, own_cache: Path, which: str, name: str, kind: bytes, target: str):
    reports, pictures = files()
    archive(tmp_path / REPORT_ARCHIVE, reports)
    archive(tmp_path / PICTURE_ARCHIVE, pictures)
    hostile(tmp_path / which, name, kind, target)
    told = error_of(tmp_path)
    assert repr(name) in told and str(tmp_path / which) in told
    assert not list(tmp_path.rglob("*evil*")) and not list(own_cache.rglob(".unpacking*"))


@pytest.mark.parametrize("damage", [lambda data: data[:-40], lambda data: b"not an archive", lambda data: b""])
@pytest.mark.parametrize("which", [PICTURE_ARCHIVE, REPORT_ARCHIVE])
def test_damaged_archives(tmp_path: Path, which: str, damage):
    reports, pictures = files()
    archive(tmp_path / REPORT_ARCHIVE, reports)
    archive(tmp_path / PICTURE_ARCHIVE, pictures)
    path = tmp_path / which
    path.write_bytes(damage(path.read_bytes()))
    assert str(path) in error_of(tmp_path)
    assert "get it again" in error_of(tmp_path)


@pytest.mark.parametrize(
    ("data", "told"),
    [
        (b"", "damaged, or another kind of XML"),
        (b"<eCitation/>", "damaged, or another kind of XML"),
        (report(1)[:-20], "damaged, or another kind of XML"),
        (report(1).replace(b'"CXR1"', b'"../x"'), "its uId is not CXR and a number"),
        (report(1).replace(b"?>", b'?><!DOCTYPE x [<!ENTITY a "aa">]>', 1), "it has a document type"),
        (b"<!DOCTYPE x SYSTEM 'file:///etc/passwd'><x/>", "it has a document type"),
        (b" " * (2 << 20), "longer than"),
    ],
)
def test_what_is_no_report(data: bytes, told: str):
    with pytest.raises(BadInput, match=r"^1\.xml: not a report of Open-I") as caught:
        parse_report(data, "1.xml")
    assert told in str(caught.value)


@pytest.mark.parametrize(
    ("terms", "labels"),
    [
        (["normal"], Labels((), None)),
        (["Opacity/lung/base/left", "Pleural Effusion/left"], Labels(("Opacity", "Pleural effusion"), None)),
        (["Scoliosis", "Thickening/pleura/apex"], Labels(("Scoliosis", "Thickening pleura"), None)),
        (["Diaphragm/right/elevated", "Lung"], Labels(("Diaphragm elevated", "Lung"), None)),
        (["Opacity/lung", "Opacity/lingula"], Labels(("Opacity",), None)),
        (["Technical Quality of Image Unsatisfactory "], Labels(("Technical quality of image unsatisfactory",), None)),
        (["Catheters, Indwelling/left/subclavian"], Labels(("Catheters indwelling",), None)),
        (["No Indexing"], Labels()),
        ([], Labels()),
    ],
)
def test_mesh_terms_are_findings_and_what_they_do_not_name_is_absent(terms: list[str], labels: Labels):
    assert labels_of_mesh(terms) == labels


@pytest.mark.parametrize(
    ("caption", "view"),
    [
        ("Xray Chest PA and Lateral", None),
        ("CHEST 2V FRONTAL/LATERAL", None),
        ("Chest XXXX and lateral", None),
        ("Lateral chest", "lateral"),
        ("PA chest x-XXXX", "PA"),
        ("Portable AP chest", "AP"),
        ("Chest", None),
        (None, None),
    ],
)
def test_views_of_captions(caption: str | None, view: str | None):
    assert view_of(caption) == view


def test_two_pictures_of_one_name(tmp_path: Path):
    (tmp_path / "1.xml").write_bytes(report(1))
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "CXR1_1_IM-0001-3001.png").write_bytes(b"x")
    told = error_of(tmp_path)
    assert told.startswith(f"{tmp_path}/a/CXR1_1_IM-0001-3001.png and {tmp_path}/b/") and "have the same name" in told


def test_a_report_that_cannot_be_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    def denied(path: Path, mode: str):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))

    (tmp_path / "1.xml").write_bytes(report(1))
    (tmp_path / "CXR1_1_IM-0001-3001.png").write_bytes(b"x")
    monkeypatch.setattr(Path, "open", denied)
    assert f"{tmp_path}/1.xml: cannot be read: Permission denied" in error_of(tmp_path)
