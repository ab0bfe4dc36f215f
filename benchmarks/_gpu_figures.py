"""What `gpu.py` measures, kept as soon as it is known, and written as a table."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Figures:
    """Of one measurement."""

    ours: float
    stock: float | None  # the usual way of the field, in the same run; None where there is none
    unit: str
    how: str


@dataclass(frozen=True)
class Kept:
    """A JSON file that has every measurement as soon as it is done. Another machine's, or another kind of run's, is
    begun anew."""

    path: Path
    made_on: dict[str, str]

    def read(self) -> dict[str, dict[str, Any]]:
        """What is kept by name: `Figures`' fields, or an `error`."""
        if not self.path.exists():
            return {}
        found = json.loads(self.path.read_text(encoding="utf-8"))
        return found["measured"] if found["made_on"] == self.made_on else {}

    def add(self, name: str, measured: Figures | str, seconds: float) -> None:
        """A measurement, or the error that it ended with. Whole or not at all, as it may be cut off at any moment."""
        entry = asdict(measured) if isinstance(measured, Figures) else {"error": measured}
        kept = {**self.read(), name: {**entry, "seconds": round(seconds, 1)}}
        self.path.parent.mkdir(parents=True, exist_ok=True)
        part = self.path.with_suffix(".part")
        part.write_text(json.dumps({"made_on": self.made_on, "measured": kept}, indent=1) + "\n", encoding="utf-8")
        part.replace(self.path)


def table(measured: dict[str, dict[str, Any]], goals: dict[str, str], made_on: dict[str, str]) -> str:
    """Markdown: a row a measurement, in the order of `goals`, which say what each should reach."""
    lines = [
        ", ".join(f"{name} {value}" for name, value in made_on.items()) + ".", "",
        "| measured | ours | stock | ratio | goal | how |", "| --- | --- | --- | --- | --- | --- |",
    ]  # fmt: skip
    for name, goal in goals.items():
        entry = measured.get(name)
        if entry is None or "error" in entry:
            why = entry["error"].partition("\n")[0].replace("|", "/") if entry else "the time was over before it"
            lines.append(f"| {name} | not measured | | | {goal} | {why} |")
            continue
        ours, stock, unit = entry["ours"], entry["stock"], entry["unit"]
        theirs, ratio = (f"{stock:.3g} {unit}", f"{ours / stock:.2f}") if stock else ("", "")
        lines.append(f"| {name} | {ours:.3g} {unit} | {theirs} | {ratio} | {goal} | {entry['how']} |")
    return "\n".join(lines) + "\n"
