"""The findings that a user asks for: some of the source's, or several as one."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from functools import lru_cache

from cxr.data.boxes import Box
from cxr.data.labels import Labels, merge_findings
from cxr.data.sources.row import SourceRow
from cxr.errors import BadInput, nearest
from cxr.prompts.lists import safe_finding

Groups = Mapping[str, tuple[str, ...]]  # a finding of the set, and those of the source that it stands for


def parse_findings(text: str) -> Groups:
    """Reads "Pneumonia,Effusion=Pleural Effusion"; a name that stands several times is all of them.

    Raises:
        BadInput: a name is empty or cannot be a folder name.
    """
    groups: dict[str, tuple[str, ...]] = {}
    for pair in text.split(","):
        ours, is_pair, theirs = (part.strip() for part in pair.partition("="))
        if not ours or (is_pair and not theirs):
            raise BadInput(f"--findings {text[:200]!a}: write NAME or NAME=THEIRS, with commas between")
        try:
            name = safe_finding(ours)
        except BadInput as error:
            raise BadInput(f"--findings {text[:200]!a}: {error}") from None
        groups[name] = (*groups.get(name, ()), theirs or ours)
    return groups


def choose_findings(rows: Iterable[SourceRow], text: str, default: str = "") -> Iterator[SourceRow]:
    """The rows with the findings of `text` in place of the source's own, by `labels.merge_findings`.

    Upper and lower case of the source's names do not matter. Where the source's findings exclude each other, pictures
    that show none of those asked for are left out; else they stay, as pictures in which these are absent.

    Args:
        text: as `parse_findings`; "" for `default`.
        default: of the source; its own names, if it has none. What it merges can be asked for by the merged name too.

    Raises:
        BadInput: as `parse_findings`, or a name is none of the source's, which the last row shows.
    """
    if not (text or default):
        yield from rows
        return
    chooser = _Chooser(parse_findings(text or default), parse_findings(default) if default else {})
    for row in rows:
        labels = chooser.choose(row.labels)
        if labels.present or not row.exclusive or not row.labels.known:
            yield replace(row, labels=labels, boxes=chooser.rename(row.boxes))
    if text:
        chooser.require_all(text)


class _Chooser:
    """Merges labels, and keeps which findings the source has."""

    def __init__(self, asked: Groups, merged: Groups) -> None:
        self.merged = {name.casefold(): theirs for name, theirs in merged.items()}
        self.typed = tuple(dict.fromkeys(name for members in asked.values() for name in members))
        self.groups = {ours: {one for name in members for one in self._expand(name)} for ours, members in asked.items()}
        self.known: dict[str, str] = {}  # folded -> the source's name
        self.choose = lru_cache(maxsize=1 << 16)(self._choose)  # few labels are different

    def _expand(self, name: str) -> tuple[str, ...]:
        return tuple(one.casefold() for one in self.merged.get(name.casefold(), (name,)))

    def _choose(self, labels: Labels) -> Labels:
        self.known |= {name.casefold(): name for name in labels.findings}
        return merge_findings(
            labels, {ours: [self.known.get(n, n) for n in sorted(m)] for ours, m in self.groups.items()}
        )

    def rename(self, boxes: tuple[Box, ...]) -> tuple[Box, ...]:
        named = (
            (ours, box) for box in boxes for ours, members in self.groups.items() if box.finding.casefold() in members
        )
        return tuple(replace(box, finding=ours) for ours, box in named)

    def require_all(self, text: str) -> None:
        """`BadInput` for a name that is none of the source's."""
        for name in self.typed:
            if self.known.keys().isdisjoint(self._expand(name)):
                raise BadInput(
                    f"--findings {text[:200]!a}: the source has no finding {name[:60]!a}; "
                    f"{nearest(name, sorted(self.known.values()))}"
                )
