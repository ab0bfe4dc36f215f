"""The dataset card of a published set: what it is, what was looked for in it, and what was not."""

from cxr.artifact.metrics import UNTESTED, AuditMetrics
from cxr.artifact.public_text import names_place, without_place
from cxr.artifact.quality import Interval, PromptAccuracies, Quality, SeenFindings
from cxr.data.catalog import CatalogSet
from cxr.data.labels import shown_findings
from cxr.data.lineage import PHANTOM, phantom_notice
from cxr.publish.formats import FormatName
from cxr.report.limits import unaudited
from cxr.report.pages import Table, render
from cxr.report.words import metric_label, number, percent

NOT_FOR = (
    "Not for clinical use. Not a stand-in for real X-rays in a test: what a classifier reaches on these pictures says "
    "nothing about patients."
)
FILES = {
    "parquet": "data/*.parquet", "webdataset": "data/*.tar", "imagefolder": "images/**", "dicom": "catalog.parquet"
}  # fmt: skip
LOADED_BY = {
    "parquet": 'datasets.load_dataset("parquet", data_files="data/*.parquet")',
    "webdataset": 'datasets.load_dataset("webdataset", data_files="data/*.tar")',
    "imagefolder": 'datasets.load_dataset("imagefolder", data_dir="images")',
    "dicom": "pydicom.dcmread(file)  # a file a picture below dicom/, in a folder by its finding",
}
SIZES = ((1_000, "n<1K"), (10_000, "1K<n<10K"), (100_000, "10K<n<100K"), (1_000_000, "100K<n<1M"))
CORRECTED = ", less what sets of this size add on average"
SEEN = (
    "What a classifier trained on the real set sees in the pictures: how well it tells those that were asked to show a "
    "finding from those that were not (AUROC), and in which share of the first it sees it. 95 % intervals:"
)
NO_PROMISE = (
    "A set can give away patients of the training in ways that no test here looks for. "
    "No verdict says that it does not."
)


def render_card(
    found: CatalogSet, rows: list[dict], form: FormatName, audit: AuditMetrics | None, quality: Quality | None,
    licence: str | None, digests: dict[str, str],
) -> str:  # fmt: skip
    """The card, with the front matter that the Hugging Face hub reads.

    Args:
        rows: of the public catalog.
        licence: of the publication, as the publisher gives it.
        digests: of the audit and the evaluation that were given.
    """
    models = model_names(rows)
    licences = sorted({row["licence"] for row in rows})
    return render(
        "published_set.md", title=title(len(rows), audit), form=form, files=FILES[form], loaded_by=LOADED_BY[form],
        licence=licence or usual_licence(rows), stated=licence, models=models, licences=licences,
        size=size_category(len(rows)),
        sources=public_sources(found), counts=count_findings(rows), exclusive=found.vocabulary.exclusive,
        about=describe_origin(found.sources), not_for=NOT_FOR, no_promise=NO_PROMISE, digest=found.digest,
        audit=audit and audit_table(audit), summary=public_lines(audit.summary) if audit else [],
        untested=[name for name, verdict in audit.tests.items() if verdict == UNTESTED] if audit else [],
        unaudited=unaudited("this set"), metrics=quality and quality_tables(quality), digests=digests,
    )  # fmt: skip


def model_names(rows: list[dict]) -> list[str]:
    return sorted({"tiny, embedded in cxr" if row["source"] == "embedded" else row["source"] for row in rows})


def usual_licence(rows: list[dict]) -> str:
    """In the hub's words, where the publisher has stated none: that of the model."""
    return "apache-2.0" if {row["licence"] for row in rows} == {"Apache-2.0"} else "other"


def title(count: int, audit: AuditMetrics | None) -> str:
    return f"{count} synthetic chest X-rays{'' if audit else ' (unaudited)'}"


def public_sources(found: CatalogSet) -> list[str]:
    """Where the pictures came from that the models behind the set learned from."""
    return sorted({without_place(source, "a local source") for source in found.sources})


def public_lines(lines: list[str]) -> list[str]:
    return [line for line in lines if not names_place(line)]


