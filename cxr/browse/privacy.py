"""What of a page is of patients. A page that shows or names any says so at its top, and stays with its owner."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pyarrow.compute as pc

from cxr.artifact.public_text import without_place
from cxr.browse.given import Given
from cxr.browse.judged import Judged
from cxr.data.catalog import CatalogSet
from cxr.data.images import GENERATED_XMP
from cxr.data.lineage import PHANTOM, merge_sources, phantom_notice
from cxr.errors import BadInput

OF_PATIENTS = ("patient_id", "split", "fold")  # columns of real sets, empty in generated ones
MARK = GENERATED_XMP.encode()
STAYS = (
    "Treat this folder as you treat the real X-rays: send it to nobody, and put it nowhere that others read, unless "
    "the rules of these X-rays allow it."
)
SYNTHETIC_ALONE = (
    "All pictures in this page are synthetic or of phantoms, and no patient is named. A synthetic picture can still be "
    "nearly that of a patient: an audit tests that, this page does not."
)
WORDS_ALONE = "No picture is in this page, and no patient is named."


@dataclass(frozen=True)
class Privacy:
    """Why a page stays with its owner; no reason: it shows and names no patient."""

    reasons: tuple[str, ...]

    @property
    def stays(self) -> bool:
        return bool(self.reasons)


def judge_privacy(given: Sequence[Given], judged: Mapping[str, Judged]) -> Privacy:
    """From what is shown of each artifact. A flagged picture is taken for that of the patient whom it is nearly of.

    Args:
        judged: of each set, by its name.
    """
    phantoms = {one.images.digest for one in given if one.images and is_of_phantoms(one.images)}
    reasons = []
    for one in given:
        if one.images is None or one.images.digest in phantoms:
            continue
        if shows_patients(one, one.images):
            reasons.append(f"{one.name} shows X-rays of patients")
        flagged = judged[one.name].quarantined & set(one.images.table["image_id"].to_pylist())
        if flagged and judged[one.name].real not in phantoms:
            reasons.append(f"{one.name} shows {len(flagged):,} flagged as near-duplicates of training pictures")
    return Privacy(tuple(reasons))


def is_of_phantoms(images: CatalogSet) -> bool:
    return set(images.sources) == {PHANTOM}


def shows_patients(one: Given, images: CatalogSet) -> bool:
    """Whether pictures of a set are, or may be, of patients: all but generated ones and phantoms."""
    names_some = any(images.table[name].null_count < len(images.table) for name in OF_PATIENTS)
    return not is_of_phantoms(images) and (names_some or not one.is_synthetic)


def describe_phantoms(given: Sequence[Given]) -> str:
    """What a reader must know where phantoms stand behind pictures of the page; empty where none do."""
    sources = merge_sources(*(one.images.sources for one in given if one.images))
    return phantom_notice([without_place(source, "a local source") for source in sources], "these pictures")


def check_mark(data: bytes, name: str) -> None:
    """`BadInput` unless a picture's file bears the mark of generated media, as each of ours does."""
    if MARK not in data:
        raise BadInput(
            f"{name} bears no mark of generated media, so it may be a real picture, and the page would say it "
            "shows none; jobs/verify.py tells whether the set is as it was made"
        )


def count_patients(images: CatalogSet) -> int:
    return pc.count_distinct(images.table["patient_id"]).as_py()
