"""Linking synthetic pictures to patients: those who are shown are found, strangers are not, and a blind embedder is."""

import numpy as np
import pytest

from cxr.audit.conduct import find_nearest, run_link_test
from cxr.audit.config import AuditConfig
from cxr.audit.exchangeability import Neighbours, compare_nearest
from cxr.audit.reidentify import FOLDS, detectable_links, embed_patients, keep_linked
from cxr.audit.results import AttackResult
from cxr.audit.sets import RealPictures

PATIENTS, EACH, STRANGERS = 150, 3, 400
OWN, OTHER = 20, 20  # features that differ between patients, and that differ more between pictures of one
CONFIG = AuditConfig(permutations=300)


def visits(own: np.ndarray, scatter: float, rng: np.random.Generator) -> np.ndarray:
    """Features of a picture of each of these patients, float32 [N, OWN + OTHER]."""
    seen = own + scatter * rng.normal(size=own.shape)
    return np.hstack([seen, 4 * rng.normal(size=(len(own), OTHER))]).astype(np.float32)


def made_up(scatter: float) -> tuple[np.ndarray, np.ndarray, RealPictures]:
    """Patients as they are, float [P, OWN]; features of the real pictures; and these, half of them of training
    patients, a tenth of validation patients."""
    rng = np.random.default_rng(0)
    own = rng.normal(size=(PATIENTS, OWN))
    parts = np.repeat(["train", "validation", "test"], [70, 15, 65])
    owners = np.repeat(np.arange(PATIENTS), EACH)
    names = np.array([f"patient-{number:03d}" for number in owners])
    real = RealPictures(names, names, np.array(["a", "b"])[owners % 2], parts[owners], np.empty((0, 8, 8)))
    return own, visits(own[owners], scatter, rng), real


def link(synthetic: np.ndarray, features: np.ndarray, real: RealPictures, advance=lambda count: None) -> AttackResult:
    return run_link_test("features", synthetic, features, real, CONFIG, advance)


def test_other_visits_of_training_patients_are_linked_and_strangers_are_not():
    own, features, real = made_up(scatter=0.2)
    rng = np.random.default_rng(1)
    shown = link(visits(own[:40], 0.2, rng), features, real)
    assert shown.verdict == "leak found" and shown.metrics["recall"] > 0.95
    assert shown.metrics["linked"] >= 35 and shown.metrics["share"] > 0.9
    held_out = link(visits(own[90:130], 0.2, rng), features, real)  # of test patients, whom no model was shown
    strangers = link(visits(rng.normal(size=(40, OWN)), 0.2, rng), features, real)
    assert held_out.verdict == strangers.verdict == "no leak found at this power"
    assert held_out.metrics["linked"] >= 35 > strangers.metrics["linked"]


def test_an_embedder_that_cannot_tell_patients_apart_is_no_test():
    own, features, real = made_up(scatter=3.0)
    permuted: list[int] = []
    found = link(visits(own[:40], 3.0, np.random.default_rng(1)), features, real, permuted.append)
    assert found.decision.startswith("not tested, because the embedder links only ")
    assert found.metrics["recall"] < 0.3 and found.metrics["p"] is None and not permuted


def test_patients_with_one_picture_teach_nothing():
    _, features, real = made_up(scatter=0.2)
    first = np.arange(0, len(features), EACH)
    columns = {name: getattr(real, name)[first] for name in ("ids", "patients", "strata", "parts")}
    alone = RealPictures(**columns, pixels=real.pixels)
    found = link(features[:10], features[first], alone)
    assert (
        found.decision == "not tested, because it takes 20 patients with several pictures to learn how patients differ"
    )


def test_strangers_are_called_a_leak_as_seldom_as_the_limit_says():
    """100 sets of pictures of strangers, of which an embedder that links much links some."""
    _, features, real = made_up(scatter=0.5)
    rng, owners = np.random.default_rng(2), np.unique(real.patients, return_inverse=True)[1]
    strangers = visits(rng.normal(size=(3000, OWN)), 0.5, rng)
    vectors = embed_patients(features, owners, strangers, 0.02, rng)
    assert vectors is not None
    found, sides = find_nearest("train", vectors.synthetic, vectors.real, real, rng)
    assert found is not None
    p = []
    for rows in np.split(np.arange(len(strangers)), 100):
        linked = keep_linked(Neighbours(found.patients[rows], found.likeness[rows]), vectors)
        p.append(compare_nearest(linked, sides, 100, 0.01, rng).p)
    assert np.mean(np.array(p) < 0.05) <= 0.12 and 0.35 < np.mean(p) < 0.65


def test_the_threshold_is_passed_by_the_allowed_share_of_strangers():
    _, features, real = made_up(scatter=0.5)
    rng = np.random.default_rng(3)
    owners = np.unique(real.patients, return_inverse=True)[1]
    strangers = visits(rng.normal(size=(STRANGERS, OWN)), 0.5, rng)
    vectors = embed_patients(features, owners, strangers, 0.01, rng)
    assert vectors is not None and vectors.patients == PATIENTS
    assert np.allclose(np.linalg.norm(vectors.real, axis=1), 1)
    assert np.allclose(np.linalg.norm(vectors.synthetic, axis=1), np.sqrt(FOLDS))
    assert 0.005 < (vectors.synthetic @ vectors.real.T > vectors.threshold).mean() < 0.02


@pytest.mark.parametrize(("linked", "recall"), [(0, 0.9), (20, 0.9), (60, 0.8)])
def test_the_power_that_is_told_is_there(linked, recall):
    """Simulated: of so many linked by chance and those that show a training patient."""
    from scipy.stats import binom

    pictures, max_p, rng = 200, 0.01, np.random.default_rng(4)
    shown = round(detectable_links(linked, pictures, recall, max_p) * pictures)
    true = rng.binomial(shown, recall, 4000)
    leaks = binom.sf(true + rng.binomial(linked, 0.5, 4000) - 1, linked + true, 0.5) < max_p
    assert leaks.mean() > 0.72


def test_too_few_pictures_have_no_power():
    assert detectable_links(0, 5, 0.9, 0.01) == np.inf
