"""Recipes of studies: which arms, with which classifier."""

from collections.abc import Callable

from cxr.classify.config import ClassifyConfig
from cxr.study.config import BASELINE, FILTERS, Arm, StudyConfig, standard_arms

THREE = (42, 123, 456)  # the guide's seeds; they find only what is large, see `study_7x3`


def study_tiny() -> StudyConfig:
    """One arm of each kind on phantoms, with their controls: minutes on a CPU."""
    return StudyConfig(
        classifier=ClassifyConfig(
            network="cnn", pretrained=False, resize=64, size=64, epochs=10, batch=32, learning_rate=2e-3
        ),
        arms=standard_arms(only=("synth_50", "synth_100", "shuffled_100", "limited_10", "synth_only")),
    )


def few() -> StudyConfig:
    """Whether synthetic pictures help beside a tenth of the real ones: minutes on a CPU."""
    return StudyConfig(
        classifier=ClassifyConfig(
            network="cnn", pretrained=False, resize=64, size=64, epochs=40, batch=32, learning_rate=2e-3
        ),
        arms=standard_arms(only=("synth_100", "shuffled_100", "limited_10", "synth_only")),
        primary="limited_10",
    )


def standard() -> StudyConfig:
    """All arms with five seeds, on GPUs."""
    return StudyConfig()


def study_7x3() -> StudyConfig:
    """All arms with the guide's three seeds, which see only large differences.

    With 80 % power they see the primary arm's difference from 3.3 standard deviations of a paired difference between
    seeds on, any other arm's from 13 on. Five seeds, as `standard` has them, see 1.7 and 3.6, eight 1.2 and 2.0.
    """
    return StudyConfig(seeds=THREE)


def limited() -> StudyConfig:
    """What synthetic pictures do where real data are few, with a set for each arm: `--synthetic ARM=URI`.

    Its generator has seen no more real data than the arm (`cxr finetune --patients`).
    """
    return StudyConfig(arms=standard_arms(only=("limited_10", "limited_25")), primary="limited_10")


def worth() -> StudyConfig:
    """What a synthetic picture is worth in real ones, read off the learning curve of 10, 25, 50 and 100 % real data.

    Of `real_25_synth_25` and `real_50_synth_50` a worth from 0 to 1 lies within the curve; of `synth_100` one above 0
    lies beyond it.
    """
    alone = [Arm(name=f"real_{share}", real=share, redraw=True) for share in (10, 25, 50)]
    within = [
        Arm(name=f"real_{share}_synth_{share}", real=share, synthetic=share, redraw=True, control=f"real_{share}")
        for share in (25, 50)
    ]
    return StudyConfig(arms=(*standard_arms(only=("synth_50", "synth_100", "shuffled_100")), *within, *alone))


def filters() -> StudyConfig:
    """What filtering does to a set of `cxr generate --accept`: accepted pictures against as many as they were made,
    and those without the refused ones against as many fewer at random."""
    return StudyConfig(arms=standard_arms(only=("synth_100", *(arm.name for arm in FILTERS))))


# Batch, epochs and rate of probes are a start, tried on features of small networks alone.
def rad_dino_probe() -> StudyConfig:
    """All arms with a linear layer on frozen features of RAD-DINO, computed once: the cheapest strong classifier."""
    return StudyConfig(
        classifier=ClassifyConfig(
            network="rad-dino", frozen=True, resize=518, size=518, crop_scale=(1, 1), flip=False, rotation=0, jitter=0,
            batch=64, learning_rate=1e-3,
        )
    )  # fmt: skip


def xrv_probe() -> StudyConfig:
    """The same on torchxrayvision's DenseNet-121, whose weights you have: --weights FILE."""
    probe = rad_dino_probe()
    classifier = probe.classifier.model_copy(update={"network": "xrv", "resize": 224, "size": 224})
    return probe.model_copy(update={"classifier": classifier})


def study_rad_dino() -> StudyConfig:
    """All arms with RAD-DINO, all of it trained further, on GPUs."""
    classifier = ClassifyConfig(network="rad-dino", resize=518, size=518, batch=32, learning_rate=1e-5, flip=False)
    return StudyConfig(classifier=classifier)


def findings10() -> StudyConfig:
    """One ResNet-18 over all findings of a set, with the report by class; three seeds."""
    classifier = ClassifyConfig(network="resnet18", flip=False)
    return StudyConfig(classifier=classifier, arms=(Arm(name=BASELINE),), seeds=THREE)


def mnist28() -> StudyConfig:
    """One ResNet-18 with a 3 x 3 stem, from scratch, at 28 px: MedMNIST's pictures on a CPU; three seeds."""
    classifier = ClassifyConfig(
        network="resnet18_28", pretrained=False, resize=28, size=28, epochs=4, learning_rate=1e-3
    )
    return StudyConfig(classifier=classifier, arms=(Arm(name=BASELINE),), seeds=THREE)


STUDY: dict[str, Callable[[], StudyConfig]] = {
    "tiny": study_tiny,
    "few": few,
    "standard": standard,
    "study_7x3": study_7x3,
    "limited": limited,
    "worth": worth,
    "filters": filters,
    "mnist28": mnist28,
    "findings10": findings10,
    "rad_dino_probe": rad_dino_probe,
    "xrv_probe": xrv_probe,
    "rad_dino": study_rad_dino,
}
