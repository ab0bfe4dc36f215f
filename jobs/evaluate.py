"""How good, how diverse, how copied: `python jobs/evaluate.py RECIPE --real URI --synthetic URI --out URI`.

Exit code 0: all there. 2: bad input.
"""

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from tyro.conf import FlagCreatePairsOff, Positional

from cxr import cli, recipes
from cxr.evaluate.config import EvaluateConfig
from cxr.progress import note, progress
from cxr.store import open_store, read_record

if TYPE_CHECKING:
    from cxr.data.catalog import CatalogSet
    from cxr.evaluate.agreement import Agreement
    from cxr.evaluate.finish import Job
    from cxr.evaluate.sets import Pictures
    from cxr.store import Record, Store

COPIES_STREAM, PICTURES_STREAM = 1_000_001, 1_000_002  # last words of seeds; findings have those from 0


@dataclass(frozen=True)
class Args:
    recipe: Positional[str]
    """tiny (embedded extractor), inception (FID, KID), rad-dino, or xrv (with --extractor xrv=FILE)."""
    real: str
    """The real set, as jobs/ingest.py made it; copies are looked for in its train part. A folder or s3://..."""
    synthetic: str
    """The set to measure: a folder or s3://bucket/prefix."""
    out: str
    """Where the evaluation goes: a folder or s3://bucket/prefix."""
    quarantine: str | None = None
    """Where the synthetic set without its copies goes: a folder or s3://bucket/prefix."""
    extractor: str | None = None
    """tiny, inception or rad-dino; or inception=, xrv= or rad-dino= and where its weights are: a folder,
    owner/name@revision, s3://bucket/prefix, or a safetensors file (not rad-dino, which has two files)."""
    against: Literal["all", "train", "test"] | None = None
    """The part of the real set that figures compare with."""
    size: int | None = None
    """Pixels that the pictures of both sets are brought to; a picture takes size^2 bytes of memory."""
    most: int | None = None
    """Pictures of each finding and set that figures use."""
    least: int | None = None
    """Patients and pictures that a finding needs on both sides."""
    resamples: int | None = None
    """Halves that an interval is measured from."""
    infinite: FlagCreatePairsOff[bool] = False
    """Extrapolate the Fréchet distance to infinitely many synthetic pictures."""
    seed: int | None = None
    """Of every draw."""


def main(args: Args) -> int:
    """Measure synthetic X-rays against real ones: fidelity, diversity, agreement with what was asked, copies."""
    start = time.monotonic()
    config = configured(args)
    places = [open_store(uri) for uri in (args.real, args.synthetic, args.out, args.quarantine) if uri]
    for place in places[2:]:
        place.check()
    from cxr.data.catalog import read_set
    from cxr.evaluate.sets import comparable
    from cxr.weights import resolve_extractor

    real, synthetic = map(read_set, places[:2])
    findings, left_out = comparable(real, synthetic, config)
    digest = resolve_extractor(config.extractor).digest
    from cxr.evaluate import finish, quarantine  # heavy: only for input that can be used

    job = finish.prepare(places[2], config, digest, real, synthetic)
    for place in places[3:]:
        quarantine.prepare(job, place)
    for line in left_out:
        note(line)
    if record := read_record(job.store):
        print(f"already there: {job.store.uri}/{finish.PAGE_KEY}")
    else:
        record = evaluated(job, findings, left_out, start)
    told(job, record)
    for place in places[3:]:
        take_out(job, place)
    return cli.DONE


def evaluated(job: "Job", findings: tuple[str, ...], left_out: list[str], start: float) -> "Record":
    """Reads both sets, measures, and writes the evaluation."""
    import numpy as np

    from cxr.evaluate import finish, pictures, quality
    from cxr.evaluate.copies import find_copies, searched
    from cxr.evaluate.features import extractor_of

    config, extractor = job.config, extractor_of(job.config.extractor)
    real, synthetic = loaded(job.real, config.size, "real"), loaded(job.synthetic, config.size, "synthetic")
    part = real if config.against == "all" else real.taken(real.part(config.against))
    finish.begin(job)
    with progress("features", len(part.ids) + len(synthetic.ids), "pictures") as advance:
        features = extractor(part.pixels, advance), extractor(synthetic.pixels, advance)
    with progress("figures", len(findings) + 1, "findings") as advance:
        groups = quality.measure(part, synthetic, features, findings, extractor, config, advance)
    rngs = [np.random.default_rng([config.seed, stream]) for stream in (COPIES_STREAM, PICTURES_STREAM)]
    with progress("copies", searched(real, synthetic, config.calibration), "pictures") as advance:
        copies, matches, unrelated = find_copies(real, synthetic, config.calibration, rngs[0], advance)
    agreement = agreed(real, synthetic, findings, config.seed)
    found = quality.Quality(
        extractor.name, extractor.digest, extractor.dimension, quality.source_of(job.real),
        quality.source_of(job.synthetic), config.against, groups, agreement, copies,
        [*left_out, *quality.notes_of(groups, agreement, copies, extractor.dimension)],
    )  # fmt: skip
    drawn = pictures.draw(found, part, synthetic, features, (real, matches, unrelated), config, rngs[1])
    table = finish.copies_table(real, synthetic, matches, copies.threshold)
    return finish.complete(job, found, table, drawn, extractor.device, {"total": time.monotonic() - start})


def loaded(found: "CatalogSet", size: int, name: str) -> "Pictures":
    from cxr.evaluate.sets import load

    with progress(f"{name} set", len(found.table), "pictures") as advance:
        return load(found, size, advance)


def agreed(real: "Pictures", synthetic: "Pictures", findings: tuple[str, ...], seed: int) -> "Agreement | None":
    """Agreement by the stage that trains classifiers."""
    from cxr.classify.chosen import learn, steps
    from cxr.evaluate.agreement import agree

    with progress("classifier", steps(len(real.part("train"))), "steps") as advance:
        return agree(real, synthetic, findings, lambda train, validation: learn(train, validation, seed, advance))


def take_out(job: "Job", place: "Store") -> None:
    """Writes the synthetic set without its copies."""
    from cxr.evaluate.quarantine import without_copies

    with progress("quarantine", len(job.synthetic.table), "pictures") as advance:
        record = without_copies(job, place, advance)
    print(f"{record.made.count} pictures without {record.metrics['quarantined']} copies: {place.uri}")


def told(job: "Job", record: "Record") -> None:
    from cxr.evaluate import finish
    from cxr.report.words import FRECHET, title

    figures, name = record.metrics, title(record.metrics["extractor"], FRECHET)
    seen = "" if figures["agreement"] is None else f", asked finding seen in {figures['agreement']:.1%}"
    beyond = "more than chance" if figures["copies_beyond_chance"] else "no more than chance"
    print(f"{name} {figures[FRECHET]:.4g}{seen}, {figures['copies']} like a training picture ({beyond})")
    print(f"look at {job.store.uri}/{finish.PAGE_KEY}, read {job.store.uri}/{finish.TABLES_KEY}")


def configured(args: Args) -> EvaluateConfig:
    """The recipe with the command line's changes."""
    names = ("extractor", "against", "size", "most", "least", "resamples", "seed")
    given = {name: getattr(args, name) for name in names} | {"infinite": args.infinite or None}
    return recipes.changed(recipes.named(recipes.EVALUATE, args.recipe), **given)


if __name__ == "__main__":
    cli.run(Args, main)
