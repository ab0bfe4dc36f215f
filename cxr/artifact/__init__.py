"""The life of an artifact: its record, whose presence means complete, and the commits of one in the making.

kinds.py      what there is
keys.py       names of objects that more than one room knows
record.py     what an artifact was made of
metrics.py    what readers of other kinds ask of a record's metrics
lifecycle.py  begin, make, commit, sweep: what a stage's job is built on
tracking.py   an artifact in the making as a run in MLflow, which mlflow_process.py writes in a process of its own
public_text.py  which texts may leave this machine
units.py      the commits of an artifact in the making
verify.py     reads everything back
"""

from cxr.artifact.lifecycle import Artifact, commit_record, plan_marks, refuse_other
from cxr.artifact.record import Made, Record, library_versions, read_record, recipe_digest, replace_record
from cxr.artifact.units import listed_units, unit_key
from cxr.artifact.verify import Verification, verify
