"""What was made from what, by the digests in records; and records in words."""

import re
from xml.etree import ElementTree

import pytest

from cxr.artifact.keys import CATALOG_KEY
from cxr.artifact.kinds import (
    AUDIT,
    EVALUATION,
    FINE_TUNED_MODEL,
    GENERATED_IMAGES,
    IMAGES_WITHOUT_COPIES,
    NIGHT,
    PUBLISHED_IMAGES,
)
from cxr.artifact.metrics import NightMetrics
from cxr.browse.given import find_artifacts
from cxr.browse.lineage import ACROSS, WIDTH, connect, draw_graph, lay_out
from cxr.browse.words import describe_artifact
from cxr.data.catalog import read_set
from cxr.store import StoredObject, open_store
from tests.unit.browse.conftest import HOME, PATIENT, draw, store_real, store_record, store_set, told_in


@pytest.fixture(scope="module")
def given(stored):
    return find_artifacts(stored.at("study", "quality", "clean", "synthetic", "model", "real", "nights"))


def named_edges(given) -> set[tuple[str, str]]:
    graph = connect(given)
    return {(graph.nodes[used].name, graph.nodes[made].name) for used, made in graph.edges}


def test_artifacts_are_connected_by_what_their_records_name(given):
    base = "a model, bbbbbbbb"
    assert named_edges(given) == {
        ("real", "model"), (base, "model"), (base, "synthetic"), ("model", "synthetic"), ("real", "quality"),
        ("synthetic", "quality"), ("real", "clean"), ("synthetic", "clean"), ("real", "study"), ("synthetic", "study"),
        ("set", "report"), ("a set, cccccccc", "report"), ("a model, dddddddd", "report"),
    }  # fmt: skip


def test_what_is_not_in_the_page_is_one_box_however_it_is_called(stored):
    """A study calls the real set by its recipe and by its catalog, an evaluation by its catalog alone."""
    graph = connect(find_artifacts(stored.at("quality", "study")))
    absent = [name for name, node in graph.nodes.items() if node.place is None]
    assert len(absent) == 3  # the real set, and the synthetic one by two digests that no record here brings together
    assert {used for used, made in graph.edges if made == "a0"} & {used for used, made in graph.edges if made == "a1"}


def test_a_drawing_has_what_it_was_made_from_and_what_was_made_of_it(given):
    place = next(place for place, one in enumerate(given) if one.name == "model")
    around = connect(given).around(f"a{place}")
    assert {node.name for node in around.nodes.values()} == {
        "real", "a model, bbbbbbbb", "model", "synthetic", "quality", "clean", "study",
    }  # fmt: skip
    svg = ElementTree.fromstring(draw_graph(around, f"a{place}"))
    links = [link.get("href") for link in svg.iter("a")]
    assert len(links) == 6 and [link.get("href") for link in svg.iter("a") if link.get("class")] == [f"#a{place}"]


def test_lines_run_from_one_column_to_the_next(given):
    graph = connect(given)
    laid = lay_out(graph)
    column = {name: level for level, names in enumerate(laid.columns) for name in names}
    assert all(column[made] == column[used] + 1 for used, made in laid.lines)
    assert {made for _, made in laid.lines if not laid.is_point(made)} == {made for _, made in graph.edges}
    width = float(re.search(r'width="(\d+)"', draw_graph(graph))[1])
    assert width == pytest.approx(16 + len(laid.columns) * (WIDTH + ACROSS) - ACROSS)


def test_records_that_name_one_another_in_a_circle_are_drawn_all_the_same(given):
    """No job writes such, but a record is a file."""
    graph = connect(given)
    circle = type(graph)(graph.nodes, graph.edges | {(made, used) for used, made in graph.edges})
    assert draw_graph(circle).count("<rect") == len(graph.nodes)


