"""Distillation: a student ends where its teacher does, in fewer steps; whoever trains it, however often it stops."""

import copy
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from diffusers import DDIMScheduler, DDPMScheduler
from torch import nn

from cxr.artifact.metrics import FewSteps
from cxr.data.lineage import PHANTOM
from cxr.diffusion.first_order import CLEAN, FirstOrder, trailing_levels
from cxr.diffusion.lora_files import read_lora
from cxr.diffusion.stable_diffusion import StableDiffusion
from cxr.errors import BadInput
from cxr.finetune import finish, job, runs
from cxr.finetune.config import TEACHER_STEPS, FinetuneConfig
from cxr.finetune.distill import (
    JumpSchedule,
    Trajectories,
    draw_noise,
    follow_student,
    follow_teacher,
    landing_distance,
    stage_of,
)
from cxr.finetune.distill_worker import DistillTrainer, DistillWorker
from cxr.finetune.loop import load_checkpoint, save_checkpoint
from cxr.ranks import Ranks
from cxr.weights import resolve, resolve_lora
from cxr.weights.kinds import LORA_FILE

SMALL = {"size": 64, "method": "distill", "steps": 4, "batch": 4, "noises": 16, "max_train_steps": 4, "guidance": 4.0}
CAPTIONS = ["no bars", "many bars", "a chest with one bar", "bars"]


@pytest.fixture
def teacher(miniature: StableDiffusion) -> StableDiffusion:
    """The miniature, to be changed: its text matters more than in random weights."""
    model = StableDiffusion(copy.deepcopy(miniature.pipe))
    for name, weight in model.pipe.unet.named_parameters():
        if "attn2.to_out" in name or "attn2.to_v" in name:
            weight.data *= 6
    return model


def paths_of(model: StableDiffusion, config: FinetuneConfig, part: str = "train", count: int = 16) -> Trajectories:
    captions = [CAPTIONS[number % len(CAPTIONS)] for number in range(count)]
    noise = draw_noise(config, part, range(count), model.latent_shape(64, 64))
    return Trajectories(follow_teacher(model, captions, noise, config.guidance, torch.float32), captions)


class Plane:
    """A model whose pictures are points, [B, 1, 1, 2]: its captions pull them to different places."""

    timesteps, device, text_is_frozen = 1000, torch.device("cpu"), True

    def __init__(self) -> None:
        with torch.random.fork_rng():
            torch.manual_seed(1)
            self.net = nn.Sequential(nn.Linear(6, 64), nn.Tanh(), nn.Linear(64, 2))
        self.net[0].weight.data *= 3
        self.networks = (self.net,)
        self.first_order = FirstOrder(DDPMScheduler(prediction_type="v_prediction"))

    def make_trainable(self, config, lora_seed):
        return dict(self.net.named_parameters())

    def encode_texts(self, texts):
        return torch.tensor([[0.0, 0.0] if not text else [1.0, float(CAPTIONS.index(text))] for text in texts])

    def predict_velocity(self, latents, levels, states):
        angles = self.first_order.angles[levels]
        told = torch.cat([latents.flatten(1), angles.cos()[:, None], angles.sin()[:, None], states], 1)
        return self.net(told).view(-1, 1, 1, 2)


def follow(model, config: FinetuneConfig, part: str, count: int) -> Trajectories:
    captions = [CAPTIONS[number % len(CAPTIONS)] for number in range(count)]
    noise = draw_noise(config, part, range(count), (1, 1, 2))
    return Trajectories(follow_teacher(model, captions, noise, config.guidance, torch.float32), captions)


