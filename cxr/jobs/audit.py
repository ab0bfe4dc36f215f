"""Is it safe to share? Attacks on a synthetic set: `cxr audit RECIPE --real URI --synthetic URI --out URI`.

Exit code 0: all there, whatever was found. 2: bad input. 3: all there but the set of --quarantine, which too few test
pictures forbid.
"""

import time
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, ClassVar

from tyro.conf import Suppress

from cxr import cli, recipes
from cxr.audit.config import DETAILS, FEATURES, KEY_POINTS, AuditConfig
from cxr.errors import BadInput, SomeFailed
from cxr.progress import note, progress
from cxr.store import open_store
from cxr.weights import check_extractor_spec

if TYPE_CHECKING:
    import numpy as np

    from cxr.artifact import Record
    from cxr.audit.conduct import CopySearch, Vectors
    from cxr.audit.finish import AuditJob
    from cxr.audit.results import AttackResult
    from cxr.audit.sets import RealPictures


@dataclass(frozen=True)
class Args:
    RECIPES: ClassVar = recipes.AUDIT
    recipe: Suppress[str]
    config: cli.FromRecipe[AuditConfig]
    real: str
    """The real set, as `cxr ingest` made it: its training patients are attacked, its test patients are the control."""
    synthetic: str
    """The set to audit: a folder or s3://bucket/prefix."""
    out: str
    """Where the audit goes, a folder or s3://...; it shows real pictures and names patients, so keep it."""
    model: str | None = None
    """The fine-tuned model that --synthetic was made with, to attack it too; several, separated by commas, only tell
    whom they saw where this machine does not know it."""
    base: str | None = None
    """The base that --model was fine-tuned from, where it is not tiny: as `cxr finetune --model` had it."""
    quarantine: str | None = None
    """Where the synthetic set goes without the pictures that a detector flags as near-duplicates."""
    dry_run: bool = False
    """Only say what would be read and made, what it needs and, where that can be told, how long it takes."""
    cost: cli.CostOptions = cli.NO_PRICE


def main(args: Args) -> int:
    """Attack a synthetic set, and its model: do they show who was in the training data? Each test has power and limit.

    The audit shows real pictures and names patients. What can be passed on is its summary.json.
    """
    start = time.monotonic()
    if args.base is not None and args.model is None:
        raise BadInput("--base is of --model; give the model that was fine-tuned from it too")
    config = build_config(args)
    places = [open_store(uri) for uri in (args.real, args.synthetic, args.out, args.quarantine) if uri]
    for place in places[2:]:
        place.check()
    from cxr.audit.sets import check_sets
    from cxr.data.catalog import read_set
    from cxr.data.lineage import read_lineage
    from cxr.data.lineage_lists import find_shown, read_lists_option
    from cxr.data.prompt_accuracy import PROMPT_ACCURACY, read_accuracies
    from cxr.evaluate.generator import check_generator
    from cxr.weights import resolve_extractor

    real, synthetic = map(read_set, places[:2])
    check_sets(real, synthetic)
    lists = read_lists_option("--model", args.model)
    generator = check_generator(real, synthetic, lists)
    shown = find_shown(read_lineage(synthetic.record.metrics), real.table, lists)
    digest = resolve_extractor(config.extractor).digest
    from cxr.audit import finish  # heavy: only for input that can be used
    from cxr.audit.attacked import find_attacked
    from cxr.evaluate import quarantine

    attacked = find_attacked(args.model, args.base, real, synthetic, lists)
    job = finish.prepare(places[2], config, digest, real, synthetic, shown, attacked)
    reason = finish.why_unflagged(real, config)
    able = [] if reason else places[3:]
    quarantines = [quarantine.prepare(place, job, real, synthetic, generator) for place in able]
    note(generator)
    if record := job.take_finished():
        print(f"already there: {job.store.uri}/{finish.PAGE_KEY}")
    elif args.dry_run:
        from cxr.audit.conduct import detectors
        from cxr.audit.forecast import forecast
        from cxr.evaluate.features import extractor_of

        print(forecast(job, detectors(config), extractor_of(config.extractor)).text(job.store.uri))
        return cli.DONE
    else:
        record = job.make(lambda: audit_sets(job, generator, start))
    for line in record.metrics["summary"]:
        print(line)
    print(f"look at {job.store.uri}/{finish.PAGE_KEY}; to pass on: {job.store.uri}/{finish.SUMMARY_KEY}")
    for clean in quarantines:
        accuracies = read_accuracies(synthetic.record.metrics.get(PROMPT_ACCURACY))
        print(quarantine.write_set(clean, finish.read_flagged(job), accuracies))
    if args.quarantine and reason:
        raise SomeFailed(
            f"--quarantine {args.quarantine}: not written: near-duplicates cannot be told, because {reason}; all else "
            "is there. Ingest more, or leave --quarantine out"
        )
    return cli.DONE


