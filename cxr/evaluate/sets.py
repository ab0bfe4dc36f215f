"""The two sets side by side: what can be compared, and their pictures where they are asked for."""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from cxr.data.catalog import CatalogSet, read_images, read_unscaled
from cxr.data.labels import NO_FINDING, LabelPolicy, label_matrix
from cxr.errors import BadInput
from cxr.evaluate.config import ALL, HELD_OUT, PARTS, EvaluateConfig
from cxr.prompts.lists import UNLABELLED

Condition = tuple[str, str, Callable[..., pa.ChunkedArray], str | float]  # name; the column, and how it is compared


@dataclass(frozen=True)
class Labelling:
    """What is known of each picture of a set: a column a finding, one for pictures that show none of them, and one for
    those of which nothing is known, where there are any."""

    names: tuple[str, ...]  # of the columns
    values: np.ndarray  # float32 [N, len(names)]: 1 shows it, 0 does not, not a number: left out

    def shows(self, *names: str) -> np.ndarray:
        """The pictures that show one of these at least, whatever else they show: bool [N]."""
        return (self.columns(names) == 1).any(axis=1)

    def columns(self, names: Sequence[str]) -> np.ndarray:
        """The values of these, float32 [N, len(names)]; nothing is known of what the set does not speak of."""
        found = np.full((len(self.values), len(names)), np.nan, np.float32)
        for number, name in enumerate(names):
            if name in self.names:
                found[:, number] = self.values[:, self.names.index(name)]
        return found

    def select(self, rows: np.ndarray) -> "Labelling":
        return Labelling(self.names, self.values[rows])


def label_pictures(found: CatalogSet, policy: LabelPolicy) -> Labelling:
    """Of a catalog's lists."""
    findings = found.vocabulary.findings
    values = label_matrix(found.table, findings, policy)
    columns = dict(zip(findings, values.T, strict=True))
    unlabelled = np.isnan(values).all(axis=1)
    none = (values == 0).all(axis=1) & ~unlabelled
    for name, rows in ((NO_FINDING, none), (UNLABELLED, unlabelled)):
        if rows.any():
            columns[name] = np.maximum(columns.get(name, 0), rows.astype(np.float32))
    names = tuple(sorted(columns))
    return Labelling(names, np.stack([columns[name] for name in names], axis=1))


@dataclass(frozen=True)
class Attributes:
    """What both sets say of view, sex and age, in columns of the same names."""

    real: Labelling
    synthetic: Labelling
    left_out: list[str]  # a line on those that cannot be compared


def label_attributes(real: CatalogSet, synthetic: CatalogSet, config: EvaluateConfig) -> Attributes:
    """Each view that both sets have often enough, against the others (of two the last by name alone); sex; and whether
    a patient is older than half of the real training pictures' patients. So one classifier and one measure, the AUROC,
    serve all three, and it does not matter in which years a model has learned to count."""
    train = real.table.filter(pc.equal(real.table["split"], "train"))
    lacking = {kind: describe_lacking(kind, train, synthetic.table) for kind in ("view", "sex", "age")}
    views = [] if lacking["view"] else common_views(train, synthetic.table, config)
    if not views and not lacking["view"]:
        lacking["view"] = f"no view is in both sets {config.min_samples} times"
    conditions = [(f"view {value}", "view", pc.equal, value) for value in views]
    if not lacking["sex"]:
        conditions.append(("sex M", "sex", pc.equal, "M"))
    if not lacking["age"]:
        middle = pc.quantile(train["age"], 0.5)[0].as_py()
        conditions.append((f"age above {middle:g}", "age", pc.greater, middle))
    ours, theirs = (label_by(conditions, found.table) for found in (real, synthetic))
    reasons = {why: [kind for kind in lacking if lacking[kind] == why] for why in lacking.values() if why}
    return Attributes(
        ours, theirs, [f"accuracy of {', '.join(kinds)} is not measured: {why}" for why, kinds in reasons.items()]
    )


def describe_lacking(kind: str, train: pa.Table, synthetic: pa.Table) -> str:
    """Which of two sets does not say it of any picture; empty where both do."""
    match [len(table[kind].drop_null()) > 0 for table in (train, synthetic)]:
        case [True, True]:
            return ""
        case [True, False]:
            return "the synthetic set does not say what was asked for"
        case [False, True]:
            return "the real set's training pictures do not name it"
        case _:
            return "neither set names it"


