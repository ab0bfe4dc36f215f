"""Open-I's radiology reports: one XML file a report, in a folder or in NLMCXR_reports.tgz."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree

from cxr.data.labels import Labels
from cxr.data.sources.archives import open_archive, require_safe_member
from cxr.data.sources.files import files_below, unreadable_error
from cxr.data.sources.vocabulary import escape_unprintable
from cxr.errors import BadInput
from cxr.prompts.lists import safe_finding
from cxr.prompts.reports import remove_marks

REPORT_ARCHIVE = "NLMCXR_reports.tgz"
MAX_XML = 1 << 20  # bytes; the longest is 14 kB

# Headings that are a place, or a change of one: the next word of the term says what is there.
_LISTED = (
    "abdomen;adipose tissue;aorta;aorta, thoracic;blood vessels;bone and bones;cardiac shadow;cervical vertebrae;"
    "costophrenic angle;deformity;diaphragm;epicardial fat;heart;heart atria;heart ventricles;humerus;lumbar vertebrae;"
    "lung;lymph nodes;markings;mediastinum;pleura;pulmonary artery;ribs;shift;shoulder;spine;sulcus;thickening;"
    "thoracic vertebrae;thorax;trachea;trachea, carina"
)
_PLACES = set(_LISTED.split(";"))
_WHERE = {
    *("right", "left", "bilateral", "anterior", "posterior", "lateral"),
    *("base", "apex", "hilum", "multiple", "scattered"),
}
_NOTHING = {"normal"}  # no finding at all
_UNKNOWN = {"no indexing", ""}
_SEVERAL = r"\b(?:2|two|2v|views|frontal|and)\b"  # one caption stands at all pictures of a report
_VIEWS = {"PA": r"\bPA\b", "AP": r"\bAP\b", "lateral": r"\blat(?:eral)?\b"}


@dataclass(frozen=True)
class Report:
    """One report, cleaned of de-identification marks."""

    uid: str  # CXR1 to CXR3999, a patient each
    text: str | None  # findings, then impression
    labels: Labels  # of the MeSH terms that people gave it
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
        labels=labels_of_mesh([term.text or "" for term in root.findall("MeSH/major")]),
        images=tuple((image.get("id", ""), view_of(image.findtext("caption"))) for image in root.iter("parentImage")),
    )


def labels_of_mesh(terms: list[str]) -> Labels:
    """The findings that the terms name, all others absent: of "Opacity/lung/upper lobe/right" Opacity, of
    "Lung/hypoinflation", whose heading is a place, Lung hypoinflation. `normal` alone says that all are absent."""
    words = [[word.strip().casefold() for word in term.split("/")] for term in terms]
    named = [_name_parts(term) for term in words if term[0] not in _NOTHING | _UNKNOWN]
    if not named and not any(term[0] in _NOTHING for term in words):
        return Labels()
    findings = {re.sub(r"[^a-z0-9-]+", " ", " ".join(name)).strip().capitalize() for name in named}
    return Labels(tuple(sorted(map(safe_finding, findings))), None)


def _name_parts(term: list[str]) -> list[str]:
    heading, *others = term
    changes = [word for word in others if word not in _WHERE and not word.endswith("lobe")]
    return [heading, *changes[:1]] if heading in _PLACES else [heading]


def view_of(caption: str | None) -> str | None:
    """The view, where the caption names just one: of "PA and lateral" nothing says which picture is which."""
    views = [view for view, word in _VIEWS.items() if re.search(word, caption or "", re.IGNORECASE)]
    return views[0] if len(views) == 1 and not re.search(_SEVERAL, caption or "", re.IGNORECASE) else None
