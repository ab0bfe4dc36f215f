"""What of a page is of patients. A page that shows or names any says so at its top, and stays with its owner."""

from collections.abc import Sequence
from dataclasses import dataclass

import pyarrow.compute as pc

from cxr.artifact.kinds import AUDIT, EVALUATION
from cxr.artifact.metrics import StoredPart
from cxr.artifact.public_text import without_place
from cxr.browse.given import Given
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
    "No X-ray of a patient is in this page, and no patient is named. What synthetic pictures give away all the same is "
    "what an audit asks."
)
WORDS_ALONE = "No picture of a patient is in this page, and no patient is named."


@dataclass(frozen=True)
class Privacy:
    """Why a page stays with its owner; no reason: it shows and names no patient."""

    reasons: tuple[str, ...]

    @property
    def stays(self) -> bool:
        return bool(self.reasons)


class ComparedSets(StoredPart):
    """Which sets an evaluation or an audit compared, by their digests."""

    real: str = ""
    synthetic: str = ""


def judge_privacy(given: Sequence[Given]) -> Privacy:
    """From what is shown of each artifact."""
    phantoms = {one.images.digest for one in given if one.images and is_of_phantoms(one.images)}
    shown = {digest for one in given if one.images for digest in names_of_set(one)}
    reasons = [
        f"{one.name} shows X-rays of patients" for one in given if one.images and shows_patients(one, one.images)
    ]
    for one in given:
        compared = compared_sets(one)
        if compared and compared.synthetic in shown and compared.real not in phantoms:
            reasons.append(f"{one.name} names the training picture that each synthetic picture is nearest to")
    return Privacy(tuple(reasons))


def is_of_phantoms(images: CatalogSet) -> bool:
    return set(images.sources) == {PHANTOM}


def shows_patients(one: Given, images: CatalogSet) -> bool:
    """Whether pictures of a set are, or may be, of patients: all but generated ones and phantoms."""
    names_some = any(images.table[name].null_count < len(images.table) for name in OF_PATIENTS)
    return not is_of_phantoms(images) and (names_some or not one.is_synthetic)


def compared_sets(one: Given) -> ComparedSets | None:
    """Of an evaluation or an audit."""
    return ComparedSets.model_validate(one.record.inputs) if one.kind in (EVALUATION, AUDIT) else None


def names_of_set(one: Given) -> set[str]:
    """The digests of a set and, where it was taken from another, of that one."""
    own = {one.images.digest} if one.images else set()
    origin = one.record.recipe.get("set")
    return own | ({origin} if isinstance(origin, str) else set())


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
