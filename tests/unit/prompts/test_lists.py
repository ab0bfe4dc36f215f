"""The user's prompt files: what is written reads back, what is wrong is one clear line, nothing grows with the rows."""

import csv
import io
import json
import re
import tracemalloc
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cxr.errors import BadInput
from cxr.prompts.lists import PromptRow, clean_prompt, read_prompts, safe_finding

MARK = re.compile(r"X{4,}|(?<![^\W_])X{2,3}(?![^\W_])|_{2,}|\[\*\*[^\[\]]*\*\*\]")
in_tmp = settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=30)

texts = st.text(st.characters(exclude_categories=("Cs", "Cc")) | st.sampled_from("\n\r\t\",;'X_"), max_size=60)
prompts = texts.filter(lambda text: any(map(str.isalnum, clean_prompt(text)[0])))
findings = st.just("") | st.from_regex(r"[A-Za-z0-9]([A-Za-z0-9_ -]{0,62}[A-Za-z0-9_-])?", fullmatch=True)
wishes = st.fixed_dictionaries(
    {
        "prompt": prompts,
        "finding": findings,
        "negative_prompt": texts,
        "count": st.integers(1, 1_000_000),
        "seed": st.none() | st.integers(0, 2**63 - 1),
    }
).filter(lambda row: (row["seed"] or 0) + row["count"] <= 2**63)
marked = st.text('X_[*] ,.;:-/()"a1\n', max_size=80)


def read(path: Path) -> list[PromptRow]:
    return list(read_prompts(path, notes=lambda line: None))


def read_bytes(folder: Path, name: str, content: bytes | str) -> list[PromptRow]:
    path = folder / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return read(path)


def error_of(folder: Path, name: str, content: bytes | str) -> str:
    with pytest.raises(BadInput) as caught:
        read_bytes(folder, name, content)
    message = str(caught.value)
    assert message.startswith(str(folder / name)), "the line names the file"
    assert "\n" not in message
    return message.removeprefix(str(folder / name))


def notes_of(folder: Path, name: str, content: str) -> list[str]:
    (folder / name).write_text(content)
    lines: list[str] = []
    list(read_prompts(folder / name, lines.append))
    return lines


def write(path: Path, rows: list[dict]) -> None:
    """Writes rows as Python's own writers do, in the format of the suffix."""
    if path.suffix == ".jsonl":
        path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    elif path.suffix == ".parquet":
        pq.write_table(pa.Table.from_pylist(rows), path)
    else:
        with path.open("w", encoding="utf-8", newline="") as file:
            writer = csv.DictWriter(file, list(rows[0]), delimiter="\t" if path.suffix == ".tsv" else ",")
            writer.writeheader()
            writer.writerows(rows)


def expected(row: dict) -> PromptRow:
    return PromptRow(
        prompt=clean_prompt(row["prompt"])[0],
        finding=row["finding"] or "unlabelled",
        negative_prompt=clean_prompt(row["negative_prompt"])[0],
        count=row["count"],
        seed=row["seed"],
    )


# --- what is written reads back ---


@pytest.mark.parametrize("suffix", [".csv", pytest.param(".tsv", marks=pytest.mark.slow), ".jsonl", ".parquet"])
@in_tmp
@given(rows=st.lists(wishes, min_size=1, max_size=8))
def test_rows_written_by_python_read_back_equal(tmp_path: Path, suffix: str, rows: list[dict]):
    path = tmp_path / f"prompts{suffix}"
    write(path, rows)
    assert read(path) == [expected(row) for row in rows]


@in_tmp
@given(lines=st.lists(prompts.filter(lambda text: not set("\r\n") & set(text)), min_size=1, max_size=8))
def test_text_files_hold_one_prompt_a_line(tmp_path: Path, lines: list[str]):
    rows = read_bytes(tmp_path, "prompts.txt", "\n\n".join(lines) + "\n")
    assert rows == [PromptRow(clean_prompt(line)[0], "unlabelled", "", 1, None) for line in lines]


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("mark", ["", "\ufeff"])
def test_line_ends_and_byte_order_mark_do_not_matter(tmp_path: Path, end: str, mark: str):
    content = mark + end.join(["prompt,count", "normal chest,2", "effusion,3", ""])
    assert [(row.prompt, row.count) for row in read_bytes(tmp_path, "p.csv", content)] == [
        ("normal chest", 2),
        ("effusion", 3),
    ]


