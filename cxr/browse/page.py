"""`index.html`: all artifacts in words, what was made from what, and a gallery of each set that loads as it is seen."""

from collections.abc import Sequence
from dataclasses import dataclass

from cxr.artifact.keys import PAGE_KEY
from cxr.artifact.kinds import AUDIT
from cxr.artifact.metrics import AuditMetrics
from cxr.browse.gallery import Shown
from cxr.browse.given import Given
from cxr.browse.judged import compared_sets
from cxr.browse.lineage import connect, draw_graph
from cxr.browse.privacy import STAYS, SYNTHETIC_ALONE, WORDS_ALONE, Privacy, describe_phantoms
from cxr.browse.sheets import ACROSS, PER_SHEET, SIDE
from cxr.browse.words import Described, describe_artifact
from cxr.report.limits import unaudited
from cxr.report.pages import render
from cxr.store import Store

WHOLE = 40  # boxes that one drawing of everything shows


@dataclass(frozen=True)
class Section:
    """An artifact on the page."""

    name: str
    described: Described
    graph: str  # SVG
    link: str | None  # to its own page, where it lies beside this one
    gallery: int | None  # the number of its set
    note: str  # of a set: what its audits found, and which pictures are shown


def render_page(store: Store, given: Sequence[Given], sets: Sequence[Shown], privacy: Privacy, full: bool) -> str:
    graph = connect(given)
    number = {shown.given.name: place for place, shown in enumerate(sets)}
    sections = [
        Section(
            one.name, describe_artifact(one), draw_graph(graph.around(f"a{place}"), f"a{place}"), link_to(store, one),
            number.get(one.name), note_of(sets[number[one.name]], given) if one.name in number else "",
        )
        for place, one in enumerate(given)
    ]  # fmt: skip
    told = [
        {"name": shown.given.name, "sheets": f"sheets/{place}/", "pictures": f"pictures/{place}/" if full else None}
        for place, shown in enumerate(sets)
    ]
    return render(
        "browse.html", title=title_of(given), sections=sections, privacy=privacy, stays=STAYS,
        nothing=SYNTHETIC_ALONE if sets else WORDS_ALONE, phantoms=describe_phantoms(given),
        unaudited=describe_unaudited([one.name for one in list_unaudited(given)]),
        graph=draw_graph(graph) if len(graph.nodes) <= WHOLE else "",
        told={"sets": told, "side": SIDE, "across": ACROSS, "sheet": PER_SHEET},
    )  # fmt: skip


def title_of(given: Sequence[Given]) -> str:
    return given[0].name if len(given) == 1 else count_artifacts(given)


def count_artifacts(given: Sequence[Given]) -> str:
    return f"{len(given)} artifact{'s' if len(given) > 1 else ''}"


def note_of(shown: Shown, given: Sequence[Given]) -> str:
    """What its audits found, and where not all pictures are shown."""
    images = shown.given.images
    assert images is not None
    audits = [
        f"Audit {one.name}: {AuditMetrics.read(one.record).verdict}."
        for one in given
        if one.kind == AUDIT and (compared := compared_sets(one)) and compared.synthetic == images.digest
    ]
    some = f"{len(shown.rows):,} of {len(images.table):,} pictures, drawn at random; flagged and nearest ones first."
    return " ".join([*audits, *([some] if len(shown.rows) < len(images.table) else [])])


def describe_unaudited(names: Sequence[str]) -> str:
    if not names:
        return ""
    return unaudited(f"the set {names[0]}" if len(names) == 1 else f"any of the sets {', '.join(names)}")


def list_unaudited(given: Sequence[Given]) -> list[Given]:
    """The synthetic sets that no audit of the page is of."""
    audited = {compared.synthetic for one in given if one.kind == AUDIT and (compared := compared_sets(one))}
    return [one for one in given if one.is_synthetic and one.images and one.images.digest not in audited]


def link_to(store: Store, one: Given) -> str | None:
    """To an artifact's own page, by a path that leads no further than the folder that both lie in."""
    if PAGE_KEY not in {stored.key for stored in one.record.objects}:
        return None
    parent = f"{store.uri.rpartition('/')[0]}/"
    beside = one.store.uri.startswith(parent) and not parent.endswith("://")  # above a bucket there is nothing
    return f"../{one.store.uri.removeprefix(parent)}/{PAGE_KEY}" if beside else None
