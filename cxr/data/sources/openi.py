"""The Indiana University chest X-rays (Open-I): each picture with its report and the MeSH terms that people gave it."""

import hashlib
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from cxr.data.sources.archives import unpack
from cxr.data.sources.files import file_mark, files_below, read_file, require_folder
from cxr.data.sources.openi_reports import REPORT_ARCHIVE, Report, openi_reports
from cxr.data.sources.row import SourceOptions, SourceRow
from cxr.errors import BadInput

PICTURE_ARCHIVE = "NLMCXR_png.tgz"
SUFFIXES = (".png", ".jpg", ".jpeg")
SOURCE = "Indiana University chest X-rays (Open-I)"
LICENCE = "CC BY-NC-ND 4.0"  # as stated in every report


def openi_rows(place: str, options: SourceOptions) -> Iterator[SourceRow]:
    """One row for each picture that a report names; one that is not there is refused when it is read, or left out.

    Args:
        place: a folder with the two archives or with what was in them, the archive of reports with that of pictures
            beside it, or the http(s) address below which both lie. Archives are unpacked into our cache.

    Raises:
        BadInput: no reports, no pictures, two of one name, two reports naming one picture, or what archives and
            downloads raise.
    """
    if place.startswith(("http://", "https://")):
        from cxr.data.sources.download import download

        place = str(download(place, (REPORT_ARCHIVE, PICTURE_ARCHIVE), cache_folder(place), options.notes))
    path = Path(place).expanduser()
    folder = path.parent if path.is_file() else require_folder(place)
    files = _index_pictures(folder)
    if not files:
        raise BadInput(
            f"{folder}: holds reports at most, no pictures; put {PICTURE_ARCHIVE} or the unpacked pictures there"
        )
    names: set[str] = set()
    missing = 0
    for report in openi_reports(folder / REPORT_ARCHIVE if (folder / REPORT_ARCHIVE).is_file() else path):
        for row in _report_rows(report, files, folder):
            if row.name in names:
                raise BadInput(f"{folder}: two reports name the picture {row.name!r}; keep one of them")
            names.add(row.name)
            if row.mark or not options.allow_missing:
                yield row
            missing += not row.mark
    if missing and options.allow_missing:
        options.notes(f"{missing:,} of {len(names):,} pictures that the reports name are not there and are left out")


def _index_pictures(folder: Path) -> dict[str, Path]:
    """Name without suffix -> file."""
    archive = folder / PICTURE_ARCHIVE
    if archive.is_file():
        found = archive.stat()
        mark = f"{archive.resolve()} {found.st_size} {found.st_mtime_ns}"
        folder = unpack(archive, cache_folder(mark) / "pictures")
    pictures: dict[str, Path] = {}
    for path in files_below(folder):
        if path.suffix.lower() in SUFFIXES and (first := pictures.setdefault(path.stem, path)) is not path:
            raise BadInput(f"{first} and {path} have the same name; keep the one that the report names")
    return pictures


def _report_rows(report: Report, files: dict[str, Path], folder: Path) -> Iterator[SourceRow]:
    for image, view in report.images:
        if not image.replace("-", "").replace("_", "").isalnum():
            raise BadInput(f"{folder}: report {report.uid} names the picture {image[:60]!a}; get the report again")
        path = files.get(image, folder / f"{image}.png")
        yield SourceRow(
            name=f"{image}.png",
            load=partial(read_file, path),
            labels=report.labels,
            exclusive=False,
            text=report.text,
            patient_id=report.uid,
            view=view,
            source=SOURCE,
            licence=LICENCE,
            mark=file_mark(path),
        )


def cache_folder(key: str) -> Path:
    """Our folder on this machine for what `key` names; in CXR's cache, as downloaded weights are."""
    from cxr.store.file_cache import cache_folder as weights_folder

    return weights_folder().parent / "openi" / hashlib.sha256(key.encode()).hexdigest()[:16]
