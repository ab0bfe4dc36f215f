"""A set that is to be like another one: what comes together there comes together here, alike often; no patient does."""

import json
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from scipy.stats import chisquare

from cxr import recipes
from cxr.artifact import Made, Record, recipe_digest
from cxr.artifact.metrics import LabelMetrics
from cxr.data.catalog import CATALOG, CatalogSet
from cxr.data.labels import Labels
from cxr.errors import BadInput
from cxr.generate.asked import ask_like
from cxr.generate.config import Balance
from cxr.generate.like import LikeSet, describe_like, like_rows
from cxr.generate.plan import write_plan
from cxr.prompts.lists import PromptRow
from cxr.prompts.trained_prompts import TrainedPrompts
from cxr.prompts.words import GENERIC, Content, write_words
from cxr.store import open_store
from cxr.weights import Weights

FINDINGS = ("Cardiomegaly", "Edema", "Mass")
Cell = tuple[Any, ...]


def set_of(folder: Path, rows: list[dict[str, Any]], exclusive: bool = False) -> CatalogSet:
    """Finished, of these rows; what they leave out is of a training picture of which nothing is known."""
    empty = {"split": "train", "text": "Mr Smith.", **Labels().as_columns(FINDINGS)}
    told = [
        empty | {"image_id": f"image {i}", "patient_id": f"patient {i // 2}"} | row | {"finding": folder_of(row)}
        for i, row in enumerate(rows)
    ]
    labels = LabelMetrics(vocabulary=list(FINDINGS), exclusive=exclusive)
    record = Record(kind="ingested images", recipe={}, recipe_digest=recipe_digest({}), objects=[],
                    made=Made(count=len(rows), bytes=1, digest="0"), metrics=labels.write())  # fmt: skip
    return CatalogSet(open_store(str(folder)), record, pa.Table.from_pylist(told, schema=CATALOG))


def folder_of(row: dict[str, Any]) -> str:
    lists = (tuple(row.get(name, ())) for name in ("present", "absent", "uncertain"))
    return Labels(*lists).folder(FINDINGS)


@pytest.fixture(scope="module")
def chest(tmp_path_factory: pytest.TempPathFactory) -> CatalogSet:
    """600 pictures whose findings, view, sex and age hang together; the test part has other ones."""
    rng = np.random.default_rng(3)
    rows = []
    for number in range(600):
        age = int(rng.choice([4, 33, 34, 61, 62, 92]))
        old, woman = age > 60, bool(rng.random() < 0.3)
        draws = rng.random(3) < (0.6 if old else 0.1, 0.4 if woman else 0.1, 0.15)
        present = [name for name, drawn in zip(FINDINGS, draws, strict=True) if drawn]
        row = {"present": present, "absent": [name for name in FINDINGS if name not in present]}
        row |= {"view": "AP" if old and rng.random() < 0.8 else "PA", "sex": "F" if woman else "M", "age": age}
        rows.append(row | ({"split": "test", "view": "LL"} if number % 6 == 0 else {}))
    return set_of(tmp_path_factory.mktemp("chest"), rows)


def cell_of(present: Iterable[str], view: str | None, sex: str | None, age: int | None) -> Cell:
    return tuple(present), view, sex, None if age is None else min(age, 90) // 5


def cells_of(rows: Iterable[PromptRow]) -> Counter[Cell]:
    names = (row.finding.split("+") if row.finding not in ("No_Finding", "unlabelled") else [] for row in rows)
    return Counter(cell_of(present, row.view, row.sex, row.age) for present, row in zip(names, rows, strict=True))


def probability(drawn: Counter[Cell], data: CatalogSet) -> float:
    """p of a chi-square test that cells come as often as in the training part; those expected in under 5 are joined."""
    told = [row for row in data.table.to_pylist() if row["split"] == "train"]
    cells = Counter(cell_of(row["present"], row["view"], row["sex"], row["age"]) for row in told)
    assert not drawn.keys() - cells.keys(), "a combination that is not in the training part"
    expected = {cell: count * drawn.total() / len(told) for cell, count in cells.items()}
    often = [cell for cell in expected if expected[cell] >= 5]
    assert len(often) >= 30
    rest = [sum(table[cell] for cell in expected if expected[cell] < 5) for table in (drawn, expected)]
    pairs = [(drawn[cell], expected[cell]) for cell in often] + ([(rest[0], rest[1])] if rest[1] else [])
    seen, wanted = zip(*pairs, strict=True)
    return float(chisquare(seen, wanted).pvalue)


