"""A set goes to the hub by its real client: whole, the record last, private at first, and on where it was stopped."""

from pathlib import Path

import datasets
import pytest
from huggingface_hub import constants

from cxr import cli
from cxr.artifact import verify
from cxr.data.sources.hub import hub_rows
from cxr.data.sources.row import SourceOptions
from cxr.errors import BadInput, StoreError
from cxr.jobs import publish
from cxr.publish import hub, job
from cxr.publish.hub import parse_repo, split_commits
from cxr.store import open_store
from tests.unit.publish.conftest import CANARIES
from tests.unit.publish.hub_server import UploadHub

TOKEN, REPO = "hf_canarytoken", "datasets/own/chest"


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    found = UploadHub()
    monkeypatch.setattr(constants, "ENDPOINT", found.url)
    monkeypatch.setattr(
        constants, "HUGGINGFACE_CO_URL_TEMPLATE", found.url + "/{repo_id}/resolve/{revision}/{filename}"
    )
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hf"))
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(job, "UNIT", 3)
    yield found
    found.shutdown()
    found.server_close()


def run(*words: object) -> int:
    return publish.main(cli.parse(publish.Args, [*map(str, words)]))


def as_folder(files: dict[str, bytes], place: Path) -> Path:
    for name, data in files.items():
        path = place / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    return place


def test_a_published_set_is_whole_private_and_loads(server, generated, audit, tmp_path, capsys):
    words = (generated.uri, "--to", "hub:own/chest", "--audit", audit)
    assert run(*words) == 0
    files = server.repos[REPO]
    assert server.private[REPO] and "private" in capsys.readouterr().out
    assert sorted(files) == sorted(
        [".gitattributes", "README.md", "catalog.parquet", "croissant.json", "record.json"]
        + [f"data/train-{number:05d}-of-00003.parquet" for number in range(3)]
    )
    assert "record.json" in server.commits[-1] and not any("record.json" in one for one in server.commits[:-1])
    assert server.tokens == {f"Bearer {TOKEN}"}
    private = [*CANARIES, TOKEN, str(tmp_path)]
    assert not [(name, word) for name, data in files.items() for word in private if word.encode() in data]
    folder = as_folder({name: data for name, data in files.items() if name[0] != "."}, tmp_path / "copy")
    assert verify(open_store(str(folder))).clean
    rows = datasets.load_dataset(str(folder), split="train", cache_dir=str(tmp_path / "loaded"))
    assert len(rows) == 7 and rows[0]["image"].size == (20, 24)
    assert not (tmp_path / "cache/cxr/publish").exists() or not [*(tmp_path / "cache/cxr/publish").iterdir()]
    before = len(server.commits)
    assert run(*words) == 0 and "already there" in capsys.readouterr().out and len(server.commits) == before


def test_our_own_source_reads_it_back(server, generated, tmp_path, monkeypatch):
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "loaded")
    assert run(generated.uri, "--to", "hub:own/chest", "--unaudited") == 0
    folder = as_folder({name: data for name, data in server.repos[REPO].items() if name[0] != "."}, tmp_path / "copy")
    rows = list(hub_rows(str(folder), SourceOptions()))
    assert [row.labels.present[0] for row in rows] == [["effusion", "nodule", "normal"][n % 3] for n in range(7)]
    assert {row.licence for row in rows} == {"apache-2.0"}


def test_a_stopped_upload_goes_on_and_sends_nothing_twice(server, generated, audit, monkeypatch):
    monkeypatch.setattr(hub, "BATCH_FILES", 1)
    words = (generated.uri, "--to", "hub:own/chest", "--audit", audit)
    server.fail_after = 3  # the mark and two shards
    with pytest.raises(StoreError, match="the same command goes on"):
        run(*words)
    assert "record.json" not in server.repos[REPO] and "begun.txt" in server.repos[REPO]
    server.fail_after = None
    monkeypatch.setattr(job, "store_unit", None)  # nothing is packed again
    assert run(*words) == 0
    assert set(server.put.values()) == {1} and len(server.put) == 4  # three shards and the catalog
    assert "begun.txt" not in server.repos[REPO] and "record.json" in server.repos[REPO]


def test_another_publication_or_a_strangers_repository_is_refused(server, generated, audit):
    assert run(generated.uri, "--to", "hub:own/chest", "--audit", audit) == 0
    commits = len(server.commits)
    with pytest.raises(BadInput, match="holds another publication"):
        run(generated.uri, "--to", "hub:own/chest", "--audit", audit, "--as", "webdataset")
    server.repos["datasets/own/other"] = {".gitattributes": b"", "README.md": b"mine"}
    with pytest.raises(BadInput, match="not begun by this command"):
        run(generated.uri, "--to", "hub:own/other", "--audit", audit)
    assert len(server.commits) == commits


def test_no_token_or_one_that_may_not_write(server, generated, audit, monkeypatch, tmp_path):
    server.refuse = 403
    with pytest.raises(BadInput, match="refuses this token") as refused:
        run(generated.uri, "--to", "hub:own/chest", "--audit", audit)
    assert TOKEN not in str(refused.value)
    monkeypatch.delenv("HF_TOKEN")
    monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(tmp_path / "none"))
    with pytest.raises(BadInput, match="no token for the hub; set HF_TOKEN"):
        run(generated.uri, "--to", "hub:own/chest", "--audit", audit)


@pytest.mark.parametrize("place", ["hub:", "hub:name", "hub:a/b/c", "hub:a b/c", "hub:../x", "hub:a/b..c"])
def test_what_is_no_name(place):
    with pytest.raises(BadInput, match="give hub:owner/name"):
        parse_repo(place)


def test_commits_are_of_a_size_that_the_hub_takes(tmp_path, monkeypatch):
    as_folder({f"data/{number}": bytes(40) for number in range(5)} | {"record.json": b"{}"}, tmp_path)
    monkeypatch.setattr(hub, "BATCH_BYTES", 100)
    assert [*split_commits(tmp_path)] == [["data/0", "data/1"], ["data/2", "data/3"], ["data/4"]]
