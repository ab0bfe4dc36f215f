"""The end of a GAN: its pictures sorted by what they show, its networks, metrics, card, and the record last."""

import json
import platform
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pyarrow as pa
from safetensors.torch import save

from cxr.artifact import Made, Record
from cxr.artifact.keys import CARD_KEY, CATALOG_KEY, HISTORY_KEY, IMAGES, METADATA_KEY, PLAN_KEY
from cxr.artifact.metrics import LabelMetrics
from cxr.data.catalog import CATALOG, image_key
from cxr.data.images import GENERATED_XMP, XMP_KEYWORD, encode_png
from cxr.data.labels import Labels
from cxr.data.lineage import LINEAGE, SET_SOURCES, describe_patients, record_lineage
from cxr.data.lineage_lists import save_for_owner
from cxr.labs.gan import pictures
from cxr.labs.gan.job import LENET_KEY, GanJob, GanRun, image_id
from cxr.labs.gan.lenet import accuracy, predict
from cxr.labs.gan.networks import LeNet5, sample
from cxr.labs.gan.scoring import Scores, Similar, score_images
from cxr.report.limits import unaudited
from cxr.report.pages import render
from cxr.store import StoredObject, json_lines, parquet

SAMPLES_KEY, GIF_KEY, CURVES_KEY = "samples.png", "samples.gif", "curves.png"
CLASSES_KEY, CONFUSION_KEY = "classes.png", "confusion.png"
PUT_THREADS = 8


def complete(
    job: GanJob, run: GanRun, lenet: LeNet5, similar: Similar, timings: dict[str, float], advance: Callable[[], object]
) -> Record:
    """Generates, scores and stores the pictures, then what belongs beside them; returns the record.

    Args:
        similar: mean MS-SSIM of pairs, by the stage that evaluates.
        advance: called for every stored picture.
    """
    asked = job.asked(job.config.count)
    pixels = sample(run.trainer.generator, job.seeds, asked, job.conditioned_classes)
    scores = score_images(pixels, asked if job.conditioned_classes else None, lenet, job.real, similar)
    rows = build_rows(job, asked, scores)
    stored = store_images(job, rows, pixels, advance)
    objects = [job.store.read_back(key) for key in (PLAN_KEY, LENET_KEY)]
    metrics = build_metrics(job, run, scores, lenet)
    pieces = {
        **encode_tables(job, rows, stored),
        **encode_networks(run, scores),
        **draw_figures(job, run, scores, lenet),
    }
    pieces[CARD_KEY] = render_card(job, metrics).encode()
    objects += [job.store.put(key, data) for key, data in pieces.items()]
    save_for_owner(job.real.lineage)
    return job.new_record(
        Made.of(stored),
        objects,
        metrics,
        inputs={"data": job.real.digest},
        seeds={"seed": job.config.seed},
        device=f"CPU, {platform.machine()}",
        timings=timings,
    )


def build_rows(job: GanJob, asked: np.ndarray, scores: Scores) -> list[dict[str, Any]]:
    """One a picture. Its finding is what was asked for, or what LeNet-5 names where nothing was."""
    classes = job.real.classes
    rows = []
    for seed, wanted, named, confidence in zip(job.seeds, asked, scores.predicted, scores.confidence, strict=True):
        request = {"asked": classes[wanted]} if job.conditioned_classes else {}
        finding = classes[wanted if job.conditioned_classes else named]
        predicted = {"named": classes[named], "confidence": round(float(confidence), 6)}
        rows.append({"image_id": image_id(job, seed), "finding": finding, "seed": seed, **request, **predicted})
    return rows


def store_images(
    job: GanJob, rows: Sequence[dict[str, Any]], pixels: np.ndarray, advance: Callable[[], object]
) -> list[StoredObject]:
    """Stores a file a picture, and removes any that an interrupted run has left under another finding."""

    def put(row: dict[str, Any], picture: np.ndarray) -> StoredObject:
        provenance = json.dumps({**row, "gan": job.digest}, sort_keys=True)
        texts = {XMP_KEYWORD: GENERATED_XMP, "cxr": provenance}
        stored = job.store.put(image_key(row["finding"], row["image_id"]), encode_png(picture, texts))
        advance()
        return stored

    with ThreadPoolExecutor(PUT_THREADS) as threads:
        stored = list(threads.map(put, rows, pixels))
    kept = {METADATA_KEY, *(each.key for each in stored)}
    job.store.delete([found.key for found in job.store.list(IMAGES) if found.key not in kept])
    return stored


