"""Whether copies could be found at all: the generator's patients are in the real set, or the reader hears."""

import numpy as np
import pytest

from cxr.data.catalog import CatalogSet
from cxr.data.lineage import hashed_id, pseudonymise, record_lineage
from cxr.data.lineage_key import owner_key
from cxr.data.lineage_lists import NO_LISTS
from cxr.errors import BadInput
from cxr.evaluate.generator import check_generator


@pytest.fixture
def sets(stored_set):
    """`sets(*patients)`: a real set of p0 to p5, the last two in its test part, and one of a model that saw these."""
    parts = ["train"] * 3 + ["validation"] + ["test"] * 2
    pixels = np.zeros((6, 8, 8), np.uint8)

    def make(*patients: str, **metrics: object) -> tuple[CatalogSet, CatalogSet, dict]:
        seen = pseudonymise([hashed_id(name, "") for name in patients], owner_key())
        real = stored_set("real", pixels, split=parts, patient_id=[f"p{row}" for row in range(6)])
        told = metrics or {"lineage": record_lineage((seen,))}
        return real, stored_set("fake", pixels, metrics=told), {seen.commitment: seen}

    return make


def test_a_generator_of_the_set_itself_passes(sets) -> None:
    real, synthetic, lists = sets("p0", "p1", "p2", "p3")
    assert check_generator(real, synthetic, NO_LISTS) == check_generator(real, synthetic, lists)
    assert "are in the real set's training and validation parts" in check_generator(real, synthetic, lists)
    real, synthetic, lists = sets("p0")
    assert "are in the real set's training and validation parts" in check_generator(real, synthetic, lists)


def test_a_generator_of_other_patients_is_refused(sets) -> None:
    real, synthetic, lists = sets("x", "y", "p0", "p5")
    with pytest.raises(BadInput, match=r"of 4 patients .* 3 are not in its training .* \(1 of them in its test part\)"):
        check_generator(real, synthetic, lists)
    real, synthetic, _ = sets(patients_seen=[hashed_id(name, "") for name in ("x", "p0")])  # of version 0.1
    with pytest.raises(BadInput, match=r"of 2 patients .* 1 are not in its training"):
        check_generator(real, synthetic, NO_LISTS)


@pytest.mark.parametrize(
    ("metrics", "why"),
    [
        ({}, "give --lineage"),
        ({"lineage": None}, "not known which patients"),
        ({"sources": ["folder"]}, "not known which patients"),
        ({"lineage": [{"key": "another", "commitment": "c"}]}, "under the key another"),
    ],
)
def test_what_cannot_be_checked_is_told(sets, metrics, why) -> None:
    real, synthetic, _ = sets("x", "y", **metrics)
    said = check_generator(real, synthetic, NO_LISTS)
    assert "could not be checked" in said and "copies of others are not found" in said and why in said


@pytest.mark.parametrize("metrics", [{"lineage": []}, {"patients_seen": []}])
def test_of_a_model_that_saw_nobody_a_reader_hears_what_is_not_looked_through(sets, metrics) -> None:
    real, synthetic, _ = sets(**metrics)
    said = check_generator(real, synthetic, NO_LISTS)
    assert "no patient" in said and "not looked through" in said and "could not be checked" not in said
