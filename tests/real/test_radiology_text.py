"""Real radiology text as prompt lists: every note and impression reads back, none with a de-identification mark."""

import csv
import json
import re
import tarfile
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import pytest

from cxr.prompts.lists import PromptRow, clean_prompt, read_prompts

DATA = Path(__file__).parents[2].parent / "shared" / "data"
NOTES = DATA / "clinical-notes" / "manifest.csv"
REPORTS = DATA / "openi-reports" / "NLMCXR_reports.tgz"
MARK = re.compile(r"X{2,}|_{2,}|\[\*\*")


def clinical_notes() -> list[str]:
    if not NOTES.is_file():
        pytest.skip(f"the clinical notes are not at {NOTES}")
    with NOTES.open(encoding="utf-8", newline="") as file:
        return [row["text"] for row in csv.DictReader(file) if row["text"].strip()]


def impressions() -> list[str]:
    if not REPORTS.is_file():
        pytest.skip(f"the Open-I reports are not at {REPORTS}")
    with tarfile.open(REPORTS) as archive:
        reports = [archive.extractfile(entry).read() for entry in archive if entry.name.endswith(".xml")]
    assert len(reports) == 3955
    found = (ElementTree.fromstring(report).find(".//AbstractText[@Label='IMPRESSION']") for report in reports)
    return [node.text for node in found if node is not None and node.text]


def write(path: Path, texts: list[str]) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        if path.suffix == ".csv":
            csv.writer(file).writerows([["prompt", "count"], *([text, 2] for text in texts)])
        else:
            file.writelines(json.dumps({"prompt": text, "count": 2}) + "\n" for text in texts)


@pytest.mark.parametrize("suffix", [".csv", ".jsonl"])
@pytest.mark.parametrize(("source", "number"), [(clinical_notes, 134), (impressions, 3921)])
def test_real_text_reads_back_without_marks(tmp_path: Path, source, number: int, suffix: str):
    texts = source()
    assert len(texts) == number
    writable = [text for text in texts if clean_prompt(text)[0]]
    assert len(writable) >= number - 5, "hardly any report is nothing but marks"
    path = tmp_path / f"real{suffix}"
    write(path, writable)
    notes: list[str] = []
    rows = list(read_prompts(path, notes.append))
    assert rows == [PromptRow(clean_prompt(text)[0], "unlabelled", "", 2, None) for text in writable]
    assert not any(MARK.search(row.prompt) for row in rows)
    marked = sum("XX" in text for text in writable)
    assert any(f"from {marked:,} of {len(rows):,} prompts" in note for note in notes) == bool(marked)


def test_text_without_marks_keeps_every_word():
    for text in impressions():
        if not MARK.search(text):
            assert clean_prompt(text) == (" ".join(text.split()), 0)


def test_marks_take_no_other_word_along():
    for text in impressions():
        kept = re.findall(r"[A-Za-z0-9]+", re.sub(r"X{2,}", " ", text))
        assert re.findall(r"[A-Za-z0-9]+", clean_prompt(text)[0]) == kept
