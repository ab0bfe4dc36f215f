"""An evaluation as text: a Markdown file, and the same as a static HTML page."""

from collections.abc import Iterator

from cxr.data.split_report import table
from cxr.evaluate.agreement import Confusion
from cxr.evaluate.config import FALSE_ALARMS
from cxr.evaluate.pictures import COMPARISON, COPIES, DENSITY, DISTRIBUTIONS
from cxr.evaluate.quality import Diversity, Figure, Quality, Whole
from cxr.evaluate.rates import Rate
from cxr.report.html import Table, render
from cxr.report.words import FRECHET, number, percent

# What the pictures are called and what they show, in the order of the page.
PICTURES = {
    COMPARISON: "Real and synthetic pictures, drawn at random",
    DISTRIBUTIONS: "Distributions",
    DENSITY: "Synthetic pictures where the most and the fewest real ones lie around",
    COPIES: "The synthetic pictures that are most like a training picture, each beside it",
}


def markdown(quality: Quality) -> str:
    notes = "".join(f"> **Note:** {line}\n\n" for line in quality.notes)
    sections = "\n".join(f"## {name}\n\n{about}\n\n{table(*cells)}\n" for name, about, cells in tables(quality))
    pictures = "\n".join(f"## {title}\n\n![{title}]({key})\n" for key, title in PICTURES.items())
    summary = "".join(f"- {line}\n" for line in in_short(quality))
    return f"# How good, how diverse, how copied\n\n{summary}\n{notes}{sections}\n{pictures}\n{provenance(quality)}\n"


def html(quality: Quality) -> str:
    """One file; it shows the pictures that lie beside it."""
    return render(
        "evaluation.html", summary=in_short(quality), notes=quality.notes, tables=list(tables(quality)),
        pictures=PICTURES, provenance=provenance(quality),
    )  # fmt: skip


def in_short(quality: Quality) -> list[str]:
    """What a reader must know, in a line each."""
    floor, copies = quality.groups[0].figures[FRECHET].floor, quality.copies
    lines = [
        f"{quality.title(FRECHET)} of all findings: {number(floor.synthetic)} where real halves of the same size have "
        f"{number(floor.value)} ({number(floor.low)} to {number(floor.high)})"
    ]
    if quality.agreement:
        lines.append(
            f"the asked finding is seen in {share(quality.agreement.synthetic.agree)} of the synthetic pictures, the "
            f"true one in {share(quality.agreement.real.agree)} of the real test pictures"
        )
    verdict = "more than chance: do not publish them" if copies.beyond_chance else "no more than chance"
    lines.append(
        f"{copies.rate.count} of {copies.rate.total} synthetic pictures, {share(copies.rate)}, are as like a training "
        f"picture as {100 * FALSE_ALARMS:.0f} % of unrelated real pictures are: {verdict}"
    )
    return lines


def tables(quality: Quality) -> Iterator[tuple[str, str, Table]]:
    """Name, explanation and cells of each table."""
    yield "Fidelity", FIDELITY, fidelity(quality)
    yield "At equal size", EQUAL_SIZE, equal_size(quality)
    yield "Diversity", LIKENESS, diversity(quality)
    if quality.agreement:
        yield (
            "Agreement: synthetic pictures",
            AGREEMENT,
            confusion(quality.agreement.findings, quality.agreement.synthetic),
        )
        yield (
            "Agreement: real test pictures",
            REAL_AGREEMENT,
            confusion(quality.agreement.findings, quality.agreement.real),
        )
    yield "Copies", COPYING, copied(quality)


FIDELITY = (
    "Each figure with its 95 % interval, from random halves of both sets. The Fréchet distance is given as the field "
    "reports it; then, with its interval, for infinitely many pictures, because few pictures make it larger. Precision "
    "and density: synthetic pictures lie where real ones do. Recall and coverage: they lie wherever real ones do."
)
EQUAL_SIZE = (
    "Synthetic against a half of the real set, and in brackets the other half of the real set in its place, which is "
    "what a perfect generator would get: only this compares sets of the same size."
)
LIKENESS = "Mean MS-SSIM of pairs of pictures of a finding; higher is less diverse, so compare it with the real set's."
AGREEMENT = (
    "Rows: what was asked; columns: what a classifier sees that was trained on the real train part and chosen on "
    "the validation part; it knows every finding of the real set."
)
REAL_AGREEMENT = "The same classifier on the real test part (rows: what is true): what it can do at best."
COPYING = (
    "A picture counts as a copy where its details correlate with those of a training picture by more than those of "
    "99 % of training pictures do with one of another patient, after alignment and also mirrored. So about 1 % of "
    "pictures that are no copies count as well."
)


