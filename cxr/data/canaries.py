"""Canaries: training patients of whom a coin leaves each in or out, so that an audit can bound what a model gives away
(Steinke, Nasr and Jagielski 2023, arXiv:2305.08846).

The coin is the owner's key. Nobody without it can toss it again, no file has to keep it, and the same command draws the
same patients.
"""

from collections.abc import Iterable, Mapping

from cxr.data.lineage import hashed_id
from cxr.data.lineage_key import LineageKey
from cxr.errors import BadInput

LEFT_OUT = "left out"  # the part, in a training's plan, of canaries who were not trained on
FEWEST = 20  # of fewer the surest guesses bound nothing worth a name
OPTION = "--canaries"


def draw_canaries(patients: Iterable[str], count: int, seed: int, key: LineageKey) -> Mapping[str, bool]:
    """The canaries among these patients, and whether each is trained on.

    Raises:
        BadInput: they are too few for a bound, or more than there are patients.
    """
    names = {patient: key.pseudonym(hashed_id(patient, "")) for patient in patients}
    if count < FEWEST:
        raise BadInput(f"{OPTION} {count}: a bound of epsilon takes {FEWEST} at least; give these, or 0 for none")
    if count > len(names):
        raise BadInput(f"{OPTION} {count}: the training part has {len(names)} patients whose ids are known; give fewer")
    drawn = sorted(names, key=lambda patient: key.draw(f"canary, seed {seed}", names[patient]))[:count]
    return {patient: key.draw(f"coin, seed {seed}", names[patient]) < 0.5 for patient in drawn}
