"""What the nightly job refuses before it writes anything."""

import importlib
from pathlib import Path
from types import ModuleType

import pytest

from cxr.errors import BadInput
from cxr.nightly.pointer import Pointer
from cxr.store import open_store
from tests.words import parse_options

JOBS = Path(__file__).parents[3] / "jobs"


@pytest.fixture
def job(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """jobs/nightly.py as Python finds it when it is run: with the other jobs beside it."""
    return importlib.import_module("cxr.jobs.nightly")


@pytest.mark.parametrize(
    ("changes", "line"),
    [
        ({"recipe": "tinny"}, "no recipe is called 'tinny'; did you mean tiny"),
        ({"date": "20261121"}, "--date '20261121': not a day; give one as 2026-11-21"),
        ({"date": "2026-02-30"}, "--date '2026-02-30': not a day"),
        ({"date": "yesterday"}, "--date 'yesterday': not a day"),
        ({"keep": 0}, "--keep 0: give a number from 1"),
        ({"source": "folders:x"}, "--source 'folders:x': no kind is called"),
        ({"source": "folder:/nowhere/at/all"}, "nowhere"),
        ({"generate": "tiny --per-fnding 3"}, "--generate 'tiny --per-fnding 3': .*--per-finding"),
        ({"generate": "tiny --per-finding 0"}, "--generate 'tiny --per-finding 0': --per-finding '0'"),
        ({"finetune": "lora"}, "--finetune 'lora': no recipe is called 'lora'; did you mean lora_a100"),
        ({"finetune": "tiny --model nowhere"}, "--finetune 'tiny --model nowhere': .*no such"),
        ({"ingest": "tiny --size 'x"}, "--ingest .*No closing quotation"),
        ({"evaluate": "tiny --min-samples 3"}, "--evaluate 'tiny --min-samples 3': "),
        ({"audit": "tiny --max-p 2"}, "--audit 'tiny --max-p 2': --max-p '2.0'"),
        ({"audit": "tinny"}, "--audit 'tinny': no recipe is called 'tinny'; did you mean tiny"),
        ({"min_prompt_accuracy": 1.5}, "--min-prompt-accuracy '1.5'"),
        ({"max_excess_distance": float("nan")}, "--max-excess-distance 'nan'"),
    ],
)
def test_bad_input_is_one_line_and_nothing_is_written(
    job: ModuleType, tmp_path: Path, changes: dict, line: str
) -> None:
    out = tmp_path / "out"
    given = {"recipe": "tiny", "out": str(out), "date": "2026-11-21", **changes}
    with pytest.raises(BadInput, match=line) as caught:
        job.main(parse_options(job, **given))
    assert "\n" not in str(caught.value) and not out.exists()


def test_a_place_of_something_else_is_refused(job: ModuleType, tmp_path: Path) -> None:
    (tmp_path / "holiday.jpg").write_bytes(b"x")
    with pytest.raises(BadInput, match=r"not a place of nights \(holiday.jpg\)"):
        job.main(parse_options(job, out=tmp_path, date="2026-11-21"))
    assert [path.name for path in tmp_path.iterdir()] == ["holiday.jpg"]


def test_a_night_before_that_of_latest_is_refused(job: ModuleType, tmp_path: Path) -> None:
    store = open_store(str(tmp_path))
    store.put("latest/00000001.json", Pointer(night="2026-11-22", token=1).model_dump_json().encode())
    with pytest.raises(BadInput, match="latest is a later night already, 2026-11-22"):
        job.main(parse_options(job, out=tmp_path, date="2026-11-21"))


@pytest.mark.parametrize("recipe", ["tiny", "sd15"])
def test_every_recipe_has_steps_that_can_be_run(job: ModuleType, tmp_path: Path, recipe: str) -> None:
    config = job.build_config(parse_options(job, recipe, out=tmp_path, date="2026-11-21"))
    assert (
        job.parse_config(job.generate, config.generate).sampler.size == job.parse_config(job.ingest, config.ingest).size
    )


def test_what_is_filled_in_counts(job: ModuleType) -> None:
    words = job.build_command(job.generate, "tiny --seed 1 --out 'a b'", seed=2, out="c")
    assert words[1:4] == ["-m", "cxr", "generate"]
    args = job.cli.parse(job.generate.Args, words[4:])
    assert (args.recipe, args.config.seed, args.out) == ("tiny", 2, "c")


def test_a_source_that_has_grown_is_another_set(job: ModuleType, tmp_path: Path) -> None:
    digests = [
        job.digest_source(job.build_config(parse_options(job, out=tmp_path, date="2026-11-21", source=source)))
        for source in ("phantom:40", "phantom:41", "phantom:40")
    ]
    assert digests[0] == digests[2] != digests[1]


def test_a_source_of_other_pictures_with_the_same_names_is_another_set(job: ModuleType, tmp_path: Path) -> None:
    def digest() -> str:
        return job.digest_source(
            job.build_config(parse_options(job, out="out", date="2026-11-21", source=f"folder:{tmp_path}"))
        )

    for name in ("normal", "mass"):
        (tmp_path / name).mkdir()
        for number in range(3):
            (tmp_path / name / f"{number}.png").write_bytes(b"as exported first")
    first = digest()
    assert digest() == first
    (tmp_path / "mass" / "2.png").write_bytes(b"again")
    assert digest() != first


def test_a_dry_run_names_the_steps_that_are_to_do(job, tmp_path: Path, capsys) -> None:
    given = {"recipe": "tiny", "source": "phantom:40", "out": tmp_path / "out", "date": "2026-11-21", "dry_run": True}
    assert job.main(parse_options(job, **given)) == 0
    told = capsys.readouterr().out
    assert "the night of 2026-11-21: ingest (tiny); finetune (tiny); generate (tiny --per-finding 24); eval" in told
    assert "time: not known before a first night" in told
    assert "latest is no night yet" in told and not list(tmp_path.iterdir())
