"""Radiograph phantoms: chest X-rays drawn from known parameters, any number of them, all ten findings.

They stand in for patients where no data may go (the demo, the tests, the embedded model's pretraining) with known
truth. A phantom is labelled as one everywhere: no metric on phantoms is one about patients.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass

import cv2
import numpy as np

from cxr.embedded.phantoms import acquisition, devices, pathology
from cxr.embedded.phantoms.anatomy import Anatomy, pose_anatomy, sample_anatomy
from cxr.embedded.phantoms.frontal import frontal_scene
from cxr.embedded.phantoms.lateral import lateral_scene
from cxr.errors import BadInput, nearest
from cxr.prompts.findings import BINARY, COMBINABLE, FINDINGS, HEARTS, Attributes, Sign, sample_attributes

IN_THE_CHEST: dict[str, pathology.Pathology] = {
    f.__name__: f
    for f in (
        pathology.ground_glass, pathology.edema, pathology.atelectasis, pathology.lobar_consolidation,
        pathology.bronchopneumonia, pathology.cavity, pathology.miliary, pathology.effusion, pathology.pneumothorax,
        pathology.pleural_thickening, pathology.nodule, pathology.mass, pathology.metastases,
        devices.pacemaker, devices.central_line, devices.endotracheal_tube, devices.chest_drain,
        devices.sternal_wires, devices.ecg_leads, devices.necklace,
    )
}  # fmt: skip
IN_THE_PICTURE: dict[str, acquisition.Effect] = {
    f.__name__: f
    for f in (
        acquisition.motion_blur, acquisition.grid_lines, acquisition.quantum_mottle,
        acquisition.inverted, acquisition.screen_photo, acquisition.washed_out, acquisition.film_digitiser,
    )
}  # fmt: skip
# last number of a seed, so that the three kinds of draws never share a random stream
PATIENT_STREAM, PICTURE_STREAM, ORDER_STREAM = 1, 2, 3
Series = Sequence[str] | Mapping[str, float]
"""What the pictures of a series show: one of several findings each, all alike often; or several `COMBINABLE` patterns,
each with its own probability, whatever else the picture shows."""


@dataclass(frozen=True)
class Patient:
    patient_id: str
    sex: str  # F or M
    age: int  # years
    anatomy: Anatomy


@dataclass(frozen=True)
class Phantom:
    """A drawn picture. pixels: [size, size] uint8; parameters: everything drawn, JSON-serialisable."""

    pixels: np.ndarray
    attributes: Attributes
    patient: Patient
    parameters: dict


def draw_phantom(
    seed: int, number: int, findings: Series = FINDINGS, size: int = 128, views_per_patient: int = 3
) -> Phantom:
    """Draws picture `number` (from 0) of the endless series `seed`, alike whichever others are drawn.

    Where findings exclude each other, every run of len(findings) pictures from a multiple of it shows each once, in a
    shuffled order. Every `views_per_patient` pictures in a row show one patient.

    Raises:
        BadInput: a finding is unknown, patterns do not go together, or the size is not 28..512.
    """
    check_series(findings)
    return draw_visit(*sample_visit(seed, number, findings, views_per_patient), size)


def check_series(findings: Series) -> None:
    """`BadInput` unless phantoms can show it."""
    known = COMBINABLE if isinstance(findings, Mapping) else FINDINGS + BINARY
    for name in findings:
        if name not in known:
            raise BadInput(f"findings: no finding is called {name[:60]!r}; {nearest(name, known)}")
    if isinstance(findings, Mapping) and set(HEARTS) <= set(findings):
        raise BadInput(f"findings: {' and '.join(HEARTS)} are both the heart's shape; name one of them")


def sample_visit(
    seed: int, number: int, findings: Series = FINDINGS, views_per_patient: int = 3
) -> tuple[Patient, Attributes, np.random.Generator]:
    """Patient, attributes and generator of picture `number`, before it is drawn: arguments of `draw_visit`."""
    patient = sample_patient(seed, number // views_per_patient)
    rng = np.random.default_rng([seed, number, PICTURE_STREAM])
    return patient, sample_attributes(choose_findings(seed, number, findings), patient.sex, patient.age, rng), rng


def choose_findings(seed: int, number: int, findings: Series) -> tuple[str, ...]:
    """Those of `findings` that picture `number` shows."""
    if isinstance(findings, Mapping):
        draws = np.random.default_rng([seed, number, ORDER_STREAM]).random(len(findings))
        return tuple(name for (name, share), draw in zip(findings.items(), draws, strict=True) if draw < share)
    block, place = divmod(number, len(findings))
    order = np.random.default_rng([seed, block, ORDER_STREAM]).permutation(len(findings))
    return (findings[order[place]],)


def sample_patient(seed: int, number: int) -> Patient:
    """Patient `number` of the series `seed`; about one in eight is a child."""
    rng = np.random.default_rng([seed, number, PATIENT_STREAM])
    sex = "F" if rng.random() < 0.5 else "M"
    child, grown = int(rng.integers(1, 16)), int(np.clip(rng.normal(55, 18), 16, 95))
    age = child if rng.random() < 0.12 else grown
    return Patient(f"phantom-{seed}-{number:05d}", sex, age, sample_anatomy(sex, age, rng))


def draw_visit(patient: Patient, attributes: Attributes, rng: np.random.Generator, size: int = 128) -> Phantom:
    """Draws one picture, [size, size] uint8. From equal generators two pictures share pose and exposure, and a pattern
    that is a finding of its own looks alike whatever else they show.

    Raises:
        BadInput: the size is not 28..512.
    """
    if not 28 <= size <= 512:
        raise BadInput(f"size: a phantom of {size} pixels cannot be drawn; give 28 to 512")
    posed, inside, lit, changed = (int(seed) for seed in rng.integers(2**62, size=4))
    pose, light = np.random.default_rng(posed), np.random.default_rng(lit)
    layout = pose_anatomy(patient.anatomy, attributes, pose)
    build_scene = lateral_scene if attributes.view == "lateral" else frontal_scene
    scene = build_scene(256 if size <= 128 else 512, patient.anatomy, layout)
    signs, drawn = {sign.pattern: sign for sign in attributes.signs}, {}
    for pattern, draw in IN_THE_CHEST.items():
        if sign := signs.get(pattern):
            drawn[pattern] = draw(scene, sign, make_sign_rng(inside, sign))
    picture, exposure = acquisition.expose(scene.mu, scene.layout.turn, scene.layout.lean, light)
    marker = acquisition.draw_marker(picture, attributes.view, light)
    for pattern, change in IN_THE_PICTURE.items():
        if sign := signs.get(pattern):
            picture, drawn[pattern] = change(picture, sign, make_sign_rng(changed, sign))
    parameters = {
        "attributes": asdict(attributes), "anatomy": asdict(patient.anatomy), "layout": asdict(scene.layout),
        "exposure": exposure, "marker": marker, "patterns": drawn,
    }  # fmt: skip
    small = cv2.resize(np.clip(picture, 0, 1).astype(np.float32), (size, size), interpolation=cv2.INTER_AREA)
    return Phantom(np.round(small * 255).astype(np.uint8), attributes, patient, parameters)


def make_sign_rng(seed: int, sign: Sign) -> np.random.Generator:
    """A generator of the pattern's own where it is a finding of its own, so that no two of a picture draw alike."""
    own = (1 + COMBINABLE.index(sign.pattern),) if sign.finding == sign.pattern else ()
    return np.random.default_rng([seed, *own])
