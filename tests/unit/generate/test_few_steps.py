"""A distilled model is sampled as it was distilled: by itself, or what was asked otherwise is refused in a line."""

from dataclasses import replace
from pathlib import Path

import pytest

from cxr import recipes
from cxr.artifact.metrics import FewSteps
from cxr.diffusion.config import SamplerConfig
from cxr.errors import BadInput
from cxr.generate import finish, job
from cxr.generate.few_steps import match_sampler
from cxr.generate.forecast import describe_passes
from cxr.prompts.lists import PromptRow
from cxr.store import open_store
from cxr.weights import Weights, resolve

FOUR, TWO = (FewSteps(steps=steps, solver="ddim", guidance=3.0) for steps in (4, 2))
USUAL = SamplerConfig(guidance=3.0)


def weights(spec: str, few: FewSteps | None = None) -> Weights:
    return Weights(spec, Path(spec), "d" * 64, "", "folder", (), (), few_steps=few)


def test_nobody_has_to_say_how_a_distilled_model_is_sampled() -> None:
    sampler, (line,) = match_sampler(USUAL, USUAL, weights("fast", FOUR), None)
    assert (sampler.steps, sampler.guidance, sampler.solver) == (4, 1.0, "ddim")
    assert line.startswith("fast was distilled for 4 steps of one pass each, with guidance 3 in its weights")
    asked = SamplerConfig(steps=4, guidance=1.0, solver="ddim")
    assert match_sampler(asked, USUAL, weights("fast", FOUR), None)[0] == asked


@pytest.mark.parametrize(
    ("asked", "line"),
    [
        ({"steps": 12}, "--steps 12: fast was distilled for 4 steps .*; leave --steps out"),
        (
            {"guidance": 2.0},
            "--guidance 2.0: fast was distilled .* with guidance 3 in its weights; leave --guidance out",
        ),
        ({"solver": "lcm"}, "--solver lcm: fast was distilled"),
    ],
)
def test_another_way_to_sample_it_is_refused(asked: dict, line: str) -> None:
    with pytest.raises(BadInput, match=line):
        match_sampler(SamplerConfig(**{"guidance": 3.0} | asked), USUAL, weights("fast", FOUR), None)


def test_a_distilled_lora_tells_before_its_base_and_others_say_nothing() -> None:
    both = match_sampler(USUAL, USUAL, weights("fast", FOUR), weights("faster", TWO))
    assert both[0].steps == 2 and both[1][0].startswith("faster")
    assert match_sampler(USUAL, USUAL, weights("fast", FOUR), weights("plain"))[0].steps == 4
    assert match_sampler(USUAL, USUAL, weights("base"), weights("plain")) == (USUAL, [])
    with pytest.raises(BadInput, match="--steps 60: --solver lcm takes 50 at most"):
        match_sampler(SamplerConfig(steps=60, solver="lcm"), USUAL, weights("base"), None)


def test_recipe_names_and_card_of_a_set_say_how_it_was_sampled(tmp_path: Path, random_model: Path, monkeypatch) -> None:
    config = recipes.replace_fields(recipes.tiny(), model=str(random_model), size=64, batch=2)
    rows, usual = [PromptRow("clear lungs", "normal", "", 2, None)], recipes.tiny().sampler
    plain = job.prepare(open_store(str(tmp_path / "plain")), config, rows, tmp_path, print, usual=usual)
    monkeypatch.setattr(job, "resolve", lambda spec: replace(resolve(spec), few_steps=FOUR))
    notes: list[str] = []
    few = job.prepare(open_store(str(tmp_path / "few")), config, rows, tmp_path, notes.append, usual=usual)
    assert few.config.sampler.steps == few.recipe["sampler"]["steps"] == 4 and few.recipe["sampler"]["solver"] == "ddim"
    assert "solver" not in plain.recipe["sampler"] and any("distilled for 4 steps" in line for line in notes)
    assert plain.plan.digest != few.plan.digest  # which names every picture
    card = finish.card(few.config, few.plan, "folder", "", "")
    assert "- Sampler: DDIM (first order, trailing spacing), 4 steps, guidance 1.0" in card
    assert "distilled to 4 steps with guidance 3 folded in" in finish.describe_part(replace(few.model, sources=()))


def test_the_embedded_model_is_sampled_in_few_steps_by_its_own_recipe(tmp_path: Path) -> None:
    config, notes = recipes.replace_fields(recipes.tiny_fast(), findings="Cardiac_Findings"), []
    made = job.prepare(open_store(str(tmp_path / "set")), config, None, tmp_path, notes.append, usual=config.sampler)
    sampler = made.recipe["sampler"]
    assert (sampler["steps"], sampler["guidance"], sampler["solver"]) == (4, 1.0, "ddim")
    assert made.recipe["lora"] == made.lora.digest != made.recipe["model"] and made.applied["layers"]["unet"] > 32
    assert any(line.startswith("tiny_fast was distilled for 4 steps") for line in notes)
    assert any("which the embedded model was made for" in line for line in notes)
    assert set(made.plan.findings) == {"Cardiac_Findings"}
    assert describe_passes(made.config.sampler) == "4 passes through the denoiser a picture, of 4 steps"
    usual = SamplerConfig(steps=12, guidance=3.0)
    assert describe_passes(usual) == "24 passes through the denoiser a picture, of 12 steps with guidance"
    assert "distilled to 4 steps with guidance 3 folded in" in finish.describe_training(made.model, made.lora)
