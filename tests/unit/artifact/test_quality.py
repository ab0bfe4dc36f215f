"""`quality.json` as other stages read it."""

import json

import pytest

from cxr.artifact.quality import read_quality
from cxr.errors import BadInput
from cxr.store import open_store
from tests.unit.report.sample import sample_quality


def test_what_an_evaluation_measured_is_read_and_damage_is_named(tmp_path):
    store = open_store(str(tmp_path))
    with pytest.raises(KeyError):
        read_quality(store)
    store.put("quality.json", json.dumps(sample_quality()).encode())
    assert read_quality(store).groups[0].metrics["coverage"].interval.value == 0.61
    store.put("quality.json", json.dumps(sample_quality(copies={"rate": "many"})).encode())
    with pytest.raises(BadInput, match=r"quality\.json: is damaged: copies\.rate; restore it, or evaluate again"):
        read_quality(store)
    store.put("quality.json", b"{")
    with pytest.raises(BadInput, match="is damaged: its JSON"):
        read_quality(store)
