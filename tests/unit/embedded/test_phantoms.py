import functools
import hashlib
import json
from dataclasses import replace

import numpy as np
import pytest

from cxr.embedded.phantoms import Phantom, draw_phantom, draw_visit, sample_patient, sample_visit
from cxr.errors import BadInput
from cxr.prompts.findings import (
    BINARY,
    COMBINABLE,
    FINDINGS,
    GRADED,
    PATTERNS,
    SEVERAL,
    SEVERITIES,
    Attributes,
    sample_attributes,
    sample_sign,
)

EVERY = [(finding, pattern) for finding, patterns in PATTERNS.items() for pattern in patterns]


def attributes(pattern: str, **given: str) -> Attributes:
    finding = next(f for f, patterns in PATTERNS.items() if pattern in patterns)
    rng, patient = np.random.default_rng(0), sample_patient(3, 0)
    while True:
        drawn = sample_attributes((finding,), patient.sex, patient.age, rng)
        if drawn.signs[0].pattern == pattern:
            view = drawn.view if drawn.view == "lateral" else "PA"
            return replace(drawn, view=view, signs=(replace(drawn.signs[0], **given),))


@functools.cache
def picture(shown: Attributes, size: int = 128, draw_seed: int = 5) -> Phantom:
    return draw_visit(sample_patient(3, 0), shown, np.random.default_rng(draw_seed), size)


def mean_of(pixels: np.ndarray, rows: tuple[float, float], columns: tuple[float, float]) -> float:
    n = len(pixels)
    return float(pixels[int(rows[0] * n) : int(rows[1] * n), int(columns[0] * n) : int(columns[1] * n)].mean())


def test_a_number_is_always_the_same_picture_whatever_else_is_drawn():
    alone = draw_phantom(7, 11)
    series = [draw_phantom(7, i) for i in reversed(range(9, 13))]
    np.testing.assert_array_equal(series[1].pixels, alone.pixels)
    assert series[1].parameters == alone.parameters
    assert not np.array_equal(draw_phantom(8, 11).pixels, alone.pixels)


def test_the_series_of_version_0_1_stays():
    """What is drawn to the last digit; pixels by their mean, which another processor may round otherwise."""
    drawn = [draw_phantom(7, number, size=28) for number in range(40)]
    shown = [[p.patient.patient_id, p.attributes.view, *p.parameters["patterns"].values()] for p in drawn]
    shown += [[p.parameters[name] for name in ("anatomy", "layout", "exposure", "marker")] for p in drawn]
    assert hashlib.sha256(json.dumps(shown).encode()).hexdigest()[:16] == "c221c52188085e9e"
    assert np.mean([p.pixels.mean() for p in drawn]) == pytest.approx(166.224, abs=0.01)


def test_the_pictures_of_a_patient_share_the_body_but_not_the_pose():
    first, second, third, other = (draw_phantom(1, i, ("Normal_Anatomy",)) for i in range(4))
    assert first.patient == second.patient == third.patient == sample_patient(1, 0)
    assert other.patient.patient_id == "phantom-1-00001"
    assert other.patient.anatomy != first.patient.anatomy
    assert first.parameters["layout"] != second.parameters["layout"]


def test_the_series_is_balanced_over_findings():
    shown = [draw_phantom(2, i, size=28).attributes.findings[0] for i in range(40)]
    assert all(sorted(shown[k : k + 10]) == sorted(FINDINGS) for k in range(0, 40, 10))
    assert shown[:10] != shown[10:20]
    assert {draw_phantom(2, i, BINARY, 28).attributes.findings[0] for i in range(2)} == set(BINARY)


@pytest.mark.parametrize("pattern", [p for _, p in EVERY])
@pytest.mark.parametrize("size", [28, 128, pytest.param(256, marks=pytest.mark.slow)])
def test_every_pattern_changes_the_picture_at_every_size(pattern, size):
    drawn = picture(attributes(pattern), size)
    assert drawn.pixels.shape == (size, size)
    assert drawn.pixels.dtype == np.uint8
    assert drawn.pixels.std() > 8
    clear = picture(attributes("clear"), size)
    assert (np.abs(drawn.pixels.astype(int) - clear.pixels) > 12).sum() >= (
        0 if pattern == "clear" else 0.004 * size**2
    )


@pytest.mark.parametrize("finding", FINDINGS)
def test_parameters_survive_json_and_tell_what_is_shown(finding):
    drawn = draw_phantom(4, 0, (finding,))
    told = json.loads(json.dumps(drawn.parameters))
    assert told["attributes"]["signs"][0]["pattern"] == drawn.attributes.signs[0].pattern
    assert told["attributes"]["signs"][0]["finding"] == finding
    assert told["anatomy"]["heart_ratio"] == drawn.patient.anatomy.heart_ratio