def encode_tables(job: GanJob, rows: Sequence[dict[str, Any]], stored: Sequence[StoredObject]) -> dict[str, bytes]:
    """The catalog, and for `datasets`' image folders a line a picture."""
    about = {"source": f"GAN of {job.real.source}", "licence": job.real.licence}
    pairs = list(zip(rows, stored, strict=True))
    lists = {name: Labels.only(name).as_columns(job.real.classes) for name in job.real.classes}
    catalog = [
        {"image_id": row["image_id"], "finding": row["finding"], "key": s.key, "sha256": s.sha256, **about}
        | lists[row["finding"]]
        for row, s in pairs
    ]
    lines = [{"file_name": s.key.removeprefix(IMAGES), **row, "sha256": s.sha256} for row, s in pairs]
    table = pa.Table.from_pylist(catalog, schema=CATALOG)
    return {CATALOG_KEY: parquet(table), METADATA_KEY: json_lines(lines)}


def encode_networks(run: GanRun, scores: Scores) -> dict[str, bytes]:
    """Both networks; of a collapsed run also the last generator that had not collapsed, if it is another."""
    files = {f"{name}.safetensors": save(part.state_dict()) for name, part in run.trainer.parts.items()}
    if run.good and (older := last_good(run, scores)):
        files[good_key(older)] = save(run.good["generator"])
    return files


def last_good(run: GanRun, scores: Scores) -> int | None:
    """Of a collapsed run, the epoch of the last checkpoint before the collapse."""
    good = run.good and run.good["epoch"]
    return good if scores.collapsed and good and good < run.trainer.done else None


def good_key(epoch: int) -> str:
    return f"generator_epoch{epoch}.safetensors"


def draw_figures(job: GanJob, run: GanRun, scores: Scores, lenet: LeNet5) -> dict[str, bytes]:
    classes, (test, labels) = job.real.classes, job.real.part("test")
    counts = np.zeros((len(classes), len(classes)), int)
    np.add.at(counts, (labels, predict(lenet, test).argmax(axis=1)), 1)
    return {
        SAMPLES_KEY: pictures.png(run.frames[-1]),
        GIF_KEY: pictures.gif(run.frames),
        CURVES_KEY: pictures.curves(run.history),
        CLASSES_KEY: pictures.histogram(classes, scores.counts, job.real.counts),
        CONFUSION_KEY: pictures.confusion(classes, counts),
        HISTORY_KEY: json_lines(run.history),
    }


def build_metrics(job: GanJob, run: GanRun, scores: Scores, lenet: LeNet5) -> dict[str, Any]:
    """The record's; shares from 0 to 1."""
    return {
        "lenet_accuracy": {part: accuracy(lenet, *job.real.part(part)) for part in ("validation", "test")},
        "confidence": float(scores.confidence.mean()),
        "classes": dict(zip(job.real.classes, scores.counts, strict=True)),
        "asked_agreement": scores.asked_agreement,
        "neighbour_agreement": {"generated": scores.neighbour_agreement, "real": scores.real_neighbour_agreement},
        "ms_ssim": {"generated": scores.similarity, "real": scores.real_similarity},
        "collapsed": bool(scores.collapsed),
        "collapsed_because": scores.collapsed,
        "last_good_epoch": last_good(run, scores),
        LINEAGE: record_lineage(job.real.lineage),
        SET_SOURCES: job.real.sources,
        **LabelMetrics(vocabulary=list(job.real.classes)).write(),
    }


def render_card(job: GanJob, metrics: dict[str, Any]) -> str:
    """The dataset card, with the front matter that the Hugging Face hub reads."""
    older = metrics["last_good_epoch"]
    return render(
        "gan_set.md", config=job.config, real=job.real, conditional=job.conditioned_classes,
        train=len(job.real.part("train")[0]), metrics=metrics, good=good_key(older) if older else "",
        about=describe_patients(job.real.sources, job.real.lineage), never=missing_classes(metrics),
        unaudited=unaudited("this set"),
    )  # fmt: skip


def missing_classes(metrics: dict[str, Any]) -> list[str]:
    """The classes of which there is no picture."""
    return [finding for finding, count in metrics["classes"].items() if not count]
