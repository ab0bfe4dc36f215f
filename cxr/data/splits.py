"""Splits into train, validation and test: whole groups (patients with their near-duplicates), findings in balance,
and where pictures show several, the pairs of findings too.
"""

import hashlib
from collections import Counter
from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from cxr.data.duplicates import join_groups
from cxr.errors import BadInput
from cxr.prompts.lists import NO_FINDING
from cxr.store import digest_lines

PARTS = ("train", "validation", "test")
Present = list[str] | tuple[str, ...]  # the findings of one row; none counts as `NO_FINDING`
Label = str | tuple[str, str]  # what is balanced: a finding, or two on one picture
Contents = dict[Hashable, dict[Label, int]]  # by group, how much of each label it holds
FINDING_WEIGHT = 4  # a picture of a finding counts as much as four of a pair
SMALL_SHARE, SMALL_COUNT = 0.05, 50  # a validation part below either is called tiny
NAMED_FINDINGS = 5  # that are not in every part, in a line


@dataclass(frozen=True)
class Split:
    split: list[str]  # train, validation or test, one a row
    fold: list[int | None]  # 0 to folds-1 in train, None elsewhere


def merge_groups(patient_ids: Sequence[str | None], duplicates: np.ndarray) -> np.ndarray:
    """Group numbers, int [N]: rows of one patient or one near-duplicate group share one, and so on through others.

    Args:
        patient_ids: None where no patient is known; such a row is a patient of its own.
        duplicates: int [N] from 0, as `group_near_duplicates` gives them.
    """
    first_of: dict[str, int] = {}
    known = [(row, patient) for row, patient in enumerate(patient_ids) if patient is not None]
    firsts = [first_of.setdefault(patient, row) for row, patient in known]
    return join_groups(np.asarray(duplicates), np.array(firsts, int), np.array([row for row, _ in known], int))


def split_by_group(
    findings: Sequence[Present],
    groups: Sequence[Hashable],
    fractions: tuple[float, float, float] = (0.7, 0.1, 0.2),
    folds: int = 5,
    seed: int = 0,
    exclusive: bool = True,
) -> Split:
    """Splits by group, every finding in every part and, where it has the groups, in every fold.

    The groups, in drawn order, go where their findings, and pairs of findings on one picture, are missing most:
    iterative stratification (Sechidis, Tsoumakas and Vlahavas 2011, ECML PKDD, 145) with the pairs of Szymanski and
    Kajdanowicz (2017, PMLR 74, 22). Not the rarest finding first, as there, nor the largest group: train would get
    the patients with many pictures, who are the sickest, and test those with one (at NIH's prevalences 7.5 pictures a
    patient against 2.7). scikit-learn's StratifiedGroupKFold does that, and cannot meet fractions that are no k-fold.

    The result depends on the seed and on who is grouped with whom, not on the order of the rows: groups must have names
    that stay, as patients have (for `merge_groups`, the order of rows that make the numbers must be sorted first).

    Args:
        exclusive: each row shows one finding, so that each is a class: none may lack in a part. Of others, a finding of
            few groups is in the largest parts; `describe_missing_findings` tells.

    Raises:
        BadInput: there are fewer groups than parts, or of a finding that excludes others.
    """
    shares = {part: share for part, share in zip(PARTS, fractions, strict=True) if share > 0}
    _require_groups(findings, groups, len(shares), exclusive)
    contents = _count_labels(findings, groups)
    part_of = _assign_groups(contents, shares, f"split {seed}")
    if exclusive:
        _require_every_finding(contents, part_of, shares)
    trained = {group: found for group, found in contents.items() if part_of[group] == "train"}
    fold_of = _assign_groups(trained, dict.fromkeys(range(folds), 1 / folds), f"fold {seed}") if folds else {}
    return Split([part_of[group] for group in groups], [fold_of.get(group) for group in groups])


def require_patients(findings: Sequence[Present], patient_ids: Sequence[str | None], exclusive: bool) -> None:
    """`BadInput` if `split_by_group` would raise even without near-duplicates: too few patients, or of a finding."""
    groups = merge_groups(patient_ids, np.arange(len(findings))).tolist()
    try:
        _require_groups(findings, groups, len(PARTS), exclusive)
    except BadInput as error:
        if max(Counter(filter(None, patient_ids)).values(), default=0) < len(PARTS):
            raise
        raise BadInput(f"{error}; if the ids tell no patients apart, split by picture with --ignore-patients") from None