@pytest.mark.parametrize("pattern", ["effusion", "lobar_consolidation", "ground_glass"])
def test_the_patients_left_is_on_the_right_of_the_picture(pattern):
    zone = {} if pattern == "effusion" else {"zone": "lower"}
    gain = {}
    clear = picture(attributes("clear")).pixels
    for side in ("left", "right"):
        pixels = picture(attributes(pattern, side=side, severity="severe", **zone)).pixels
        for half, columns in (("left", (0.7, 0.85)), ("right", (0.15, 0.3))):
            gain[side, half] = mean_of(pixels, (0.58, 0.7), columns) - mean_of(clear, (0.58, 0.7), columns)
    for side, other in (("left", "right"), ("right", "left")):
        assert gain[side, side] > 15
        assert abs(gain[side, other]) < 5


def test_a_pneumothorax_is_darker_than_the_same_clear_lung():
    clear = picture(attributes("clear")).pixels
    dark = picture(attributes("pneumothorax", side="right", severity="moderate")).pixels
    assert mean_of(dark, (0.3, 0.45), (0.15, 0.2)) < mean_of(clear, (0.3, 0.45), (0.15, 0.2)) - 10


def test_an_upper_opacity_is_above_a_lower_one():
    clear = picture(attributes("clear")).pixels.astype(float)
    heights = []
    for zone in ("upper", "mid", "lower"):
        shown = attributes("lobar_consolidation", zone=zone, side="right", severity="moderate")
        heights.append(np.average(np.arange(128), weights=np.abs(picture(shown).pixels - clear).sum(1)))
    assert heights == sorted(heights)
    assert heights[2] - heights[0] > 25


@pytest.mark.parametrize("pattern", sorted(GRADED))
def test_a_severer_picture_differs_more_from_the_clear_one(pattern):
    clear = picture(attributes("clear")).pixels.astype(float)
    change = [np.abs(picture(attributes(pattern, severity=s)).pixels - clear).mean() for s in SEVERITIES]
    assert change == sorted(change)
    assert change[2] > 1.1 * change[0]


def test_normals_carry_no_pathology():
    drawn = [draw_phantom(6, i, ("Normal_Anatomy",), 28) for i in range(60)]
    assert all(d.parameters["patterns"] == {} for d in drawn)
    assert max(d.parameters["layout"]["heart_ratio"] for d in drawn) < 0.56
    assert max(abs(d.parameters["layout"]["turn"]) for d in drawn) < 3
    assert {d.parameters["layout"]["lean"] for d in drawn} == {0.0}


def test_children_have_wider_hearts_than_adults():
    patients = [sample_patient(9, i) for i in range(300)]
    young = [p.anatomy.heart_ratio for p in patients if p.age < 8]
    grown = [p.anatomy.heart_ratio for p in patients if 20 < p.age < 50]
    assert np.mean(young) > np.mean(grown) + 0.02


def test_what_cannot_be_drawn_is_refused():
    with pytest.raises(BadInput, match="28 to 512"):
        draw_phantom(0, 0, size=20)
    with pytest.raises(BadInput, match="Pleural_Conditions"):
        draw_phantom(0, 0, ("Pleural_Condition",))
    with pytest.raises(BadInput, match="did you mean effusion"):
        draw_phantom(0, 0, {"efusion": 0.5})
    with pytest.raises(BadInput, match="no finding is called 'lateral_view'"):
        draw_phantom(0, 0, {"lateral_view": 0.5})
    with pytest.raises(BadInput, match="both the heart's shape"):
        draw_phantom(0, 0, {"cardiomegaly": 0.5, "globular_heart": 0.5})


def combined(*patterns: str) -> Attributes:
    """A frontal picture of these patterns; each has the same severity and place whatever the others are."""
    signs = (sample_sign(pattern, pattern, np.random.default_rng(2)) for pattern in patterns)
    patient = sample_patient(3, 0)
    return Attributes(tuple(signs), "PA", patient.sex, patient.age)


@pytest.mark.parametrize("pattern", COMBINABLE)
def test_a_pattern_beside_others_changes_its_own_region_and_no_other(pattern):
    """From equal generators the pictures with and without it are alike outside of where it lies when alone."""
    others = [name for name in SEVERAL if name != pattern and {name, pattern} != set(PATTERNS["Cardiac_Findings"])]
    alone, clear, beside, without = (
        picture(combined(*names)).pixels.astype(int) for names in ((pattern,), (), (*others, pattern), others)
    )
    region, change = np.abs(alone - clear) > 2, np.abs(beside - without)
    assert (change[region] > 6).sum() > 12, "seen"
    assert np.mean(change[~region] > 6) < 0.02, "nothing elsewhere"


def test_the_order_of_the_signs_changes_nothing():
    assert np.array_equal(picture(combined(*SEVERAL)).pixels, picture(combined(*reversed(SEVERAL))).pixels)


def test_several_findings_are_present_independently_and_as_often_as_asked():
    asked = {"cardiomegaly": 0.5, "effusion": 0.2, "nodule": 0.5}
    drawn = [set(sample_visit(3, number, asked)[1].findings) for number in range(2000)]
    shown = np.array([[name in one for name in asked] for one in drawn])
    np.testing.assert_allclose(shown.mean(axis=0), list(asked.values()), atol=0.04)
    np.testing.assert_allclose(np.corrcoef(shown, rowvar=False), np.eye(3), atol=0.08)
