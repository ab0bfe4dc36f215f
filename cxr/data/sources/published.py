"""Public sets in the folder as it was downloaded: one reader for all that `layouts.py` describes."""

import os
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property, lru_cache, partial
from pathlib import Path, PurePosixPath

from cxr.data.boxes import Box
from cxr.data.labels import Labels, merge_readings
from cxr.data.sources.cells import MissingValues, read_cell
from cxr.data.sources.dicom import read_header
from cxr.data.sources.dicom_pixels import read_picture
from cxr.data.sources.file_kinds import DICOM_SUFFIXES, PICTURE_SUFFIXES, is_auxiliary_folder, is_system_folder
from cxr.data.sources.files import file_mark, require_below, require_folder, unreadable_error
from cxr.data.sources.hub import hub_rows
from cxr.data.sources.label_cells import LabelReader
from cxr.data.sources.layouts import LAYOUTS, Boxes, FolderLayout, Join, Layout, Table
from cxr.data.sources.row import SourceOptions, SourceRow
from cxr.data.sources.vocabulary import escape_unprintable, parse_age, parse_patient, parse_sex, parse_split
from cxr.errors import BadInput
from cxr.tables import Row, Schema, fold_column_name, read_rows

TABLE_SUFFIXES = (".csv", ".gz", ".txt")
HUB_SUFFIXES = (".parquet", ".arrow")


def published_rows(kind: str, place: str, options: SourceOptions) -> Iterator[SourceRow]:
    """One row for each picture that the set's tables name, in their order; what is odd about the set is noted.

    Args:
        kind: of `LAYOUTS`.
        place: the folder, or one above it.

    Raises:
        BadInput: a table or a column is not there, a cell has words of no code, a picture is there twice or named
            twice, a list of the official split names unknown pictures, or pictures are not there and may not be.
    """
    root = require_folder(place).resolve()
    files = _Files.below(root)
    layout = _find_layout(kind, files)
    for sentence in layout.odd:
        options.notes(f"{kind}: {sentence}")
    if isinstance(layout, FolderLayout):
        yield from _read_folders(layout, files, options)
        return
    reader = _SetReader(layout, files, options)
    pictures = reader.read_pictures()
    reader.add_splits(pictures)
    reader.add_boxes(pictures)
    yield from reader.source_rows(reader.keep_present(pictures))


@dataclass
class _Files:
    """All files below a folder, as paths from it."""

    root: Path
    paths: set[str] = field(default_factory=set)
    links: set[str] = field(default_factory=set)
    tables: dict[str, list[str]] = field(default_factory=dict)  # name -> paths
    pictures: list[str] = field(default_factory=list)  # without masks and the like

    @classmethod
    def below(cls, root: Path) -> "_Files":
        """Raises `BadInput` for a folder that cannot be read; linked folders are not entered."""
        files, folders = cls(root), [("", False)]
        while folders:
            folders += reversed(files._add_folder(*folders.pop()))
        return files

    def _add_folder(self, folder: str, auxiliary: bool) -> list[tuple[str, bool]]:
        """Adds what lies in it; its folders, with a slash at the end, and whether they are of masks and the like."""
        folders: list[tuple[str, bool]] = []
        try:
            with os.scandir(f"{self.root}/{folder}") as entries:
                for entry in entries:
                    name, linked = entry.name, entry.is_symlink()
                    path = folder + name
                    if entry.is_dir(follow_symlinks=False):
                        if not is_system_folder(name):
                            folders.append((f"{path}/", auxiliary or is_auxiliary_folder(name)))
                    elif not name.startswith(".") and not (linked and Path(entry).is_dir()):
                        self.paths.add(path)
                        if linked:
                            self.links.add(path)
                        if name.endswith(TABLE_SUFFIXES):
                            self.tables.setdefault(name, []).append(path)
                        if not auxiliary and _suffix(name) in PICTURE_SUFFIXES:
                            self.pictures.append(path)
        except OSError as error:
            raise unreadable_error(error, self.root) from None
        return sorted(folders)

    def require_file(self, path: str) -> str:
        """The whole path; of a link, `BadInput` if it leads outside."""
        file = f"{self.root}/{path}"
        return str(require_below(Path(file), self.root, path)) if path in self.links else file

    def find_table(self, table: Table) -> Path | None:
        """The file that lies highest; `BadInput` where two do."""
        for name in (other for full in table.names for other in (full, full.removesuffix(".gz"))):
            found = sorted(self.tables.get(name, ()), key=lambda path: (path.count("/"), path))
            if len(found) > 1 and found[0].count("/") == found[1].count("/"):
                raise BadInput(f"{self.root}: {name} is there twice, {found[0]} and {found[1]}; give one set's folder")
            if found:
                return self.root / found[0]
        return None

    def require_table(self, table: Table, layout: Layout) -> Path | None:
        path = self.find_table(table)
        if path is None and not table.optional:
            names = " or ".join(table.names)
            raise BadInput(f"{self.root}: holds no {names}, which {layout.title} comes with; get it at {layout.where}")
        return path


