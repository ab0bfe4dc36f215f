"""What an audit would attack, and how long: each attack is timed on some of its pictures, and nothing is stored."""

from collections import Counter
from collections.abc import Mapping

import numpy as np

from cxr.audit.attacked import AttackedModel, choose_canaries, choose_pairs
from cxr.audit.conduct import Search, Vectors, count_lookups, find_nearest
from cxr.audit.config import AuditConfig
from cxr.audit.denoising import BATCH, load_model, measure_errors
from cxr.audit.exchangeability import compare_nearest, detail_vectors
from cxr.audit.finish import AuditJob
from cxr.audit.sets import RealPictures, list_real, why_untestable
from cxr.data.catalog import CatalogSet, read_images
from cxr.ranks import device_name
from cxr.report.forecast import Forecast, about, timed

PROBED = 24  # pictures
PERMUTED = 20  # times
TESTS = 3  # that permute: by details, by features, re-identification


def forecast(job: AuditJob, detectors: Mapping[str, Search], features: Vectors) -> Forecast:
    """Args:
    detectors: of near-duplicates, by name.
    features: of the extractor.
    """
    config, parts = job.config, Counter(job.real.table["split"].to_pylist())
    real, synthetic = len(job.real.table), len(job.synthetic.table)
    untestable = why_untestable(job.real)
    of_set = f"no attack on the set ({untestable})" if untestable else "attacks on the set"
    of_model = "attacks on its model" if isinstance(job.attacked, AttackedModel) else f"none on a model: {job.attacked}"
    seconds = 0.0 if untestable else time_set(job, detectors, features)
    if isinstance(job.attacked, AttackedModel):
        seconds += time_model(job.attacked, job.real, config)
    return Forecast(
        f"{parts['train']:,} training and {parts['test']:,} test pictures that are real, {synthetic:,} synthetic ones",
        f"{of_set} with {config.permutations:,} permutations a test; {of_model}; a page",
        f"{(real + synthetic) * config.size**2 / 1e6:,.0f} MB of memory for pictures; for attacks on a model of Stable "
        "Diffusion's size a GPU",
        f"{about(seconds)} on a machine like this one ({device_name()}), as {PROBED} pictures took",
        seconds,
    )


def time_set(job: AuditJob, detectors: Mapping[str, Search], features: Vectors) -> float:
    """Seconds of the attacks on the set: reading, vectors, permutations, and both searches for near-duplicates."""
    config, synthetic = job.config, len(job.synthetic.table)
    real, table = list_real(job.real, job.shown)
    pictures = timed(read_images, job.real.store, table.slice(0, PROBED), config.size)
    pixels = pictures.result
    features(pixels[:1])  # warms up
    each = pictures.seconds + timed(detail_vectors, pixels).seconds + timed(features, pixels).seconds
    seconds = each * (len(table) + synthetic)
    for search in detectors.values():
        index = timed(search, pixels)
        seconds += index.seconds * len(real.rows("train"))
        seconds += timed(index.result.nearest, pixels).seconds * count_lookups(synthetic, real, config)
    return seconds / len(pixels) + time_permutations(real, synthetic, config)


def time_permutations(real: RealPictures, synthetic: int, config: AuditConfig) -> float:
    """Seconds of deciding anew who is a training patient, as on pictures that are noise."""
    rng = np.random.default_rng(0)
    ours, theirs = (rng.normal(size=(count, 2)).astype(np.float32) for count in (len(real.ids), synthetic))
    found, sides = find_nearest("train", theirs, ours, real, rng)
    if found is None:
        return 0.0
    took = timed(compare_nearest, found, sides, PERMUTED, config.max_p, rng).seconds / PERMUTED
    return TESTS * took * config.permutations * (2 if len(real.rows("validation")) else 1)


def time_model(model: AttackedModel, real: CatalogSet, config: AuditConfig) -> float:
    """Seconds of the attacks on the model: errors of it and of its base, and samples of canaries' captions."""
    from cxr.diffusion.sampler import Sampler

    loaded = load_model(model.base, model.tuned)
    rows = model.rows.slice(0, BATCH)
    pixels, captions = read_images(real.store, rows, model.sampler.size), rows["caption"].to_pylist()
    errors = [timed(measure_errors, loaded, pixels, captions, config.seed, lambda count: None, base=base).seconds
              for base in (True, False)]  # fmt: skip
    pairs = choose_pairs(model.rows, config.max_patients, np.random.default_rng(0))
    asked = {*pairs.rows["image_id"].to_pylist(), *choose_canaries(model).rows["image_id"].to_pylist()}
    seconds = sum(errors) * len(asked) / len(rows)
    sampled = len(model.canaries) * config.canary_images
    return seconds + (sampled * Sampler(loaded, model.sampler).seconds_an_image() if sampled else 0.0)