def test_quoted_cells_may_span_lines_and_errors_still_name_the_first_line_of_their_row(tmp_path: Path):
    content = 'prompt,count\n"a\nb, ""c""",1\n\n"d\ne",0\n'
    assert "line 5: count is '0'" in error_of(tmp_path, "p.csv", content)
    assert read_bytes(tmp_path, "p.csv", content.replace(",0", ",7"))[0].prompt == 'a b, "c"'


def test_column_names_and_cells_may_be_written_loosely(tmp_path: Path):
    rows = read_bytes(
        tmp_path, "p.csv", 'Prompt, Negative-Prompt ,COUNT,seed, Finding\na, "b, c", 3.0 , 7.0 , Pleural \n'
    )
    assert rows == [PromptRow("a", "Pleural", "b, c", 3, 7)]


def test_gaps_in_a_table_of_floats_take_the_defaults(tmp_path: Path):
    table = pa.table({"prompt": ["a", "b", "c"], "count": [2.0, None, float("nan")], "seed": [None, 5.0, 0.0]})
    pq.write_table(table, tmp_path / "p.parquet")
    assert [(row.count, row.seed) for row in read(tmp_path / "p.parquet")] == [(2, None), (1, 5), (1, 0)]


def test_dictionary_encoded_parquet_text_is_text(tmp_path: Path):
    pq.write_table(pa.table({"prompt": pa.array(["a", "a"]).dictionary_encode()}), tmp_path / "p.parquet")
    assert [row.prompt for row in read(tmp_path / "p.parquet")] == ["a", "a"]


# --- any bytes at all ---


@pytest.mark.parametrize("suffix", [".csv", ".tsv", ".jsonl", ".parquet", ".txt"])
@in_tmp
@given(
    head=st.sampled_from([b"", b"prompt\n", b"prompt,count\n", b'{"prompt": ', b"PAR1"]), tail=st.binary(max_size=80)
)
def test_any_bytes_read_or_are_bad_input(tmp_path: Path, suffix: str, head: bytes, tail: bytes):
    try:
        rows = read_bytes(tmp_path, f"any{suffix}", head + tail)
    except BadInput as error:
        assert "\n" not in str(error)
    else:
        assert rows
        assert not any(MARK.search(row.prompt) for row in rows)


@pytest.fixture(scope="module")
def parquet_bytes() -> bytes:
    buffer = io.BytesIO()
    pq.write_table(pa.table({"prompt": ["größer", "b"] * 20, "finding": ["x", "y"] * 20, "count": [1, 2] * 20}), buffer)
    return buffer.getvalue()


@in_tmp
@given(data=st.data())
def test_a_damaged_parquet_file_reads_or_is_bad_input(tmp_path: Path, parquet_bytes: bytes, data: st.DataObject):
    damaged = bytearray(parquet_bytes)
    damaged[data.draw(st.integers(0, len(damaged) - 1))] = data.draw(st.integers(0, 255))
    try:
        assert len(read_bytes(tmp_path, "p.parquet", bytes(damaged))) == 40
    except BadInput as error:
        assert "cannot be read" not in str(error), "that is for the disk's errors"


