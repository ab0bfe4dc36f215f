"""Every job from begin to record, without Ray, on a store that says what is done to it."""

import pickle
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from unittest.mock import patch

import numpy as np
import pytest

from cxr import recipes
from cxr.artifact import Artifact, Record
from cxr.data.catalog import CatalogSet, read_set
from cxr.data.labels import Labels
from cxr.data.sources import SourceRow
from cxr.evaluate.finish import EvaluateJob
from cxr.store import StoredObject, open_store
from cxr.store.base import Data
from cxr.store.local import LocalStore
from tests.integration.whole_jobs.test_evaluation import CONFIG, brighter, sets  # noqa: F401
from tests.unit.evaluate.conftest import grid_extractor, made_pictures  # noqa: F401 - fixtures
from tests.unit.finetune.conftest import make_set
from tests.unit.generate.test_filtered import draw_judge, filter_config, store_units
from tests.unit.labs.gan.conftest import SMALL, draw_bars
from tests.unit.study.conftest import real_set  # noqa: F401

Operation = tuple[str, str]  # of a store, and the key or prefix


@dataclass(frozen=True)
class Driver:
    """A prepared job, and the work that the command gives to `Artifact.make`."""

    artifact: Artifact
    work: Callable[[], Record]


Prepare = Callable[[LocalStore, float], Driver]  # of a place; the seconds are what this driver's record says it took


@dataclass(frozen=True)
class WatchedStore(LocalStore):
    """Remembers every operation; `before` is called with its number before it is done."""

    before: Callable[[int], None] = lambda number: None
    seen: list[Operation] = field(default_factory=list)

    def _note(self, operation: str, key: str) -> None:
        self.seen.append((operation, key))
        self.before(len(self.seen) - 1)

    def put(self, key: str, data: Data) -> StoredObject:
        self._note("put", key)
        return super().put(key, data)

    def put_if_absent(self, key: str, data: bytes) -> bool:
        self._note("put_if_absent", key)
        return super().put_if_absent(key, data)

    def get(self, key: str) -> bytes:
        self._note("get", key)
        return super().get(key)

    def read_back(self, key: str) -> StoredObject:
        self._note("read_back", key)
        return super().read_back(key)

    def list(self, prefix: str = ""):
        self._note("list", prefix)
        return super().list(prefix)


def prepare_ingest(store: LocalStore, seconds: float, folder: Path) -> Driver:
    from cxr.data.images import encode_png
    from cxr.embedded.phantoms import draw_phantom
    from cxr.ingest import finish, job
    from cxr.ingest.config import IngestConfig
    from cxr.prompts.findings import BINARY

    files = [encode_png(draw_phantom(7, number, BINARY, 64).pixels) for number in range(24)]
    rows = [
        SourceRow(f"{n}.png", partial(bytes, file), Labels.only(BINARY[n % 2]), patient_id=f"p{n}")
        for n, file in enumerate(files)
    ]
    config = IngestConfig(size=64, unit_images=8, folds=2)
    ready = job.prepare(store, config, rows, folder)

    def work() -> Record:
        pending, watch = job.begin(ready)
        take = job.IngestWorker(store, config, BINARY)
        for unit in pending:
            watch.add(take(unit, ready.read_rows(unit)))
        return finish.complete(ready, {"total": seconds}, lambda line: None)

    return Driver(ready, work)


def prepare_finetune(store: LocalStore, seconds: float, model: Path, data: CatalogSet) -> Driver:
    from cxr.finetune import finish, job
    from cxr.finetune.config import FinetuneConfig
    from cxr.finetune.worker import FinetuneWorker

    few = {"validation_images": 2, "test_images": 2, "sampling_steps": 1}
    config = FinetuneConfig(model=str(model), size=64, batch=4, max_train_steps=2, validate_every=1, **few)
    ready = job.prepare(store, data, config, lambda line: None)

    def work() -> Record:
        ready.begin(ready.plan)
        for run in ready.runs:
            places = {"store": store, "data": data.store, "distance": lambda: lambda a, b: 0.0}
            FinetuneWorker(config=config, recipe=ready.recipe, run=run, threads=1, **places)(lambda told: None)
        return finish.complete(ready, {"total": seconds})

    return Driver(ready, work)


def prepare_generate(store: LocalStore, seconds: float, model: Path, folder: Path) -> Driver:
    from cxr.generate import job
    from cxr.generate.plan import PlanReader
    from cxr.prompts.lists import PromptRow

    config = recipes.replace_fields(recipes.tiny(), model=str(model), size=64, batch=2)
    ready = job.prepare(store, config, [PromptRow("clear lungs", "normal", "", 6, None)], folder, lambda line: None)

    def work() -> Record:
        pending = job.begin(ready, retry_failed=False).pending
        reader, keep = PlanReader(ready.plan.path, 2), job.UnitWriter(store, "folder", job.provenance(ready))
        for unit in pending.to_pylist():
            keep(unit, reader.rows(unit), np.full((2, 64, 64), unit, np.uint8), "")
        return job.complete(ready, "CPU", {"total": seconds})

    return Driver(ready, work)


def prepare_filter(store: LocalStore, seconds: float, model: Path, folder: Path, judge: CatalogSet) -> Driver:
    from cxr.evaluate.judge import without_test_part
    from cxr.generate import filtered, job, quota

    ready = job.prepare(
        store, filter_config(model), None, folder, lambda line: None, without_test_part(judge), "e" * 64
    )  # fmt: skip

    def work() -> Record:
        job.begin(ready, retry_failed=False)
        runs = quota.units_by_finding(ready.plan)
        while todo := quota.next_units(runs, filtered.count_accepted(store), (), 2, 2):
            store_units(ready, *todo)
        return job.complete(ready, "CPU", {"total": seconds})

    return Driver(ready, work)


