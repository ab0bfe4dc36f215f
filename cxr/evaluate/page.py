"""An evaluation as text: a Markdown file, and the same as a static HTML page."""

from collections.abc import Iterator

from cxr.data.prompt_accuracy import judge_labels
from cxr.evaluate.calibration import Copies
from cxr.evaluate.config import ALL, HELD_OUT
from cxr.evaluate.diversity import Diversity
from cxr.evaluate.explained import (
    ATTRIBUTES,
    AUROCS,
    COPYING,
    EQUAL_SIZE,
    FIDELITY,
    LIKENESS,
    ON_REAL,
    PROMPT_ACCURACY,
    SIDES,
)
from cxr.evaluate.label_classifier import Auroc, PromptAccuracies, SeenFindings
from cxr.evaluate.plots import ACCURACY, COMPARISON, COPIES, DENSITY, DISTRIBUTIONS
from cxr.evaluate.rates import Rate
from cxr.evaluate.resample import TrainingGap
from cxr.evaluate.results import FullSetDistance, Metric, Quality, has_aurocs, label_accuracies
from cxr.report import limits
from cxr.report.pages import Table, render
from cxr.report.words import FRECHET, number, percent

# What the pictures are called and what they show, in the order of the page.
PICTURES = {
    COMPARISON: "Real and synthetic pictures, drawn at random",
    ACCURACY: "Do pictures show what was asked?",
    DISTRIBUTIONS: "Distributions",
    DENSITY: "Synthetic pictures where the most and the fewest real ones lie around",
    COPIES: "The synthetic pictures whose details correlate most with a training picture's, each beside it",
}


PARTS_CALLED = {
    HELD_OUT: "its held-out pictures", "test": "its test pictures", "train": "its training pictures",
    ALL: "all of its pictures (training ones among them)",
}  # fmt: skip
TITLE = "How good, how diverse, how many near-duplicates"


def page(quality: Quality, template: str) -> bytes:
    """One file, `evaluation.html` or `evaluation.md`; it shows the pictures that lie beside it."""
    return render(
        template, title=TITLE, sets=describe_sets(quality), summary=summarise(quality),
        notes=[*quality.notes, limits.unaudited("the synthetic set")],
        tables=list(tables(quality)), pictures=shown_pictures(quality), provenance=provenance(quality),
    ).encode()  # fmt: skip


def shown_pictures(quality: Quality) -> dict[str, str]:
    """Those that there are, by key."""
    return {key: name for key, name in PICTURES.items() if key != ACCURACY or has_aurocs(quality)}


def describe_sets(quality: Quality) -> str:
    """Both sets, in a sentence."""
    synthetic, real = quality.synthetic, quality.real
    findings = ", ".join(group.finding for group in quality.groups if group.finding != ALL)
    return (
        f"{synthetic.pictures:,} pictures of {synthetic.name} ({limits.kind(synthetic.kind)}), asked for {findings}, "
        f"against {real.pictures:,} of {real.name} ({limits.kind(real.kind)}): distances to "
        f"{PARTS_CALLED[quality.against]}, labels by a classifier of it, near-duplicates of its training pictures."
    )


def summarise(quality: Quality) -> list[str]:
    """What was found of fidelity, of labels and of near-duplicates: a sentence each, which begins with the verdict."""
    return [describe_fidelity(quality), describe_labels(quality), describe_near_duplicates(quality)]


def describe_fidelity(quality: Quality) -> str:
    reference, sides = quality.groups[0].metrics[FRECHET].reference, quality.sides
    verdict = "farther from real pictures than these are from each other"
    if reference.synthetic <= reference.high:
        verdict = "no farther from real pictures than these are from each other"
    sentence = (
        f"Fidelity: {verdict}; {quality.metric_label(FRECHET)} to {PARTS_CALLED[quality.against]} is "
        f"{number(reference.synthetic)}, where real pictures have {number(reference.value)} "
        f"({number(reference.low)} to {number(reference.high)}) at the same size"
    )
    if sides is None:
        return f"{sentence}."
    more = "nearer to training pictures by more than parts of the real set differ in 99 %, a sign of memorisation"
    gap = more if sides.training_is_nearer else "no nearer to training pictures than parts of the real set differ"
    return f"{sentence}; {gap}."


def describe_labels(quality: Quality) -> str:
    if quality.prompt_accuracy is None:
        return "Labels: whether the pictures show what was asked for was not measured."
    found, real = quality.prompt_accuracy.synthetic, quality.prompt_accuracy.real
    verdict = f"Labels: {judge_labels(label_accuracies(quality))}"
    if not found.counts:
        return f"{verdict}; {describe_worst(found, real)}"
    least = ""
    if len(found.findings) > 1:
        least = f"; least often {found.worst}, in {rate_cell(found.findings[found.worst])}"
    return (
        f"{verdict}; the classifier, which errs too, sees what was asked for in {rate_cell(found.accuracy)}{least}; of "
        f"real pictures it sees the true one in {rate_cell(real.accuracy)}."
    )