def describe_missing_findings(
    findings: Sequence[Present], groups: Sequence[Hashable], split: Sequence[str]
) -> list[str]:
    """A line on the findings that are not in every part, the rarest first, if there are any."""
    groups_of: dict[str, set[Hashable]] = {}
    parts_of: dict[str, set[str]] = {}
    for present, group, part in zip(findings, groups, split, strict=True):
        for finding in present:
            groups_of.setdefault(finding, set()).add(group)
            parts_of.setdefault(finding, set()).add(part)
    used, lacking = [part for part in PARTS if part in set(split)], []
    for finding in sorted(groups_of, key=lambda finding: (len(groups_of[finding]), finding)):
        if missing := [part for part in used if part not in parts_of[finding]]:
            count = _count_patients(len(groups_of[finding]))
            lacking.append(f"{finding!r} ({count}, none in {' and '.join(missing)})")
    if not lacking:
        return []
    more = f" and {len(lacking) - NAMED_FINDINGS:,} more" if len(lacking) > NAMED_FINDINGS else ""
    named = ", ".join(lacking[:NAMED_FINDINGS])
    return [f"not in every part: {named}{more}; where a finding is missing, nothing is measured of it"]


def _count_labels(findings: Sequence[Present], groups: Sequence[Hashable]) -> Contents:
    """Where a row shows several findings, each group's labels are in an order that is not the rows'."""
    counts: dict[tuple[str, ...], dict[Label, int]] = {}  # of equal rows once
    contents: Contents = {}
    for present, group in zip(map(tuple, findings), groups, strict=True):
        if present not in counts:
            pairs = combinations(sorted(present), 2)
            counts[present] = {**dict.fromkeys(present or (NO_FINDING,), FINDING_WEIGHT), **dict.fromkeys(pairs, 1)}
        found = contents.setdefault(group, {})
        for label, count in counts[present].items():
            found[label] = found.get(label, 0) + count
    if all(len(present) < 2 for present in counts):
        return contents
    order = {label: n for n, label in enumerate(sorted({label for one in counts.values() for label in one}, key=repr))}
    return {
        group: {label: found[label] for label in sorted(found, key=order.__getitem__)}
        for group, found in contents.items()
    }


def _groups_by_finding(contents: Mapping[Hashable, Iterable[Label]]) -> dict[str, list[Hashable]]:
    """The groups that show each finding, in their order."""
    showing: dict[str, list[Hashable]] = {}
    for group, found in contents.items():
        for label in found:
            if isinstance(label, str):
                showing.setdefault(label, []).append(group)
    return showing


def _require_groups(findings: Sequence[Present], groups: Sequence[Hashable], parts: int, exclusive: bool) -> None:
    classes: dict[str, set[Hashable]] = {}
    for present, group in zip(findings, groups, strict=True) if exclusive else ():
        for finding in present or (NO_FINDING,):
            classes.setdefault(finding, set()).add(group)
    for finding in sorted(classes):
        if len(classes[finding]) < parts:
            raise BadInput(
                f"finding {finding!r} has images of {_count_patients(len(classes[finding]))} (near-duplicates count as "
                f"one); a split into {parts} parts needs at least {parts}; add patients, or leave the finding out"
            )
    if (count := len(set(groups))) < parts:
        raise BadInput(
            f"there are images of {_count_patients(count)} (near-duplicates count as one); a split into {parts} parts "
            f"needs at least {parts}; add patients"
        )


def _count_patients(count: int) -> str:
    return f"{count:,} patient{'s'[: count != 1]}"


def _require_every_finding(contents: Contents, part_of: dict, shares: dict[str, float]) -> None:
    for finding, groups in sorted(_groups_by_finding(contents).items()):
        for part in shares:
            if part not in {part_of[group] for group in groups}:
                raise BadInput(
                    f"finding {finding!r} cannot be in {part} as well: its few patients have other findings that are "
                    "needed elsewhere; add patients, or leave the finding out"
                )


