"""An evaluation as text: a Markdown file, and the same as a static HTML page."""

from collections.abc import Iterator

from cxr.evaluate.agreement import Confusion
from cxr.evaluate.calibration import Copies
from cxr.evaluate.config import ALL, HELD_OUT
from cxr.evaluate.pictures import COMPARISON, COPIES, DENSITY, DISTRIBUTIONS
from cxr.evaluate.quality import Diversity, Figure, Quality, Whole
from cxr.evaluate.rates import Rate
from cxr.evaluate.resample import Sides
from cxr.report import limits
from cxr.report.html import Table, render
from cxr.report.markdown import table
from cxr.report.words import FRECHET, number, percent

# What the pictures are called and what they show, in the order of the page.
PICTURES = {
    COMPARISON: "Real and synthetic pictures, drawn at random",
    DISTRIBUTIONS: "Distributions",
    DENSITY: "Synthetic pictures where the most and the fewest real ones lie around",
    COPIES: "The synthetic pictures whose details correlate most with a training picture's, each beside it",
}


PARTS_CALLED = {
    HELD_OUT: "its held-out pictures", "test": "its test pictures", "train": "its training pictures",
    ALL: "all of its pictures, training ones among them",
}  # fmt: skip
TITLE = "How good, how diverse, how many near-copies"


def markdown(quality: Quality) -> str:
    notes = "".join(f"> **Note:** {line}\n\n" for line in quality.notes)
    sections = "\n".join(f"## {name}\n\n{about}\n\n{table(*cells)}\n" for name, about, cells in tables(quality))
    pictures = "\n".join(f"## {title}\n\n![{title}]({key})\n" for key, title in PICTURES.items())
    summary = "".join(f"- {line}\n" for line in in_short(quality))
    return f"# {TITLE}\n\n{sets(quality)}\n\n{summary}\n{notes}{sections}\n{pictures}\n{provenance(quality)}\n"


def html(quality: Quality) -> str:
    """One file; it shows the pictures that lie beside it."""
    return render(
        "evaluation.html", title=TITLE, sets=sets(quality), summary=in_short(quality), notes=quality.notes,
        tables=list(tables(quality)), pictures=PICTURES, provenance=provenance(quality),
    )  # fmt: skip


def sets(quality: Quality) -> str:
    """Both sets, in a sentence."""
    synthetic, real = quality.synthetic, quality.real
    findings = ", ".join(group.finding for group in quality.groups if group.finding != ALL)
    return (
        f"{synthetic.pictures:,} pictures of {synthetic.name} ({limits.kind(synthetic.kind)}), asked for {findings}, "
        f"against {real.pictures:,} of {real.name} ({limits.kind(real.kind)}): distances to "
        f"{PARTS_CALLED[quality.against]}, labels by a classifier of it, near-copies of its training pictures."
    )


def in_short(quality: Quality) -> list[str]:
    """What was found of fidelity, of labels and of near-copies, in a sentence each."""
    return [fidelity_found(quality), labels_found(quality), near_copies_found(quality)]


def fidelity_found(quality: Quality) -> str:
    floor, sides = quality.groups[0].figures[FRECHET].floor, quality.sides
    told = (
        f"Fidelity: {quality.title(FRECHET)} to {PARTS_CALLED[quality.against]} is {number(floor.synthetic)}, where "
        f"real pictures have {number(floor.value)} ({number(floor.low)} to {number(floor.high)}) at the same size"
    )
    if sides is None:
        return f"{told}."
    more = "nearer to training ones by more than parts of the real set differ in 99 %, a sign of memorisation"
    gap = more if sides.training_is_nearer else "no nearer to training ones than parts of the real set differ"
    return f"{told}; {number(sides.train)} to training and {number(sides.held_out)} to held-out pictures, {gap}."


def labels_found(quality: Quality) -> str:
    if quality.agreement is None:
        return "Labels: whether the pictures show what was asked for was not measured."
    found, real = quality.agreement.synthetic, quality.agreement.real
    asked = "what was asked for is seen"
    if len(found.findings) > 1:
        worst = share(found.findings[found.worst])
        asked = f"{found.worst} is seen in {worst} of the pictures that were asked for it, the worst finding; all"
    return f"Labels: {asked} in {share(found.agree)}; of real pictures the true one is seen in {share(real.agree)}."


