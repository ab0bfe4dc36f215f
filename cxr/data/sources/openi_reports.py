"""Open-I's radiology reports: one XML file a report, in a folder or in NLMCXR_reports.tgz."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree

from cxr.data.sources.archives import open_archive, require_safe_member
from cxr.data.sources.files import files_below, unreadable_error
from cxr.data.sources.vocabulary import escape_unprintable
from cxr.errors import BadInput
from cxr.prompts.lists import UNLABELLED
from cxr.prompts.reports import remove_marks

REPORT_ARCHIVE = "NLMCXR_reports.tgz"
MAX_XML = 1 << 20  # bytes; the longest is 14 kB

# The first word group of a MeSH major term, or the beginning of the whole term, and the finding it shows. Terms of
# bones, aorta, diaphragm and lung volume, calcifications and scars are none of the ten.
_HEADINGS = {  # by finding
    "Normal_Anatomy": ("normal",),
    "Cardiac_Findings": (
        "cardiomegaly", "cardiac shadow", "heart", "heart atria", "heart failure", "heart ventricles",
        "pericardial effusion",
    ),
    "Lung_Opacities": (
        "opacity", "airspace disease", "density", "lung diseases, interstitial", "markings", "pulmonary atelectasis",
        "pulmonary congestion", "pulmonary edema", "pulmonary fibrosis",
    ),
    "Infectious_Patterns": ("consolidation", "infiltrate", "pneumonia", "tuberculosis"),
    "Pleural_Conditions": (
        "costophrenic angle", "hydropneumothorax", "pleura", "pleural effusion", "pneumothorax", "thickening/pleura",
    ),
    "Structural_Lesions": ("calcified granuloma", "granuloma", "granulomatous disease", "mass", "nodule"),
    "Medical_Devices": (
        "catheters, indwelling", "implanted medical device", "medical device", "stents", "surgical instruments",
        "sutures", "tube, inserted",
    ),
    "Imaging_Artifacts": ("technical quality of image unsatisfactory",),
}  # fmt: skip
HEADINGS = {heading: finding for finding, headings in _HEADINGS.items() for heading in headings}
_SEVERAL = r"\b(?:2|two|2v|views|frontal|and)\b"  # one caption stands at all pictures of a report
_VIEWS = {"PA": r"\bPA\b", "AP": r"\bAP\b", "lateral": r"\blat(?:eral)?\b"}


@dataclass(frozen=True)
class Report:
    """One report, cleaned of de-identification marks."""

    uid: str  # CXR1 to CXR3999, a patient each
    text: str | None  # findings, then impression
    finding: str  # one of the ten, or unlabelled
    images: tuple[tuple[str, str | None], ...]  # name without suffix, view where the caption names just one


def openi_reports(place: str | Path) -> Iterator[Report]:
    """The reports in a folder (at any depth) or an archive, in its order.

    Raises:
        BadInput: nothing is there, an archive member escapes, or a file cannot be read or is not such a report.
    """
    path = Path(place)
    found = False
    for name, data in _folder_files(path) if path.is_dir() else _archive_files(path):
        found = True
        yield parse_report(data, name)
    if not found:
        raise BadInput(f"{path}: holds no reports (.xml); give the folder or the archive {REPORT_ARCHIVE}")


def _folder_files(folder: Path) -> Iterator[tuple[str, bytes]]:
    for path in files_below(folder):
        if path.suffix.lower() == ".xml":
            try:
                with path.open("rb") as file:
                    data = file.read(MAX_XML + 1)
            except OSError as error:
                raise unreadable_error(error, path) from None
            yield str(path), data


def _archive_files(path: Path) -> Iterator[tuple[str, bytes]]:
    with open_archive(path) as archive:
        for member in archive:
            if require_safe_member(member, path).isfile() and member.name.lower().endswith(".xml"):
                file = archive.extractfile(member)
                yield f"{path}: {escape_unprintable(member.name)}", file.read(MAX_XML + 1) if file else b""


class _WithoutDoctype(ElementTree.TreeBuilder):
    """A document type can define entities that grow without bounds or name files; no report has one."""

    def doctype(self, *_: str | None) -> None:
        raise ValueError("it has a document type")


def parse_report(data: bytes, name: str) -> Report:
    """One report; `name` is for messages.

    Raises:
        BadInput: not such a report.
    """
    try:
        if len(data) > MAX_XML:
            raise ValueError(f"it is longer than {MAX_XML:,} bytes")
        root = ElementTree.fromstring(data, ElementTree.XMLParser(target=_WithoutDoctype()))
        found = root.find("uId")
        if found is None:
            raise ElementTree.ParseError("no uId")
        uid = found.get("id", "")
        if not re.fullmatch(r"CXR\d+", uid):
            raise ValueError("its uId is not CXR and a number")
    except (ElementTree.ParseError, ValueError) as error:
        why = str(error) if type(error) is ValueError else "damaged, or another kind of XML"
        raise BadInput(f"{name}: not a report of Open-I: {why}; remove it or get it again") from None
    sections = {part.get("Label"): part.text for part in root.iter("AbstractText")}
    text = " ".join(sections.get(label) or "" for label in ("FINDINGS", "IMPRESSION"))
    return Report(
        uid=uid,
        text=remove_marks(text)[0] or None,
        finding=finding_of_mesh([term.text or "" for term in root.findall("MeSH/major")]),
        images=tuple((image.get("id", ""), view_of(image.findtext("caption"))) for image in root.iter("parentImage")),
    )


def finding_of_mesh(terms: list[str]) -> str:
    """The finding of the first term that shows one of the ten."""
    for term in terms:
        words = [word.strip().casefold() for word in term.split("/")]
        if finding := HEADINGS.get(words[0]) or HEADINGS.get("/".join(words[:2])):
            return finding
    return UNLABELLED


def view_of(caption: str | None) -> str | None:
    """The view, where the caption names just one: of "PA and lateral" nothing says which picture is which."""
    views = [view for view, word in _VIEWS.items() if re.search(word, caption or "", re.IGNORECASE)]
    return views[0] if len(views) == 1 and not re.search(_SEVERAL, caption or "", re.IGNORECASE) else None
