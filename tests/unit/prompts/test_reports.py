"""Radiology text: marks gone, what the picture shows first, no word lost."""

import pytest

from cxr.prompts.reports import clean_report

MIMIC = """INDICATION: ___ year old woman with cough.

COMPARISON: ___

IMPRESSION:
No acute process.

FINDINGS:
The lungs are clear.  No effusion.
"""


def test_findings_come_first_then_the_impression():
    text, marks = clean_report(MIMIC)
    assert text == "The lungs are clear. No effusion. No acute process. INDICATION: year old woman with cough."
    assert marks == 2


@pytest.mark.parametrize(
    ("text", "clean"),
    [
        ("Clear   lungs.\nNo effusion.", "Clear lungs. No effusion."),
        ("Impression: edema. Findings: haze.", "haze. edema."),
        ("CONCLUSION: normal. FINDINGS: clear.", "clear. normal."),
        (
            "Prior exam of the heart: normal. Impression was good.",
            "Prior exam of the heart: normal. Impression was good.",
        ),
        ("These findings: edema and effusion.", "These findings: edema and effusion."),
        ("", ""),
        ("XXXX", ""),
    ],
)
def test_clean_reports(text: str, clean: str):
    assert clean_report(text)[0] == clean


def test_cleaning_twice_changes_nothing_more():
    once = clean_report("IMPRESSION: stable XXXX. FINDINGS: small ___ effusion.")[0]
    assert clean_report(once) == (once, 0)
