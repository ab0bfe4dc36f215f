"""A folder of X-rays, one folder a finding (ImageFolder), below train/, val/ and test/ where there are any."""

from collections.abc import Iterator
from functools import partial
from pathlib import Path

from cxr.data.labels import Labels
from cxr.data.sources.captions import CAPTION_TABLES, CaptionReader
from cxr.data.sources.file_kinds import (
    DICOM_SUFFIXES,
    PICTURE_SUFFIXES,
    SkippedFiles,
    count_skipped,
    is_auxiliary_folder,
    is_system_folder,
    list_pictures,
)
from cxr.data.sources.files import file_mark, folders_in, read_file, require_below, require_folder
from cxr.data.sources.row import SourceOptions, SourceRow
from cxr.data.sources.vocabulary import SPLIT_NAMES, escape_unprintable, parse_finding, parse_patient
from cxr.errors import BadInput


def folder_rows(place: str, options: SourceOptions) -> Iterator[SourceRow]:
    """Every picture below a finding's folder is a row; one that cannot be decoded is refused when it is read.

    Files that are no pictures are skipped, and folders of masks, heat maps and the like are left out; both are noted.
    A text beside a picture (001.txt, or a row of metadata.csv, .jsonl or .parquet) is the picture's.

    Raises:
        BadInput: no folders inside, only one finding, a finding without pictures, DICOM files, or a link that leads
            outside.
    """
    root = require_folder(place).resolve()
    skipped, captions = SkippedFiles(), CaptionReader()
    tops = _top_folders(root, skipped)
    if loose := sum(path.suffix.casefold() in PICTURE_SUFFIXES for path in _files_in(root)):
        options.notes(f"left out {loose:,} pictures beside the findings' folders: nothing says what they show")
    found, others = [], set()
    for split, finding, folder in _class_folders(root, tops, skipped):
        pictures, beside = _class_files(folder, root, skipped)
        found += [(split, finding, path) for path in pictures]
        others |= beside
    names = {finding for _, finding, _ in found}
    if len(names) < 2:
        for line in skipped.lines():
            options.notes(line)
        raise BadInput(
            f"{root}: {_describe_contents(root, names, tops)}; put the X-rays of each finding into a folder of its own"
        )
    splits = {root / name for name in tops} if tops and tops[0].casefold() in SPLIT_NAMES else set()
    captions.add_tables(
        {*others, *_files_in(root), *(file for top in splits for file in _files_in(top))}, options.notes
    )
    for split, finding, path in found:
        fields = {"patient_id": parse_patient(path.name), "source": "folder", **captions.of(path, others)}
        yield SourceRow(
            name=escape_unprintable(path.relative_to(root).as_posix()),
            load=partial(read_file, path),
            labels=Labels.only(finding),
            split=split,
            mark=file_mark(path),
            **fields,
        )
    count_skipped(others - captions.read - set(captions.unusable), skipped)
    for line in (*skipped.lines(), *captions.lines()):
        options.notes(line)


def _top_folders(root: Path, skipped: SkippedFiles) -> list[str]:
    """The names of its folders, without those of masks and the like."""
    folders = [folder for folder in folders_in(root) if not is_system_folder(folder.name)]
    for aside in (folder for folder in folders if is_auxiliary_folder(folder.name)):
        skipped.folders[aside.name] += sum(path.is_file() for path in aside.rglob("*"))
    return [folder.name for folder in folders if not is_auxiliary_folder(folder.name)]


def _files_in(folder: Path) -> list[Path]:
    return [path for path in folder.iterdir() if path.is_file() and not path.name.startswith(".")]


def _describe_contents(root: Path, names: set[str], tops: list[str]) -> str:
    """What is there in place of two findings, and what it may be meant as."""
    tables = (path for folder in (root, *(root / top for top in tops)) for path in _files_in(folder))
    if table := next((path for path in tables if path.name.casefold() in CAPTION_TABLES), None):
        return f"holds no two folders of X-rays; did you mean table:{table} --columns file=file_name"
    if not names:
        return "holds no folders of X-rays"
    (name,) = names
    inside = (
        [folder.name for folder in folders_in(root / name) if not is_auxiliary_folder(folder.name)]
        if name in tops
        else []
    )
    hint = f"; did you mean folder:{root / name}, with {inside[0]!a} and {inside[1]!a}?" if len(inside) > 1 else ""
    return f"holds one class only, {name!r}{hint}"


def _class_folders(root: Path, tops: list[str], skipped: SkippedFiles) -> Iterator[tuple[str | None, str, Path]]:
    """The publisher's split, finding and folder of each class."""
    splits = [top for top in tops if top.casefold() in SPLIT_NAMES]
    if splits and len(splits) < len(tops):
        other = next(top for top in tops if top not in splits)
        raise BadInput(f"{root}: holds {splits[0]!a} beside {other!a}; give splits or findings, not both")
    for split in splits or [""]:
        for name in _top_folders(root / split, skipped) if split else tops:
            try:
                yield SPLIT_NAMES[split.casefold()] if split else None, parse_finding(name), root / split / name
            except BadInput as error:
                raise BadInput(f"{root}: {error}") from None


def _class_files(folder: Path, root: Path, skipped: SkippedFiles) -> tuple[list[Path], set[Path]]:
    require_below(folder, root, folder.name)
    pictures, beside = list_pictures(folder, skipped)
    if not pictures:
        contents = f"holds {len(beside):,} files, of which none is a picture" if beside else "is empty"
        raise BadInput(f"{folder}: {contents}; put X-rays into it, or remove it")
    if medical := sum(path.suffix.casefold() in DICOM_SUFFIXES for path in pictures):
        raise BadInput(f"{folder}: holds {medical:,} DICOM files; give dicom:{root}, which reads the same folders")
    for path in filter(Path.is_symlink, [*pictures, *beside]):
        require_below(path, root, path.relative_to(root).as_posix())
    return pictures, beside