@pytest.mark.parametrize(("few", "guidance"), [(4, 3.0), (2, 1.0)])
def test_a_student_ends_where_its_teacher_does_and_goes_by_captions_as_it(few: int, guidance: float) -> None:
    """From noises that it has not seen; the undistilled model does not."""
    settings = {"steps": few, "noises": 256, "batch": 32, "max_train_steps": 250, "learning_rate": 5e-3}
    config, model = FinetuneConfig(**SMALL | settings | {"guidance": guidance}), Plane()
    paths, held_out = (follow(model, config, part, count) for part, count in (("train", 256), ("validation", 64)))
    start, wanted = (torch.from_numpy(held_out.latents[:, at]) for at in (0, -1))
    before = (
        landing_distance(model, held_out, few, 64),
        by_caption(follow_student(model, held_out.captions, start, few)),
    )
    trainer = DistillTrainer(model, config, paths)
    while not trainer.finished:
        trainer.step()
    after = landing_distance(model, held_out, few, 64), by_caption(follow_student(model, held_out.captions, start, few))
    assert after[0] < 0.15 * before[0]
    far = [(means - by_caption(wanted)).abs().max() for means in (before[1], after[1])]
    assert far[1] < 0.3 < far[0]


def by_caption(ends: torch.Tensor) -> torch.Tensor:
    """Means, [4, 2]."""
    points = ends.detach().flatten(1)
    return torch.stack([points[number :: len(CAPTIONS)].mean(dim=0) for number in range(len(CAPTIONS))])