def describe_origin(sources: list[str]) -> str:
    if set(sources) == {PHANTOM}:
        return "None is of a patient: what the model learned from was drawn by a program."
    return f"A picture can show a patient of the model's training. {phantom_notice(sources, 'them')}".rstrip()


def count_findings(rows: list[dict]) -> list[tuple[str, int]]:
    counts: dict[str, int] = {}
    for row in rows:
        for name in shown_findings(row):
            counts[name] = counts.get(name, 0) + 1
    return sorted(counts.items())


def audit_table(audit: AuditMetrics) -> Table:
    risks = [[f"risk: {risk}", verdict] for risk, verdict in audit.risks.items()]
    return ["looked for", "verdict"], risks + [[name, verdict] for name, verdict in audit.tests.items()]


def quality_tables(quality: Quality) -> dict[str, Table]:
    """What an evaluation measured, by what stands above it; where there is nothing of it, no table."""
    tables = {"All findings together:": metrics_table(quality)}
    if len(quality.groups) > 1:
        tables[f"Each finding, with 95 % intervals{CORRECTED}:"] = findings_table(quality)
    if quality.prompt_accuracy:
        tables[SEEN] = prompt_table(quality.prompt_accuracy)
    return tables


def metrics_table(quality: Quality) -> Table:
    """The metrics of all findings together, with their 95 % intervals and what two halves of the real set give."""
    rows = [
        [
            metric_label(quality.extractor, name), number(found.interval.value), with_interval(found.interval),
            with_interval(found.reference),
        ]
        for name, found in quality.groups[0].metrics.items()
    ]  # fmt: skip
    return ["metric", "as usually given", f"95 % interval{CORRECTED}", "two halves of the real set"], rows


def findings_table(quality: Quality) -> Table:
    metrics = quality.groups[0].metrics
    rows = [
        [group.finding, str(group.synthetic_count), str(group.real_count),
         *(with_interval(group.metrics[name].interval) if name in group.metrics else "-" for name in metrics)]
        for group in quality.groups[1:]
    ]  # fmt: skip
    return ["finding", "synthetic", "real", *(metric_label(quality.extractor, name) for name in metrics)], rows


def prompt_table(found: PromptAccuracies) -> Table:
    def auroc(side: SeenFindings, name: str) -> str:
        return with_interval(side.aurocs[name]) if name in side.aurocs else "-"

    rows = [
        [name, auroc(found.synthetic, name), auroc(found.real, name), percent(rate.share, rate.low, rate.high)]
        for name, rate in found.synthetic.findings.items()
    ]
    return ["finding", "AUROC, synthetic", "AUROC, real", "seen where asked"], rows


def with_interval(found: Interval) -> str:
    value = found.value if found.corrected is None else found.corrected
    return f"{number(value)} ({number(found.low)} to {number(found.high)})"


def size_category(count: int) -> str:
    return next((name for limit, name in SIZES if count < limit), "1M<n<10M")


def responsible_use(found: CatalogSet, rows: list[dict], audit: AuditMetrics | None) -> dict[str, str | list[str]]:
    """What the card says, by the terms of Croissant's vocabulary for responsible AI."""
    models = ", ".join(model_names(rows))
    verdicts = [f"{name}: {verdict}" for name, verdict in audit.tests.items()] if audit else [unaudited("this set")]
    return {
        "dataCollection": f"Generated by a diffusion model ({models}) from texts. No device took these pictures.",
        "dataCollectionType": ["Software Collection"],
        "dataCollectionRawData": f"The model and its base learned from: {', '.join(public_sources(found))}.",
        "dataAnnotationProtocol": ["Labels are what the text asked for; nobody has looked at the pictures."],
        "machineAnnotationTools": ["none"],
        "dataLimitations": [NOT_FOR],
        "dataBiases": ["Those of what the model learned from; they were not measured here."],
        "dataUseCases": ["Training of image classifiers beside real X-rays, which are needed to test them."],
        "personalSensitiveInformation": [describe_origin(found.sources), NO_PROMISE, *verdicts],
    }
