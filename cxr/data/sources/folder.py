"""A folder of X-rays, one folder a finding (ImageFolder), below train/, val/ and test/ where there are any."""

from collections.abc import Iterator
from functools import partial
from pathlib import Path

from cxr.data.sources.captions import NAMES, Captions
from cxr.data.sources.files import folders_in, mark_of, read_file, require_below, require_folder
from cxr.data.sources.kinds import DICOM, PICTURES, PassedOver, count_others, is_aside, is_litter, pictures_below
from cxr.data.sources.row import SourceOptions, SourceRow
from cxr.data.sources.words import SPLITS, finding_of, patient_of_file_name, printable
from cxr.errors import BadInput


def folder_rows(place: str, options: SourceOptions) -> Iterator[SourceRow]:
    """Every picture below a finding's folder is a row; one that cannot be decoded is refused when it is read.

    What is plainly no picture is passed over, and folders of masks, heat maps and the like are left out; both are told.
    A text beside a picture (001.txt, or a row of metadata.csv, .jsonl or .parquet) is the picture's.

    Raises:
        BadInput: no folders inside, only one finding, a finding without pictures, DICOM files, or a link that leads
            outside.
    """
    root = require_folder(place).resolve()
    passed, captions = PassedOver(), Captions()
    tops = _tops(root, passed)
    _count_loose(root, options)
    found, others = [], set()
    for split, finding, folder in _classes(root, tops, passed):
        pictures, beside = _files(folder, root, passed)
        found += [(split, finding, path) for path in pictures]
        others |= beside
    names = {finding for _, finding, _ in found}
    if len(names) < 2:
        for line in passed.lines():
            options.notes(line)
        raise BadInput(
            f"{root}: {_too_few(root, names, tops)}; put the X-rays of each finding into a folder of its own"
        )
    splits = {root / name for name in tops} if tops and tops[0].casefold() in SPLITS else set()
    captions.add_tables(
        {*others, *_files_in(root), *(file for top in splits for file in _files_in(top))}, options.notes
    )
    for split, finding, path in found:
        told = {"patient_id": patient_of_file_name(path.name), "source": "folder", **captions.of(path, others)}
        yield SourceRow(
            name=printable(path.relative_to(root).as_posix()),
            load=partial(read_file, path),
            finding=finding,
            split=split,
            mark=mark_of(path),
            **told,
        )
    count_others(others - captions.read - set(captions.unusable), passed)
    for line in (*passed.lines(), *captions.lines()):
        options.notes(line)


def _tops(root: Path, passed: PassedOver) -> list[str]:
    """The names of its folders, without those of masks and the like."""
    folders = [folder for folder in folders_in(root) if not is_litter(folder.name)]
    for aside in (folder for folder in folders if is_aside(folder.name)):
        passed.folders[aside.name] += sum(path.is_file() for path in aside.rglob("*"))
    return [folder.name for folder in folders if not is_aside(folder.name)]


def _files_in(folder: Path) -> list[Path]:
    return [path for path in folder.iterdir() if path.is_file() and not path.name.startswith(".")]


def _count_loose(root: Path, options: SourceOptions) -> None:
    loose = sum(path.suffix.casefold() in PICTURES for path in _files_in(root))
    if loose:
        options.notes(f"left out {loose:,} pictures beside the findings' folders: nothing says what they show")


def _too_few(root: Path, names: set[str], tops: list[str]) -> str:
    """What is there in place of two findings, and what it may be meant as."""
    tables = (path for folder in (root, *(root / top for top in tops)) for path in _files_in(folder))
    if table := next((path for path in tables if path.name.casefold() in NAMES), None):
        return f"holds no two folders of X-rays; did you mean table:{table} --columns file=file_name"
    if not names:
        return "holds no folders of X-rays"
    (name,) = names
    inside = [folder.name for folder in folders_in(root / name) if not is_aside(folder.name)] if name in tops else []
    hint = f"; did you mean folder:{root / name}, with {inside[0]!a} and {inside[1]!a}?" if len(inside) > 1 else ""
    return f"holds one class only, {name!r}{hint}"


def _classes(root: Path, tops: list[str], passed: PassedOver) -> Iterator[tuple[str | None, str, Path]]:
    """The publisher's split, finding and folder of each class."""
    splits = [top for top in tops if top.casefold() in SPLITS]
    if splits and len(splits) < len(tops):
        other = next(top for top in tops if top not in splits)
        raise BadInput(f"{root}: holds {splits[0]!a} beside {other!a}; give splits or findings, not both")
    for split in splits or [""]:
        for name in _tops(root / split, passed) if split else tops:
            try:
                yield SPLITS[split.casefold()] if split else None, finding_of(name), root / split / name
            except BadInput as error:
                raise BadInput(f"{root}: {error}") from None


def _files(folder: Path, root: Path, passed: PassedOver) -> tuple[list[Path], set[Path]]:
    require_below(folder, root, folder.name)
    pictures, beside = pictures_below(folder, passed)
    if not pictures:
        held = f"holds {len(beside):,} files, of which none is a picture" if beside else "is empty"
        raise BadInput(f"{folder}: {held}; put X-rays into it, or remove it")
    if medical := sum(path.suffix.casefold() in DICOM for path in pictures):
        raise BadInput(f"{folder}: holds {medical:,} DICOM files; give dicom:{root}, which reads the same folders")
    for path in filter(Path.is_symlink, [*pictures, *beside]):
        require_below(path, root, path.relative_to(root).as_posix())
    return pictures, beside