def prepare_evaluate(store: LocalStore, seconds: float, data: tuple[CatalogSet, CatalogSet], seen: tuple) -> Driver:
    from cxr.evaluate import conclude, finish, worker

    extractor, known, classifier = seen
    ready = finish.prepare(store, CONFIG, "w" * 64, *data)

    def work() -> Record:
        finish.begin(ready)
        units = worker.units_of(ready, 60)
        look = worker.EvaluateWorker(store, "tiny", CONFIG.size, 1, None)
        with patch("cxr.evaluate.worker.extractor_here", lambda spec: extractor):
            for number, unit in enumerate(worker.pending(store, [*units.real, *units.synthetic])):
                look(number, pickle.dumps(unit), known.index, brighter)
        with patch("cxr.evaluate.conclude.plots.draw_plots", lambda *given: {}):
            found = conclude.conclude(ready, units, ("a", "b"), known, classifier, extractor, [], lambda count: None)
        return finish.complete(ready, found, "cpu", {"total": seconds})

    return Driver(ready, work)


def prepare_quarantine(store: LocalStore, seconds: float, evaluation: EvaluateJob) -> Driver:
    from cxr.evaluate.finish import read_flagged
    from cxr.evaluate.quarantine import prepare, without_copies

    ready = prepare(store, evaluation, evaluation.real, evaluation.synthetic, "")
    return Driver(ready, lambda: without_copies(ready, read_flagged(evaluation), [], lambda count: None))


def prepare_study(store: LocalStore, seconds: float, real: CatalogSet) -> Driver:
    from cxr.classify.config import ClassifyConfig
    from cxr.study import finish, job
    from cxr.study.config import BASELINE, Arm, StudyConfig
    from cxr.study.sets import load

    classifier = ClassifyConfig(network="cnn", resize=32, size=32, epochs=1, batch=8)
    config = StudyConfig(arms=(Arm(name=BASELINE),), seeds=(1, 2), resamples=100, classifier=classifier)
    ready = job.prepare(store, config, real, None, None, None)

    def work() -> Record:
        pixels = load(ready.sets, ready.used, 32, lambda count: None)
        job.begin(ready)
        for run in job.pending_trials(ready, 1):
            run(lambda told: None, pixels, ready.sets.labels[ready.used])
        with patch("cxr.study.finish.plots.draw", lambda study: {}):
            return finish.complete(ready, *finish.write_report(ready), {"total": seconds})

    return Driver(ready, work)


def prepare_gan(store: LocalStore, seconds: float, pixels: np.ndarray) -> Driver:
    from cxr.labs.gan import finish, job
    from cxr.labs.gan.config import GanConfig
    from cxr.labs.gan.real import Real

    splits = np.array(["train"] * 48 + ["validation"] * 16 + ["test"] * 16)
    real = Real(pixels, np.arange(80) % 2, splits, ("lying", "standing"), "digest", "bars", "CC0", ["bars"])
    ready = job.prepare(store, GanConfig(**SMALL), real)

    def work() -> Record:
        job.begin(ready)
        lenet = job.read_lenet(ready) or job.train_lenet(ready, lambda figures: None)
        run = job.train_gan(ready, lenet, lambda figures: None)
        return finish.complete(ready, run, lenet, lambda *pair: 0.5, {"total": seconds}, lambda: None)

    return Driver(ready, work)


@pytest.fixture(scope="module")
def prepare_evaluation(sets, grid_extractor) -> Prepare:  # noqa: F811
    from cxr.evaluate.calibration import calibrate
    from cxr.evaluate.label_classifier import Classifiers, train_label_classifier
    from cxr.evaluate.sets import load_images

    real = load_images(sets[0], CONFIG, lambda count: None)
    rng = np.random.default_rng(0)
    found = train_label_classifier(real, real.labels, True, ("a", "b"), lambda *parts: brighter, rng)
    classifier = Classifiers(found, None)
    seen = grid_extractor, calibrate(real, 100, np.random.default_rng(0)), classifier
    return partial(prepare_evaluate, data=sets, seen=seen)


@pytest.fixture(scope="module")
def prepare(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Prepare:
    """That of the job whose name is the parameter."""
    given, folder = request.getfixturevalue, tmp_path_factory.mktemp("job")
    match request.param:
        case "ingest":
            return partial(prepare_ingest, folder=folder)
        case "finetune":
            data = read_set(make_set(folder))
            return partial(prepare_finetune, model=given("random_model"), data=data)
        case "generate":
            return partial(prepare_generate, model=given("random_model"), folder=folder)
        case "filter":
            return partial(
                prepare_filter, model=given("random_model"), folder=folder, judge=draw_judge(given("stored_set"))
            )
        case "evaluate":
            return given("prepare_evaluation")
        case "quarantine":
            evaluation = given("prepare_evaluation")(open_store(str(folder)), 1.0)
            evaluation.artifact.make(evaluation.work)
            return partial(prepare_quarantine, evaluation=evaluation.artifact)
        case "study":
            return partial(prepare_study, real=given("real_set"))
        case _:
            return partial(prepare_gan, pixels=draw_bars(80))
