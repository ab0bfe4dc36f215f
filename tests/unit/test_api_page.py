"""The examples of docs/api.md run as they stand there, one after another."""

import re
from pathlib import Path

import numpy as np

PAGE = Path(__file__).parents[2] / "docs" / "api.md"


def test_every_example_runs(stored_set, capsys) -> None:
    rng, places = np.random.default_rng(0), {}
    for name, count in (("real", 48), ("synthetic", 40)):
        pixels = rng.integers(0, 256, (count, 64, 64), np.uint8)
        split = ["train", "train", "validation", "test"] * (count // 4) if name == "real" else [None] * count
        places[name] = stored_set(name, pixels, finding=["normal", "pneumonia"] * (count // 2), split=split).store.uri
    text = PAGE.read_text(encoding="utf-8")
    blocks, names = re.findall(r"^```python\n(.*?)^```", text, re.DOTALL | re.MULTILINE), {}
    for block in blocks:
        for name, uri in places.items():
            block = block.replace(f"out/{name}", uri)
        exec(compile(block, str(PAGE), "exec"), names)
    assert len(blocks) == 6 and names["pixels"].shape == (40, 64, 64) and names["made"].shape == (2, 64, 64)
    assert names["study"].margin == 0.01 and names["study"].primary == "synth_100"
    assert "('train', 'normal'): 12" in capsys.readouterr().out
