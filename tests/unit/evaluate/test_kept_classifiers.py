"""A classifier of the real set is trained once: whoever asks for the same one again gets it from where it is kept."""

import numpy as np
import pytest

from cxr.classify import best_of
from cxr.classify.best_of import count_steps, train_best_of
from cxr.classify.task import OneFinding, SeveralFindings
from cxr.errors import BadInput
from cxr.evaluate import kept_classifiers
from cxr.evaluate.kept_classifiers import KeptClassifiers
from cxr.evaluate.worker import Earlier
from cxr.store import Store, open_store, sha256

TASK, SEED = OneFinding(2), 3


@pytest.fixture(autouse=True)
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in (("TRIES", 1), ("EPOCHS", 2), ("FEW_SEEN", 1)):
        monkeypatch.setattr(best_of, name, value)


@pytest.fixture(scope="module")
def parts() -> tuple[tuple[np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray]]:
    def part(seed: int, count: int) -> tuple[np.ndarray, np.ndarray]:
        rng = np.random.default_rng(seed)
        labels = np.arange(count) % 2
        return (rng.integers(0, 90, (count, 32, 32)) + 80 * labels[:, None, None]).astype(np.uint8), labels

    return part(0, 64), part(1, 20)


def kept_in(store: Store, kept: KeptClassifiers) -> Earlier:
    """A finished evaluation that has them."""
    for key, data in kept.found.items():
        store.put(key, data)
    return Earlier(store, {}, {key: sha256(data) for key, data in kept.found.items()})


def test_it_is_trained_once_and_then_taken_from_where_it_is_kept(parts, tmp_path, monkeypatch) -> None:
    first, steps = KeptClassifiers(open_store(str(tmp_path / "new")), None), []
    predict = first.train(parts[0], parts[1], TASK, SEED, steps.append)
    expected = train_best_of(parts[0], parts[1], TASK, SEED)(parts[1][0])
    assert np.array_equal(predict(parts[1][0]), expected) and sum(steps) == count_steps(64)

    earlier = kept_in(open_store(str(tmp_path / "earlier")), first)
    monkeypatch.setattr(kept_classifiers, "train_best", lambda *_: pytest.fail("it is trained again"))
    steps.clear()
    again = KeptClassifiers(open_store(str(tmp_path / "other")), earlier)
    assert np.array_equal(again.train(parts[0], parts[1], TASK, SEED, steps.append)(parts[1][0]), expected)
    assert again.found == first.found and sum(steps) == count_steps(64)
    begun = KeptClassifiers(earlier.store, None)  # as after a crash
    assert np.array_equal(begun.train(parts[0], parts[1], TASK, SEED, steps.append)(parts[1][0]), expected)


@pytest.mark.parametrize("change", ["pixels", "labels", "seed", "task", "validation"])
def test_one_that_would_come_out_otherwise_is_another(parts, change: str) -> None:
    (pixels, labels), validation = parts
    config = best_of.best_of_config(len(pixels), 32)
    key = kept_classifiers.classifier_key((pixels, labels), validation, config, TASK, SEED)
    pixels, labels = pixels.copy(), labels.copy()
    pixels[0, 0, 0] += change == "pixels"
    labels[0] += change == "labels"
    if change == "validation":
        validation = validation[0][:-1], validation[1][:-1]
    task = SeveralFindings(2) if change == "task" else TASK
    changed = kept_classifiers.classifier_key((pixels, labels), validation, config, task, SEED + (change == "seed"))
    assert key.startswith("classifiers/") and changed != key


def test_what_is_not_what_its_record_names_is_refused_and_half_a_file_of_ours_is_made_anew(parts, tmp_path) -> None:
    first = KeptClassifiers(open_store(str(tmp_path / "new")), None)
    first.train(parts[0], parts[1], TASK, SEED, lambda count: None)
    earlier = kept_in(open_store(str(tmp_path / "earlier")), first)
    (key,) = first.found
    earlier.store.put(key, first.found[key][:-4] + b"else")
    with pytest.raises(BadInput, match=f"{key} is not what its record names"):
        KeptClassifiers(open_store(str(tmp_path / "other")), earlier).train(
            parts[0], parts[1], TASK, SEED, lambda count: None
        )
    own = open_store(str(tmp_path / "own"))
    own.put(key, first.found[key][:100])
    anew = KeptClassifiers(own, None)
    anew.train(parts[0], parts[1], TASK, SEED, lambda count: None)
    assert anew.found == first.found