def near_copies_found(quality: Quality) -> str:
    copies = quality.copies
    if copies is None:
        return f"Near-copies: not possible to tell, because there are {quality.copies_reason}."
    if copies.beyond_chance:
        verdict = f"more than chance, which gives {copies.most_by_chance} at most: do not publish them"
    else:
        verdict = f"no more than chance, which gives up to {copies.most_by_chance}"
    return (
        f"Near-copies: {copies.rate.count} of {copies.rate.total} look like near-copies of a training picture; "
        f"{about(copies.expected)} would by chance ({verdict}). Nothing but {limits.SEARCH} was looked for."
    )


def about(count: float) -> str:
    return f"about {count:.0f}" if count >= 1 else "fewer than 1"


def tables(quality: Quality) -> Iterator[tuple[str, str, Table]]:
    """Name, explanation and cells of each table."""
    yield "Fidelity", FIDELITY, fidelity(quality)
    yield "At equal size", EQUAL_SIZE, equal_size(quality)
    if quality.sides:
        yield "Against training and against held-out pictures", SIDES, beside(quality.sides)
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
    if quality.copies:
        yield "Near-copies", f"{COPYING} {limits.LIMITS}", copied(quality.copies)
    else:
        reason = f"Not possible, because there are {quality.copies_reason}. {limits.NOT_TOLD}"
        yield "Near-copies", reason, (["pictures", "flagged"], [["synthetic, all", "not told"]])


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
SIDES = (
    "The same synthetic pictures against training pictures and against as many held-out ones of the same findings. "
    "What has not memorised is as far from both. The last column is how much two parts of the real set differ, drawn "
    "at random with no patient in both (98 % of them): a gap above it, which 1 % of sets come to by chance, is a "
    "sign of memorisation, also where no near-copy is flagged."
)
COPYING = (
    "A picture is flagged where its details correlate with those of a training picture by more than those of 99 % of "
    "training pictures do with one of another patient, after alignment and also mirrored. So about 1 % of pictures "
    "that are no copies are flagged as well. How many of this set can be by chance takes into account that the "
    "threshold comes from a sample: on 95 % of thresholds at most 2.5 % of innocent sets have more; on the others it "
    "can be every set that meets it, such as all nights on the same training pictures."
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


def beside(found: Sides) -> Table:
    cells = [number(found.train), number(found.held_out), signed(found.held_out - found.train)]
    head = ["finding", "real pictures", "to training", "to held-out", "held-out less training", "two real parts"]
    return head, [[ALL, str(found.count), *cells, f"{signed(found.low)} to {signed(found.high)}"]]


def signed(value: float) -> str:
    return number(value) if value < 0 else f"+{number(value)}"


def diversity(quality: Quality) -> Table:
    groups = [group for group in quality.groups if group.synthetic_diversity]
    rows = [[g.finding, spread(g.real_diversity), spread(g.synthetic_diversity)] for g in groups]
    return ["finding", "real", "synthetic"], rows


def confusion(known: tuple[str, ...], found: Confusion) -> Table:
    """The worst finding first."""
    counted = zip(found.findings.items(), found.counts, strict=True)
    rows = [
        [finding, *(str(count) if count else "·" for count in counts), share(agree)]
        for (finding, agree), counts in sorted(counted, key=lambda row: row[0][1].low)
    ]
    return ["", *known, "agree"], [*rows, ["all", *("" for _ in known), share(found.agree)]]


def copied(copies: Copies) -> Table:
    worst_first = sorted(copies.findings.items(), key=lambda row: -row[1].low)
    rows = [*((f"synthetic, {name}", found) for name, found in worst_first), ("synthetic, all", copies.rate)]
    rows += [("real, in no train part", copies.held_out)] if copies.held_out else []
    rows += [("real train part, to the same patient", copies.same_patient)] if copies.same_patient else []
    cells = [[name, f"{found.count} of {found.total}", share(found)] for name, found in rows]
    cells.append(["by chance, of all synthetic", about(copies.expected), f"{copies.most_by_chance} at most"])
    cells.append(["training pictures with a near-copy", f"{copies.copied} of {copies.originals}", ""])
    return ["pictures", f"flagged (above {copies.threshold:.3f})", "share"], cells


def provenance(quality: Quality) -> str:
    return (
        f"Extractor {quality.extractor} (weights {quality.weights_digest[:12]}, {quality.dimension} features); real "
        f"{quality.real.digest[:12]}, part: {quality.against}; synthetic {quality.synthetic.digest[:12]}. Holds real "
        "pictures: treat it as you treat the real set. Not for clinical use."
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