def drawn_rows(data: CatalogSet, count: int, seed: int = 1, balance: Balance | None = None) -> list[PromptRow]:
    return list(like_rows(LikeSet(data, count, balance), seed, lambda content: write_words(GENERIC, content)))


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_what_comes_together_comes_together_alike_often(chest: CatalogSet, seed: int) -> None:
    assert probability(cells_of(drawn_rows(chest, 6000, seed)), chest) > 0.001


def test_a_shift_is_found(chest: CatalogSet) -> None:
    """Sexes that were balanced, one part in twenty that has another view, and columns drawn each for itself."""
    assert probability(cells_of(drawn_rows(chest, 6000, balance="sex")), chest) < 1e-6
    rows = drawn_rows(chest, 6000)
    shifted = [row if i % 20 else next(one for one in rows if one.view == "AP") for i, row in enumerate(rows)]
    assert probability(cells_of(shifted), chest) < 1e-6
    told = chest.table.filter(pa.compute.equal(chest.table["split"], "train"))
    rng = np.random.default_rng(0)
    alone = [told[name].take(pa.array(rng.integers(len(told), size=6000))).to_pylist() for name in ("present", "sex")]
    apart = Counter((tuple(present), sex) for present, sex in zip(*alone, strict=True))
    joint = Counter((tuple(p), s) for p, s in zip(told["present"].to_pylist(), told["sex"].to_pylist(), strict=True))
    both = sorted(set(apart) & set(joint))
    expected = np.array([joint[cell] for cell in both], float)
    seen = np.array([apart[cell] for cell in both], float)
    assert chisquare(seen, expected * seen.sum() / expected.sum()).pvalue < 1e-6


def test_the_same_seed_draws_the_same_and_another_one_others(chest: CatalogSet) -> None:
    assert drawn_rows(chest, 50, 1) == drawn_rows(chest, 50, 1) != drawn_rows(chest, 50, 2)
    assert len(drawn_rows(chest, 5000)) == 5000


def test_no_patient_no_text_and_no_exact_age_leaves_the_set(chest: CatalogSet, tmp_path: Path) -> None:
    rows = drawn_rows(chest, 3000)
    plan = write_plan(tmp_path / "plan.parquet", rows, recipes.tiny(), "look", chest.vocabulary)
    written = plan.path.read_bytes() + json.dumps([vars(row) for row in rows]).encode()
    assert not any(secret in written for secret in (b"Smith", b"patient 1", b"image 1"))
    assert {row.age for row in rows} == {*range(5), *range(30, 35), *range(60, 65), 90}


@pytest.mark.parametrize(
    ("balance", "value_of"),
    [
        ("sex", lambda row: [row.sex]),
        ("view", lambda row: [row.view]),
        (
            "age",
            lambda row: ["old" if row.age >= 65 else "middle" if row.age >= 40 else "young" if row.age > 12 else "c"],
        ),
    ],
)
def test_balanced_values_come_alike_often(chest: CatalogSet, balance: Balance, value_of) -> None:
    counts = Counter(value for row in drawn_rows(chest, 6000, balance=balance) for value in value_of(row))
    share = 6000 / len(counts)
    assert len(counts) > 1 and all(abs(count - share) < 5 * share**0.5 for count in counts.values()), counts


def test_findings_that_exclude_each_other_come_alike_often(tmp_path: Path) -> None:
    rows = [
        {"present": [name], "absent": [n for n in FINDINGS if n != name]} for name in ("Mass", "Edema", "Edema") * 9
    ]
    counts = Counter(row.finding for row in drawn_rows(set_of(tmp_path, rows, True), 2000, balance="findings"))
    assert abs(counts["Mass"] - 1000) < 5 * 500**0.5


