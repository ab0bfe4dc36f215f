"""A published DICOM file against the standard's own tables of modules, as highdicom ships them: they know of Synthetic
Data, which Debian's dciodvfy does not. (dicom-validator needs the standard's DocBook files, which no package has.)"""

import importlib.util
import json
from collections import defaultdict
from pathlib import Path
from typing import Any

import pydicom
import pytest

from cxr.publish.dicom import encode_dicom
from tests.unit.publish.test_dicom import ROWS, pixels_of

Path_ = tuple[str, ...]


@pytest.fixture(scope="module")
def tables() -> dict[str, list[dict[str, Any]]]:
    """The attributes of each module of a DX image, each with its type, its path and whether the module is mandatory."""
    found = importlib.util.find_spec("highdicom")
    if found is None or found.origin is None:
        pytest.skip("no highdicom, which has the tables: pip install highdicom")
    folder = Path(found.origin).parent / "_standard"
    modules = json.loads((folder / "iod_module_map.json").read_text())["digital-x-ray-image"]
    attributes = json.loads((folder / "module_attribute_map.json").read_text())
    return {
        module["key"]: [one | {"mandatory": module["usage"] == "M"} for one in attributes[module["key"]]]
        for module in modules
    }


def items_at(image: pydicom.Dataset, path: Path_) -> list[pydicom.Dataset]:
    """The dataset, or the items of a sequence in it."""
    found = [image]
    for name in path:
        found = [item for one in found for item in one.get(name, [])]
    return found


def complaints(image: pydicom.Dataset, tables: dict[str, list[dict[str, Any]]]) -> list[str]:
    """What a mandatory module wants and the file has not, what is empty and may not be, and what no module has."""
    said, known = [], defaultdict(set)
    for module, attributes in tables.items():
        for one in attributes:
            name, path = one["keyword"], tuple(one["path"])
            known[path].add(name)
            if name.startswith("Overlay") or not pydicom.datadict.tag_for_keyword(name):
                continue
            for item in items_at(image, path):
                if name not in item and one["mandatory"] and one["type"] in ("1", "2"):
                    said.append(f"{module}: {name} is missing")
                if name in item and one["type"] in ("1", "1C") and item[name].is_empty:
                    said.append(f"{module}: {name} is empty")
    return said + [f"no module has {name}" for path, name in attributes_of(image) if name not in known[path]]


def attributes_of(image: pydicom.Dataset, path: Path_ = ()) -> list[tuple[Path_, str]]:
    found = []
    for element in image:
        found.append((path, element.keyword))
        if element.VR == "SQ":
            found += [one for item in element.value for one in attributes_of(item, (*path, element.keyword))]
    return found


def read_back(number: int, folder: Path) -> pydicom.Dataset:
    (folder / "one.dcm").write_bytes(encode_dicom(ROWS[number], pixels_of(number), "d" * 64))
    return pydicom.dcmread(folder / "one.dcm")


@pytest.mark.parametrize("number", range(len(ROWS)))
def test_it_has_all_that_its_modules_demand_and_nothing_that_they_do_not_know(number: int, tables, tmp_path: Path):
    assert complaints(read_back(number, tmp_path), tables) == []


def test_what_is_missing_empty_or_of_another_kind_of_image_is_seen(tables, tmp_path: Path):
    image = read_back(0, tmp_path)
    del image.BurnedInAnnotation, image.AnatomicRegionSequence[0].CodeMeaning
    image.SOPInstanceUID, image.EchoTime = "", 3.0
    said = complaints(image, tables)
    for line in ("BurnedInAnnotation is missing", "CodeMeaning is missing", "SOPInstanceUID is empty", "has EchoTime"):
        assert [one for one in said if one.endswith(line)], line
