"""Which pictures readers see: as many real as synthetic ones, of each finding too."""

import hashlib
from dataclasses import dataclass

import numpy as np

from cxr.data.catalog import CatalogSet
from cxr.data.labels import shown_findings
from cxr.data.splits import PARTS
from cxr.errors import BadInput
from cxr.prompts.lists import UNLABELLED

HELD_OUT = tuple(reversed(PARTS))  # the parts, in the order in which real pictures are taken


@dataclass(frozen=True)
class Case:
    """A picture of one of the two sets."""

    image_id: str
    synthetic: bool
    finding: str  # the name of its folder
    shown: tuple[str, ...]
    split: str | None


def generator(*words: object) -> np.random.Generator:
    """Who does not have the sets' catalogs, whose digests are among the words, cannot draw the same."""
    digest = hashlib.sha256("\0".join(map(str, words)).encode()).digest()
    return np.random.default_rng(int.from_bytes(digest, "big"))


def choose_cases(real: CatalogSet, synthetic: CatalogSet, count: int, seed: int) -> list[Case]:
    """So many cases, half of them synthetic, by turns of each finding that both sets show.

    Of a patient at most one picture is taken, so that cases are independent; of held-out patients first.

    Raises:
        BadInput: there are not so many.
    """
    rng = generator("cases", real.digest, synthetic.digest, seed)
    pools = [by_finding(candidates(one, one is synthetic, rng)) for one in (real, synthetic)]
    pairs = {name: [*zip(pools[0][name], pools[1].get(name, []), strict=False)] for name in sorted(pools[0])}
    there = sum(map(len, pairs.values()))
    if 2 * there < count:
        raise BadInput(
            f"--cases {count}: {real.store.uri} and {synthetic.store.uri} have {2 * there} cases that match (of each "
            "finding as many real as synthetic pictures, one of a patient); give fewer cases or larger sets"
        )
    turns = [(turn, name) for name, found in pairs.items() for turn in range(len(found))]
    chosen = [case for turn, name in sorted(turns)[: count // 2] for case in pairs[name][turn]]
    return [chosen[place] for place in rng.permutation(len(chosen))]


def candidates(found: CatalogSet, synthetic: bool, rng: np.random.Generator) -> list[Case]:
    """Pictures with labels in the order in which they are taken, at most one of a patient."""
    rows = found.table.select(["image_id", "finding", "present", "patient_id", "split"]).to_pylist()
    rows = [rows[place] for place in rng.permutation(len(rows)) if rows[place]["finding"] != UNLABELLED]
    rank = {name: place for place, name in enumerate(HELD_OUT)}
    rows.sort(key=lambda row: rank.get(row["split"], len(rank)))
    first: dict[str, Case] = {}
    for row in rows:
        case = Case(row["image_id"], synthetic, row["finding"], tuple(shown_findings(row)), row["split"])
        first.setdefault(row["patient_id"] or f"\0{row['image_id']}", case)
    return [*first.values()]


def by_finding(cases: list[Case]) -> dict[str, list[Case]]:
    found: dict[str, list[Case]] = {}
    for case in cases:
        found.setdefault(case.finding, []).append(case)
    return found


def describe_parts(cases: list[Case]) -> str:
    """Where the real pictures are from: `60 of the test part, 15 of the train part`."""
    parts = [case.split for case in cases if not case.synthetic]
    names = [name for name in (*HELD_OUT, None) if name in parts]
    return ", ".join(f"{parts.count(name)} of {f'the {name} part' if name else 'no part'}" for name in names)