def audit_sets(job: "AuditJob", generator: str, start: float) -> "Record":
    """Reads both sets, runs every test, and writes the audit."""
    import numpy as np

    from cxr.audit import finish
    from cxr.audit.judge import untested_attacks
    from cxr.audit.pairs import choose_pairs
    from cxr.audit.results import Audit
    from cxr.audit.sets import PARTS, describe_comparison, load_real, why_untestable
    from cxr.data.catalog import read_images
    from cxr.evaluate.features import extractor_of

    finish.begin(job)
    config, extractor = job.config, extractor_of(job.config.extractor)
    with progress("pictures", len(job.real.table) + len(job.synthetic.table), "pictures") as advance:
        real = load_real(job.real, job.shown, config.size, advance)
        synthetic = read_images(job.synthetic.store, job.synthetic.table, config.size, advance)
    nearest: dict[str, np.ndarray] = {}
    searches: list[CopySearch] = []
    if reason := why_untestable(job.real):
        attacks = untested_attacks((DETAILS, FEATURES), (DETAILS, KEY_POINTS), FEATURES, reason)
    else:
        attacks, nearest = compare_patients(synthetic, real, config, extractor)
        searches = search_for_copies(synthetic, real, config)
        attacks += [search.result for search in searches]
    attacks += attack_the_model(job)
    ids = job.synthetic.table["image_id"].to_pylist()
    pairs, drawn = choose_pairs(searches, synthetic, ids, real, config.shown)
    found = Audit(
        real=job.real.digest, synthetic=job.synthetic.digest, pictures=len(synthetic),
        patients={part: real.count_patients(part) for part in PARTS}, tests=attacks,
        notes=[generator, *describe_comparison(job.real, job.synthetic, job.shown)], pairs=pairs,
    )  # fmt: skip
    table = finish.pictures_table(job, real, nearest, searches)
    return finish.complete(job, found, table, drawn, extractor.device, {"total": time.monotonic() - start})


def attack_the_model(job: "AuditJob") -> "list[AttackResult]":
    """The attacks on the model, if there is one that can be attacked."""
    from cxr.audit.conduct import detectors
    from cxr.audit.conduct_model import attack_model, extract_canaries
    from cxr.audit.judge_extraction import untested_extraction
    from cxr.audit.judge_model import untested_canaries, untested_membership, untested_promise
    from cxr.data.catalog import read_images

    model = job.attacked
    if isinstance(model, str):
        return [
            *untested_membership(model), untested_canaries(model), untested_promise(model), untested_extraction(model)
        ]  # fmt: skip
    config, read = job.config, partial(read_images, job.real.store, size=model.sampler.size)
    attacks = attack_model(model, config, read, lambda count: progress("the model's errors", count, "pictures"))
    return attacks + extract_canaries(
        model, config, DETAILS, detectors(config), read, lambda count: progress("canaries asked for", count, "pictures")
    )


def compare_patients(
    synthetic: "np.ndarray", real: "RealPictures", config: AuditConfig, features: "Vectors"
) -> "tuple[list[AttackResult], dict[str, np.ndarray]]":
    """The test of nearest patients, by details and by features, with the pictures bool [M] that each flags; and
    re-identification by features."""
    from cxr.audit.conduct import run_link_test, run_nearest_test
    from cxr.audit.exchangeability import detail_vectors

    total = config.permutations * (2 if len(real.rows("validation")) else 1)
    results, flagged = [], {}
    for stream, (by, vectors) in enumerate({DETAILS: detail_vectors, FEATURES: features}.items()):
        pictures = vectors(synthetic), vectors(real.pixels)
        with progress(f"nearest by {by}", total, "permutations") as advance:
            found, flagged[by] = run_nearest_test(by, *pictures, real, config, stream, advance)
        results.append(found)
    with progress("re-identification", total, "permutations") as advance:
        results.append(run_link_test(FEATURES, *pictures, real, config, advance))
    return results, flagged


def search_for_copies(synthetic: "np.ndarray", real: "RealPictures", config: AuditConfig) -> "list[CopySearch]":
    """The search for near-duplicates, by each detector of the training pictures."""
    from cxr.audit.conduct import count_lookups, detectors, search_copies

    pixels, found = real.pixels[real.rows("train")], []
    for by, search in detectors(config).items():
        with progress(f"copies by {by}", count_lookups(len(synthetic), real, config), "pictures") as advance:
            found.append(search_copies(by, search(pixels), by == DETAILS, synthetic, real, config, advance))
    return found


def build_config(args: Args) -> AuditConfig:
    """The configuration, checked as far as needs no library and no network."""
    return args.config.model_copy(update={"extractor": check_extractor_spec(args.config.extractor)})
