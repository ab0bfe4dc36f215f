"""Radiology text as captions: de-identification marks removed, what the picture shows first."""

import re

# Open-I writes XXXX (also inside words: "53XXXX"), MIMIC-CXR ___, MIMIC-III [**First Name 12**]. A joining hyphen or
# slash goes too ("x-XXXX"). Two or three X inside a word are none of them (factor XXI, an XXL cuff, XXY).
_MARK = r"[-/]{0,3}(?:X{4,}|(?<![^\W_])X{2,3}(?![^\W_])|_{2,}|\[\*\*[^\[\]]*\*\*\])[-/]{0,3}"
# A karyotype has as many letters as its number is above 44. Where marks can look alike (a woman of 48, XXXX), a blank
# makes it one.
_KARYOTYPE = (
    r"(?<![\d.])(?:46(?:, ?| )(?:XX|XY)|47(?:, ?| )(?:XXX|XXY|XYY)|48,(?:XXXX| ?(?:XXXY|XXYY|XYYY))"
    r"|49,(?:XXXXX| ?(?:XXXXY|XXXYY|XXYYY)))(?![^\W_])"
)
_KARYOTYPE_OR_MARK = re.compile(f"(?P<karyotype>{_KARYOTYPE})|{_MARK}")
_ORPHANS = (
    (re.compile(r"\([\s,.;:]*\)|\[[\s,.;:]*\]|\"\s*\""), " "),  # brackets and quotes around nothing
    (re.compile(r"\s+"), " "),
    (re.compile(r" (?=[,;:!?)]|\.(?!\d))|(?<=\() "), ""),  # a blank before closing or after opening punctuation
    (re.compile(r"[,;:](?=[,;:.!?)])|\.(?=\.)"), ""),  # of several in a row the last stays
    (re.compile(r"^(?:[ ,;:!?)/-]|\.(?!\d))+|[ ,;:(/-]+$"), ""),  # what opens or closes the text
)


def remove_marks(text: str) -> tuple[str, int]:
    """Removes de-identification marks and the punctuation they leave alone; runs of white space become one blank.

    Text without marks keeps its punctuation. Cleaning twice changes nothing more.

    Returns:
        The text, which holds no mark, and the number of marks that were removed.
    """
    removed = 0
    while found := sum(not mark["karyotype"] for mark in _KARYOTYPE_OR_MARK.finditer(text)):
        # again, as removing the inner of two nested marks completes the outer
        text = _KARYOTYPE_OR_MARK.sub(lambda mark: mark["karyotype"] or " ", text)
        removed += found
        for pattern, replacement in _ORPHANS:
            text = pattern.sub(replacement, text)
    return " ".join(text.split()), removed


# A heading opens the text, a line or a sentence; MIMIC-CXR writes "FINDINGS:", others "Findings:".
_HEADING = re.compile(
    r"(?:^|(?<=[.\n:]))[ \t\n]*\b(?P<name>FINDINGS?|IMPRESSIONS?|CONCLUSIONS?|COMPARISONS?|INDICATIONS?|TECHNIQUE|"
    r"HISTORY|EXAMINATION|EXAM|REASON FOR EXAM(?:INATION)?|CLINICAL (?:HISTORY|INFORMATION|INDICATION))[ \t]*:",
    re.IGNORECASE,
)
_FIRST_SECTIONS = (("finding",), ("impression", "conclusion"))


def clean_report(text: str) -> tuple[str, int]:
    """Takes out marks and superfluous white space and puts findings first, then the impression, then the rest.

    An encoder reads the beginning only, and the findings say what is in the picture. Headings of findings and
    impression go. Text without such headings keeps its order.

    Returns:
        The text and the number of marks that were removed.
    """
    ordered = sorted(_split_sections(text), key=lambda section: _section_rank(section[0]))
    cleaned = [(name, *remove_marks(body)) for name, body in ordered]
    bodies = (
        body if _section_rank(name) < len(_FIRST_SECTIONS) else f"{name} {body}" for name, body, _ in cleaned if body
    )
    whole, more = remove_marks(" ".join(bodies))
    return whole, more + sum(marks for _, _, marks in cleaned)


def _split_sections(text: str) -> list[tuple[str, str]]:
    """Heading with its colon ("" for what stands before the first) and body, in the order of the text."""
    found = list(_HEADING.finditer(text))
    ends = [*(heading.start() for heading in found), len(text)]
    sections = ((h[0].strip(), text[h.end() : end]) for h, end in zip(found, ends[1:], strict=True))
    return [("", text[: ends[0]]), *sections]


def _section_rank(name: str) -> int:
    return next(
        (i for i, words in enumerate(_FIRST_SECTIONS) if name.casefold().startswith(words)), len(_FIRST_SECTIONS)
    )