def describe_worst(found: SeenFindings, real: SeenFindings) -> str:
    """The finding that was followed worst, where a picture can show several."""
    name = min(found.aurocs, key=lambda finding: found.aurocs[finding].low, default=None)
    if name is None:
        return f"what was asked for is seen in {rate_cell(found.accuracy)}."
    blind = "" if real.aurocs[name].low > 0.5 else ", no better than chance, so that nothing follows for this one"
    return (
        f"a classifier of real pictures tells pictures that were asked to show {name} from those that were not with an "
        f"AUROC of {auroc_cell(found.aurocs[name])}, the worst finding; real pictures with an AUROC of "
        f"{auroc_cell(real.aurocs[name])}{blind}."
    )


def describe_near_duplicates(quality: Quality) -> str:
    copies = quality.copies
    if copies is None:
        return f"Near-duplicates: not possible to tell, because there are {quality.copies_reason}."
    decision = "more than chance gives: do not publish them" if copies.beyond_chance else "no more than chance gives"
    return (
        f"Near-duplicates: {copies.rate.count} of {copies.rate.total} look like near-duplicates of a training picture, "
        f"{decision}; {rounded(copies.expected)} would by chance, {copies.most_by_chance} at most. Nothing but "
        f"{limits.SEARCH} was looked for."
    )


def rounded(count: float) -> str:
    return f"about {count:.0f}" if count >= 1 else "fewer than 1"


def tables(quality: Quality) -> Iterator[tuple[str, str, Table]]:
    """Name, explanation and cells of each table."""
    yield "Fidelity", FIDELITY, fidelity_table(quality)
    yield "At equal size", EQUAL_SIZE, equal_size_table(quality)
    if quality.sides:
        yield "Against training and against held-out pictures", SIDES, gap_table(quality.sides)
    yield "Diversity", LIKENESS, diversity_table(quality)
    if quality.prompt_accuracy:
        yield "Prompt accuracy of each finding", AUROCS, accuracy_table("finding", quality.prompt_accuracy)
    if quality.prompt_accuracy and quality.prompt_accuracy.synthetic.counts:
        yield (
            "Prompt accuracy: synthetic pictures",
            PROMPT_ACCURACY,
            confusion_table(quality.prompt_accuracy.findings, quality.prompt_accuracy.synthetic),
        )
        yield (
            "The same classifier on real test pictures",
            ON_REAL,
            confusion_table(quality.prompt_accuracy.findings, quality.prompt_accuracy.real),
        )
    if quality.attribute_accuracy:
        yield "Attribute accuracy", ATTRIBUTES, accuracy_table("attribute", quality.attribute_accuracy)
    if quality.copies:
        yield "Near-duplicates", f"{COPYING} {limits.LIMITS}", near_duplicates_table(quality.copies)
    else:
        reason = f"Not possible, because there are {quality.copies_reason}. {limits.NOT_TOLD}"
        yield "Near-duplicates", reason, (["pictures", "flagged"], [["synthetic, all", "not told"]])


def fidelity_table(quality: Quality) -> Table:
    names = list(quality.groups[0].metrics)
    infinite = any(group.metrics[FRECHET].infinite is not None for group in quality.groups)
    shifted = [name for name in names if any(is_corrected(group.metrics[name]) for group in quality.groups)]
    head = ["finding", "real (patients)", "synthetic", *map(quality.metric_label, names)]
    head += [f"{quality.metric_label(name)}, corrected" for name in shifted]
    head += [f"{quality.metric_label(FRECHET)}, infinite"] if infinite else []
    of_all = any(group.whole for group in quality.groups)
    head += [f"{quality.metric_label(FRECHET)}, all pictures"] if of_all else []
    rows = []
    for group in quality.groups:
        row = [group.finding, f"{group.real_count} ({group.real_patients})", str(group.synthetic_count)]
        row += [metric_cell(group.metrics[name]) for name in names]
        row += [corrected_cell(group.metrics[name]) for name in shifted]
        row += [number(group.metrics[FRECHET].infinite or 0.0)] if infinite else []
        rows.append(row + ([full_set_cell(group.whole)] if of_all else []))
    return head, rows


def equal_size_table(quality: Quality) -> Table:
    names = list(quality.groups[0].metrics)
    rows = []
    for group in quality.groups:
        references = [group.metrics[name].reference for name in names]
        cells = [f"{number(f.synthetic)} ({number(f.value)}, {number(f.low)} to {number(f.high)})" for f in references]
        rows.append([group.finding, str(references[0].count), *cells])
    return ["finding", "pictures", *map(quality.metric_label, names)], rows