def test_a_velocity_that_is_needed_lands_where_it_was_needed_for() -> None:
    steps = FirstOrder(DDPMScheduler(prediction_type="v_prediction"))
    generator = torch.Generator().manual_seed(0)
    latents, landing = torch.randn((2, 3, 4, 8, 8), generator=generator)
    here, there = torch.tensor([999, 499, 124]), torch.tensor([749, 249, CLEAN])
    velocity = steps.needed_velocity(latents, here, there, landing)
    torch.testing.assert_close(steps.step(latents, here, there, velocity), landing, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("prediction", ["epsilon", "v_prediction"])
def test_steps_are_those_of_the_solver_that_samples(prediction: str) -> None:
    settings = {"prediction_type": prediction, "beta_schedule": "scaled_linear"}
    ours, theirs = FirstOrder(DDPMScheduler(**settings)), DDIMScheduler(
        **settings, timestep_spacing="trailing", clip_sample=False
    )  # fmt: skip
    theirs.set_timesteps(4)
    assert trailing_levels(4, 1000) == [*theirs.timesteps.tolist(), CLEAN]
    noise = torch.randn((1, 4, 8, 8), generator=torch.Generator().manual_seed(0))
    stepped = noise
    for level in theirs.timesteps:
        stepped = theirs.step(stepped.sin(), level, stepped).prev_sample
    followed = ours.follow(
        noise, trailing_levels(4, 1000), lambda x, levels: ours.velocity(x, levels, x.sin())
    )  # fmt: skip
    torch.testing.assert_close(followed[:, -1], stepped, atol=1e-4, rtol=1e-4)


def test_half_as_many_steps_stop_at_every_second_level() -> None:
    for steps in (16, 8, 4, 2):
        assert trailing_levels(steps, 1000)[::2] == trailing_levels(steps // 2, 1000)


def test_each_stage_asks_for_steps_twice_as_long() -> None:
    assert [stage_of(step, 9, 2) for step in range(9)] == [8] * 3 + [4] * 3 + [2] * 3
    assert {stage_of(step, 5, 8) for step in range(5)} == {8} and stage_of(4, 5, 1) == 1
    schedule = JumpSchedule(FinetuneConfig(**SMALL), CAPTIONS, 10)
    first, last = schedule.batch(0, range(4)), schedule.batch(9, range(4))
    assert (first.length, last.length) == (2, 4) and sorted(first.rows) == [0, 1, 2, 3]
    assert all(start % 4 == 0 and start + 4 <= TEACHER_STEPS for start in last.starts)
    assert schedule.batch(9, [2]).starts == last.starts[2:3]  # whoever draws the others


class Alone(Ranks):
    """One of two workers, who does not wait for the other."""

    def all_reduce(self, tensors) -> None:
        pass


def test_two_shares_of_the_batch_add_up_to_the_whole(teacher) -> None:
    paths = paths_of(teacher, FinetuneConfig(**SMALL), count=8)

    def begin(**others) -> DistillTrainer:
        model = StableDiffusion(copy.deepcopy(teacher.pipe))
        return DistillTrainer(model, FinetuneConfig(**SMALL | {"noises": 8}), paths, **others)

    whole, halves = begin(), [begin(ranks=Alone(rank, 2)) for rank in range(2)]
    loss = whole.backward()
    assert sum(half.backward() for half in halves) == pytest.approx(loss, rel=1e-5)
    for name, parameter in whole.parameters.items():
        if parameter.grad is not None:
            total = sum(half.parameters[name].grad for half in halves)
            torch.testing.assert_close(total, parameter.grad, rtol=1e-4, atol=1e-6)


def test_a_checkpoint_continues_the_interrupted_curve_exactly(teacher, tmp_path: Path) -> None:
    paths = paths_of(teacher, FinetuneConfig(**SMALL), count=8)
    made = [
        DistillTrainer(
            StableDiffusion(copy.deepcopy(teacher.pipe)), FinetuneConfig(**SMALL | {"noises": 8, "ema": 0.9}), paths
        )
        for _ in range(2)
    ]
    expected = [made[0].step()["loss"] for _ in range(2)]
    save_checkpoint(made[0], tmp_path / "checkpoint.pt")
    expected += [made[0].step()["loss"] for _ in range(2)]
    load_checkpoint(made[1], tmp_path / "checkpoint.pt")
    assert [made[1].step()["loss"] for _ in range(2)] == expected[2:]


@pytest.fixture
def worker(prepared):
    """`worker(**fields)`: the worker of a job whose plan is stored, and the job."""

    def make(columns: dict | None = None, **fields) -> tuple[DistillWorker, job.FinetuneJob]:
        ready = prepared(columns, **SMALL | {"validate_every": 2, "validation_images": 1, "test_images": 1} | fields)
        ready.begin(ready.plan)
        return (
            DistillWorker(
                ready.store, ready.data.store, ready.config, ready.recipe, runs.FINAL, 1, lambda: lambda a, b: 0.0
            ),
            ready,
        )

    return make


def test_workers_share_the_ways_that_one_alone_would_follow(worker, miniature, monkeypatch) -> None:
    monkeypatch.setattr("cxr.finetune.distill_worker.PIECE", 2)
    made, ready = worker()
    captions = CAPTIONS[:3]
    alone = made.follow(miniature, "train", captions, Ranks())
    ready.store.delete([found.key for found in ready.store.list(runs.TRAJECTORIES)])
    with pytest.raises(KeyError):  # the other's share is not there yet
        made.follow(miniature, "train", captions, Alone(1, 2))
    together = made.follow(miniature, "train", captions, Alone(0, 2))
    assert np.array_equal(alone.latents, together.latents) and len(alone) == 3


def test_a_lora_that_distils_changes_convolutions_too(teacher: StableDiffusion) -> None:
    config = FinetuneConfig(**SMALL | {"method": "distill_lora", "rank": 2})
    trained = teacher.make_trainable(config, lambda number: number)
    layers = {name.split(".lora_")[0].rpartition(".")[2] for name in trained}
    assert {"conv1", "conv2", "time_emb_proj", "to_q"} <= layers and "conv_in" not in layers
    assert all(".lora_" in name and name.startswith("unet.") for name in trained)


@pytest.mark.slow
def test_a_distilled_lora_is_left_that_says_how_it_is_sampled(worker) -> None:
    made, ready = worker(method="distill_lora")
    made(lambda told: None)
    ready.make(lambda: finish.complete(ready, {"total": 1.0}))
    found = resolve_lora(ready.store.uri)
    assert found.path.name == LORA_FILE and found.few_steps == FewSteps(steps=4, solver="ddim", guidance=4.0)
    assert read_lora(found.path, ready.model.path).changes


def test_a_worker_that_stops_goes_on_and_leaves_the_same_model(worker, tmp_path: Path, monkeypatch) -> None:
    made, ready = worker()
    made(lambda told: None)
    weights = ready.store.get("unet/diffusion_pytorch_model.safetensors")
    config = json.loads(ready.store.get("scheduler/scheduler_config.json"))
    assert (config["_class_name"], config["timestep_spacing"]) == ("DDIMScheduler", "trailing")
    for found in ready.store.list():
        if not found.key.startswith("plan"):
            ready.store.delete([found.key])
    told: list[dict] = []

    def stop(message: dict) -> None:
        told.append(message)
        if message.get("step") == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        made(stop)
    followed = {found.key for found in ready.store.list(runs.TRAJECTORIES)}
    monkeypatch.setattr("cxr.finetune.distill_worker.follow_teacher", lambda *args: pytest.fail("was stored"))
    replace(made, paths={})(lambda told: None)
    assert ready.store.get("unet/diffusion_pytorch_model.safetensors") == weights
    assert len(followed) == 3  # train, validation, test
    record = ready.make(lambda: finish.complete(ready, {"total": 1.0}))
    assert record.metrics["few_steps"] == {"steps": 4, "solver": "ddim", "guidance": 4.0}
    assert record.recipe["method"] == "distill" and not list(ready.store.list(runs.TRAJECTORIES))
    card = (tmp_path / "out" / finish.CARD_KEY).read_text()
    assert "distilled to 4 steps, by captions" in card and "guidance 4 folded in" in card


def test_a_distilled_base_is_not_trained_further(prepared, monkeypatch) -> None:
    few = FewSteps(steps=4, solver="ddim", guidance=3.0)
    monkeypatch.setattr(job, "resolve", lambda spec: replace(resolve(spec), few_steps=few))
    for fields in ({}, SMALL):
        with pytest.raises(BadInput, match="was distilled to 4 steps, which a further training undoes"):
            prepared(**fields)


@pytest.mark.parametrize(("source", "kept"), [(PHANTOM, True), ("hospital", False)])
def test_the_promise_of_a_private_base_is_kept_where_no_caption_is_of_a_patient(
    prepared, monkeypatch, source: str, kept: bool
) -> None:
    promise, notes = {"epsilon": 8.0, "delta": 1e-4}, []
    monkeypatch.setattr(job, "promise_of_base", lambda ready: promise)
    monkeypatch.setattr(finish, "promise_of_base", lambda ready: promise)
    ready = prepared({"source": source}, note=notes.append, **SMALL)
    assert finish.kept_promise(ready) == (promise if kept else None)
    assert any("the distilled model will not" in line for line in notes) == (not kept)
    assert finish.kept_promise(prepared({"source": source})) is None  # trained on pictures


@pytest.mark.parametrize(
    ("fields", "line"),
    [
        ({"steps": None}, "--method distill: give --steps 1, 2, 4 or 8"),
        ({"method": "lora"}, "--steps 4: is of --method distill"),
        ({"method": "lora", "steps": None, "lora": "some"}, "--lora some: is of --method distill"),
        ({"method": "distill_lora", "lora": "some"}, "--lora: a distilled LoRA goes on --model alone"),
        ({"train_text_encoder": True}, "--train-text-encoder: .*recipe distill"),
        ({"epsilon": 8.0}, "--epsilon: no picture is trained on"),
        ({"prior_weight": 1.0}, "--prior-weight: no picture"),
        ({"canaries": 20}, "--canaries: no picture"),
        ({"folds": 2}, "--folds: "),
        ({"batch": 17}, "--batch 17 x 1 accumulated: more than the 16 --noises"),
    ],
)
def test_what_distillation_cannot_do_is_told_in_a_line(prepared, tmp_path: Path, fields: dict, line: str) -> None:
    with pytest.raises(BadInput, match=line) as told:
        prepared(**SMALL | fields)
    assert "\n" not in str(told.value) and not (tmp_path / "out").exists()


def test_a_training_that_does_not_distil_is_called_what_it_was_before() -> None:
    from cxr.finetune.config import identity

    known = identity(FinetuneConfig(), "model", "data")
    assert not known.keys() & {"steps", "noises", "lora"}
    assert {"steps", "noises"} <= identity(FinetuneConfig(**SMALL), "model", "data", "lora").keys()