def fidelity(quality: Quality) -> Table:
    names = list(quality.groups[0].figures)
    infinite = any(group.figures[FRECHET].infinite is not None for group in quality.groups)
    head = ["finding", "real (patients)", "synthetic", *map(quality.title, names)]
    head += [f"{quality.title(FRECHET)}, infinite"] if infinite else []
    of_all = any(group.whole for group in quality.groups)
    head += [f"{quality.title(FRECHET)}, all pictures"] if of_all else []
    rows = []
    for group in quality.groups:
        row = [group.finding, f"{group.real_count} ({group.real_patients})", str(group.synthetic_count)]
        row += [figure(group.figures[name]) for name in names]
        row += [number(group.figures[FRECHET].infinite or 0.0)] if infinite else []
        rows.append(row + ([everything(group.whole)] if of_all else []))
    return head, rows


def equal_size(quality: Quality) -> Table:
    names = list(quality.groups[0].figures)
    rows = []
    for group in quality.groups:
        floors = [group.figures[name].floor for name in names]
        cells = [f"{number(f.synthetic)} [{number(f.value)}, {number(f.low)} to {number(f.high)}]" for f in floors]
        rows.append([group.finding, str(floors[0].count), *cells])
    return ["finding", "pictures", *map(quality.title, names)], rows


def diversity(quality: Quality) -> Table:
    groups = [group for group in quality.groups if group.synthetic_diversity]
    rows = [[g.finding, spread(g.real_diversity), spread(g.synthetic_diversity)] for g in groups]
    return ["finding", "real", "synthetic"], rows


def confusion(known: tuple[str, ...], found: Confusion) -> Table:
    rows = [
        [finding, *(str(count) if count else "·" for count in counts), share(agree)]
        for (finding, agree), counts in zip(found.findings.items(), found.counts, strict=True)
    ]
    return ["", *known, "agree"], rows


def copied(quality: Quality) -> Table:
    copies = quality.copies
    rows = [
        ["synthetic, all", copies.rate],
        *([f"synthetic, {name}", found] for name, found in copies.findings.items()),
    ]
    rows += [["real, in no train part", copies.held_out]] if copies.held_out else []
    rows += [["real train part, to the same patient", copies.same_patient]] if copies.same_patient else []
    cells = [[name, f"{found.count} of {found.total}", share(found)] for name, found in rows]
    cells.append(["training pictures with a copy", f"{copies.copied} of {copies.originals}", ""])
    return ["pictures", f"above {copies.threshold:.3f}", "share"], cells


def provenance(quality: Quality) -> str:
    return (
        f"Extractor {quality.extractor} (weights {quality.weights_digest[:12]}, {quality.dimension} features); real "
        f"{quality.real.digest[:12]} ({quality.real.kind}, {quality.real.pictures} pictures, part: {quality.against}); "
        f"synthetic {quality.synthetic.digest[:12]} ({quality.synthetic.kind}, {quality.synthetic.pictures} pictures). "
        "Holds real pictures: treat it as you treat the real set. Not for clinical use."
    )


def figure(found: Figure) -> str:
    """The value and its interval; between them the value that the interval is for, where it is another."""
    at = found.interval
    corrected = "" if at.corrected == at.value else f"; {number(at.corrected)}"
    return f"{number(at.value)}{corrected} ({number(at.low)} to {number(at.high)})"


def everything(found: Whole | None) -> str:
    if found is None:
        return "-"
    return f"{number(found.frechet_distance)} ({found.real_count} real, {found.synthetic_count} synthetic)"


def spread(found: Diversity | None) -> str:
    return f"{number(found.value)} ({number(found.low)} to {number(found.high)})" if found else "-"


def share(found: Rate) -> str:
    return percent(found.share, found.low, found.high)
