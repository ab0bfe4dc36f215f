"""Make what the package embeds, from phantoms; `cxr pretrain RECIPE --out FOLDER`.

`tiny` is the base model (hours, as --dry-run tells; goes on after its last finished stage when started again with the
same folder), `extractor` the network behind the embedded distances (minutes).
"""

from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Annotated, ClassVar

from tyro.conf import AvoidSubcommands, Suppress, arg

from cxr import cli, recipes
from cxr.errors import BadInput
from cxr.pretrain.config import ExtractorConfig, PretrainConfig
from cxr.progress import Advance, progress
from cxr.prompts.findings import FINDINGS, SEVERAL
from cxr.report.pages import render

JUDGE_EPOCHS = 6  # of the classifier that says which of the ten findings a picture shows


@dataclass(frozen=True)
class Args:
    RECIPES: ClassVar = recipes.PRETRAIN
    recipe: Suppress[str]
    config: Annotated[AvoidSubcommands[PretrainConfig | ExtractorConfig], arg(name="")]
    out: Path
    """The folder for what is made: tiny in diffusers' layout, extractor as model.safetensors."""
    per_finding: int = 50
    """tiny: pictures of each finding, and of each combination, in the closing tests of whether text is followed."""
    dry_run: bool = False
    """Only say what would be read and made, what it needs and, where that can be told, how long it takes."""
    cost: cli.CostOptions = cli.NO_PRICE


def main(args: Args) -> int:
    """Train the embedded model or the embedded extractor on phantoms, and measure how well it does."""
    config = args.config
    if args.out.exists() and not args.out.is_dir():
        raise BadInput(f"--out {args.out}: is a file; give a folder")
    if args.per_finding < 1:
        raise BadInput(f"--per-finding {args.per_finding}: give at least 1")
    if isinstance(config, PretrainConfig) and config.several + config.independent > 1:
        raise BadInput(
            f"--several {config.several:g} and --independent {config.independent:g}: are shares of the same phantoms "
            "and more than 1 together; lower one"
        )
    if args.dry_run:
        from cxr.pretrain.forecast import forecast

        samples = args.per_finding * (len(FINDINGS) + 2 ** len(SEVERAL))
        print(forecast(config, recipes.GENERATE["tiny"]().sampler, samples).text(str(args.out)))
        return cli.DONE
    if isinstance(config, ExtractorConfig):
        return make_extractor(config, args.out)
    return make_model(config, args.out, args.per_finding)


def make_model(config: PretrainConfig, folder: Path, per_finding: int) -> int:
    """Autoencoder, text encoder and UNet; then whether text is followed."""
    from cxr.pretrain.build import build
    from cxr.pretrain.combinations import combinations_table
    from cxr.weights import resolve, write_digest

    if not (folder / "model_index.json").exists():
        build(config, folder)
    digest = write_digest(folder)
    accuracy = measure_model(folder, per_finding, config.seed)
    combinations = measure_several(folder, SEVERAL, per_finding, config.seed)
    start = resolve(config.start).digest if config.start else None
    (folder / "README.md").write_text(model_card(config, start, accuracy, combinations, digest), encoding="utf-8")
    print(f"asked finding seen in {accuracy.share:.1%} of {accuracy.counts.sum()} pictures: {folder}/README.md")
    print(combinations_table(combinations))
    return cli.DONE


def make_extractor(config: ExtractorConfig, folder: Path) -> int:
    """A classifier of phantoms in many appearances; what it computes before its last layer are the features."""
    import numpy as np
    from safetensors.torch import save_file

    from cxr.classify.best_of import predict, small_config, train_one
    from cxr.classify.task import OneFinding
    from cxr.pretrain.appearance import vary_appearance
    from cxr.weights import EXTRACTOR, write_digest

    rng, settings = np.random.default_rng(config.seed), small_config(config.epochs, config.size)
    task = OneFinding(len(FINDINGS))

    def part(series: int, count: int) -> tuple[np.ndarray, np.ndarray]:
        pixels, labels = labelled_phantoms(config.seed + series, count, config.size)
        return np.concatenate([pixels, vary_appearance(pixels, rng)]), np.tile(labels, 2)

    train, validation = part(404, config.phantoms), part(606, config.fresh)
    with progress("classifier", settings.steps(2 * config.phantoms), "steps") as advance:
        found = train_one(train, validation, settings, task, config.seed, advance)
    fresh, labels = labelled_phantoms(config.seed + 505, config.fresh, config.size)
    shown = fresh, vary_appearance(fresh, rng)
    shares = tuple(task.accuracy(predict(found, pixels, settings, task), labels) for pixels in shown)
    folder.mkdir(parents=True, exist_ok=True)
    save_file(found.network.state_dict(), folder / EXTRACTOR.patterns[0])
    card = render("embedded_extractor.md", config=config, shares=shares, digest=write_digest(folder, EXTRACTOR))
    (folder / "README.md").write_text(card, encoding="utf-8")
    print(f"names {shares[0]:.1%} of fresh phantoms, {shares[1]:.1%} in other appearances: {folder}/README.md")
    return cli.DONE


