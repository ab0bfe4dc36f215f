"""What readers answered: their files, checked against the study, in the order of its cases."""

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, ValidationError

from cxr.artifact.metrics import locate_damage
from cxr.errors import BadInput
from cxr.reader.job import Key
from cxr.reader.page import FORMAT


class Answer(BaseModel):
    """To one case."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    case: int  # the place in the reader's page, from 1
    verdict: Literal[-3, -2, -1, 1, 2, 3]  # real and sure, to synthetic and sure
    realism: Literal[-2, -1, 0, 1, 2]
    findings: tuple[str, ...]
    comment: str = ""


class ReaderFile(BaseModel):
    """As a page saves it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    format: Literal["cxr reader answers 1"]  # FORMAT
    study: str
    reader: str
    cases: int
    answers: list[Answer]


def read_answers(files: Sequence[str], key: Key) -> dict[str, list[Answer]]:
    """Of each reader the answers in the order of the study's cases.

    Raises:
        BadInput: a file is not there, none of ours, of another study, unfinished, answers a case twice, or is of a
            reader whose answers another file has.
    """
    found: dict[str, list[Answer]] = {}
    for file in files:
        told = read_file(file)
        if told.study != key.study or told.reader not in key.orders:
            raise BadInput(f"{file}: answers another study than this one; give files that its own pages saved")
        if told.reader in found:
            raise BadInput(f"{file}: is of {told.reader}, as another file is; give one file a reader")
        found[told.reader] = in_order(file, told, key)
    return {reader: found[reader] for reader in key.orders if reader in found}


def read_file(file: str) -> ReaderFile:
    """Raises `BadInput` where it is none that a page saved."""
    try:
        return ReaderFile.model_validate_json(Path(file).read_bytes())
    except OSError as error:
        raise BadInput(f"{file}: cannot be read ({error.strerror}); give a file that a reader's page saved") from None
    except ValidationError as error:
        where = locate_damage(error)
        raise BadInput(
            f"{file}: is not {FORMAT!r}{f', at {where}' if where else ''}; give a file that a reader's page saved"
        ) from None


def in_order(file: str, told: ReaderFile, key: Key) -> list[Answer]:
    """Raises `BadInput` unless each case has one answer."""
    places, order = [one.case for one in told.answers], key.orders[told.reader]
    if twice := sorted({place for place in places if places.count(place) > 1}):
        raise BadInput(f"{file}: answers case {twice[0]} twice; give the file as it was saved")
    if strange := {*places} - {*range(1, len(order) + 1)}:
        raise BadInput(f"{file}: answers case {min(strange)}, which its page has not; give the file as it was saved")
    if len(places) < len(order):
        raise BadInput(
            f"{file}: unfinished, {len(places)} of {len(order)} cases are there; have the reader finish and save again"
        )
    of_case = {order[one.case - 1]: one for one in told.answers}
    return [of_case[case] for case in range(len(order))]


def verdicts(answers: dict[str, list[Answer]]) -> np.ndarray:
    """int [R, N]: -3 (real, sure) to 3 (synthetic, sure)."""
    return np.array([[one.verdict for one in of_reader] for of_reader in answers.values()])


def realism(answers: dict[str, list[Answer]]) -> np.ndarray:
    """int [R, N]: -2 to 2."""
    return np.array([[one.realism for one in of_reader] for of_reader in answers.values()])


def findings_seen(answers: dict[str, list[Answer]], key: Key) -> np.ndarray:
    """float64 [R, N]: whether a reader ticked all findings that the label of the case says are present."""
    wanted = [{*case.shown} for case in key.cases]

    def of_reader(given: list[Answer]) -> list[float]:
        return [float(want <= {*one.findings}) for want, one in zip(wanted, given, strict=True)]

    return np.array([of_reader(given) for given in answers.values()])
