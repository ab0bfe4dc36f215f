"""In which words a set is asked for where the user gives none: its model's own, else templates."""

from collections.abc import Callable, Iterable, Iterator, Sequence

from cxr.errors import BadInput
from cxr.generate.config import GenerateConfig
from cxr.generate.plan import template_rows
from cxr.prompts.findings import BINARY, FINDINGS, parse_findings
from cxr.prompts.lists import UNLABELLED, PromptRow
from cxr.prompts.words import Content
from cxr.weights import Weights

SHOWN = 4  # prompts that a line names


def rows_to_ask(config: GenerateConfig, trained: Weights, note: Callable[[str], None]) -> Iterator[PromptRow]:
    """`per_finding` pictures of each finding, in the words that the model was trained with as far as its record tells.

    Args:
        trained: what was trained last: the LoRA, or the model where there is none.
        note: called with which words, and why.

    Raises:
        BadInput: a finding that neither the model nor the templates know.
    """
    learned = trained.trained
    prompts = learned.known if learned and not config.templates else {}
    findings = findings_to_ask(config, trained, prompts)
    note(f"prompts: {explain_prompts(findings, trained, prompts)}")
    return rows_of(config, findings, prompts)


def rows_of(config: GenerateConfig, findings: Iterable[str], prompts: dict[str, str]) -> Iterator[PromptRow]:
    """One prompt with `per_finding` seeds where it is given, else as many prompts of the templates."""
    for finding in findings:
        if finding in prompts:
            yield PromptRow(prompts[finding], finding, "", config.per_finding, None)
        else:
            yield from template_rows(config.model_copy(update={"findings": finding}))


def findings_to_ask(config: GenerateConfig, trained: Weights, prompts: dict[str, str]) -> tuple[str, ...]:
    """`all` are those that the model was trained on, if that is known, and that there are words for."""
    if config.findings != "all":
        return parse_findings(config.findings, prompts)
    if trained.trained is None:
        return FINDINGS
    learned = trained.trained.prompts
    found = [finding for finding in (*FINDINGS, *BINARY) if finding in learned]
    found += [finding for finding in prompts if finding not in found]
    if silent := [finding for finding in learned if finding not in found]:
        raise BadInput(
            f"{trained.spec}: was trained on {', '.join(silent)}, for which there are no templates; give your own "
            "words with --prompts, or name other findings with --findings"
        )
    return tuple(found)


def explain_prompts(findings: Sequence[str], trained: Weights, prompts: dict[str, str]) -> str:
    """Which words, and for what reason."""
    if own := [prompts[finding] for finding in findings if finding in prompts]:
        others = "" if len(own) == len(findings) else "; for other findings from templates"
        words = quote_prompts(own)
        return f"{words}, with which {trained.spec} was trained{others} (other words: --templates, --prompts)"
    if trained.source == "embedded":
        return "from templates, which the embedded model was made for"
    if trained.trained is None:
        return f"from templates; no record says in which words {trained.spec} was trained"
    if trained.trained.known:
        return "from templates"
    return f"from templates; {trained.spec} was trained with texts of its pictures, of which its record holds none"


def describe_untrained(prompts: Iterable[str], findings: Iterable[str], trained: Weights) -> str:
    """What is asked for that the model was not trained with; empty if nothing, or where no record tells.

    Args:
        prompts: of every picture.
    """
    if trained.trained is None:
        return ""
    learned = trained.trained
    if strange := sorted({*findings} - {*learned.prompts, UNLABELLED}):
        return (
            f"{trained.spec} was not trained on {', '.join(strange)}, only on {', '.join(learned.prompts)}: what it "
            "shows for the others is the base model's"
        )
    if len(learned.known) < len(learned.prompts):
        return ""  # texts: nobody can say which words were among them
    known = [learned.has(prompt, Content()) for prompt in prompts]
    if all(known):
        return ""
    words = quote_prompts([*learned.known.values()])
    return (
        f"{known.count(False):,} of {len(known):,} pictures are asked for in words that {trained.spec} was not trained "
        f"with ({words}): they may not show what is asked; jobs/evaluate.py measures it"
    )


def quote_prompts(prompts: list[str]) -> str:
    shown = ", ".join(f'"{prompt}"' for prompt in dict.fromkeys(prompts[:SHOWN]))
    return f"{shown} and {len(prompts) - SHOWN} more" if len(prompts) > SHOWN else shown
