"""A part of the patients, as if there were no more: smaller parts lie in larger ones. Fine-tuning and the study share
it, so that a generator can be trained on just those whom an arm of the study has."""

import hashlib
from collections import defaultdict
from collections.abc import Sequence

import numpy as np

SUBSET_SEED = 2026  # of every recipe: one draw for all jobs


def entry_shares(findings: Sequence[str], units: Sequence[str], seed: int) -> np.ndarray:
    """The share of the units from which on each row belongs to the part: float64 [N], from 0 to below 1.

    A part of share s holds the rows whose entry is at most s. Units, patients as a rule, come whole, and those who show
    the same findings in the order of a hash: of n such units the part has s * n, rounded. Where they show several
    findings, groups are small, so rounding is by chance; the first unit of each finding is in every part.

    Args:
        units: the patient of each row, or the picture itself where none is known. What is drawn depends on these names
            and the seed, not on the order of the rows.
    """
    shown: dict[str, set[str]] = defaultdict(set)
    for unit, finding in zip(units, findings, strict=True):
        shown[unit].add(finding)
    alike: dict[tuple[str, ...], list[str]] = defaultdict(list)
    for unit in sorted(shown, key=lambda unit: _hash_to_share(seed, unit)):
        alike[tuple(sorted(shown[unit]))].append(unit)
    entry: dict[str, float] = {}
    begun: set[str] = set()
    for kind, members in sorted(alike.items(), key=lambda pair: (len(pair[0]), pair[0])):
        offset = 0.5 if len(kind) == 1 else _hash_to_share(seed, "\0".join(kind))
        entry.update({unit: (place + offset) / len(members) for place, unit in enumerate(members)})
        if not begun.issuperset(kind):
            entry[members[0]] = 0.0
            begun.update(kind)
    return np.array([entry[unit] for unit in units])


def patient_entries(shown: Sequence[Sequence[str]], units: Sequence[str], seed: int) -> np.ndarray:
    """`entry_shares` of rows that show one finding or several."""
    pairs = [(unit, finding) for unit, findings in zip(units, shown, strict=True) for finding in findings]
    exploded = [unit for unit, _ in pairs]
    entry = dict(zip(exploded, entry_shares([finding for _, finding in pairs], exploded, seed), strict=True))
    return np.array([entry[unit] for unit in units])


def _hash_to_share(seed: int, text: str) -> float:
    """A number from 0 to 1, the same for the same text."""
    return int.from_bytes(hashlib.sha256(f"subset {seed} {text}".encode()).digest()[:7], "big") / 2**56
