import numpy as np

from cxr.evaluate.agreement import Namer, agree, confusion


def test_rows_are_what_was_asked_and_columns_what_is_seen():
    found = confusion(("a", "b", "c"), np.array([0, 0, 0, 1, 2, 2]), np.array([0, 0, 2, 1, 0, 1]))
    assert found.counts == [[2, 0, 1], [0, 1, 0], [1, 1, 0]]
    assert found.agree.share == 0.5
    assert {name: (each.count, each.total) for name, each in found.findings.items()} == {
        "a": (2, 3),
        "b": (1, 1),
        "c": (0, 2),
    }


def test_pictures_of_findings_that_the_classifier_does_not_know_are_left_out():
    namer = Namer(("a", "b"), lambda pixels: pixels, confusion(("a", "b"), np.array([0, 1]), np.array([0, 0])))
    found = agree(namer, np.array(["b", "x", "a", "b"]), np.array([1, 0, 0, 0]))
    assert found.synthetic.counts == [[1, 0], [1, 1]] and found.real.agree.share == 0.5