def common_views(train: pa.Table, synthetic: pa.Table, config: EvaluateConfig) -> list[str]:
    """Those that both have often enough; of two the last, whose AUROC is the other's too."""
    counts = [Counter(table["view"].drop_null().to_pylist()) for table in (train, synthetic)]
    often = sorted(view for view in counts[0] if min(count[view] for count in counts) >= config.min_samples)
    return often[1:] if len(often) == 2 else often


def label_by(conditions: Sequence[Condition], table: pa.Table) -> Labelling:
    """1 where one holds, 0 where it does not, not a number where nothing is known."""
    values = [operation(table[kind], value).cast(pa.float32()) for _, kind, operation, value in conditions]
    columns = [column.to_numpy(zero_copy_only=False) for column in values]
    names = tuple(name for name, *_ in conditions)
    return Labelling(names, np.array(columns, np.float32).reshape(len(names), len(table)).T)


@dataclass(frozen=True)
class ImageSet:
    """A set: columns of one value a picture, and what reads the pictures themselves."""

    ids: np.ndarray  # str [N]
    labels: Labelling
    findings: np.ndarray  # str [N], all that it shows, as the name of its folder
    patients: np.ndarray  # str [N]; where none is known, the picture's own id
    splits: np.ndarray  # str [N], empty where there is none
    read: Callable[[np.ndarray], np.ndarray]  # of rows, int [n], the pixels, uint8 [n, H, W]

    def part(self, *names: str) -> np.ndarray:
        """Rows of these parts of the split, int."""
        return np.flatnonzero(np.isin(self.splits, names))

    def select(self, rows: np.ndarray) -> "ImageSet":
        """These rows only."""
        ids, findings, patients, splits = (x[rows] for x in (self.ids, self.findings, self.patients, self.splits))
        labels = self.labels.select(rows)
        return ImageSet(ids, labels, findings, patients, splits, lambda chosen: self.read(rows[chosen]))


def rows_of(splits: np.ndarray, against: str) -> np.ndarray:
    """Rows of the part of a real set that the synthetic one is compared with, int."""
    return np.arange(len(splits)) if against == ALL else np.flatnonzero(np.isin(splits, PARTS[against]))


def comparable_findings(
    real: CatalogSet, synthetic: CatalogSet, config: EvaluateConfig
) -> tuple[tuple[str, ...], list[str]]:
    """The findings that both sets show often enough, and a line on each that is left out. Reads no picture.

    Raises:
        BadInput: there is none, or the real set has no train part, among which near-duplicates are looked for, or both
            sets are the same.
    """
    if real.digest == synthetic.digest:
        raise BadInput(f"--synthetic {synthetic.store.uri}: is the same set as --real; give the set to measure")
    splits = Counter(real.table["split"].to_pylist())
    if not splits["train"]:
        raise BadInput(f"--real {real.store.uri}: no picture is in a train part; give a set that jobs/ingest.py made")
    if config.against in ("train", "test") and not splits[config.against]:
        raise BadInput(f"--real {real.store.uri}: has no {config.against} part; give another --against")
    against = compared_with(real, synthetic, config)
    patients, shown = count_patients(real, against, config), count_pictures(synthetic, config)
    other = differing_findings(real, synthetic)
    alone = {NO_FINDING} if other and patients[NO_FINDING] and shown[NO_FINDING] else set()
    common = sorted((set(patients) & set(shown)) - alone)
    if not common:
        raise BadInput(
            f"no finding is in both sets: --real has {', '.join(sorted(patients))}; --synthetic has "
            f"{', '.join(sorted(shown))}"
        )
    kept = tuple(name for name in common if min(patients[name], shown[name]) >= config.min_samples)
    held_out = "" if against == ALL else f"{against} "
    left_out = [
        f"{name} is left out: {patients[name]} real {held_out}patients, {shown[name]} synthetic pictures; "
        f"{config.min_samples} needed"
        for name in [*common, *sorted(set(patients) ^ set(shown))]
        if name not in kept
    ]
    left_out += [
        f"{name} is left out: the labels of one set speak of {', '.join(other)}, those of the other do not"
        for name in alone
    ]
    if not kept:
        raise BadInput(f"too few pictures: {left_out[0]}; give more, or a smaller --min-samples")
    return kept, left_out