def _suffix(path: str) -> str:
    start = path.rfind(".")
    return path[start:].casefold() if start > path.rfind("/") else ""


def _stem(name: str) -> str:
    """The name without a picture's suffix; other points belong to it."""
    return name[: -len(suffix)] if (suffix := _suffix(name)) in PICTURE_SUFFIXES else name


def _find_layout(kind: str, files: _Files) -> Layout | FolderLayout:
    """The form of the set whose tables are there, else its first, which will say what is missing."""
    forms = LAYOUTS[kind]
    return next((form for form in forms if isinstance(form, Layout) and files.find_table(form.tables[0])), forms[0])


@dataclass(slots=True)
class _Picture:
    """What the tables say of a picture."""

    path: str | None  # None: not there
    labels: Labels
    patient: str | None
    view: str | None
    sex: str | None
    age: int | None
    split: str | None
    boxes: tuple[Box, ...] = ()


@dataclass
class _SetReader:
    """Reads the tables of a set; pictures are known by `_stem` or path as the tables have it."""

    layout: Layout
    files: _Files
    options: SourceOptions
    _described: dict[tuple[object, ...], tuple] = field(default_factory=dict)  # equal cells are read once

    def read_pictures(self) -> dict[str, _Picture]:
        layout = self.layout
        lookups = [lookup for join in layout.joins if (lookup := self._read_join(join))]
        labels, name_of = LabelReader(layout.labels), _template(layout.picture)
        find = _find_by_path(self.files, layout) if layout.by_path else _find_by_name(self.files)
        elsewhere = {column for join in layout.joins for column in join.columns}
        required: list[Sequence[str]] = [(column,) for column in _columns(layout.picture)]
        required += [columns for columns in layout.labels.required if elsewhere.isdisjoint(columns)]
        readings: dict[str, list[Labels]] = {}
        pictures: dict[str, _Picture] = {}

        def read(row: Row, split: str) -> None:
            for column, cells in lookups:
                row |= cells.get(row[column], {})
            name = name_of(row)
            key = _stem(name)
            found = labels.read(row)
            if key not in pictures:
                pictures[key] = self._picture(row, find(name), name, found, split)
            elif not layout.several:
                raise BadInput(f"names the picture {name[:60]!a} again; keep one row for each")
            if layout.several:
                readings.setdefault(key, []).append(found)

        for table in layout.tables:
            if path := self.files.require_table(table, layout):
                self._read_table(path, self._main_columns(), required, partial(read, split=table.split))
        for key, several in readings.items():
            pictures[key].labels = merge_readings(several) if len(set(several)) > 1 else several[0]
            if layout.exclusive and len(pictures[key].labels.present) > 1:
                both = " and ".join(pictures[key].labels.present)
                raise BadInput(f"{self.files.root}: {key} is named with {both}, which exclude each other; keep one")
        return pictures

    def _picture(self, row: Row, path: str | None, name: str, labels: Labels, split: str) -> _Picture:
        layout = self.layout
        patient = _first_cell(row, layout.patient)
        if layout.patient_pattern and (found := re.search(layout.patient_pattern, name)):
            patient = found[1]
        cells = (split, *map(row.get, self._described_by))
        described = self._described.get(cells)
        if described is None:
            described = self._described[cells] = self._describe(row, split)
        return _Picture(path, labels, patient or None, *described)

    def _describe(self, row: Row, split: str) -> tuple[str | None, str | None, int | None, str | None]:
        """View, sex, age and split."""
        layout = self.layout

        def coded(what: str, *columns: str) -> str:
            cell = _first_cell(row, *columns)
            return layout.codes.get(what, {}).get(cell, cell)

        view = layout.only_view or coded("view", *layout.view)
        age = _age_at(row, *layout.born) if layout.born else parse_age(coded("age", *layout.age))
        split = split or coded("split", layout.split)
        return view or None, parse_sex(coded("sex", *layout.sex)), age, parse_split(split)

    @cached_property
    def _described_by(self) -> tuple[str, ...]:
        """The columns that `_describe` reads."""
        layout = self.layout
        return _folded(filter(None, (*layout.view, *layout.sex, *layout.age, *(layout.born or ()), layout.split)))

    def _main_columns(self) -> tuple[str, ...]:
        """All that the first table is read for, the picture's first column first."""
        layout = self.layout
        named = (*layout.labels.columns, layout.patient, *(join.key for join in layout.joins))
        columns = (*_columns(layout.picture), *_folded(filter(None, named)), *self._described_by)
        return tuple(dict.fromkeys(columns))

    def _read_table(
        self, path: Path, columns: tuple[str, ...], required: Sequence[Sequence[str]], read: Callable[[Row], object]
    ) -> None:
        """Hands each row to `read`; raises what is wrong with one, in there too, with file and line.

        Args:
            required: groups of columns, of which one each is there.
        """
        rows, cursor = read_rows(path, Schema("rows", columns, watched=(), numbers=columns, plain_text=True))
        try:
            for number, row in enumerate(rows):
                lacking = [] if number else [group for group in required if row.keys().isdisjoint(_folded(group))]
                if lacking:
                    cursor.number = 0
                    raise BadInput(
                        f"has no column {lacking[0][0]!r}, which {self.layout.title} has; get the file again"
                    )
                read(row)
        except BadInput as error:
            where = f"{cursor.unit} {cursor.number}: " if cursor.number else ""
            raise BadInput(f"{path}: {where}{error}") from None
        except OSError as error:
            raise BadInput(f"{path}: cannot be read: {error.strerror or 'input/output error'}") from None

    def _read_join(self, join: Join) -> tuple[str, dict[object, Row]] | None:
        """The key as rows have it, and the other columns by key; None for a table that is not there."""
        path = self.files.require_table(join.table, self.layout)
        if path is None:
            return None
        key, *columns = _folded((join.key, *join.columns))
        kept: dict[object, Row] = {}
        same: dict[tuple[object, ...], Row] = {}  # equal cells are kept once

        def read(row: Row) -> None:
            name = row.pop(key)
            kept[name] = same.setdefault(tuple(row.values()), row)

        self._read_table(path, (key, *columns), [(column,) for column in (join.key, *join.columns)], read)
        return key, kept

    def add_splits(self, pictures: dict[str, _Picture]) -> None:
        """Sets the parts of the official lists; `BadInput` for unknown pictures and those in two parts."""
        for name, part in self.layout.split_lists.items():
            path = self.files.find_table(Table((name,)))
            listed = self._read_list(path) if path else []
            if unknown := [key for key in listed if key not in pictures]:
                raise BadInput(
                    f"{path}: names {len(unknown):,} of {len(listed):,} pictures that no table names (the first: "
                    f"{unknown[0][:60]!a}); get list and table of one release"
                )
            for key in listed:
                if pictures[key].split not in (None, part):
                    raise BadInput(f"{path}: names {key[:60]!a}, which another list has too; get the lists again")
                pictures[key].split = part

    def _read_list(self, path: Path) -> list[str]:
        listed: list[str] = []
        self._read_table(path, ("name",), (), lambda row: listed.append(_stem(str(row["name"]).strip())))
        return listed

    def add_boxes(self, pictures: dict[str, _Picture]) -> None:
        spec = self.layout.boxes
        unknown, others = 0, 0
        for table in spec.tables if spec else ():
            path = self.files.find_table(table)
            for key, box in self._read_boxes(path, spec) if path and spec else ():
                picture = pictures.get(key)
                if picture is None:
                    unknown += 1
                elif box.side is None and picture.path and _suffix(picture.path) not in DICOM_SUFFIXES:
                    others += 1
                else:
                    picture.boxes += (box,)
        if unknown:
            self.options.notes(f"{unknown:,} boxes are of pictures that no table names and are left out")
        if others:
            self.options.notes(
                f"{others:,} boxes are left out: they count the pixels of the DICOM files, and the pictures are others"
            )

    def _read_boxes(self, path: Path, spec: Boxes) -> list[tuple[str, Box]]:
        wanted = tuple(filter(None, (spec.picture, *spec.columns, spec.finding, spec.reader)))
        picture, finding, reader, *columns = _folded((spec.picture, spec.finding, spec.reader, *spec.columns))
        found: list[tuple[str, Box]] = []

        def read(row: Row) -> None:
            cells = [_first_cell(row, column) for column in columns]
            if not all(cells):
                return  # a row that says that there is none
            try:
                x, y, width, height = map(float, cells)
            except ValueError:
                raise BadInput(f"{', '.join(cells)!a} is no box; get the file again") from None
            if spec.corners:
                width, height = width - x, height - y
            name = spec.of or _first_cell(row, finding)
            who = _first_cell(row, reader)
            box = Box(spec.renamed.get(name, name), x, y, width, height, who or None, spec.side)
            found.append((_stem(str(row[picture]).strip()), box))

        self._read_table(path, _folded(wanted), [(column,) for column in wanted], read)
        return found

    def keep_present(self, pictures: dict[str, _Picture]) -> list[_Picture]:
        """The pictures whose files are there. `BadInput` if some are not, unless they may, or none is."""
        missing = [key for key, picture in pictures.items() if picture.path is None]
        if missing:
            refuse_missing(len(missing), len(pictures), missing[0], self.files.root, self.layout.where, self.options)
        kept = [picture for picture in pictures.values() if picture.path is not None]
        if others := len(set(self.files.pictures).difference(picture.path or "" for picture in kept)):
            self.options.notes(f"{others:,} pictures are in no table and are left out")
        return kept

    def source_rows(self, pictures: list[_Picture]) -> Iterator[SourceRow]:
        layout = self.layout
        for picture in pictures:
            path = self.files.require_file(str(picture.path))
            view, sex, age = picture.view, picture.sex, picture.age
            if layout.header and _suffix(path) in DICOM_SUFFIXES and (header := read_header(Path(path))):
                view, sex, age = view or header.view, sex or header.sex, header.age if age is None else age
            yield SourceRow(
                name=escape_unprintable(str(picture.path)), load=partial(read_picture, path), labels=picture.labels,
                exclusive=layout.exclusive, patient_id=picture.patient, view=view, sex=sex, age=age,
                split=picture.split, source=layout.title, licence=layout.licence, mark=file_mark(path),
                boxes=picture.boxes,
            )  # fmt: skip


