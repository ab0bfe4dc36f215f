"""From percentages to pictures: which an arm trains on with a seed, and for how many steps."""

import tomllib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from pydantic import ValidationError

from cxr.errors import BadInput
from cxr.study.config import Arm, StudyConfig

# Streams of a seed: which pictures are drawn, how labels are shuffled, which are dropped.
SYNTHETIC_STREAM, LABEL_STREAM, DROP_STREAM = 2, 3, 4


def read_arms(path: Path) -> tuple[Arm, ...]:
    """The arms of a TOML file: `[[arm]]` tables with the fields of `Arm`.

    Raises:
        BadInput: no such file, no TOML, or a table that is no arm.
    """
    try:
        tables = tomllib.loads(path.read_text(encoding="utf-8"))
        if set(tables) != {"arm"} or not isinstance(tables["arm"], list):
            raise BadInput(
                f"--arms {path}: holds {', '.join(tables) or 'nothing'}; give one [[arm]] table for each arm"
            )
        return tuple(Arm.model_validate(arm) for arm in tables["arm"])
    except ValidationError as error:
        first = error.errors()[0]
        field = first["loc"][0] if first["loc"] else "arm"
        why = first["msg"].removeprefix("Value error, ")
        raise BadInput(f"--arms {path}: {field}: {why}; an arm has {', '.join(Arm.model_fields)}") from None
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise BadInput(f"--arms {path}: cannot be read as TOML ({error})") from None


@dataclass(frozen=True)
class Pool:
    """What arms draw from: rows and classes of the training pictures, in the order of the pictures in memory."""

    real: np.ndarray  # int64 rows [R]
    real_labels: np.ndarray  # int64 [R]
    entry: np.ndarray  # float64 [R], see `entry_shares`
    synthetic: np.ndarray  # int64 rows [S]; of an arm with a `filter` with those that were refused
    synthetic_labels: np.ndarray  # int64 [S]
    accepted: np.ndarray  # bool [S]


@dataclass(frozen=True)
class TrainingDraw:
    """The pictures of one trial."""

    real: np.ndarray  # rows, each once
    synthetic: np.ndarray

    def phases(self, arm: Arm, steps_of: Callable[[int], int], budget: int | None) -> list[tuple[np.ndarray, int]]:
        """(rows, optimiser steps) of each phase of training; of all steps the arm takes its share.

        Args:
            steps_of: from a number of pictures to the steps in which a classifier sees them as often as it should.
            budget: steps of all phases together, whatever the number of pictures; None: as `steps_of` says.
        """
        real = np.tile(self.real, arm.repeat)
        first = arm.order == "synthetic_first"
        parts = [self.synthetic, real] if first else [np.concatenate([real, self.synthetic])]
        if budget is None:
            steps = [steps_of(len(rows)) for rows in parts]
        else:
            steps = [budget // 2, budget - budget // 2] if first else [budget]
        return [(rows, max(1, round(count * arm.steps / 100))) for rows, count in zip(parts, steps, strict=True)]


def draw_training_set(arm: Arm, pool: Pool, seed: int) -> TrainingDraw:
    """What the arm trains on with this seed: of real pictures the same with every seed whose pool has the same `entry`,
    so that one generator can have learned from just these; of the synthetic ones a share of each class, of smaller
    shares always the same pictures."""
    counts = count_wanted(pool.real_labels, arm.synthetic)
    drawn = take_first(pool.synthetic, pool.synthetic_labels, counts, [seed, SYNTHETIC_STREAM])
    return TrainingDraw(
        real=pool.real[pool.entry <= arm.real / 100] if arm.real else pool.real[:0],
        synthetic=drop_refused(arm, pool, drawn, seed) if arm.filter else drawn,
    )


def drop_refused(arm: Arm, pool: Pool, drawn: np.ndarray, seed: int) -> np.ndarray:
    """Of drawn synthetic rows those that the arm's filter leaves: all, the accepted ones, or as many of each class."""
    places = np.searchsorted(pool.synthetic, drawn)
    accepted, labels = pool.accepted[places], pool.synthetic_labels[places]
    if arm.filter == "off":
        return drawn
    if arm.filter == "drop":
        return drawn[accepted]
    counts = {int(label): int(accepted[labels == label].sum()) for label in np.unique(labels)}
    return take_first(drawn, labels, counts, [seed, DROP_STREAM])


def shuffle_labels(labels: np.ndarray, rows: np.ndarray, seed: int) -> np.ndarray:
    """The labels [N] with those of the rows dealt out among these rows by chance: as many of each class as before."""
    labels = labels.copy()
    labels[rows] = np.random.default_rng([seed, LABEL_STREAM]).permutation(labels[rows])
    return labels


def count_wanted(labels: np.ndarray, percent: float) -> dict[int, int]:
    """How many pictures of each class so many percent of these are: at least one, unless none are asked for."""
    classes, counts = np.unique(labels, return_counts=True)
    return {int(k): max(1, round(percent / 100 * n)) if percent else 0 for k, n in zip(classes, counts, strict=True)}


def take_first(rows: np.ndarray, labels: np.ndarray, counts: dict[int, int], seed: Sequence[int]) -> np.ndarray:
    """The first so many of each class in an order that only the seed decides: a smaller part lies in a larger one."""
    chosen = [
        np.random.default_rng([*seed, label]).permutation(rows[labels == label])[:count]
        for label, count in counts.items()
    ]
    return np.sort(np.concatenate(chosen)) if chosen else rows[:0]


def check_counts(config: StudyConfig, pool_of: Callable[[Arm], Pool], classes: Sequence[str]) -> None:
    """`BadInput` if an arm asks for more synthetic pictures of a class than its set has."""
    lacking: dict[str, str] = {}  # of each such arm what it needs
    for arm in config.arms:
        pool = pool_of(arm)
        for label, count in count_wanted(pool.real_labels, arm.synthetic).items():
            there = int((pool.synthetic_labels == label).sum())
            if there < count:
                lacking.setdefault(
                    arm.name,
                    f"needs {count} synthetic pictures of {classes[label]}, there are {there}: {count - there} missing",
                )
    if lacking:
        name, why = next(iter(lacking.items()))
        others = f" (and of {len(lacking) - 1} other arms)" if len(lacking) > 1 else ""
        enough = any(arm.synthetic and arm.name not in lacking for arm in config.arms)
        out = f", or leave out what needs them: --without {','.join(lacking)}" if enough else ""
        raise BadInput(f"arm {name}: {why}{others}; generate more{out}")
