"""Make the embedded base model from phantoms: `python jobs/pretrain.py tiny --out FOLDER` (about 1.5 hours on 2 cores).

Goes on after its last finished stage when started again with the same folder.
"""

from dataclasses import dataclass
from pathlib import Path

from tyro.conf import Positional

from cxr import cli, recipes
from cxr.errors import BadInput
from cxr.progress import progress


@dataclass(frozen=True)
class Args:
    recipe: Positional[str]
    """tiny."""
    out: Path
    """The folder for the model, in diffusers' layout."""
    per_finding: int = 50
    """Pictures of each finding in the closing test of whether the model follows its text."""


def main(args: Args) -> int:
    """Train autoencoder, text encoder and UNet on phantoms and their prompts, and measure whether text is followed."""
    config = recipes.named(recipes.PRETRAIN, args.recipe)
    if args.out.exists() and not args.out.is_dir():
        raise BadInput(f"--out {args.out}: is a file; give a folder")
    if args.per_finding < 1:
        raise BadInput(f"--per-finding {args.per_finding}: give at least 1")
    from cxr.pretrain.build import build
    from cxr.weights import seal

    if not (args.out / "model_index.json").exists():
        build(config, args.out)
    digest = seal(args.out)
    agreement = follow(args.out, args.per_finding, config.seed)
    (args.out / "README.md").write_text(card(config, agreement, digest), encoding="utf-8")
    print(f"asked finding seen in {agreement.share:.1%} of {agreement.counts.sum()} pictures: {args.out}/README.md")
    return cli.DONE


def follow(folder: Path, per_finding: int, seed: int):
    """Trains a classifier on phantoms of another series and asks it what the model's pictures show."""
    import numpy as np
    import torch

    from cxr.classify.config import ClassifyConfig
    from cxr.classify.loop import fit, predict
    from cxr.classify.model import SmallCnn
    from cxr.data.findings import FINDINGS
    from cxr.generate.sampler import Sampler
    from cxr.pretrain.agreement import labels_of, measure
    from cxr.pretrain.build import draw_phantoms, told

    sampler_config = recipes.GENERATE["tiny"]().sampler
    training, shown = draw_phantoms(seed + 101, 12_000, sampler_config.size)
    fresh, fresh_shown = draw_phantoms(seed + 202, 1000, sampler_config.size)
    torch.manual_seed(seed)
    classifier, settings = SmallCnn(len(FINDINGS)), ClassifyConfig()
    with progress("classifier", settings.epochs * (len(training) // settings.batch), "steps") as advance:
        labels = labels_of(a.finding for a in shown)
        fit(classifier, training, labels, settings, np.random.default_rng(seed), told(advance))
    sampler = Sampler.load(folder, None, sampler_config.model_copy(update={"threads": torch.get_num_threads()}))
    with progress("following", per_finding * len(FINDINGS), "pictures") as advance:

        def sample(prompts, seeds):
            pictures = sampler(prompts, [""] * len(prompts), seeds)
            advance(len(pictures))
            return pictures

        def name(pictures):
            return predict(classifier, pictures).argmax(axis=1)

        return measure(sample, name, (fresh, labels_of(a.finding for a in fresh_shown)), per_finding, seed + 303)


def card(config, agreement, digest: str) -> str:
    from cxr.pretrain.agreement import table

    return f"""---
license: apache-2.0
library_name: diffusers
pipeline_tag: text-to-image
---

# tiny: a small Stable Diffusion of radiograph phantoms

Text encoder, autoencoder, UNet and tokenizer in diffusers' `StableDiffusionPipeline` layout, {config.size} x \
{config.size} pixels, trained by `jobs/pretrain.py` on {config.phantoms:,} computer-drawn phantoms and their prompts. \
It has never seen a patient, and its pictures say nothing about patients. Not for clinical use.

Asked in sentences that no training prompt has, it shows the asked finding in **{agreement.share:.1%}** of \
{agreement.counts.sum()} pictures (chance 10 %), as named by a classifier that names {agreement.ceiling:.1%} of fresh \
phantoms rightly. Rows: asked; columns: seen.

{table(agreement)}

Digest: `{digest}`
"""


if __name__ == "__main__":
    cli.run(Args, main)
