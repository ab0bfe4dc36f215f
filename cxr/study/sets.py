"""The two sets of a study: what must hold of them before anything is trained, and their pictures in memory."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial

import numpy as np
import pyarrow as pa

from cxr.data.candidates import refused_rows
from cxr.data.catalog import CatalogSet, read_images
from cxr.data.labels import shown_findings
from cxr.data.sources.chosen_findings import Groups
from cxr.data.splits import split_by_group
from cxr.data.subsets import patient_entries
from cxr.errors import BadInput
from cxr.store import sha256
from cxr.study.arms import Pool, TrainingDraw, check_counts, draw_training_set
from cxr.study.config import Arm, StudyConfig
from cxr.study.external import ExternalSet, match_external
from cxr.study.sets_check import (
    check_apart,
    check_own,
    check_parts,
    check_patients,
    check_same_labels,
    classes_of,
)
from cxr.study.several_sets import (
    check_one_finding,
    check_same_findings,
    check_validation_chooses,
    finding_matrix,
    shows_several,
)

SYNTHETIC = "synthetic"  # the set of all arms that have none of their own


@dataclass(frozen=True)
class Sets:
    """Catalog rows of every picture that a trial may read, real ones first: `rows` counts in this order."""

    real: CatalogSet
    synthetic: CatalogSet | None
    classes: tuple[str, ...]  # the positive one last, of two; or the findings that a picture can show several of
    labels: np.ndarray  # int64 [N]; or by finding 1, 0 and not a number, float32 [N, F]
    split: np.ndarray  # str [N]; of synthetic ones the name of their set, see `sides`
    entry: np.ndarray  # float64 [N], see `patient_entries`; of real training pictures
    split_here: bool = False  # by picture, see `split_by_picture`
    own: Mapping[str, CatalogSet] = field(default_factory=dict)  # the synthetic sets of single arms, by arm
    # By name of the synthetic set the pictures that were refused for it, where an arm asks for them
    refused: Mapping[str, CatalogSet] = field(default_factory=dict)
    external: Mapping[str, ExternalSet] = field(default_factory=dict)  # of other hospitals, by name
    further: Sequence[CatalogSet] = ()  # synthetic sets of further trainings of the generator, beside `synthetic`

    @property
    def blocks(self) -> dict[str, CatalogSet]:
        """The sets whose rows follow the real ones, by what `split` calls them."""
        made = self.sides | {refused_name(name): found for name, found in self.refused.items()}
        return made | {external_name(name): found.data for name, found in self.external.items()}

    @property
    def sides(self) -> dict[str, CatalogSet]:
        """The synthetic sets by name, in the order of their rows."""
        main = (
            {} if self.synthetic is None else dict(zip(self.generators, (self.synthetic, *self.further), strict=True))
        )
        return main | {set_name(arm): found for arm, found in self.own.items()}

    @property
    def generators(self) -> list[str]:
        """Names of the sets of all arms that have none of their own: one for each training of the generator."""
        return [SYNTHETIC, *(f"{SYNTHETIC} {number + 2}" for number in range(len(self.further)))]

    def sides_of(self, arm: str) -> list[str]:
        """Names of the synthetic sets that an arm takes its pictures from, one with each seed in turn."""
        return [set_name(arm)] if arm in self.own else self.generators

    @property
    def several(self) -> bool:
        return self.labels.ndim == 2

    @property
    def strata(self) -> tuple[np.ndarray, tuple[str, ...]]:
        """What synthetic pictures are drawn by: number of each row, and names. Of several findings a picture there is
        but one stratum, so that they stay as often together as they are."""
        return (np.zeros(len(self.labels), int), ("any finding",)) if self.several else (self.labels, self.classes)

    def pool(self, arm: Arm, generator: int = 0) -> Pool:
        """What an arm draws from, of so many generators."""
        sides = self.sides_of(arm.name)
        strata, side = self.strata[0], sides[generator % len(sides)]
        names = [side, refused_name(side)] if arm.filter else [side]
        real, synthetic = np.flatnonzero(self.split == "train"), np.flatnonzero(np.isin(self.split, names))
        accepted = self.split[synthetic] == side
        return Pool(real, strata[real], self.entry[real], synthetic, strata[synthetic], accepted)

    def part(self, name: str) -> np.ndarray:
        """Rows of a part of the split."""
        return np.flatnonzero(self.split == name)

    def counts(self, name: str) -> dict[str, int]:
        """Pictures of each class in a part."""
        if self.several:
            shown = (self.labels[self.part(name)] == 1).sum(axis=0)
            return dict(zip(self.classes, shown.tolist(), strict=True))
        found = Counter(self.labels[self.part(name)].tolist())
        return {finding: found[label] for label, finding in enumerate(self.classes)}


def set_name(arm: str) -> str:
    return f"{SYNTHETIC} of {arm}"


def external_name(name: str) -> str:
    return f"external {name}"


def refused_name(side: str) -> str:
    return f"refused for {side}"


def match_sets(
    real: CatalogSet,
    synthetic: CatalogSet | None,
    config: StudyConfig,
    own: Mapping[str, CatalogSet] | None = None,
    external: Mapping[str, tuple[CatalogSet, Groups | None]] | None = None,
    further: Sequence[CatalogSet] = (),
) -> Sets:
    """The sets of a study that can be trained. Reads no picture.

    Args:
        own: the synthetic sets of single arms, by arm.
        external: sets of other hospitals by name, and what their findings are called here, see `match_external`.
        further: synthetic sets of further trainings of the generator.

    Raises:
        BadInput: one set alone has pictures of several findings, one class only, a part of the split or a class in it
            is missing, labels that differ, a picture in both sets, or fewer pictures than an arm asks for.
    """
    own = own or {}
    several = shows_several(real)
    if not several:
        check_one_finding("--real", real)
        for found in filter(None, (synthetic, *further, *own.values())):
            check_one_finding("--synthetic", found)
    classes = classes_of(real, config)
    check_own(config, own)
    split_here = synthetic is None and not own and real.table["split"].null_count == len(real.table)
    if split_here:
        real = split_by_picture(real)
    check_parts(real, () if several else classes)
    check_patients(real)
    if synthetic is None and (needy := [arm.name for arm in config.arms if arm.synthetic and arm.name not in own]):
        raise BadInput(
            f"--synthetic: {', '.join(needy)} need synthetic pictures; give a set that jobs/generate.py made"
        )
    sets = Sets(real, synthetic, classes, np.array([]), np.array([]), np.array([]), split_here, own, further=further)
    check_generators_apart(sets, config)
    others = {name: match_external(name, *given, real, classes, several) for name, given in (external or {}).items()}
    sets = replace(sets, refused=read_refused(sets, config), external=others)
    for found in sets.sides.values():
        if several:
            check_same_findings(real, found)
        else:
            check_same_labels(real, found, classes)
        check_apart(real, found)
    labels, split, entry = columns(sets, config)
    sets = replace(sets, labels=labels, split=split, entry=entry)
    if several:
        check_validation_chooses(real.store.uri, labels[sets.part("validation")])
    for number in range(len(sets.generators)):
        check_counts(config, partial(sets.pool, generator=number), sets.strata[1])
    return sets


def check_generators_apart(sets: Sets, config: StudyConfig) -> None:
    """`BadInput` unless each training of the generator is another set, with a seed at least."""
    every = [found.digest for name, found in sets.sides.items() if name in sets.generators]
    if len({*every}) < len(every):
        raise BadInput("--synthetic: the same set stands twice; give one of each training of the generator")
    if len(every) > len(config.seeds):
        raise BadInput(
            f"--synthetic: {len(every)} sets for {len(config.seeds)} seeds, and each needs one; give more --seeds"
        )


def read_refused(sets: Sets, config: StudyConfig) -> dict[str, CatalogSet]:
    """The pictures that arms with a `filter` take beside accepted ones, by name of their set.

    Raises:
        BadInput: a set of such an arm was not filtered.
    """
    needy = [arm.name for arm in config.arms if arm.filter]
    found = {}
    for side in {side for name in needy for side in sets.sides_of(name)}:
        whole = sets.sides[side]
        try:
            found[side] = replace(whole, table=refused_rows(whole))
        except BadInput as error:
            raise BadInput(f"--synthetic {error}, or leave out what needs them: --without {','.join(needy)}") from None
    return found


def columns(sets: Sets, config: StudyConfig) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """`labels`, `split` and `entry` of all rows."""
    every = sets.real, *sets.blocks.values()
    if shows_several(sets.real):
        labels = finding_matrix(every, sets.classes, config.labels)
    else:
        numbers = {finding: label for label, finding in enumerate(sets.classes)}
        labels = np.array([numbers[finding] for found in every for finding in found.table["finding"].to_pylist()])
    splits = [part or "" for part in sets.real.table["split"].to_pylist()]
    for name, found in sets.blocks.items():
        splits += [name] * len(found.table)
    split = np.array(splits)
    return labels, split, draw_entry(sets.real, split, config.subset_seed)


def draw_entry(real: CatalogSet, split: np.ndarray, subset_seed: int) -> np.ndarray:
    """`entry` of all rows."""
    entry, trained = np.ones(len(split)), np.flatnonzero(split == "train")
    rows = real.table.select(["patient_id", "image_id", "finding", "present"]).take(pa.array(trained)).to_pylist()
    units = [row["patient_id"] or row["image_id"] for row in rows]
    entry[trained] = patient_entries([shown_findings(row) for row in rows], units, subset_seed)
    return entry


def split_by_picture(found: CatalogSet) -> CatalogSet:
    """A set that came without a split, as generated ones do: 70 % train, 10 % validation, 20 % test of each finding.

    Raises:
        BadInput: a finding has fewer than three pictures.
    """
    findings, ids = (found.table[column].to_pylist() for column in ("present", "image_id"))
    column = found.table.schema.get_field_index("split")
    split = pa.array(split_by_group(findings, ids, folds=0, exclusive=not shows_several(found)).split)
    return replace(found, table=found.table.set_column(column, "split", split))


def draw_training_sets(sets: Sets, config: StudyConfig) -> dict[tuple[str, int], TrainingDraw]:
    """The pictures of each (arm, seed)."""
    redrawn = {
        seed: replace(sets, entry=draw_entry(sets.real, sets.split, config.subset_seed + 1 + seed))
        for seed in config.seeds
        if any(arm.redraw for arm in config.arms)
    }
    return {
        (arm.name, seed): draw_training_set(arm, (redrawn[seed] if arm.redraw else sets).pool(arm, number), seed)
        for arm in config.arms
        for number, seed in enumerate(config.seeds)
    }


def load(sets: Sets, used: np.ndarray, size: int, advance: Callable[[int], object]) -> np.ndarray:
    """The used rows' pictures, uint8 [len(used), size, size]; each is decoded once.

    Raises:
        BadInput: a picture is missing or damaged, or synthetic ones show the same pixels as real ones.
    """
    parts, start = {}, 0
    for name, found in {"real": sets.real, **sets.blocks}.items():
        rows = used[(used >= start) & (used < start + len(found.table))] - start
        parts[name] = read_images(found.store, found.table.take(pa.array(rows)), size, advance)
        start += len(found.table)
    others = {external_name(name) for name in sets.external}
    check_no_twins(*(pictures for name, pictures in parts.items() if name not in others))
    for name in others:
        check_untrained(name, parts[name], [pictures for other, pictures in parts.items() if other not in others])
    return np.concatenate([*parts.values()])


def check_untrained(name: str, external: np.ndarray, known: Sequence[np.ndarray]) -> None:
    """`BadInput` if an external picture is among those that the study knows, pixel for pixel."""
    digests = {sha256(picture.tobytes()) for pictures in known for picture in pictures}
    if count := sum(sha256(picture.tobytes()) in digests for picture in external):
        raise BadInput(
            f"--{name}: {count} of its pictures are in --real or --synthetic, pixel for pixel; give a set of others"
        )


def check_no_twins(real: np.ndarray, *synthetic: np.ndarray) -> None:
    digests = {sha256(picture.tobytes()) for pictures in synthetic for picture in pictures}
    twins = {sha256(picture.tobytes()) for picture in real} & digests
    if twins:
        raise BadInput(
            f"{len(twins)} synthetic pictures are real ones, pixel for pixel; take them out with jobs/evaluate.py "
            "--quarantine"
        )
