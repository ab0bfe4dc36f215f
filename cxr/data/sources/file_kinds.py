"""The kind of a file or folder beside X-rays: a picture, a text about one, a mask or another; and counts of each.

Only names are looked at, and the first bytes of files of unknown suffix.
"""

import os
import re
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import NoReturn

from cxr.data.images import is_picture
from cxr.data.sources.files import SYSTEM_FILES, unreadable_error

DICOM_SUFFIXES = frozenset({".dcm", ".dicom", ".dic", ".ima"})
# Also of formats that are not read: such a file is refused by name, and not passed over as if it were none.
_PICTURES = "png jpg jpeg jpe jfif bmp dib tif tiff webp gif jp2 j2k jpx avif heic pgm ppm pnm"
PICTURE_SUFFIXES = DICOM_SUFFIXES | {f".{suffix}" for suffix in _PICTURES.split()}
CAPTION_SUFFIXES = (".txt", ".caption")  # as trainers lay them beside pictures; the first wins
_BESIDE = (
    "txt caption json jsonl csv tsv parquet xml md html htm rtf log yaml yml toml ini cfg pdf doc docx xls xlsx ods "
    "ppt pptx py ipynb sh npy npz mat pt pth safetensors pkl h5 db sqlite zip gz tar tgz 7z rar nii mha mhd nrrd "
    "svg mp4 avi mov lnk url sha256 md5"
)
OTHER_SUFFIXES = frozenset(f".{suffix}" for suffix in _BESIDE.split())
_ASIDE = (
    *("mask", "segmentation", "annotation", "heatmap", "gradcam", "saliency", "overlay", "thumbnail", "thumb"),
    *("preview", "bbox", "groundtruth"),
)
_ASIDE_WORDS = {*_ASIDE, *(f"{word}s" for word in _ASIDE), "bboxes"}
_ASIDE_NAMES = {*_ASIDE_WORDS, "seg", "segs", "cam", "cams", "contours", "gt", "boxes", "labels"}
_LEFT_BY_SYSTEMS = {"@eadir", "$recycle.bin", "lost+found", "system volume information"}
# 1_mask.png and mask_1.png, where 1.png is there too
_WORD = f"(?:{'|'.join(_ASIDE)}|seg)s?"
_AFFIX = re.compile(rf"{_WORD}[ _-]+(?P<after>.+)|(?P<before>.+?)[ _-]+{_WORD}")


def is_auxiliary_folder(folder: str) -> bool:
    """Whether a folder's name is that of masks, heat maps, thumbnails and the like, not of X-rays."""
    folded = folder.casefold()
    return folded in _ASIDE_NAMES or not _ASIDE_WORDS.isdisjoint(re.split(r"[\W_]+", folded))


@dataclass
class SkippedFiles:
    """What is no X-ray and was left out, for a line each."""

    suffixes: Counter[str] = field(default_factory=Counter)  # of files that are no pictures
    folders: Counter[str] = field(default_factory=Counter)  # of masks and the like -> files
    masks: int = 0  # pictures named as the mask of another

    def lines(self, names: bool = True) -> Iterator[str]:
        """Without `names` of folders where these may be persons'."""
        if self.folders and not names:
            yield f"left out {sum(self.folders.values()):,} files in folders of masks, heat maps or thumbnails"
        elif self.folders:
            folders = ", ".join(f"{name!a} ({count:,})" for name, count in sorted(self.folders.items()))
            yield (
                f"left out {sum(self.folders.values()):,} files in folders whose names say that they hold no X-rays: "
                f"{folders}; rename a folder to have it read"
            )
        if self.masks:
            yield f"left out {self.masks:,} pictures named as the mask, heat map or thumbnail of another one"
        if self.suffixes:
            commonest = sorted(self.suffixes.items(), key=lambda found: (-found[1], found[0]))
            kinds = ", ".join(f"{count:,} {suffix}" for suffix, count in commonest[:8])
            yield f"passed over {sum(self.suffixes.values()):,} files that are no pictures ({kinds})"


def list_pictures(folder: Path, skipped: SkippedFiles) -> tuple[list[Path], set[Path]]:
    """The pictures at any depth in order, and the files beside them, which are no pictures.

    Hidden files and folders, and what systems leave, do not count; linked folders are not entered.

    Raises:
        BadInput: a folder cannot be read, so that its pictures would be missing.
    """
    pictures, beside = [], set()
    for path in list_files(folder, skipped):
        suffix = path.suffix.casefold()
        if suffix in OTHER_SUFFIXES or (suffix not in PICTURE_SUFFIXES and not _begins_as_picture(path)):
            beside.add(path)
        else:
            pictures.append(path)
    stems = {path.stem.casefold() for path in pictures}
    kept = [path for path in pictures if not _is_mask_of_another(path, stems)]
    skipped.masks += len(pictures) - len(kept)
    return sorted(kept), beside


def count_skipped(beside: Iterable[Path], skipped: SkippedFiles) -> None:
    """Counts files by their suffix, if it is a usual one: others may hold names of people."""
    for path in beside:
        suffix = path.suffix.casefold()
        skipped.suffixes[suffix if suffix in OTHER_SUFFIXES | PICTURE_SUFFIXES else "others"] += 1


def list_files(folder: Path, skipped: SkippedFiles) -> Iterator[Path]:
    """Every file that is no litter and in no folder of masks and the like, in any order; raises as `list_pictures`."""

    def refuse(error: OSError) -> NoReturn:
        raise unreadable_error(error, folder)

    for parent, folders, names in os.walk(folder, onerror=refuse):
        for aside in filter(is_auxiliary_folder, folders):
            skipped.folders[aside] += sum(len(names) for _, _, names in os.walk(Path(parent) / aside))
        folders[:] = [name for name in folders if not is_auxiliary_folder(name) and not is_system_folder(name)]
        yield from (
            Path(parent) / name for name in names if not name.startswith(".") and name.casefold() not in SYSTEM_FILES
        )


def is_system_folder(folder: str) -> bool:
    return folder.startswith((".", "__")) or folder.casefold() in _LEFT_BY_SYSTEMS


def _begins_as_picture(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            head = file.read(132)
    except OSError:
        return True  # it will be refused with the reason
    return is_picture(head) or head[128:] == b"DICM"


def _is_mask_of_another(path: Path, stems: set[str]) -> bool:
    found = _AFFIX.fullmatch(path.stem.casefold())
    return found is not None and (found["after"] or found["before"]) in stems
