"""What an X-ray shows: the ten findings, the binary pair, and the signs that a picture is drawn and described from."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from cxr.errors import BadInput, nearest

# finding -> the patterns that show it. A pattern belongs to one of the ten, so a picture has one right label.
PATTERNS: dict[str, tuple[str, ...]] = {
    "Normal_Anatomy": ("clear",),
    "Cardiac_Findings": ("cardiomegaly", "globular_heart"),
    "Lung_Opacities": ("ground_glass", "edema", "atelectasis"),
    "Infectious_Patterns": ("lobar_consolidation", "bronchopneumonia", "cavity", "miliary"),
    "Pleural_Conditions": ("effusion", "pneumothorax", "pleural_thickening"),
    "Structural_Lesions": ("nodule", "mass", "metastases"),
    "Medical_Devices": ("pacemaker", "central_line", "endotracheal_tube", "chest_drain", "sternal_wires", "ecg_leads"),
    "Imaging_Artifacts": ("motion_blur", "grid_lines", "quantum_mottle", "necklace"),
    "View_Positioning": ("lateral_view", "rotated", "lordotic", "tilted"),
    "Domain_Shift": ("inverted", "screen_photo", "washed_out", "film_digitiser"),
}
BINARY_PATTERNS: dict[str, tuple[str, ...]] = {
    "normal": ("clear",),
    "pneumonia": ("lobar_consolidation", "bronchopneumonia"),
}
FINDINGS = tuple(PATTERNS)
BINARY = tuple(BINARY_PATTERNS)

SEVERITIES = ("mild", "moderate", "severe")
SIDES = ("left", "right", "bilateral")
ZONES = ("upper", "mid", "lower")
VIEWS = ("PA", "AP")

# Patterns for which a side / a zone means something; "bilateral" only where both lungs can show it at once.
ONE_SIDED = {
    "atelectasis", "lobar_consolidation", "cavity", "pneumothorax", "nodule", "mass", "pacemaker", "central_line",
    "chest_drain", "rotated", "tilted",
}  # fmt: skip
EITHER_SIDED = {"ground_glass", "bronchopneumonia", "effusion", "pleural_thickening"}
ZONED = {"ground_glass", "lobar_consolidation", "nodule", "mass"}
GRADED = {
    "cardiomegaly", "globular_heart", "ground_glass", "edema", "atelectasis", "lobar_consolidation",
    "bronchopneumonia", "miliary", "effusion", "pneumothorax", "pleural_thickening", "metastases", "motion_blur",
    "grid_lines", "quantum_mottle", "rotated", "tilted", "washed_out",
}  # fmt: skip


# Patterns of the body, of which a picture can show several at once, each a finding of its own then.
BODILY = ("Cardiac_Findings", "Lung_Opacities", "Infectious_Patterns", "Pleural_Conditions", "Structural_Lesions",
          "Medical_Devices")  # fmt: skip
COMBINABLE = tuple(pattern for finding in BODILY for pattern in PATTERNS[finding])
HEARTS = PATTERNS["Cardiac_Findings"]  # one heart has one shape, so a picture shows at most one of these
SEVERAL = ("cardiomegaly", "effusion", "nodule")  # what phantoms show independently where none are named


@dataclass(frozen=True)
class Sign:
    """One pattern as a picture shows it; a field that means nothing for the pattern is None."""

    finding: str  # which it is labelled as: one of the ten, of the binary pair, or the pattern itself
    pattern: str
    severity: str | None = None
    side: str | None = None  # the patient's own left or right; the patient's right is on the left of the picture
    zone: str | None = None


@dataclass(frozen=True)
class Attributes:
    """One picture in words."""

    signs: tuple[Sign, ...]  # each of another pattern; none: a clear chest
    view: str  # PA, AP or lateral
    sex: str  # F or M
    age: int  # years, 1-95

    @property
    def findings(self) -> tuple[str, ...]:
        """Those that are present."""
        return tuple(sign.finding for sign in self.signs)


def patterns_of(finding: str) -> tuple[str, ...]:
    """The patterns that show it; a pattern is a finding of its own too."""
    return PATTERNS.get(finding) or BINARY_PATTERNS.get(finding) or (finding,)


def sample_combination(rng: np.random.Generator) -> tuple[str, ...]:
    """Draws two or three patterns that a picture can show at once, of findings that are alike often."""
    while True:
        drawn = [str(rng.choice(PATTERNS[str(rng.choice(BODILY))])) for _ in range(rng.integers(2, 4))]
        if len({"heart" if pattern in HEARTS else pattern for pattern in drawn}) == len(drawn):
            return tuple(drawn)


def sample_attributes(findings: Sequence[str], sex: str, age: int, rng: np.random.Generator) -> Attributes:
    """Draws what a picture of all `findings` shows, for a patient of this sex and age."""
    patterns = [str(rng.choice(patterns_of(finding))) for finding in findings]
    view = "lateral" if "lateral_view" in patterns else str(rng.choice(VIEWS))
    signs = (sample_sign(finding, pattern, rng) for finding, pattern in zip(findings, patterns, strict=True))
    return Attributes(tuple(signs), view, sex, age)


def sample_sign(finding: str, pattern: str, rng: np.random.Generator) -> Sign:
    """Draws severity, side and zone, as far as the pattern has them."""
    sides = SIDES[:2] if pattern in ONE_SIDED else SIDES if pattern in EITHER_SIDED else None
    return Sign(
        finding=finding,
        pattern=pattern,
        severity=str(rng.choice(SEVERITIES)) if pattern in GRADED else None,
        side=str(rng.choice(sides)) if sides else None,
        zone=str(rng.choice(ZONES)) if pattern in ZONED else None,
    )


def parse_findings(text: str, others: Iterable[str] = ()) -> tuple[str, ...]:
    """Reads `all` or a comma-separated list of findings, in the order given.

    Args:
        others: names that may be given besides ours.

    Raises:
        BadInput: a name is unknown or stands twice.
    """
    if text == "all":
        return FINDINGS
    names, known = tuple(name.strip() for name in text.split(",")), dict.fromkeys((*FINDINGS, *BINARY, *others))
    for name in names:
        if name not in known:
            raise BadInput(f"--findings: no finding is called {name[:60]!r}; {nearest(name, known)}")
    if len(set(names)) < len(names):
        raise BadInput(f"--findings: {text!r} names a finding twice; name each once")
    return names