def gap_table(found: TrainingGap) -> Table:
    cells = [number(found.train), number(found.held_out), signed(found.held_out - found.train)]
    head = ["finding", "real pictures", "to training", "to held-out", "held-out less training", "two real parts"]
    return head, [[ALL, str(found.count), *cells, f"{signed(found.low)} to {signed(found.high)}"]]


def signed(value: float) -> str:
    return number(value) if value < 0 else f"+{number(value)}"


def diversity_table(quality: Quality) -> Table:
    groups = [group for group in quality.groups if group.synthetic_diversity]
    rows = [[g.finding, diversity_cell(g.real_diversity), diversity_cell(g.synthetic_diversity)] for g in groups]
    return ["finding", "real", "synthetic"], rows


def accuracy_table(kind: str, found: PromptAccuracies) -> Table:
    """A row each, the lowest AUROC first."""
    synthetic, real = found.synthetic, found.real
    lowest = {name: one.low for name, one in synthetic.aurocs.items()}
    rows = [
        [
            name,
            f"{synthetic.findings[name].total:,} / {synthetic.absent[name].total if name in synthetic.absent else 0:,}",
            *(auroc_cell(side.aurocs.get(name)) for side in (synthetic, real)),
            *(share_cell(rates.get(name)) for side in (synthetic, real) for rates in (side.findings, side.absent)),
        ]
        for name in sorted(synthetic.findings, key=lambda name: lowest.get(name, 1.0))
    ]
    head = [kind, "asked / not", "AUROC, synthetic", "AUROC, real", "seen where asked", "where not asked"]
    return [*head, "in real that show it", "in real that do not"], rows


def auroc_cell(found: Auroc | None) -> str:
    return f"{found.value:.3f} ({found.low:.3f} to {found.high:.3f})" if found else "-"


def share_cell(found: Rate | None) -> str:
    return f"{100 * found.share:.0f} % ({100 * found.low:.0f} to {100 * found.high:.0f})" if found else "-"


def confusion_table(known: tuple[str, ...], found: SeenFindings) -> Table:
    """The worst finding first."""
    counted = zip(found.findings.items(), found.counts, strict=True)
    rows = [
        [finding, *(str(count) if count else "·" for count in counts), rate_cell(agree)]
        for (finding, agree), counts in sorted(counted, key=lambda row: row[0][1].low)
    ]
    return ["", *known, "accuracy"], [*rows, ["all", *("" for _ in known), rate_cell(found.accuracy)]]


def near_duplicates_table(copies: Copies) -> Table:
    worst_first = sorted(copies.findings.items(), key=lambda row: -row[1].low)
    rows = [*((f"synthetic, {name}", found) for name, found in worst_first), ("synthetic, all", copies.rate)]
    rows += [("real, in no train part", copies.held_out)] if copies.held_out else []
    rows += [("real train part, to the same patient", copies.same_patient)] if copies.same_patient else []
    cells = [[name, f"{found.count} of {found.total}", rate_cell(found)] for name, found in rows]
    cells.append(["by chance, of all synthetic", rounded(copies.expected), f"{copies.most_by_chance} at most"])
    cells.append(["training pictures with a near-duplicate", f"{copies.copied} of {copies.originals}", ""])
    return ["pictures", f"flagged (above {copies.threshold:.3f})", "share"], cells


def provenance(quality: Quality) -> str:
    return (
        f"Extractor {quality.extractor} (weights {quality.weights_digest[:12]}, {quality.dimension} features); real "
        f"{quality.real.digest[:12]}, part: {quality.against}; synthetic {quality.synthetic.digest[:12]}. Holds real "
        "pictures: treat it as you treat the real set. Not for clinical use."
    )


def is_corrected(found: Metric) -> bool:
    """Whether its interval is for another value than that which the field reports."""
    return found.interval.corrected != found.interval.value


def metric_cell(found: Metric) -> str:
    """The value, and its interval unless that is for another one, which then has a column of its own."""
    return number(found.interval.value) if is_corrected(found) else corrected_cell(found)


def corrected_cell(found: Metric) -> str:
    """The value that the interval is for, and the interval."""
    at = found.interval
    return f"{number(at.corrected)} ({number(at.low)} to {number(at.high)})"


def full_set_cell(found: FullSetDistance | None) -> str:
    if found is None:
        return "-"
    return f"{number(found.frechet_distance)} ({found.real_count} real, {found.synthetic_count} synthetic)"


def diversity_cell(found: Diversity | None) -> str:
    return f"{number(found.value)} ({number(found.low)} to {number(found.high)})" if found else "-"


def rate_cell(found: Rate) -> str:
    return percent(found.share, found.low, found.high)
