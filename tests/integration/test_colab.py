"""The notebook, from its first cell to its last, and once more as after a disconnected session."""

import json
import shutil
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
NOTEBOOK = ROOT / "jobs/colab.ipynb"
MINIATURE = {
    "ingest": "tiny --source phantom:300,5,normal+pneumonia --train 0.45 --validation 0.1 --test 0.45",
    "finetune": "tiny --max-train-steps 4 --validate-every 2",
    "generate": "tiny --findings normal,pneumonia --per-finding 76 --steps 4 --workers 1",
    "evaluate": "tiny --min-samples 12 --resamples 10 --workers 1",
    "study": "tiny --seeds 1,2 --epochs 2",
    "audit": "tiny --permutations 200 --resamples 200 --planted 5 --max-patients 20",
}


def test_the_notebook_as_stored_holds_no_outputs() -> None:
    for cell in json.loads(NOTEBOOK.read_text())["cells"]:
        assert not cell.get("outputs") and cell.get("execution_count") is None


@pytest.mark.parametrize(("gpu", "folder"), [("/usr/bin/nvidia-smi", "gpu"), (None, "cpu")])
def test_a_session_without_a_gpu_leaves_what_was_made_with_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, gpu: str | None, folder: str
) -> None:
    pytest.importorskip("IPython")
    monkeypatch.setenv("CXR_PLACE", str(tmp_path))
    monkeypatch.setattr(shutil, "which", lambda name: gpu)
    settings = next(cell for cell in json.loads(NOTEBOOK.read_text())["cells"] if cell["cell_type"] == "code")
    told: dict[str, object] = {}
    exec("".join(settings["source"]), told)
    assert told["PLACE"] == str(tmp_path / folder)


@pytest.fixture
def execute(jobs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Runs every cell in a new kernel; returns what all of them printed."""
    nbformat, nbclient = pytest.importorskip("nbformat"), pytest.importorskip("nbclient")
    settings = {"CXR_COLAB": json.dumps(MINIATURE), "CXR_PLACE": str(tmp_path / "place")}
    for name, value in jobs.env(settings).items():
        monkeypatch.setenv(name, value)

    def run() -> str:
        notebook = nbformat.read(NOTEBOOK, as_version=4)
        nbclient.NotebookClient(notebook, timeout=550, resources={"metadata": {"path": str(ROOT / "jobs")}}).execute()
        outputs = [output for cell in notebook.cells for output in cell.get("outputs", [])]
        return "".join(output.get("text", "") for output in outputs)

    return run


@pytest.mark.slow
def test_a_job_in_a_notebook_shows_its_picture_and_the_kernel_lives_on(jobs, tmp_path: Path, monkeypatch) -> None:
    nbformat, nbclient = pytest.importorskip("nbformat"), pytest.importorskip("nbclient")
    for name, value in jobs.env(None).items():
        monkeypatch.setenv(name, value)
    words = jobs.words(tmp_path / "out", "--prompt", "clear", "--steps", 2, "--show")
    cells = [f"%run {ROOT}/jobs/{' '.join(map(str, words))}", "print('alive')"]
    notebook = nbformat.v4.new_notebook(cells=list(map(nbformat.v4.new_code_cell, cells)))
    nbclient.NotebookClient(notebook, timeout=300).execute()
    shown, after = (cell.outputs for cell in notebook.cells)
    assert any("image/png" in output.get("data", {}) for output in shown)
    assert after[0].text == "alive\n"


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_the_whole_way_and_again_after_a_disconnection(execute, tmp_path: Path) -> None:
    told = execute()
    assert told.index("time: about") < told.index("look at")  # nothing is made before it is said how long it takes
    assert told.count("nothing was written to") >= 8  # two at first, then before each job with a recipe
    [place] = (tmp_path / "place").iterdir()  # cpu or gpu
    for name in ("real", "lora", "synthetic", "quality", "clean", "study", "audit", "published"):
        assert (place / name / "record.json").is_file()
    assert (place / "study.zip").stat().st_size > (place / "study/index.html").stat().st_size / 2
    assert "Not measured" not in (place / "study/index.html").read_text()
    assert (place / "published.zip").is_file() and len(list((place / "published/images").rglob("*.png"))) > 100
    assert execute().count("already there") >= 7  # each job, and the estimate of reading
