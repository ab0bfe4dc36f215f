"""What cannot be pretrained is told before anything is drawn."""

import importlib
from pathlib import Path

import pytest

from cxr.errors import BadInput
from tests.words import parse_options


def test_shares_of_the_same_phantoms_are_1_together_at_most(tmp_path: Path, monkeypatch):
    job, out = importlib.import_module("cxr.jobs.pretrain"), tmp_path / "out"
    monkeypatch.setattr(job, "make_model", lambda *args: 0)
    assert job.main(parse_options(job, out=out, several=0.7, independent=0.3)) == 0
    with pytest.raises(
        BadInput, match=r"^--several 0.7 and --independent 0.4: are shares .* more than 1 together; lower"
    ):
        job.main(parse_options(job, out=out, several=0.7, independent=0.4))
    assert not out.exists()