def refuse_missing(missing: int, total: int, first: str, root: Path, where: str, options: SourceOptions) -> None:
    """Raises `BadInput` for pictures that are not there, unless they may be; then notes how many are not."""
    told = f"{missing:,} of {total:,} pictures that the tables name are not there"
    if missing == total or not options.allow_missing:
        way = "; linked folders are not entered" if missing == total else ", or leave them out with --allow-missing"
        raise BadInput(f"{root}: {told} (the first: {first[:80]!a}); get them at {where}{way}")
    options.notes(f"{told} and are left out")


def _folded(columns: Iterable[str]) -> tuple[str, ...]:
    return tuple(map(fold_column_name, columns))


def _columns(template: str) -> tuple[str, ...]:
    return _folded(re.findall(r"\{([^}:]+)", template))


def _template(template: str) -> Callable[[Row], str]:
    """What fills in the columns' cells; `BadInput` for an empty one."""
    folded, columns = re.sub(r"\{([^}:]+)", lambda m: "{" + fold_column_name(m[1]), template), _columns(template)

    def fill(row: Row) -> str:
        if not all(row[column] for column in columns):
            raise BadInput(f"has no {' or no '.join(columns)}; get the file again")
        return folded.format_map(row)

    return fill


def _find_by_name(files: _Files) -> Callable[[str], str | None]:
    found: dict[str, str | list[str]] = {}
    for path in files.pictures:
        stem = _stem(path.rpartition("/")[2])
        other = found.setdefault(stem, path)
        if other != path:
            found[stem] = [path, *([other] if isinstance(other, str) else other)]

    def find(name: str) -> str | None:
        path = found.get(_stem(name))
        if isinstance(path, list):
            first, second, *_ = sorted(path)
            raise BadInput(f"names {name[:60]!a}, which is there twice, {first} and {second}; keep one")
        return path

    return find


