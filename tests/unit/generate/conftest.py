"""A small set without a model: pictures are drawn from a generator, everything around them is the real thing."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from cxr.diffusion.config import SamplerConfig
from cxr.generate.config import GenerateConfig, Layout
from cxr.generate.plan import Plan, PlanReader, write_plan
from cxr.generate.writer import store_unit
from cxr.prompts.lists import PromptRow
from cxr.store import Store, open_store

ROWS = (
    *(PromptRow(f"normal chest, number {i}", "normal", "", 1, None) for i in range(6)),
    PromptRow('pneumonia, "severe", in both lungs — ähnlich', "pneumonia", "text", 5, 7),
)


@dataclass(frozen=True)
class Made:
    """A stored set of 11 pictures, 6 normal and 5 pneumonia, before its end is written."""

    store: Store
    folder: Path
    config: GenerateConfig
    plan: Plan
    reader: PlanReader


def pictures(count: int, unit: int) -> np.ndarray:
    return np.random.default_rng([7, unit]).integers(0, 256, (count, 64, 64), dtype=np.uint8)


@pytest.fixture
def make_set(tmp_path: Path):
    """A function that stores the set in a layout, in units of 4 (or one shard)."""

    def make(layout: Layout, rows: tuple[PromptRow, ...] = ROWS, source: str = "out") -> Made:
        config = GenerateConfig(layout=layout, sampler=SamplerConfig(size=64, batch=4))
        plan = write_plan(tmp_path / f"{source}.parquet", rows, config, "look")
        reader, store = PlanReader(plan.path, config.unit_images), open_store(str(tmp_path / source))
        for unit in range(plan.units):
            planned = reader.rows(unit)
            store_unit(store, layout, unit, planned, pictures(len(planned), unit), '{"model": "m"}')
        return Made(store, tmp_path / source, config, plan, reader)

    return make
