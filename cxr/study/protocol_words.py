"""The protocol of a study in words, for its methods text: a sentence a setting."""

from cxr.classify.config import FOUNDATION
from cxr.study.job import StudyJob
from cxr.study.plan import describe_kept, read_plan

ELSEWHERE = (
    "each network also reads every picture of the other hospitals once, as the internal validation part chose it, with "
    "its temperature and threshold; no patient of theirs is in the study's own sets"
)


def describe_settings(job: StudyJob) -> dict[str, str]:
    """The protocol, in words."""
    config, classifier = job.config, job.config.classifier
    patients, count = job.sets.real.table["patient_id"], len(job.sets.real.table)
    unit = "picture" if patients.null_count == count else "patient"
    unnamed = f" ({patients.null_count:,} of {count:,} name no patient)" if patients.null_count else ""
    budget = {"steps": "every arm takes the baseline's optimiser steps", "epochs": "every arm takes as many epochs"}
    redrawn = ", ".join(arm.name for arm in config.arms if arm.redraw)
    parts = (f"another with each seed for {redrawn}, else " if redrawn else "") + "the same for every seed"
    plan = read_plan(job)
    by = "by chance, so that findings come together as in the set," if job.sets.several else "by class,"
    return {
        **({"plan": describe_kept(plan, config)} if plan else {}),
        "classifier": f"{classifier.network}, {describe_start(job)}",
        "pictures": f"held at {classifier.resize} px, shown at {classifier.size} px",
        "augmentation": describe_augmentation(job),
        "optimiser": f"AdamW, learning rate {classifier.learning_rate:g} falling as a cosine, weight decay "
        f"{classifier.weight_decay:g}, batch {classifier.batch}",
        "budget": f"{classifier.epochs} epochs of the baseline; {budget[config.budget]}",
        "seeds": ", ".join(map(str, config.seeds)),
        "arms": f"a part of the real data is drawn by {unit}, of each finding its share, {parts} "
        f"(subset seed {config.subset_seed}), smaller parts in larger ones; synthetic pictures {by} for each seed",
        "choice": "the epoch of the highest AUROC on the validation part; the test part is used once, for its scores",
        **describe_decision(job),
        **({"elsewhere": ELSEWHERE} if job.sets.external else {}),
        "test": f"no {unit} of the test part is in another{unnamed}; "
        f"bootstrap over {unit}s, {config.resamples} resamples",
    }


def describe_start(job: StudyJob) -> str:
    classifier = job.config.classifier
    if classifier.frozen:
        return "frozen: a linear layer on its features, whose mean and variance are taken out first"
    if classifier.network in FOUNDATION:
        return "from weights of a training on X-rays"
    return "from ImageNet weights" if job.recipe["weights"] else "from random weights"


def describe_decision(job: StudyJob) -> dict[str, str]:
    """What scores are made of labels and read by."""
    if not job.sets.several:
        return {"operating point": describe_operating_point(job.config.operating_point, len(job.sets.classes))}
    policy = job.config.labels
    taken = {"ignore": "left out of training and of metrics", "absent": "absent", "present": "present"}
    return {
        "labels": f"uncertain ones are {taken[policy.uncertain]}, unknown ones {taken[policy.unknown]}; binary "
        "cross-entropy of each finding",
        "operating point": "none: AUROC and AUPRC go by the order of the probabilities alone",
    }


def describe_operating_point(rule: str, classes: int) -> str:
    """Where a picture is taken for a class, and how probabilities are calibrated, in words."""
    name, _, share = rule.partition("=")
    thresholds = {
        "youden": "the threshold of the highest sensitivity + specificity",
        "f1": "the threshold of the highest F1",
        "sensitivity": f"the highest threshold of a sensitivity of at least {share}",
        "0.5": "a probability of 0.5",
    }
    chosen = thresholds[name] if classes == 2 else "the most probable class"
    return f"{chosen}, after temperature scaling; both chosen on the validation part for each seed"


def describe_augmentation(job: StudyJob) -> str:
    config = job.config.classifier
    parts = (
        [f"random resized crop of {config.crop_scale[0]:g} to {config.crop_scale[1]:g}"]
        if config.changes_geometry
        else []
    )
    parts += ["left-right flip"] if config.flip else []
    parts += [f"rotation up to {config.rotation:g} degrees"] if config.rotation else []
    parts += [f"brightness and contrast by up to {config.jitter:g}"] if config.jitter else []
    return ", ".join(parts) or "none"
