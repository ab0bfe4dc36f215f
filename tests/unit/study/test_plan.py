"""A plan: what a pilot of the baseline promises, and that the study goes on from it. Ray is not started."""

import contextlib
import importlib
import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from cxr import cli, cluster
from cxr.data.catalog import CatalogSet
from cxr.errors import BadInput
from cxr.store import open_store
from cxr.study.config import BASELINE, StudyConfig
from cxr.study.influence import MetricWithInfluence
from cxr.study.job import StudyJob, begin, pending_trials, prepare
from cxr.study.plan import Pilot, expected, make_plan, plan_table, read_pilot
from cxr.study.protocol_words import describe_settings
from cxr.study.statistics import LEVEL
from tests.unit.study.test_null_studies import Design, measured

PILOT = Pilot([1, 2, 3], [0.9, 0.91, 0.92], 0.01, 0.02, 200, 0.01, 60.0, "cpu")


def test_more_seeds_and_patients_find_less_and_cost_more():
    plan = make_plan(StudyConfig(), PILOT)
    by = {(one.seeds, one.patients): one for one in plan.choices}
    assert by[3, 200].primary > by[5, 200].primary > by[20, 200].primary > by[20, 800].primary
    assert all(one.others > one.primary for one in plan.choices)
    assert by[5, 200].hours == pytest.approx(60 * 5 * len(StudyConfig().arms) / 3600)
    assert by[20, 800].power > by[5, 200].power > 0.03
    found = expected(PILOT, 5, 200)
    assert found.power(by[5, 200].primary, LEVEL) == pytest.approx(0.8, abs=1e-3)
    assert (plan.primary, plan.against, plan.margin, plan.effect) == ("synth_100", BASELINE, None, 0.02)
    assert make_plan(StudyConfig(margin=0.01), PILOT).effect == 0.01
    head, rows = plan_table(plan)
    assert head[4] == "power for 0.02" and rows[0][:2] == ["3", "200"] and len(rows) == 15


def test_a_pilot_takes_its_scatter_for_more_than_it_shows():
    rng = np.random.default_rng(0)
    aurocs = {seed: MetricWithInfluence(0.9 + seed / 100, rng.normal(0, 0.001, 50), 50.0) for seed in range(3)}
    pilot = read_pilot(aurocs, [10.0, 20.0, 30.0], 50, "cpu")
    assert (pilot.sd, pilot.sd_at_most) == (pytest.approx(0.01), pytest.approx(0.0212, abs=1e-4))
    assert pilot.seconds == 20 and pilot.patients_sd == pytest.approx(0.001 * np.sqrt(2 * 50), rel=0.15)
    with pytest.raises(BadInput, match="fewer than two trials of the baseline"):
        read_pilot({1: aurocs[1]}, [1.0], 50, "cpu")


def test_a_plan_keeps_its_promise_of_power_in_four_of_five_pilots():
    """Simulated: what a pilot of three seeds says of the error of a difference with five, and what it is."""
    rng, design = np.random.default_rng(0), Design(arms=2, seeds=5, arm_sd=0.0)
    away, promised = [], []
    for _ in range(120):
        values, components, patients = measured(design, rng)
        away.append(float((values[1] - values[0]).mean()))
        first = {
            seed: MetricWithInfluence(values[0, seed], components[0, seed], patients[0, seed]) for seed in range(3)
        }
        promised.append(expected(read_pilot(first, [1.0], design.patients, "cpu"), 5, design.patients).error)
    assert 0.7 < np.mean(np.array(promised) >= np.std(away)) <= 1.0


@pytest.fixture
def job(monkeypatch: pytest.MonkeyPatch):
    """The command, whose trials run in this process."""

    def run_here(trials, threads: int, gpus: float, shared) -> Iterator[dict]:
        for trial in trials:
            told: list[dict] = []
            trial(told.append, *shared)
            yield from told

    monkeypatch.setattr(cluster, "session", lambda *given, **named: contextlib.nullcontext())
    monkeypatch.setattr(cluster, "share", lambda *values: list(values))
    monkeypatch.setattr(cluster, "run_trials", run_here)
    return importlib.import_module("cxr.jobs.study")


def test_the_study_goes_on_from_its_plan_with_seeds_of_its_own(
    job, real_set: CatalogSet, synthetic_set: CatalogSet, tmp_path: Path, capsys
) -> None:
    out = tmp_path / "out"
    words = ["tiny", "--real", real_set.store.uri, "--synthetic", synthetic_set.store.uri, "--out", str(out),
             "--resize", "32", "--size", "32", "--epochs", "2", "--allow-unchecked-copies", "--only", "synth_100",
             "--min-prompt-accuracy", "0"]  # fmt: skip

    def planned(*more: str) -> None:
        job.main(cli.parse(job.Args, [*words, "--seeds", "1,2,3,4,5", "--plan", *more]))

    with pytest.raises(BadInput, match="--plan: this study has one arm"):
        job.main(cli.parse(job.Args, ["mnist28", "--real", real_set.store.uri, "--out", str(out), "--plan"]))
    assert not out.exists()
    planned()
    told = capsys.readouterr().out
    assert "primary comparison synth_100 less baseline; margin none" in told and "| seeds | test patients |" in told
    trials = {path: path.read_bytes() for path in out.rglob("result.json")}
    assert {path.parent.relative_to(out / "trials").as_posix() for path in trials} == {f"{BASELINE}/{s}" for s in "123"}
    assert json.loads((out / "plan.json").read_text())["primary"] == "synth_100"
    planned()  # nothing is trained again
    assert {path: path.read_bytes() for path in trials} == trials
    with pytest.raises(BadInput, match=r"the plan at .* stays as it is: margin none was planned, not 0.01"):
        planned("--margin", "0.01")

    def prepared(*more: str) -> StudyJob:
        config = job.build_config(cli.parse(job.Args, [*words, "--seeds", "1,2,3,4,5,6,7,8", *more]))
        return prepare(open_store(str(out)), config, real_set, synthetic_set, None, None)

    ready = prepared()
    assert describe_settings(ready)["plan"].endswith("metric AUROC, margin none; the analysis keeps to it")
    left = describe_settings(prepared("--margin", "0.01"))["plan"]
    assert left.endswith("left where margin none was planned, not 0.01")
    assert len(pending_trials(ready, 1)) == len(ready.names) - 3
    begin(ready)
    assert prepared().digest == ready.digest
    with pytest.raises(BadInput, match="choose another --out"):
        prepared("--margin", "0.01")
    with pytest.raises(BadInput, match=r"--plan: the study at .* has begun"):
        job.main(cli.parse(job.Args, [*words, "--seeds", "1,2,3,4,5,6,7,8", "--plan"]))