def differing_findings(real: CatalogSet, synthetic: CatalogSet) -> list[str]:
    """Those that the labels of one set only speak of, so that a picture without any is not the same in both; none of
    sets whose findings exclude each other, where that is a finding like any other."""
    ours, theirs = (found.vocabulary for found in (real, synthetic))
    differing = set(ours.findings) ^ set(theirs.findings)
    return [] if ours.exclusive and theirs.exclusive else sorted(differing - {NO_FINDING})


def compared_with(real: CatalogSet, synthetic: CatalogSet, config: EvaluateConfig) -> str:
    """The part of the real set to compare with: what was asked for, but the whole set where that is the
    held-out part and it shows no finding often enough."""
    shown = count_pictures(synthetic, config)
    held_out = count_patients(real, HELD_OUT, config)
    enough = any(min(held_out[name], shown[name]) >= config.min_samples for name in shown)
    return ALL if config.against == HELD_OUT and not enough else config.against


def describe_part(real: CatalogSet, against: str, config: EvaluateConfig) -> list[str]:
    """A line where metrics compare with another part than was asked for, or with training pictures."""
    if against == config.against and against in (HELD_OUT, "test"):
        return []
    patients = sum(count_patients(real, HELD_OUT, config).values())
    why = f"the real set shows no finding of {config.min_samples} held-out patients, " if patients else ""
    why = why or "the real set has no validation or test part, "
    why = why if against != config.against else ""
    which = "and training pictures are among them" if against == ALL else "which are training pictures"
    return [f"{why}so distances are to {against} real pictures, {which}: near-duplicates of these improve them"]


def count_pictures(synthetic: CatalogSet, config: EvaluateConfig) -> Counter[str]:
    """Of each finding the pictures that show it."""
    labels = label_pictures(synthetic, config.labels)
    return +Counter(dict(zip(labels.names, (labels.values == 1).sum(axis=0).tolist(), strict=True)))


def describe_sizes(real: CatalogSet, synthetic: CatalogSet) -> list[str]:
    """A line where the first pictures of the sets differ in size: what scaling does is then part of every distance."""
    ours, theirs = (read_unscaled(found.store, found.table.slice(0, 1)).shape[1:] for found in (real, synthetic))
    line = "the real set's pictures have {1} x {0} pixels, the synthetic set's {3} x {2}: distances are of that too"
    return [] if ours == theirs else [line.format(*ours, *theirs)]


def count_patients(real: CatalogSet, against: str, config: EvaluateConfig) -> Counter[str]:
    """Of each finding the number of patients (of pictures where none is named) in a part of the split."""
    part = rows_of(splits_of(real), against)
    labels, owners = label_pictures(real, config.labels).select(part), owners_of(real)[part]
    return +Counter({name: len(np.unique(owners[labels.shows(name)])) for name in labels.names})


def owners_of(found: CatalogSet) -> np.ndarray:
    """The patient of each picture, str [N]; where none is known, the picture's own id."""
    columns = (found.table[name].to_pylist() for name in ("patient_id", "image_id"))
    return np.array([patient or image for patient, image in zip(*columns, strict=True)], str)


def splits_of(found: CatalogSet) -> np.ndarray:
    """The part of the split of each picture, str [N], empty where there is none."""
    return np.array([part or "" for part in found.table["split"].to_pylist()], str)


def open_images(found: CatalogSet, config: EvaluateConfig) -> ImageSet:
    """A set whose pictures are read from its store whenever they are asked for, `config.size` pixels a side. No picture
    is kept in memory; reading raises as `read_images`."""

    def read(rows: np.ndarray) -> np.ndarray:
        different, places = np.unique(rows, return_inverse=True)
        return read_images(found.store, found.table.take(different), config.size)[places]

    ids, findings = (np.array(found.table[name].to_pylist(), str) for name in ("image_id", "finding"))
    labels = label_pictures(found, config.labels)
    return ImageSet(ids, labels, findings, owners_of(found), splits_of(found), read)


def load_images(found: CatalogSet, config: EvaluateConfig, advance: Callable[[int], object]) -> ImageSet:
    """The same with every picture in memory, `config.size`^2 bytes each. Raises as `read_images`."""
    pixels = read_images(found.store, found.table, config.size, advance)
    return replace(open_images(found, config), read=pixels.__getitem__)
