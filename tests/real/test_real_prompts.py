"""Real radiology text through the whole job: 134 clinical notes and 66 Open-I impressions become pictures."""

import csv
import re
import tarfile
import xml.etree.ElementTree as ElementTree
from collections import Counter
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from cxr.prompts.lists import clean_prompt

DATA = Path(__file__).parents[2].parent / "shared" / "data"
NOTES = DATA / "clinical-notes" / "manifest.csv"
REPORTS = DATA / "openi-reports" / "NLMCXR_reports.tgz"
MARK = re.compile(r"X{2,}|_{2,}|\[\*\*")


def clinical_notes() -> list[tuple[str, str]]:
    """Text and label of each X-ray that came with a note."""
    with NOTES.open(encoding="utf-8", newline="") as file:
        return [(row["text"], row["label"]) for row in csv.DictReader(file) if row["text"].strip()]


def impressions(count: int) -> list[tuple[str, str]]:
    """The first impressions that are more than marks, without a label."""
    with tarfile.open(REPORTS) as archive:
        reports = [archive.extractfile(entry).read() for entry in archive if entry.name.endswith(".xml")]
    found = (ElementTree.fromstring(report).find(".//AbstractText[@Label='IMPRESSION']") for report in reports)
    texts = (node.text for node in found if node is not None and node.text)
    return [(text, "") for text in texts if any(map(str.isalnum, clean_prompt(text)[0]))][:count]


def test_notes_and_impressions_end_to_end(jobs, tmp_path):
    if not (NOTES.is_file() and REPORTS.is_file()):
        pytest.skip(f"the notes and reports are not in {DATA}")
    asked = [*clinical_notes(), *impressions(66)]
    assert len(asked) == 200
    prompts, place = tmp_path / "prompts.csv", tmp_path / "set"
    with prompts.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([("prompt", "finding"), *asked])

    done = jobs.generate(place, "--prompts", prompts, "--steps", 2, "--batch", 32)
    assert done.returncode == 0, done.stderr
    marked = sum(bool(MARK.search(text)) for text, _ in asked)
    assert marked and re.search(rf"removed [\d,]+ de-identification marks .* from {marked} of 200 prompts", done.stderr)
    assert re.search(r"note: \d+ of 200 prompts are longer than the text encoder reads", done.stderr)

    catalog = pq.read_table(place / "catalog.parquet").to_pylist()
    assert [row["text"] for row in catalog] == [clean_prompt(text)[0] for text, _ in asked]
    assert not any(MARK.search(row["text"]) for row in catalog)
    counts = Counter(label or "unlabelled" for _, label in asked)
    assert {
        folder.name: len(list(folder.iterdir())) for folder in (place / "images").iterdir() if folder.is_dir()
    } == counts
    assert jobs.verify(place).returncode == 0