# --- bad input is one line that says what to do ---


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ("", "is empty"),
        ("\n\n", "holds no prompts"),
        ("prompt,finding\n", "holds no prompts"),
        ("text,finding\na,b\n", "no column 'prompt'; columns there: 'text', 'finding'; columns known: prompt, finding"),
        ("promt\na\n", "column 'promt' looks like 'prompt'"),
        ("prompt,findng\na,b\n", "column 'findng' looks like 'finding'"),
        ("prompt,prompt\na,b\n", "'prompt' is there twice"),
        ("prompt;finding\na;b\n", "separated by semicolons"),
        ("prompt\tfinding\na\tb\n", "separated by tabs"),
        ("prompt,finding\na,b\nc\n", "line 3: has 1 cells, the header has 2"),
        ("prompt,finding\na,b,c\n", "line 2: has 3 cells, the header has 2"),
        ('prompt,finding\n"a,b\nc,d\n', "line 2: unexpected end of data; is a quotation mark open"),
        ('prompt\na\n""\n', "line 3: the prompt is empty"),
        ("prompt\n...\n", "line 2: the prompt is empty or holds no letter"),
        ("prompt\n(XXXX).\n", "line 2: the prompt holds only de-identification marks"),
        ("prompt\n" + "a" * 10_001, "line 2: prompt is 10,001 characters long; at most 10,000"),
        ("prompt\na\0b\n", "line 2: prompt holds the control character U+0000 at position 1"),
        ("prompt\na\x1bb\n", "control character U+001B"),
        ("prompt\n" + "a" * 200_000, "line 2: field larger than field limit"),
        ("a" * 2_000_000, "line 1: is 1,048,576 characters or longer"),
        (b"prompt\nfine\ngr\xfcn\n", "line 3: byte 0xfc at offset 14 is not UTF-8"),
        (b"prompt\nfine\n\xe2\x82", "line 3: byte 0xe2 at offset 12 is not UTF-8"),
        ("prompt\na\n".encode("utf-16"), "looks like UTF-16; save it as UTF-8"),
        ("prompt\na\n".encode("utf-16-be"), "looks like UTF-16; save it as UTF-8"),
        (b"PK\3\4...", "is a spreadsheet or zip archive inside"),
        (b"\x1f\x8b...", "is gzip inside"),
        (b"PAR1...", "is Parquet inside"),
    ],
)
def test_bad_csv_is_told(tmp_path: Path, content: bytes | str, told: str):
    assert told in error_of(tmp_path, "p.csv", content)


def test_commas_in_a_tab_separated_file_are_told(tmp_path: Path):
    assert "separated by commas" in error_of(tmp_path, "p.tsv", "prompt,finding\na,b\n")


@pytest.mark.parametrize("count", ["0", "-1", "1000001", "1e9", "two", "1.5", "inf", "9" * 5000, "٣"])
def test_a_count_is_a_whole_number_up_to_a_million(tmp_path: Path, count: str):
    assert "line 2: count is '" in error_of(tmp_path, "p.csv", f"prompt,count\na,{count}\n")


@pytest.mark.parametrize("seed", ["-1", str(2**63), "1.5", "x"])
def test_a_seed_is_a_whole_number_below_two_to_the_63(tmp_path: Path, seed: str):
    assert "line 2: seed is '" in error_of(tmp_path, "p.csv", f"prompt,seed\na,{seed}\n")


def test_seeds_that_count_up_stay_below_two_to_the_63(tmp_path: Path):
    last = f"prompt,seed,count\na,{2**63 - 3},3\n"
    assert [row.seed for row in read_bytes(tmp_path, "p.csv", last)] == [2**63 - 3]
    told = error_of(tmp_path, "q.csv", f"prompt,seed,count\na,{2**63 - 3},4\n")
    assert f"line 2: seed {2**63 - 3} with a count of 4 goes beyond 9,223,372,036,854,775,807; give a lower" in told


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("[1]", "holds a JSON list"),
        ('"a"', "holds a JSON str"),
        ("null", "holds a JSON NoneType"),
        ("{", "is not JSON; put one whole object on each line"),
        ("[" * 100_000, "is not JSON"),
        ("9" * 5000, "is not JSON"),
        ('{"finding": "a"}', "has no column 'prompt'"),
        ('{"prompt": 3}', "prompt is int, not text"),
        ('{"prompt": null}', "the prompt is empty"),
        ('{"prompt": "\\ud800 a"}', "prompt holds the control character U+D800"),
        ('{"prompt": "a", "count": true}', "count is True"),
        ('{"prompt": "a", "count": [2]}', "count is list"),
        ('{"prompt": "a", "count": Infinity}', "count is inf"),
        ('{"prompt": "a", "seed": 1.5}', "seed is 1.5"),
        ('{"prompt": "a", "seed": 1e17}', "seed is 1e+17"),
        ('{"prompt": "a", "sead": 1}', "column 'sead' looks like 'seed'"),
    ],
)
def test_bad_jsonl_is_told_with_its_line(tmp_path: Path, line: str, told: str):
    assert f": line 3: {told}" in error_of(tmp_path, "p.jsonl", f'{{"prompt": "fine"}}\n\n{line}\n')