def test_records_are_told_in_words(given):
    told = {one.name: describe_artifact(one) for one in given}
    assert told["real"].lines[:2] == [
        "20 pictures, 0.0 MB. Findings: effusion 10, normal heart 10.",
        "Of 10 patients; split into 7 train, 7 validation, 6 test.",
    ]
    assert told["model"].lines[:2] == [
        "A LoRA of rank 4, trained for 20 steps; 0.0 MB.", "On validation pictures: MSE 0.05 (base model 0.06).",
    ]  # fmt: skip
    assert told["synthetic"].lines[1] == "Made by a diffusion model: 8 steps, 40 px, guidance 3, seed 0."
    assert "near-duplicate" in told["synthetic"].lines[2] and "safe to share" in told["synthetic"].lines[2]
    assert told["quality"].lines == ["Fidelity: good."]
    assert told["clean"].lines[1] == "1 flagged near-duplicates of training pictures were taken out."
    assert told["study"].lines[0] == "It helps: <b>0.1</b>."
    assert told["report"].lines == ["night 2026-11-21 passed its gate."]
    everything = repr(told)
    assert HOME not in everything and PATIENT not in everything
    assert ["base", "(a local path, left out)"] in told["synthetic"].settings[1]


def test_a_set_of_which_nothing_was_left_out_is_not_what_itself_was_made_from(tmp_path):
    """It has the digest of the set before: what judged that one did not judge this one, what came after may have."""
    same = {"image_id": ["one", "two"]}
    store_set(tmp_path / "synthetic", GENERATED_IMAGES, draw(2, 0), told_in, **same)
    digest = read_set(open_store(str(tmp_path / "synthetic"))).digest
    judged = store_record(tmp_path / "quality", EVALUATION, synthetic=digest)
    made_from = {"set": digest, "evaluation": judged.recipe_digest}
    store_set(tmp_path / "clean", IMAGES_WITHOUT_COPIES, draw(2, 0), told_in, inputs=made_from, **same)
    store_record(tmp_path / "audit", AUDIT, planted=5, synthetic=digest)
    assert named_edges(find_artifacts([str(tmp_path)])) == {
        ("synthetic", "quality"), ("synthetic", "clean"), ("quality", "clean"), ("clean", "audit"),
    }  # fmt: skip


def test_kinds_are_in_the_order_in_which_one_is_made_from_another(given):
    assert [one.name for one in given] == ["real", "model", "set", "synthetic", "clean", "quality", "study", "report"]
    assert AUDIT not in {one.kind for one in given} and given[-1].kind == NIGHT


def test_of_a_published_set_in_files_that_are_not_read_back_the_record_is_told(tmp_path):
    recipe = {"set": "e" * 64, "as": "dicom", "audit": "f" * 64}
    metrics = {"audit": {"verdict": "no leak found at this power", "risks": {}}}
    store_record(tmp_path / "published", PUBLISHED_IMAGES, [StoredObject(CATALOG_KEY, 1, "0" * 64)], metrics, **recipe)
    (one,) = find_artifacts([str(tmp_path / "published")])
    assert one.images is None and describe_artifact(one).lines == [
        "3 pictures as dicom, 0.0 MB: browse the set that was published.", "Audit: no leak found at this power.",
    ]  # fmt: skip
    assert {node.name for node in connect([one]).nodes.values()} == {
        "published", "a set, eeeeeeee", "an audit, ffffffff",
    }  # fmt: skip


def test_data_and_models_of_nights_are_known_by_their_places(tmp_path):
    data, model = "0c" * 32, "0d" * 32
    store_real(tmp_path / "nights" / "data" / data, draw(2, 0))
    store_record(tmp_path / "nights" / "models" / model, FINE_TUNED_MODEL, method="lora")
    for date in ("2026-11-21", "2026-11-22"):
        place = tmp_path / "nights" / "nights" / date
        store_set(place / "set", GENERATED_IMAGES, draw(2, 0), told_in, recipe={"night": date})
        metrics = NightMetrics(passed=False, verdict="night failed its gate").write()
        store_record(place / "report", NIGHT, [], metrics, {"data": data, "model": model}, date=date)
    given = find_artifacts([str(tmp_path / "nights")])
    nights = {"2026-11-21/report", "2026-11-22/report"}
    assert named_edges(given) == {
        *(("data/0c0c0c0c", night) for night in nights), *(("models/0d0d0d0d", night) for night in nights),
        *((night.replace("report", "set"), night) for night in nights),
    }  # fmt: skip
    assert describe_artifact(given[-1]).alarm
