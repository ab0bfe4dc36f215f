"""The scripts of whole studies in `runs/`, at the smallest size that goes through."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SMALLER = {
    "SOURCE": "phantom:360,7,normal+pneumonia",
    "RECIPE": "tiny --size 64",
    "TUNE": "tiny --size 64 --batch 4 --max-train-steps 2 --validate-every 2",
    "PER_FINDING": "132",
    "MAKE": "--steps 2",
    "EVALUATE": "tiny --size 64 --least 12 --resamples 10 --workers 1",
    "CLASSIFIER": "--network cnn --pretrained False --size 32 --resize 32 --epochs 1 --batch 16 --seeds 1,2"
    " --allow-unfaithful-labels",  # of models of two steps
}


@pytest.mark.slow
def test_few_real_data_with_a_generator_for_each_arm(jobs, tmp_path: Path) -> None:
    """None of the two generators saw more than its arm, so no answer is taken back."""
    env = jobs.env({**SMALLER, "OUT": str(tmp_path), "PYTHON": sys.executable})
    done = subprocess.run([ROOT / "runs" / "limited_data.sh"], env=env, capture_output=True, text=True, timeout=900)
    assert done.returncode == 0, done.stderr
    found = json.loads((tmp_path / "study" / "results.json").read_text())
    arms = {source["name"]: source["arms"] for source in found["sources"]}
    assert arms == {"real": [], "synthetic of limited_10": ["limited_10"], "synthetic of limited_25": ["limited_25"]}
    assert found["primary"] == "limited_10" and not any("may have seen" in line for line in found["details"])
    recipes = [json.loads((tmp_path / share / "model" / "record.json").read_text())["recipe"] for share in ("10", "25")]
    assert [recipe["patients"] for recipe in recipes] == [10, 25]