@pytest.mark.parametrize(
    ("table", "told"),
    [
        ({"prompt": ["a"], "count": [[1]]}, "column 'count' holds list"),
        ({"prompt": [b"a"]}, "column 'prompt' holds binary"),
        ({"prompt": [1]}, "column 'prompt' holds int64"),
        ({"text": ["a"]}, "has no column 'prompt'"),
        ({"prompt": ["a", "b"], "count": [1, 0]}, "row 2: count is 0"),
        ({"prompt": ["a", None]}, "row 2: the prompt is empty"),
        ({"prompt": pa.array([], pa.string())}, "holds no prompts"),
    ],
)
def test_bad_parquet_is_told(tmp_path: Path, table: dict, told: str):
    buffer = io.BytesIO()
    pq.write_table(pa.table(table), buffer)
    assert told in error_of(tmp_path, "p.parquet", buffer.getvalue())


def test_text_that_is_called_parquet_is_told(tmp_path: Path):
    assert "is not a readable Parquet file" in error_of(tmp_path, "p.parquet", "prompt\na\n")


@pytest.mark.parametrize("name", ["p.xlsx", "p.json", "p.parquet.gz", "prompts"])
def test_an_unknown_suffix_names_the_known_ones(tmp_path: Path, name: str):
    assert ".csv, .tsv, .jsonl, .parquet, .txt" in error_of(tmp_path, name, "prompt\na\n")


def test_what_is_no_file_is_refused_before_the_first_row(tmp_path: Path):
    (tmp_path / "folder.csv").mkdir()
    for path, told in (
        (tmp_path / "none.csv", "No such file"),
        (tmp_path / "folder.csv", "is a folder"),
        (tmp_path / ("x" * 300 + ".csv"), "File name too long"),
        (tmp_path / "nul\0.csv", "not a usable name"),
        (Path("/dev/null/p.csv"), "Not a directory"),
    ):
        with pytest.raises(BadInput, match=told):
            read_prompts(path, notes=print)


# --- what is asked for ---


def test_several_findings_and_what_else_is_asked_for(tmp_path: Path):
    rows = read_bytes(
        tmp_path, "p.csv", "prompt,finding,view,sex,age\na,Mass+Edema,PA,female,58\nb,Mass, ,,unknown\nc,,LL,m,\n"
    )
    assert [(row.finding, row.view, row.sex, row.age) for row in rows] == [
        ("Edema+Mass", "PA", "F", 58),
        ("Mass", None, None, None),
        ("unlabelled", "LL", "M", None),
    ]


def test_findings_can_be_a_list(tmp_path: Path):
    lists = [["Mass", "Edema"], [], ["No_Finding"], None]
    write(tmp_path / "p.jsonl", [{"prompt": "a", "findings": names} for names in lists])
    kind = pa.list_(pa.string())
    pq.write_table(pa.table({"prompt": ["a"] * 4, "findings": pa.array(lists, kind)}), tmp_path / "p.parquet")
    wanted = ["Edema+Mass", "unlabelled", "No_Finding", "unlabelled"]
    assert [row.finding for row in read(tmp_path / "p.jsonl")] == wanted
    assert [row.finding for row in read(tmp_path / "p.parquet")] == wanted
    assert [row.finding for row in read_bytes(tmp_path, "p.csv", "prompt,findings\na,Mass+Edema\n")] == wanted[:1]


@pytest.mark.parametrize(
    ("cells", "told"),
    [
        ("finding\na,Mass+Mass", "finding 'Mass+Mass' names one twice"),
        ("finding\na,Mass+No_Finding", "has No_Finding beside others"),
        ("finding\na,Mass+unlabelled", "has unlabelled beside others"),
        ("finding\na,Mass+../x", "'../x' cannot be a folder name"),
        ("sex\na,x", "sex is 'x'; write F or M"),
        ("age\na,-1", "age is '-1'; give a whole number from 0 to 120"),
        ("age\na,121", "age is '121'"),
    ],
)
def test_what_cannot_be_asked_for_is_told(tmp_path: Path, cells: str, told: str):
    assert told in error_of(tmp_path, "p.csv", f"prompt,{cells}\n")