def _find_by_path(files: _Files, layout: Layout) -> Callable[[str], str | None]:
    table = files.find_table(layout.tables[0])
    folder = os.path.relpath(table.parent, files.root) if table else "."
    starts = ("",) if folder == "." else (f"{folder}/", "")
    strip = re.compile(layout.strip)

    def find(name: str) -> str | None:
        below = name[found.end() :] if (found := strip.match(name)) else name
        return next((start + below for start in starts if start + below in files.paths), None)

    return find


def _first_cell(row: Row, *columns: str) -> str:
    """That is not empty."""
    cells = (_clean(str(row.get(fold_column_name(column)) or ""), column) for column in columns if column)
    return next(filter(None, cells), "")


@lru_cache(maxsize=1 << 12)
def _clean(cell: str, column: str) -> str:
    return read_cell({column: cell.strip()}, column, MissingValues())


def _age_at(row: Row, born: str, study: str) -> int | None:
    """Whole years, by the years alone."""
    birth, day = (re.match(r"\d{4}", _first_cell(row, column)) for column in (born, study))
    return parse_age(str(int(day[0]) - int(birth[0]))) if birth and day else None


def _read_folders(layout: FolderLayout, files: _Files, options: SourceOptions) -> Iterator[SourceRow]:
    """A row for each file whose path the pattern fits; of copies the one that lies highest."""
    found: dict[tuple[str | None, ...], tuple[str, str]] = {}
    copies = 0
    for path in sorted(files.pictures, key=lambda path: (path.count("/"), path)):
        if fits := re.fullmatch(layout.pattern, path):
            named = fits.groupdict()
            words = (f"{named['finding']} {named.get('cause')}", named["finding"])
            finding = next(layout.findings[word] for word in words if word in layout.findings)
            first = found.setdefault((named.get("split"), named["finding"], named["file"]), (path, finding))
            copies += first[0] != path
    if not found and layout.copy_on_hub and any(path.endswith(HUB_SUFFIXES) for path in files.paths):
        yield from hub_rows(str(files.root), options)
        return
    if not found:
        raise BadInput(f"{files.root}: holds no X-rays as {layout.title} has them; get them at {layout.where}")
    if copies:
        options.notes(f"{copies:,} files are copies in a folder further below and are left out")
    if others := len(files.pictures) - len(found) - copies:
        options.notes(f"{others:,} pictures lie in no finding's folder and are left out")
    for (split, _, file), (path, finding) in sorted(found.items(), key=lambda item: item[1][0]):
        file_path = files.require_file(path)
        yield SourceRow(
            name=escape_unprintable(path), load=partial(read_picture, file_path), labels=Labels.only(finding),
            exclusive=layout.exclusive, patient_id=parse_patient(PurePosixPath(str(file)).name),
            split=parse_split(split or ""), source=layout.title, licence=layout.licence, mark=file_mark(file_path),
        )  # fmt: skip


def published_as(table: Path) -> list[str]:
    """The kinds whose tables are called so."""
    names = {
        kind: {name for form in forms if isinstance(form, Layout) for each in form.tables for name in each.names}
        for kind, forms in LAYOUTS.items()
    }
    return [kind for kind, known in names.items() if {table.name, f"{table.name}.gz"} & known]