def labelled_phantoms(seed: int, count: int, size: int):
    """The first phantoms of a series: uint8 [count, size, size] and class numbers [count]."""
    from cxr.embedded.phantoms import draw_phantom
    from cxr.pretrain.build import draw_phantoms
    from cxr.pretrain.prompt_accuracy import class_numbers

    pixels, shown = draw_phantoms(partial(draw_phantom, seed, size=size), count, size)
    return pixels, class_numbers(attributes.findings[0] for attributes in shown)


def measure_model(folder: Path, per_finding: int, seed: int):
    """Trains a classifier on phantoms of other series and asks it what the model's pictures show."""
    from cxr.classify.best_of import predict, small_config, train_one
    from cxr.classify.task import OneFinding
    from cxr.pretrain.prompt_accuracy import measure

    size, series = recipes.GENERATE["tiny"]().sampler.size, ((101, 12_000), (404, 1000), (202, 1000))
    training, validation, fresh = (labelled_phantoms(seed + n, count, size) for n, count in series)
    settings, task = small_config(JUDGE_EPOCHS, size, batch=32), OneFinding(len(FINDINGS))
    with progress("classifier", settings.steps(len(training[0])), "steps") as advance:
        judge = train_one(training, validation, settings, task, seed, advance)
    with progress("following", per_finding * len(FINDINGS), "pictures") as advance:

        def name(pixels):
            return predict(judge, pixels, settings, task).argmax(axis=1)

        return measure(make_sample(folder, advance), name, fresh, per_finding, seed + 303)


def measure_several(folder: Path, findings: tuple[str, ...], per_combination: int, seed: int):
    """Asks the model for every combination of findings; a classifier of phantoms says what is there.

    It learns from phantoms as drawn and as the model's autoencoder gives them back: blur and grain are no findings.
    """
    import numpy as np

    from cxr.embedded.phantoms import draw_phantom
    from cxr.pretrain.build import draw_phantoms, draw_training_phantom
    from cxr.pretrain.combinations import STEPS, labels_of, measure_combinations, train_multi_label
    from cxr.pretrain.vae import reconstruct

    size, shares = recipes.GENERATE["tiny"]().sampler.size, dict.fromkeys(findings, 0.5)

    def part(draw, count: int):
        pixels, shown = draw_phantoms(draw, count, size)
        return pixels, reconstruct(folder / "vae", pixels), labels_of(shown, findings)

    parts = [
        part(partial(draw_phantom, seed + 101, findings=shares, size=size), 2500),
        part(partial(draw_training_phantom, seed + 111, size=size, several=0.5), 2500),
    ]
    first, others = ((np.concatenate([drawn, given]), np.tile(labels, (2, 1))) for drawn, given, labels in parts)
    _, *known = part(partial(draw_phantom, seed + 202, findings=shares, size=size), 500)
    with progress("classifier", STEPS, "steps") as advance:
        see = train_multi_label(first, others, seed, advance)
    with progress("combinations", per_combination * 2 ** len(findings), "pictures") as advance:
        sample = make_sample(folder, advance)
        return measure_combinations(sample, see, tuple(known), findings, per_combination, seed + 303)


def make_sample(folder: Path, advance: Advance):
    """The model in `folder`: prompts and seeds to uint8 [N, size, size]."""
    import torch

    from cxr.diffusion.sampler import Sampler

    config = recipes.GENERATE["tiny"]().sampler
    sampler = Sampler.load(folder, None, config.model_copy(update={"threads": torch.get_num_threads()}))

    return lambda prompts, seeds: sampler(prompts, [""] * len(prompts), seeds, advance=advance)


def model_card(config, start: str | None, accuracy, combinations, digest: str) -> str:
    """`start`: digest of the model that it went on from."""
    from cxr.pretrain.combinations import combinations_table
    from cxr.pretrain.prompt_accuracy import confusion_table

    return render(
        "embedded_model.md", config=config, start=start, accuracy=accuracy, combinations=combinations, digest=digest,
        confusion_table=confusion_table(accuracy), combinations_table=combinations_table(combinations),
    )  # fmt: skip
