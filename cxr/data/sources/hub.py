"""Image-classification datasets of the Hugging Face hub, by pinned commit; or a folder that holds a copy."""

import re
from collections.abc import Iterator, Mapping
from functools import lru_cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cxr.data.images import MissingImage, RejectedImage
from cxr.data.labels import Labels
from cxr.data.sources.files import file_mark, files_below, read_file
from cxr.data.sources.row import SourceOptions, SourceRow
from cxr.data.sources.vocabulary import SPLIT_NAMES, parse_finding, parse_patient
from cxr.errors import BadInput

if TYPE_CHECKING:
    import pyarrow as pa
    from datasets import DatasetDict, Features

# Of 2023-12-11, since unchanged; with the original file names, which tell the patients.
DEFAULT_DATASET = "hf-vision/chest-xray-pneumonia"
PINNED_REVISIONS = {DEFAULT_DATASET: "c1a67c18df1a52ec332ffc00418f4eaa61a9f2bc"}


def hub_rows(place: str, options: SourceOptions) -> Iterator[SourceRow]:
    """One row for each picture of every split, in the dataset's order.

    The pictures stay in the Arrow files that `datasets` keeps in its cache; a row's `load` reads its bytes from there.

    Raises:
        BadInput: not a dataset's name, not to be had, or without pictures and class labels.
    """
    folder, source, mark = _fetch_folder(place)
    parts = _load_dataset(folder, place)
    for split, part in parts.items():
        image, label = _find_columns(part.features, place)
        names = [parse_finding(name) for name in part.features[label].names]
        first = 0
        for file in part.cache_files:
            table = open_arrow_table(file["filename"])
            labels = table.column(label).to_pylist()
            for index, (path, number) in enumerate(zip(_file_names(table.column(image)), labels, strict=True)):
                yield SourceRow(
                    name=f"{split}/{first + index:06d}",
                    load=partial(_read_picture, file["filename"], image, index),
                    labels=Labels.only(names[number]) if number is not None and number >= 0 else Labels(),
                    patient_id=parse_patient(path or ""),
                    split=SPLIT_NAMES.get(split.casefold()),
                    source=source,
                    licence=_read_licence(folder),
                    mark=mark,
                )
            first += len(labels)


def _fetch_folder(place: str) -> tuple[Path, str, str]:
    """The folder with the dataset's files, the source in words, and the mark of all its rows."""
    if Path(place).expanduser().is_dir():
        copy = Path(place).expanduser().absolute()
        return copy, "a copy of a hub dataset", file_mark(*files_below(copy))
    found = re.fullmatch(r"([A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*)(?:@([\w./-]+))?", place)
    if not found:
        raise BadInput(f"hub:{place[:200]}: no such folder and no dataset's name; write owner/name@revision")
    from huggingface_hub import HfApi, snapshot_download

    repo, revision = found[1], found[2] or PINNED_REVISIONS.get(found[1])
    try:
        if not re.fullmatch("[0-9a-f]{40}", revision or ""):
            revision = HfApi().dataset_info(repo, revision=revision, timeout=10).sha
        if revision is None:
            raise ValueError("the hub names no commit")
        folder = snapshot_download(repo, repo_type="dataset", revision=revision)
    except Exception as error:  # of httpx, the hub's client, the disk: all mean that it is not to be had
        status = getattr(getattr(error, "response", None), "status_code", None)
        why = f"HTTP {status}" if status else type(error).__name__
        tried = f"{repo}@{revision or 'main'} in the hub's cache on this machine and on the hub"
        raise BadInput(
            f"hub:{place}: not to be had ({why}); tried {tried}; connect to the internet, or give a folder with a copy"
        ) from None
    return Path(folder), f"{repo}@{revision}", revision


def _load_dataset(folder: Path, place: str) -> "DatasetDict":
    import datasets

    datasets.disable_progress_bars()
    try:
        return datasets.load_dataset(str(folder))
    except Exception as error:  # whatever a builder stumbles on in files of strangers
        why = " ".join(str(error).replace(str(folder), "it").split())[:200]
        raise BadInput(f"hub:{place}: `datasets` cannot read it ({why}); give another dataset") from None


def _find_columns(features: "Features", place: str) -> tuple[str, str]:
    """The names of the columns with the picture and with its class."""
    import datasets

    images = [name for name, kind in features.items() if isinstance(kind, datasets.Image)]
    labels = [name for name, kind in features.items() if isinstance(kind, datasets.ClassLabel)]
    if not images or not labels:
        there = ", ".join(f"{name} ({type(kind).__name__})" for name, kind in features.items())
        raise BadInput(f"hub:{place[:200]}: needs an Image and a ClassLabel column, has {there}; give another dataset")
    return images[0], "label" if "label" in labels else labels[0]


@lru_cache(maxsize=4)
def open_arrow_table(filename: str) -> "pa.Table":
    """An Arrow file of `datasets`, mapped and not read into memory."""
    import pyarrow as pa

    return pa.ipc.open_stream(pa.memory_map(filename)).read_all()


def _file_names(column: "pa.ChunkedArray") -> Iterator[str | None]:
    """The file names beside the pictures' bytes, without touching these."""
    for chunk in column.chunks:
        yield from getattr(chunk, "storage", chunk).field("path").to_pylist()


def _read_picture(filename: str, column: str, index: int) -> bytes:
    try:
        table = open_arrow_table(filename)
    except FileNotFoundError:
        raise MissingImage("no such file") from None
    stored: Mapping[str, Any] = table.column(column)[index].as_py() or {}
    if stored.get("bytes") is not None:
        return stored["bytes"]
    if stored.get("path"):
        return read_file(Path(stored["path"]))
    raise RejectedImage("no picture in this row")


@lru_cache(maxsize=4)
def _read_licence(folder: Path) -> str:
    from huggingface_hub.repocard import metadata_load

    try:
        stated = (metadata_load(folder / "README.md") or {}).get("license")
    except Exception:  # no card, or one that is no YAML
        stated = None
    return ", ".join(stated) if isinstance(stated, list) else str(stated or "unstated")
