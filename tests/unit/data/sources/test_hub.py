"""Hub datasets: a local copy in the hub's layout, and the hub's client replaced where it would go over the network."""

import io
import pickle
import shutil
from pathlib import Path

import datasets
import huggingface_hub
import numpy as np
import pytest
from PIL import Image

from cxr.data.images import MissingImage
from cxr.data.sources.hub import PINNED_REVISIONS, hub_rows, open_arrow_table
from cxr.data.sources.row import SourceOptions, SourceRow
from cxr.errors import BadInput

COMMIT = "0123456789abcdef0123456789abcdef01234567"
FEATURES = datasets.Features({"image": datasets.Image(), "label": datasets.ClassLabel(names=["NORMAL", "PNEUMONIA"])})
CARD = """---
license: cc-by-4.0
configs:
- config_name: default
  data_files:
  - split: train
    path: data/train-*
  - split: validation
    path: data/validation-*
---
"""


def jpeg(shade: int) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(np.full((8, 8), shade, np.uint8)).save(buffer, "JPEG")
    return buffer.getvalue()


def table(names: list[str], label: int, features: datasets.Features = FEATURES) -> datasets.Dataset:
    images = [{"bytes": jpeg(10 * n), "path": name} for n, name in enumerate(names)]
    return datasets.Dataset.from_dict({"image": images, "label": [label] * len(names)}, features=features)


@pytest.fixture
def copy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder as `snapshot_download` leaves it; `datasets` keeps its cache in the test's folder."""
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    folder = tmp_path / "copy"
    (folder / "data").mkdir(parents=True)
    (folder / "README.md").write_text(CARD)
    table(["person1_virus_6.jpeg", "b.jpeg"], 1).to_parquet(folder / "data" / "train-00000-of-00002.parquet")
    table(["IM-0115-0001.jpeg"], 0).to_parquet(folder / "data" / "train-00001-of-00002.parquet")
    table(["c.jpeg"], 0).to_parquet(folder / "data" / "validation-00000-of-00001.parquet")
    return folder


def rows(place: str | Path) -> list[SourceRow]:
    return list(hub_rows(str(place), SourceOptions()))


def check(found: list[SourceRow]) -> None:
    assert [(row.name, row.finding, row.patient_id, row.split) for row in found] == [
        ("train/000000", "pneumonia", "person1", "train"),
        ("train/000001", "pneumonia", None, "train"),
        ("train/000002", "normal", "IM-0115", "train"),
        ("validation/000000", "normal", None, "validation"),
    ]
    loaded = [pickle.loads(pickle.dumps(row)).load() for row in found]
    assert loaded == [jpeg(0), jpeg(10), jpeg(0), jpeg(0)], "the publisher's bytes, not decoded on the way"
    assert {row.licence for row in found} == {"cc-by-4.0"}


def test_a_local_copy(copy: Path):
    found = rows(copy)
    check(found)
    assert str(copy) not in found[0].source
    table(["new.jpeg"], 0).to_parquet(copy / "data" / "validation-00000-of-00001.parquet")
    assert {row.mark for row in rows(copy)}.isdisjoint({row.mark for row in found})


def test_a_machine_without_the_datasets_cache_says_that_the_file_is_missing(copy: Path):
    row = rows(copy)[0]
    open_arrow_table.cache_clear()
    shutil.rmtree(copy.parent / "cache")
    with pytest.raises(MissingImage, match="no such file"):
        row.load()


def test_by_pinned_commit(copy: Path, monkeypatch: pytest.MonkeyPatch):
    asked = []
    monkeypatch.setattr(huggingface_hub, "snapshot_download", lambda *a, **k: asked.append((a, k)) or str(copy))
    found = rows(f"owner/name@{COMMIT}")
    check(found)
    assert asked == [(("owner/name",), {"repo_type": "dataset", "revision": COMMIT})]
    assert {(row.source, row.mark) for row in found} == {(f"owner/name@{COMMIT}", COMMIT)}
    rows("hf-vision/chest-xray-pneumonia")
    assert asked[1][1]["revision"] == PINNED_REVISIONS["hf-vision/chest-xray-pneumonia"]


def test_a_branch_becomes_a_commit(copy: Path, monkeypatch: pytest.MonkeyPatch):
    class Info:
        sha = COMMIT

    monkeypatch.setattr(huggingface_hub.HfApi, "dataset_info", lambda self, repo, revision, timeout: Info)
    monkeypatch.setattr(huggingface_hub, "snapshot_download", lambda *a, **k: str(copy))
    assert {row.source for row in rows("owner/name@main")} == {f"owner/name@{COMMIT}"}


def test_not_to_be_had(monkeypatch: pytest.MonkeyPatch):
    def silent(*args, **options):
        raise ConnectionError("https://secret@host/ did not answer\nat all")

    monkeypatch.setattr(huggingface_hub, "snapshot_download", silent)
    with pytest.raises(
        BadInput, match=r"hub:owner/name@.*not to be had .ConnectionError.; tried owner/name@"
    ) as caught:
        rows(f"owner/name@{COMMIT}")
    assert "\n" not in str(caught.value) and "secret" not in str(caught.value)


@pytest.mark.parametrize("place", ["no/such/folder", "name", "a b/c", "owner/name@", "../x"])
def test_no_datasets_name(place: str):
    with pytest.raises(BadInput, match="no such folder and no dataset's name"):
        rows(place)


def test_without_class_labels(copy: Path):
    for path in (copy / "data").iterdir():
        path.unlink()
    features = datasets.Features({"image": datasets.Image(), "label": datasets.Value("int64")})
    table(["a.jpeg"], 0, features).to_parquet(copy / "data" / "train-00000-of-00001.parquet")
    (copy / "README.md").unlink()
    with pytest.raises(BadInput, match=r"needs an Image and a ClassLabel column, has image \(Image\), label \(Value\)"):
        rows(copy)


def test_an_empty_folder(copy: Path):
    for path in [*(copy / "data").iterdir(), copy / "README.md"]:
        path.unlink()
    with pytest.raises(BadInput, match="`datasets` cannot read it"):
        rows(copy)
