"""What passes a gate, what does not, and what is said of it."""

import pytest

from cxr.nightly.gate import judge, read_figures
from cxr.store import Made, Record, Store, recipe_digest
from tests.unit.nightly.conftest import CONFIG, figures, judged, quality

LAST = figures()


def failed(found, last=None) -> list[str]:
    return [check.name for check in judge(found, CONFIG, last) if not check.passed]


def test_a_set_within_its_limits_passes() -> None:
    assert failed(figures()) == failed(figures(), LAST) == []
    assert (len(judge(figures(), CONFIG, None)), len(judge(figures(), CONFIG, LAST))) == (4, 7)


@pytest.mark.parametrize(
    ("changes", "name"),
    [
        ({"distance": 10.01}, "Fréchet distance (tiny), times that of real halves,"),
        ({"agreement": 0.59}, "agreement with what was asked"),
        ({"copies": 0.051}, "share of copies"),
        ({"beyond_chance": True}, "copies beyond chance"),
        ({"distance": None}, "Fréchet distance (tiny), times that of real halves,"),
        ({"agreement": None}, "agreement with what was asked"),
    ],
)
def test_a_figure_beyond_its_limit_or_not_measured_fails(changes: dict, name: str) -> None:
    assert failed(figures(**changes)) == [name]


@pytest.mark.parametrize(
    ("changes", "name"),
    [
        ({"frechet": 25.1}, "Fréchet distance (tiny), times last night's,"),
        ({"agreement": 0.69}, "agreement, less last night's,"),
        ({"copies": 0.045}, "share of copies, less last night's,"),
    ],
)
def test_a_figure_within_its_limit_but_worse_than_last_night_fails(changes: dict, name: str) -> None:
    assert failed(figures(**changes)) == []
    assert failed(figures(**changes), LAST) == [name]


def test_limits_themselves_are_allowed() -> None:
    assert failed(figures(distance=10.0, agreement=0.6, copies=0.05)) == []


def test_figures_that_were_measured_otherwise_are_not_compared() -> None:
    worse = figures(frechet=99.0, measured="otherwise")
    assert failed(worse, LAST) == []
    assert judged("2026-11-02", frechet=99.0).last == ""


def test_the_verdict_says_which_gate_failed_and_why() -> None:
    assert judged("2026-11-02").verdict == "night 2026-11-02 passed its gate"
    assert judged("2026-11-02", agreement=0.413).verdict == (
        "night 2026-11-02 failed its gate: agreement with what was asked is 0.413, at least 0.6 is allowed"
    )
    assert "agreement with what was asked was not measured" in judged("2026-11-02", agreement=None).verdict


def evaluated(store: Store, recipe: dict, **changes) -> object:
    store.put("quality.json", quality(**changes))
    made = Made(count=1, bytes=1, digest="")
    return read_figures(
        store, Record(kind="evaluation", recipe=recipe, recipe_digest=recipe_digest(recipe), made=made, objects=[])
    )


def test_figures_are_those_of_the_evaluation(store: Store) -> None:
    found = evaluated(store, {"real": "a", "synthetic": "b", "size": 64})
    assert (found.frechet, found.distance, found.agreement, found.copies) == (20.0, 5.0, 0.8, 0.01)
    assert not found.beyond_chance and found.extractor == "tiny"
    assert evaluated(store, {}, agreement=None).agreement is None
    assert (
        evaluated(store, {}, floor=0.0).distance is None and evaluated(store, {}, frechet=float("nan")).frechet is None
    )


def test_another_set_is_measured_alike_and_another_size_is_not(store: Store) -> None:
    recipes = [{"real": "a", "size": 64}, {"real": "b", "size": 64}, {"real": "a", "size": 128}]
    first, other_set, other_size = (evaluated(store, recipe).measured for recipe in recipes)
    assert first == other_set != other_size
