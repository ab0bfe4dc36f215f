"""What passes a gate, what does not, and what is said of it."""

import json

import pytest

from cxr.artifact import Made, Record, recipe_digest
from cxr.artifact.metrics import LEAK, NO_LEAK, UNTESTED, AuditMetrics, Verdict
from cxr.nightly.gate import GateMetrics, check_metrics, read_metrics
from cxr.store import Store
from tests.unit.nightly.conftest import CONFIG, judged, metrics, quality

LAST = metrics()
WORST = "prompt accuracy of the worst finding (a b), its lower 95 % bound,"


def failed(found, last=None) -> list[str]:
    return [check.name for check in check_metrics(found, CONFIG, last) if not check.passed]


def test_a_set_within_its_limits_passes() -> None:
    assert failed(metrics()) == failed(metrics(), LAST) == []
    assert (len(check_metrics(metrics(), CONFIG, None)), len(check_metrics(metrics(), CONFIG, LAST))) == (4, 7)


@pytest.mark.parametrize(
    ("changes", "name"),
    [
        ({"excess_distance": 10.01}, "Fréchet distance (tiny), less that of real halves,"),
        ({"worst_accuracy": 0.59}, WORST),
        ({"copy_rate": 0.051}, "share of near-duplicates"),
        ({"beyond_chance": True}, "near-duplicates beyond chance"),
        ({"excess_distance": None}, "Fréchet distance (tiny), less that of real halves,"),
        ({"worst_accuracy": None}, WORST),
        ({"copy_rate": None}, "share of near-duplicates"),
        ({"beyond_chance": None}, "near-duplicates beyond chance"),
    ],
)
def test_a_figure_beyond_its_limit_or_not_measured_fails(changes: dict, name: str) -> None:
    assert failed(metrics(**changes)) == [name]


@pytest.mark.parametrize(
    ("changes", "name"),
    [
        ({"frechet_distance": 25.1}, "Fréchet distance (tiny), times last night's,"),
        ({"prompt_accuracy": 0.69}, "prompt accuracy, less last night's,"),
        ({"copy_rate": 0.045}, "share of near-duplicates, less last night's,"),
    ],
)
def test_a_figure_within_its_limit_but_worse_than_last_night_fails(changes: dict, name: str) -> None:
    assert failed(metrics(**changes)) == []
    assert failed(metrics(**changes), LAST) == [name]


def test_limits_themselves_are_allowed() -> None:
    assert failed(metrics(excess_distance=10.0, worst_accuracy=0.6, copy_rate=0.05)) == []


def test_figures_that_were_measured_otherwise_are_not_compared() -> None:
    worse = metrics(frechet_distance=99.0, measured="otherwise")
    assert failed(worse, LAST) == []
    assert judged("2026-11-02", frechet_distance=99.0).last == ""


def test_the_verdict_says_which_gate_failed_and_why() -> None:
    assert judged("2026-11-02").decision == "night 2026-11-02 passed its gate, unaudited"
    assert judged("2026-11-02", worst_accuracy=0.413).decision == (
        f"night 2026-11-02 failed its gate: {WORST} is 0.413, at least 0.6 is allowed"
    )
    assert f"{WORST} was not measured" in judged("2026-11-02", worst_accuracy=None).decision


def test_a_night_passes_only_without_a_leak_and_one_without_an_audit_is_called_unaudited() -> None:
    quiet = judged("2026-11-02", audit="no leak found at this power", leaks=0)
    assert quiet.decision == "night 2026-11-02 passed its gate"
    leaking = judged("2026-11-02", audit="leak found", leaks=2)
    assert leaking.decision.endswith("failed its gate: number of leaks that the audit found is 2, at most 0 is allowed")
    untested = judged("2026-11-02", audit="not tested", leaks=None)
    assert untested.decision.endswith("failed its gate: number of leaks that the audit found was not measured, at most "
                                      "0 is allowed")  # fmt: skip