def test_findings_in_two_columns_or_of_other_kinds_are_told(tmp_path: Path):
    assert "has both a finding and findings" in error_of(tmp_path, "p.csv", "prompt,finding,findings\na,x,y\n")
    assert "findings is int, not text" in error_of(tmp_path, "p.jsonl", '{"prompt": "a", "findings": [1]}\n')
    pq.write_table(pa.table({"prompt": ["a"], "findings": [[1]]}), tmp_path / "p.parquet")
    assert "column 'findings' holds list" in error_of(tmp_path, "p.parquet", (tmp_path / "p.parquet").read_bytes())


# --- findings ---


@pytest.mark.parametrize("finding", ["Pleural_Conditions", "No Finding", "COVID-19", "0", "a" * 64, "ab_"])
def test_ordinary_findings_stay_as_they_are(finding: str):
    assert safe_finding(finding) == finding


def test_no_finding_is_unlabelled():
    assert safe_finding("") == "unlabelled"


@pytest.mark.parametrize(
    "finding",
    [
        *("../../x", "a/b", "a\\b", ".", "..", "a.", ".a", "E.Coli", "_a", "-a", "a ", " a", "~", "C:"),
        *("a" * 65, "f" * 300, "a\0", "\0", "a\n", "a\tb", "a,b", "a|b", "%2e%2e"),
        *("a\u202eb", "\u200b", "Erguß", "\uff41"),
    ],
)
def test_findings_that_are_no_folder_names_are_refused(finding: str):
    with pytest.raises(BadInput, match="finding") as caught:
        safe_finding(finding)
    assert str(caught.value).isprintable()


@settings(max_examples=500)
@given(st.text(max_size=70) | st.text("./\\ a_-\0", max_size=8) | findings)
def test_accepted_findings_lie_directly_below_the_root(name: str):
    root = Path("/data/images")
    try:
        folder = root / safe_finding(name)
    except BadInput:
        return
    assert folder.parent == root
    assert folder.resolve().parent == root
    assert folder.name == (name or "unlabelled")
    assert len(folder.name.encode()) <= 64


def test_a_finding_out_of_a_file_is_refused_with_its_line(tmp_path: Path):
    assert "line 2: finding '../../x' cannot be a folder name" in error_of(
        tmp_path, "p.csv", "prompt,finding\na,../../x"
    )


# --- de-identification marks ---


@pytest.mark.parametrize(
    ("text", "clean", "marks"),
    [
        ("Comparison XXXX, XXXX. Well-expanded and clear lungs.", "Comparison. Well-expanded and clear lungs.", 2),
        ("Normal chest x-XXXX.", "Normal chest x.", 1),
        ("Mild scoliosis XXXX. .", "Mild scoliosis.", 1),
        ("XXXX left effusion", "left effusion", 1),
        ("XXXX-year-old with 2.5 cm nodule (XXXX).", "year-old with 2.5 cm nodule.", 2),
        ("53XXXX/XXXXyo", "53 yo", 2),
        ("as compared to ___, the tube ends at ___ cm", "as compared to, the tube ends at cm", 2),
        ("[**Hospital1 18**] film of [**2101-1-1**]: effusion", "film of: effusion", 2),
        ("[**[**a**]**] b", "b", 2),
        ("X[**a**]X", "X X", 1),
        ("XXXX", "", 1),
        ("Klinefelter (47,XXY), stage XX.", "Klinefelter (47,XXY), stage.", 1),
        ("46, XX; 47 XXX; 48,XXXX; 49,XXXXY", "46, XX; 47 XXX; 48,XXXX; 49,XXXXY", 0),
        ("a woman of 48, XXXX, and one of 46 XXXX", "a woman of 48, and one of 46", 2),
        ("47,XXXX", "47", 1),
        ("[**46,XX**] factor XXI, an XXL cuff, XXY", "factor XXI, an XXL cuff, XXY", 1),
        ("(((no mark))) ,  so . kept\n as_it is X ...", "(((no mark))) , so . kept as_it is X ...", 0),
    ],
)
def test_marks_go_and_take_their_punctuation_along(text: str, clean: str, marks: int):
    assert clean_prompt(text) == (clean, marks)


