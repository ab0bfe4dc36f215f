"""A folder of X-rays, one folder a finding (ImageFolder), below train/, val/ and test/ where there are any."""

from collections.abc import Iterator
from functools import partial
from pathlib import Path

from cxr.data.sources.files import files_below, folders_in, mark_of, read_file, require_below, require_folder
from cxr.data.sources.row import SourceOptions, SourceRow
from cxr.data.sources.words import SPLITS, finding_of, patient_of_file_name, printable
from cxr.errors import BadInput


def folder_rows(place: str, options: SourceOptions) -> Iterator[SourceRow]:
    """Every file below a finding's folder is a row; what is no picture is refused when it is read.

    Raises:
        BadInput: no folders inside, only one finding, a finding without files, or a link that leads outside.
    """
    root = require_folder(place).resolve()
    classes = list(_classes(root))
    found = [(split, finding, path) for split, finding, folder in classes for path in _files(folder, root)]
    names = {finding for _, finding, _ in found}
    if len(names) < 2:
        held = f"holds one class only, {next(iter(names))!r}" if names else "holds no folders of X-rays"
        raise BadInput(f"{root}: {held}; put the X-rays of each finding into a folder of its own")
    for split, finding, path in found:
        yield SourceRow(
            name=printable(path.relative_to(root).as_posix()),
            load=partial(read_file, path),
            finding=finding,
            patient_id=patient_of_file_name(path.name),
            split=split,
            source="folder",
            mark=mark_of(path),
        )


def _classes(root: Path) -> Iterator[tuple[str | None, str, Path]]:
    """The publisher's split, finding and folder of each class."""
    tops = folders_in(root)
    splits = [top for top in tops if top.name.casefold() in SPLITS]
    if splits and len(splits) < len(tops):
        other = next(top.name for top in tops if top not in splits)
        raise BadInput(f"{root}: holds {splits[0].name!a} beside {other!a}; give splits or findings, not both")
    for split in splits or [None]:
        for folder in folders_in(split) if split else tops:
            try:
                yield split and SPLITS[split.name.casefold()], finding_of(folder.name), folder
            except BadInput as error:
                raise BadInput(f"{root}: {error}") from None


def _files(folder: Path, root: Path) -> list[Path]:
    require_below(folder, root, folder.name)
    paths = files_below(folder)
    if not paths:
        raise BadInput(f"{folder}: is empty; put X-rays into it, or remove it")
    for path in filter(Path.is_symlink, paths):
        require_below(path, root, path.relative_to(root).as_posix())
    return paths