def audit_record(verdict: Verdict, *tests: Verdict) -> Record:
    found = AuditMetrics(
        verdict=verdict, risks={}, tests={f"test {number}": one for number, one in enumerate(tests)}, summary=[]
    )
    made = Made(count=1, bytes=1, digest="")
    return Record(
        kind="audit", recipe={}, recipe_digest=recipe_digest({}), made=made, objects=[], metrics=found.write()
    )


def evaluated(store: Store, recipe: dict, audit: Record | None = None, **changes) -> GateMetrics:
    store.put("quality.json", quality(**changes))
    made = Made(count=1, bytes=1, digest="")
    return read_metrics(
        store,
        Record(kind="evaluation", recipe=recipe, recipe_digest=recipe_digest(recipe), made=made, objects=[]),
        audit,
    )


def test_metrics_are_those_of_the_evaluation(store: Store) -> None:
    found = evaluated(store, {"real": "a", "synthetic": "b", "size": 64})
    assert (found.frechet_distance, found.excess_distance, found.prompt_accuracy, found.copy_rate) == (
        20.0,
        16.0,
        0.8,
        0.01,
    )
    assert not found.beyond_chance and found.extractor == "tiny"
    assert evaluated(store, {}, agreement=None).prompt_accuracy is None
    assert evaluated(store, {}, frechet=float("nan")).frechet_distance is None


def test_leaks_are_the_tests_of_the_audit_that_found_one(store: Store) -> None:
    found = evaluated(store, {}, audit_record(LEAK, LEAK, NO_LEAK, UNTESTED, LEAK))
    assert (found.audit, found.leaks) == ("leak found", 2)
    assert evaluated(store, {}, audit_record(NO_LEAK, NO_LEAK, UNTESTED)).leaks == 0
    assert evaluated(store, {}, audit_record(UNTESTED, UNTESTED)).leaks is None
    assert evaluated(store, {}).audit is None


def test_a_gate_judges_the_worst_finding_not_all_together(store: Store) -> None:
    """Five findings that are always seen and five that never are pass 0.5 together."""
    bounds = {**{f"seen_{n}": 0.86 for n in range(5)}, **{f"missed_{n}": 0.0 for n in range(5)}}
    found = evaluated(store, {}, agreement=0.5, findings=bounds)
    assert (found.worst_finding, found.worst_accuracy) == ("missed_0", 0.0)
    lax = CONFIG.model_copy(update={"max_excess_distance": 100, "min_prompt_accuracy": 0.5})
    assert [check.name for check in check_metrics(found, lax, None) if not check.passed] == [
        WORST.replace("a b", "missed 0")
    ]


def test_copies_that_could_not_be_told_fail_the_gate_as_not_measured(store: Store) -> None:
    found = evaluated(store, {}, copies=None, frechet=9.0)
    assert (found.copy_rate, found.beyond_chance) == (None, None)
    assert failed(found) == ["share of near-duplicates", "near-duplicates beyond chance"]
    assert all("was not measured" in str(check) for check in check_metrics(found, CONFIG, None) if not check.passed)


def test_a_night_of_version_0_1_can_still_be_read_and_is_not_compared_with() -> None:
    old = {"extractor": "tiny", "measured": "x", "frechet": 20.0, "distance": 5.0, "agreement": 0.8, "copies": 0.01}
    last = GateMetrics.model_validate({**old, "beyond_chance": False})
    assert (last.distance_quotient, last.excess_distance, last.worst_accuracy) == (5.0, None, None)
    assert len(check_metrics(metrics(), CONFIG, last)) == 4
    assert json.loads(last.model_dump_json()).items() >= old.items()


def test_another_set_is_measured_alike_and_another_size_is_not(store: Store) -> None:
    recipes = [{"real": "a", "size": 64}, {"real": "b", "size": 64}, {"real": "a", "size": 128}]
    first, other_set, other_size = (evaluated(store, recipe).measured for recipe in recipes)
    assert first == other_set != other_size
    assert evaluated(store, recipes[0], against="all").measured != first
