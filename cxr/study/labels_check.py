"""Do the synthetic pictures show what their labels say? Asked before a classifier learns from them."""

from collections.abc import Sequence

from cxr.artifact import Record
from cxr.artifact.quality import read_quality
from cxr.data.prompt_accuracy import PROMPT_ACCURACY, PromptAccuracy, prompt_accuracies, read_accuracies
from cxr.store import Store
from cxr.study.config import StudyConfig


def prompt_accuracy(synthetic: Record | None, evaluation: tuple[Store, Record] | None) -> list[PromptAccuracy]:
    """By finding, of the evaluation, or of the one that a set without copies was taken from; empty if not measured.

    Args:
        synthetic: the set's.
    """
    found = read_accuracies_of(evaluation[0]) if evaluation else []
    return found or read_accuracies(synthetic.metrics.get(PROMPT_ACCURACY) if synthetic else None)


def read_accuracies_of(evaluation: Store) -> list[PromptAccuracy]:
    try:
        return prompt_accuracies(read_quality(evaluation).prompt_accuracy)
    except KeyError:
        return []


def worst(found: Sequence[PromptAccuracy]) -> PromptAccuracy | None:
    """That with the fewest right labels, then seen the least, of those that the classifier can tell."""
    told_apart = [one for one in found if one.right is not None]
    return min(told_apart, key=lambda one: (one.right, one.seen / one.total), default=None)


def unfaithful_labels(found: Sequence[PromptAccuracy], config: StudyConfig) -> str:
    """What is wrong with the labels; empty if nothing, or if nobody measured it."""
    one = worst(found)
    if one is None or one.right is None or one.right >= config.min_prompt_accuracy:
        return ""
    return (
        f"{one}, where --min-prompt-accuracy asks for {100 * config.min_prompt_accuracy:.0f} %: a classifier would "
        "learn wrong labels; generate in the words that the model was trained with, or train it longer"
    )


def describe_prompt_accuracy(name: str, found: Sequence[PromptAccuracy]) -> str:
    """For the report: all of a set together, and its worst finding."""
    if not found:
        return (
            f"Prompt accuracy of the set '{name}': not measured, so nobody knows whether its pictures show what their "
            "labels say; jobs/evaluate.py measures it, give its place as --evaluation."
        )
    seen, total = sum(one.seen for one in found), sum(one.total for one in found)
    return (
        f"Prompt accuracy of the set '{name}': {seen} of {total} pictures ({100 * seen / total:.0f} %) show what "
        "was asked for; "
        f"worst finding: {worst(found) or found[0]} (Rogan and Gladen 1978)."
    )
