"""Who a study tests on."""

from collections.abc import Sequence

import numpy as np
import pyarrow as pa

from cxr.errors import BadInput
from cxr.study.results import TestSet
from cxr.study.sets import Sets, external_name
from cxr.study.several import measured_findings


def read_test_set(sets: Sets) -> TestSet:
    """Who is tested on."""
    return describe_tested(sets, sets.real.table.take(pa.array(sets.part("test"))), "test")


def read_external_set(sets: Sets, name: str) -> TestSet:
    """The same of another hospital; all of its pictures that have a label."""
    return describe_tested(sets, sets.external[name].data.table, external_name(name))


def describe_tested(sets: Sets, rows: pa.Table, part: str) -> TestSet:
    """Of the rows of a part of all pictures."""
    ids = rows["image_id"].to_pylist()
    patients = [patient or image for patient, image in zip(rows["patient_id"].to_pylist(), ids, strict=True)]
    ages = [None if age is None else f"{age // 10 * 10}-{age // 10 * 10 + 9}" for age in rows["age"].to_pylist()]
    groups = {"view": rows["view"].to_pylist(), "sex": rows["sex"].to_pylist(), "age": ages}
    findings = sets.classes if sets.several else ()
    return TestSet(ids, sets.labels[sets.part(part)].tolist(), patients, groups, findings)


def check_test(test: TestSet, classes: Sequence[str], where: str = "test part") -> None:
    """`BadInput` unless two patients at least show each class: an error between patients cannot be seen otherwise."""
    patients = np.array(test.patients)
    if test.findings:
        if not measured_findings(np.array(test.labels), patients):
            raise BadInput(f"{where}: no finding that 2 patients show and 2 do not, as metrics need; ingest more")
        return
    for number, name in enumerate(classes):
        if (shown := len(np.unique(patients[test.showing(number)]))) < 2:
            raise BadInput(f"{where}: {shown} patients with {name}, where metrics need 2; leave it out or split anew")