@settings(max_examples=500)
@given(marked | texts)
def test_cleaning_leaves_no_mark_and_happens_once(text: str):
    clean, marks = clean_prompt(text)
    assert not MARK.search(clean)
    assert clean_prompt(clean) == (clean, 0)
    assert (marks > 0) == bool(MARK.search(text))
    assert clean == " ".join(clean.split())


# --- notes and memory ---


def test_removed_marks_are_told_once_at_the_end(tmp_path: Path):
    content = "prompt,negative_prompt\na XXXX b XXXX,\nb,\nc,___\n"
    assert notes_of(tmp_path, "p.csv", content) == [
        "p.csv: removed 3 de-identification marks (XXXX, ___, [**...**]) from 2 of 3 prompts, because generators "
        "memorise them"
    ]


def test_a_plain_list_has_no_notes(tmp_path: Path):
    assert notes_of(tmp_path, "p.csv", "prompt,finding\na,x\nb,x\n") == []


def test_ignored_columns_are_told(tmp_path: Path):
    content = '{"prompt": "a", "patient": 1}\n{"prompt": "a", "ward": 1, "patient": 2}\n'
    (note,) = notes_of(tmp_path, "p.jsonl", content)
    assert note.startswith("p.jsonl: ignored columns 'patient', 'ward'; columns known: prompt, finding")


def test_findings_that_differ_only_in_case_are_told(tmp_path: Path):
    (note,) = notes_of(tmp_path, "p.csv", "prompt,finding\na,Normal\nb,normal\nc,Normal\nd,normal\n")
    assert "'Normal' and 'normal' differ only in upper and lower case" in note


@pytest.mark.slow
@pytest.mark.parametrize("suffix", [".csv", ".jsonl"])
def test_memory_does_not_grow_with_the_rows(tmp_path: Path, suffix: str):
    path = tmp_path / f"many{suffix}"
    write(path, [{"prompt": f"chest film {i} of XXXX", "finding": f"f{i % 9}", "seed": i} for i in range(4000)])
    tracemalloc.start()
    rows = sum(1 for _ in read_prompts(path, notes=lambda line: None))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert rows == 4000
    print(peak)
    assert peak < 300_000, "bytes; the rows held at once would be more than three times as much"


@pytest.mark.parametrize(
    ("prompt", "weighed"),
    [
        ("(pleural effusion:1.4), chest x-ray", True),
        ("chest x-ray, ((clear)) lungs", True),
        ("[clear] lungs", True),
        ("[normal:pneumonia:0.5]", True),
        ("{clear} lungs", True),
        ("clear lungs BREAK PA view", True),
        ("clear lungs AND effusion", True),
        ("Clear lungs (PA view), heart and mediastinum normal", False),
        ("HEART AND LUNGS ARE NORMAL", False),
        ("cardiothoracic ratio (1:2) at 12:30 (09:15)", False),
        ("seen by [**Name**], lungs clear", False),  # a mark, removed
    ],
)
def test_the_weights_of_web_uis_are_said_to_be_words(tmp_path, prompt, weighed):
    path, notes = tmp_path / "p.csv", []
    with path.open("w") as file:
        csv.writer(file).writerows(
            [["prompt", "negative_prompt"], [prompt, ""], ["clear lungs", prompt], ["normal", ""]]
        )
    rows = list(read_prompts(path, notes.append))
    told = [line for line in notes if "syntax of web UIs" in line]
    assert [line.split(": ")[1][:16] for line in told] == (["2 of 3 prompts h"] if weighed else [])
    assert not weighed or rows[0].prompt == prompt  # as it stands


@pytest.mark.parametrize("tag", ["<lora:cxr_v1:0.8>", "<LyCO:x:1>", "<hypernet:a:1>", "< lora : a >"])
def test_a_lora_asked_for_inside_a_prompt_is_refused_with_the_option(tmp_path, tag):
    assert re.search("line 1.*syntax of web UIs.*--lora", error_of(tmp_path, "p.txt", f"chest x-ray {tag}\n"))
    typed = "chest x-ray"
    assert read_bytes(tmp_path, "q.txt", f"{typed} <b> 3 < 4\n")[0].prompt == f"{typed} <b> 3 < 4"