def test_a_rare_finding_among_several_is_asked_for_more_often(chest: CatalogSet) -> None:
    plain, balanced = (
        Counter(name for row in drawn_rows(chest, 6000, balance=balance) for name in row.finding.split("+"))
        for balance in (None, "findings")
    )
    assert balanced["Edema"] > 1.3 * plain["Edema"] and balanced["Mass"] > 1.3 * plain["Mass"]
    assert max(balanced.values()) < 2 * min(balanced.values())


def test_a_value_that_is_unknown_keeps_its_share(tmp_path: Path) -> None:
    rows = [{"sex": sex} for sex in ("F", "M", "M", "M", None)] * 10
    counts = Counter(row.sex for row in drawn_rows(set_of(tmp_path, rows), 5000, balance="sex"))
    assert all(abs(counts[sex] - wanted) < 5 * wanted**0.5 for sex, wanted in (("F", 2000), ("M", 2000), (None, 1000)))
    with pytest.raises(BadInput, match="--balance view: the training part of --like says of no picture what it is"):
        drawn_rows(set_of(tmp_path, rows), 10, balance="view")


def test_labels_are_asked_for_as_they_are_known_but_nothing_uncertainly(tmp_path: Path) -> None:
    data = set_of(tmp_path, [{"present": ["Mass"], "absent": [], "uncertain": ["Edema"]}])
    [row] = drawn_rows(data, 1)
    assert row == PromptRow("Chest X-ray: mass", "Mass", "", 1, None, absent=())
    [row] = drawn_rows(set_of(tmp_path, [{"absent": ["Mass"]}]), 1)
    assert row == PromptRow("Chest X-ray: no mass", "unlabelled", "", 1, None, absent=("Mass",))
    [row] = drawn_rows(set_of(tmp_path, [{"absent": [*FINDINGS]}]), 1)
    assert row == PromptRow("Chest X-ray: no acute finding", "No_Finding", "", 1, None, absent=FINDINGS)


def test_a_set_without_training_part_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"--like .*: has no training part"):
        drawn_rows(set_of(tmp_path, [{"split": None}]), 1)


def lora(trained: TrainedPrompts | None) -> Weights:
    return Weights("out/lora", Path("x"), "d" * 64, "unstated", "folder", (), (), trained)


def test_a_model_is_asked_in_the_form_that_it_was_trained_with(chest: CatalogSet) -> None:
    heard: list[str] = []
    template = "{sex} of {age}, {view}: {findings}"
    trained = TrainedPrompts({"Mass": ": mass", "Edema": ": edema"}, template, exclusive=False)
    request = ask_like(LikeSet(chest, 40), recipes.tiny(), lora(trained), heard.append)
    for row in request.rows:
        names = () if row.finding == "No_Finding" else tuple(row.finding.split("+"))
        assert row.prompt == write_words(template, Content(names, None, (), row.view, row.sex, row.age))
    assert request.vocabulary == chest.vocabulary and len(heard) == 2 and template in heard[1]


def test_phantoms_are_asked_for_in_the_words_of_the_templates(tmp_path: Path) -> None:
    row = {"present": ["cardiomegaly", "effusion"], "view": "PA", "sex": "F", "age": 52}
    data = set_of(tmp_path, [row])
    prompts = {one.prompt for one in ask_like(LikeSet(data, 9), recipes.tiny(), lora(None), print).rows}
    assert len(prompts) > 5 and all("PA" in prompt or "posteroanterior" in prompt for prompt in prompts)
    assert not any(" man" in prompt for prompt in prompts)


def test_a_line_says_how_many_combinations_are_one_patients_alone(tmp_path: Path) -> None:
    rows = [{"sex": "F"}] * 4 + [{"sex": "M", "age": 40}, {"sex": "M", "age": 44}, {"sex": "M", "age": 45}]
    line = describe_like(LikeSet(set_of(tmp_path, rows), 30, "sex"))
    assert "30 pictures after 7 of the training part" in line and "sex balanced" in line
    assert "2 of its 3 combinations of findings, view, sex and age group are one patient's alone" in line
