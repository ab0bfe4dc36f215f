"""An audit as one page for a data-protection officer."""

from cxr.artifact.metrics import LEAK, UNTESTED
from cxr.audit.judge import COPIES
from cxr.audit.results import RISKS, Audit, Pair
from cxr.report.pages import Table, render

TITLE = "Is it safe to share? What attacks on this set got"
BASIS = (
    "Risks as the Article 29 Working Party names them (Opinion 05/2014, WP216). The EDPB (Opinion 28/2024) takes a "
    "model for anonymous only where extraction and inference are very unlikely, with all means reasonably likely to be "
    "used: these are some of such means, and none proves that a set is anonymous."
)
CONTROL = (
    "The control is always the real set's test patients, whom the model never saw. A test has found a leak where its "
    "limit is passed; where it is not, it may still be there, smaller than the test's power, or of another kind."
)
YARDSTICK = (
    "What such tests get out of a model that is known to have memorised 31 patients (docs/audit.md; NIH X-rays of 128 "
    "px, 96 pictures, 60 canaries): 72 % of its pictures are nearest to one of them, its error tells them with an AUC "
    "of 0.952, and 97 % of the canaries guessed are right; of the usual model it is 48 %, 0.504 and 53 %. The searches "
    "for near-duplicates find no leak in either."
)
PAIRS = (
    "The pairs most alike, by each detector, flagged or not. Lines join key points that one shift, turn and scaling "
    "explains: many, spread over the chest, are a copy."
)


def page(found: Audit) -> bytes:
    """`index.html`; it shows the pictures of pairs that lie beside it."""
    able = {pair.detector for pair in found.pairs} - {
        test.name.removeprefix(COPIES.format("")) for test in found.tests if test.verdict == UNTESTED
    }
    return render(
        "audit.html", title=TITLE, verdict=describe_verdict(found), leak=found.verdict == LEAK,
        summary=summarise(found), about=describe_sets(found), basis=BASIS, control=CONTROL, risks=risks_table(found),
        yardstick=YARDSTICK, tests=tests_table(found), missing=missing_table(found), notes=found.notes,
        pairs=[(pair, describe_pair(pair, pair.detector in able)) for pair in found.pairs], pairs_about=PAIRS,
        provenance=provenance(found),
    ).encode()  # fmt: skip


def describe_verdict(found: Audit) -> str:
    """The worst that any test found, beside how many were not made: of these nothing is known."""
    missing = sum(test.verdict == UNTESTED for test in found.tests)
    if missing == len(found.tests):
        return f"{found.verdict}: none of {missing} tests could be made"
    return f"{found.verdict}; {missing} of {len(found.tests)} tests could not be made" if missing else found.verdict


def summarise(found: Audit) -> list[str]:
    """The verdict of each risk, in a sentence each; names nobody."""
    lines = []
    for risk, verdict in found.risks.items():
        by = [test for test in found.tests if risk in test.risks and test.verdict == verdict]
        how = f" by: {'; '.join(test.name for test in by)}"
        if verdict == UNTESTED:
            how = f", because {by[0].reason}" if by else ", because no test asks for it"
        lines.append(f"{risk[:1].upper()}{risk[1:]}: {verdict}{how}.")
    return lines


def describe_sets(found: Audit) -> str:
    patients = found.patients
    return (
        f"{found.pictures:,} synthetic pictures, against {patients['train']:,} training patients; controls are "
        f"{patients['test']:,} test patients, placebo {patients['validation']:,} validation patients."
    )


def risks_table(found: Audit) -> Table:
    verdicts = found.risks.items()
    rows = [[risk, RISKS[risk], verdict, "; ".join(found.untested(risk)) or "-"] for risk, verdict in verdicts]
    return ["risk", "question", "verdict", "not tested"], rows


def tests_table(found: Audit) -> Table:
    """The tests that say something; what others saw stands in audit.json."""
    made = [test for test in found.tests if test.result and test.verdict != UNTESTED]
    rows = [[test.name, test.decision, test.result, test.limit, test.power] for test in made]
    return ["test", "verdict", "result", "limit", "power"], rows


def missing_table(found: Audit) -> Table:
    rows = [[test.name, test.question, test.decision] for test in found.tests if test.verdict == UNTESTED]
    return ["test", "what it would ask", "why there is no answer"], rows


def describe_pair(pair: Pair, told: bool) -> str:
    """Args:
    told: whether the detector could tell copies.
    """
    flag = "clear copy" if pair.clear else "flagged" if pair.flagged else "not flagged" if told else "not told"
    return (
        f"{flag} by {pair.detector} ({pair.likeness:.3g}): {pair.synthetic}, beside {pair.original} of patient "
        f"{pair.patient}"
    )


def provenance(found: Audit) -> str:
    return (
        f"Real set {found.real[:12]}, synthetic set {found.synthetic[:12]}. Names patients and shows real pictures: "
        "treat it as you treat the real set, and pass on summary.json only."
    )