def _assign_groups(contents: Contents, shares: dict, salt: str) -> dict:
    """Group -> part: first each finding into each part, then the rest, all in drawn order."""
    order = sorted(contents, key=lambda group: hashlib.sha256(f"{salt} {group}".encode()).digest())
    drawn = {group: contents[group] for group in order}
    total: Counter[Label] = Counter()
    for found in drawn.values():
        total.update(found)
    assigned: dict = {part: dict.fromkeys(total, 0) for part in shares}
    missing: dict = {part: dict.fromkeys(total, share) for part, share in shares.items()}  # of all there is
    part_of: dict = {}

    def assign(group: Hashable, part: Hashable) -> None:
        part_of[group] = part
        for label, count in drawn[group].items():
            assigned[part][label] += count
            missing[part][label] = shares[part] - assigned[part][label] / total[label]

    showing = _groups_by_finding(drawn)
    for finding in sorted(showing, key=lambda finding: (total[finding], finding)):
        largest = sorted(shares, key=lambda part: -shares[part])[: len(showing[finding])]
        unassigned = (group for group in showing[finding] if group not in part_of)
        for part in shares:
            if part in largest and not assigned[part][finding] and (group := next(unassigned, None)) is not None:
                assign(group, part)
    for group, found in drawn.items():
        if group not in part_of:
            counts = found.items()
            assign(group, max(shares, key=lambda part: sum([n * missing[part][label] for label, n in counts])))
    return part_of


def keep_official_split(
    splits: Sequence[str | None],
    findings: Sequence[Present],
    patient_ids: Sequence[str | None],
    duplicates: np.ndarray,
    groups: np.ndarray,
    folds: int = 5,
    seed: int = 0,
) -> tuple[Split, list[str]]:
    """Keeps the publisher's split; folds of its train part are ours, by group.

    Args:
        duplicates: int [N], `group_near_duplicates` of the pictures.
        groups: int [N], `merge_groups` of both.

    Returns:
        The split, and a line for each thing that is wrong with it.

    Raises:
        BadInput: a row without a split, or no train part.
    """
    require_official_split(splits)
    split = [str(part) for part in splits]
    train = [row for row, part in enumerate(split) if part == "train"]
    contents = _count_labels([findings[row] for row in train], [int(groups[row]) for row in train])
    fold_of = _assign_groups(contents, dict.fromkeys(range(folds), 1 / folds), f"fold {seed}") if folds else {}
    fold = [fold_of.get(int(group)) if part == "train" else None for group, part in zip(groups, split, strict=True)]
    lacking = describe_missing_findings(findings, groups.tolist(), split)
    return Split(split, fold), [*_warnings(split, patient_ids, duplicates), *lacking]


def require_official_split(splits: Sequence[str | None]) -> None:
    """`BadInput` unless every row has a part, and some are to train on."""
    if missing := sum(part not in PARTS for part in splits):
        raise BadInput(
            f"--split official: {missing:,} of {len(splits):,} images have no known split; use --split patient"
        )
    if "train" not in splits:
        raise BadInput("--split official: the publisher's split has no train part; use --split patient")


def _warnings(split: Sequence[str], patient_ids: Sequence[str | None], duplicates: np.ndarray) -> Iterable[str]:
    count = Counter(split)
    for part in PARTS:
        if not count[part]:
            yield f"the publisher's split has no {part} part"
    if 0 < count["validation"] < max(SMALL_COUNT, SMALL_SHARE * len(split)):
        yield f"the validation part is tiny: {count['validation']:,} of {len(split):,} images; choices on it are noise"
    if None in patient_ids:
        rows = sum(patient is None for patient in patient_ids)
        yield f"{rows:,} of {len(split):,} images name no patient; whether patients are on both sides cannot be seen"
    known = [(patient, part) for patient, part in zip(patient_ids, split, strict=True) if patient is not None]
    if both := _count_straddling(known):
        yield f"{both:,} patients are in more than one part"
    if both := _count_straddling(zip(duplicates.tolist(), split, strict=True)):
        yield f"{both:,} groups of near-duplicates are in more than one part"


def _count_straddling(pairs: Iterable[tuple[Hashable, str]]) -> int:
    parts_of: dict[Hashable, set[str]] = {}
    for group, part in pairs:
        parts_of.setdefault(group, set()).add(part)
    return sum(len(parts) > 1 for parts in parts_of.values())


def manifest_digest(rows: Iterable[tuple[str, str, int | None]]) -> str:
    """sha256 of the lines `image_id split fold` (- for no fold), by image_id as the rows are: what later jobs carry."""
    return digest_lines(f"{image} {part} {'-' if fold is None else fold}\n" for image, part, fold in rows)
