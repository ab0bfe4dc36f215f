"""Files that would run code when they are loaded as pickles: each is refused, and none of it runs."""

import io
import os
import pickle
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch

from cxr.data.sources import SOURCES, SourceOptions
from cxr.errors import BadInput
from cxr.finetune.loop import load_checkpoint


class Mine:
    """Makes a folder when it is unpickled."""

    def __init__(self, sign: Path) -> None:
        self.sign = sign

    def __reduce__(self):
        return os.mkdir, (str(self.sign),)


@pytest.fixture
def sign(tmp_path: Path) -> Path:
    """What is there if the code has run. It does where pickles are loaded without care."""
    sign = tmp_path / "it ran"
    pickle.loads(pickle.dumps(Mine(sign)))
    sign.rmdir()
    return sign


@pytest.mark.parametrize("kind", ["torch's archive", "a bare pickle"])
def test_a_hostile_checkpoint_is_refused(tmp_path: Path, sign: Path, kind: str) -> None:
    path = tmp_path / "state"
    if kind == "a bare pickle":
        path.write_bytes(pickle.dumps({"step": Mine(sign)}))
    else:
        torch.save({"step": Mine(sign)}, path)
    with pytest.raises(BadInput, match="not a whole checkpoint"):
        load_checkpoint(None, path)
    assert not sign.exists()


def test_a_hostile_array_is_refused(tmp_path: Path, sign: Path) -> None:
    member = io.BytesIO()
    np.lib.format.write_array(member, np.array([Mine(sign)], object), allow_pickle=True)
    with zipfile.ZipFile(tmp_path / "set.npz", "w") as archive:
        for part in ("train", "val", "test"):
            for name in ("images", "labels"):
                archive.writestr(f"{part}_{name}.npy", member.getvalue())
    with pytest.raises(BadInput):
        next(iter(SOURCES["npz"](tmp_path / "set.npz", SourceOptions(size=64, seed=0, columns="")))).load()
    assert not sign.exists()
