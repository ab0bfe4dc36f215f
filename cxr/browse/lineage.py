"""What was made from what: artifacts call one another by digests, and a graph of boxes and lines shows it."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from itertools import pairwise

from cxr.artifact import Record
from cxr.artifact.kinds import FINE_TUNED_MODEL, NIGHT
from cxr.browse.given import Given
from cxr.report.limits import kind as kind_in_words
from cxr.report.words import is_digest
from cxr.store import digest_of
from cxr.weights.files import MODEL, is_wanted
from cxr.weights.kinds import LORA_FILE

# Inputs that are artifacts or weights, and what one is called that is not in the page.
ROLES = {
    "model": "a model", "lora": "a LoRA", "data": "a set", "real": "a real set", "synthetic": "a synthetic set",
    "set": "a set", "like": "a set to be like", "evaluation": "an evaluation", "audit": "an audit",
}  # fmt: skip
BESIDE = ("set", "evaluation", "audit")  # what lies beside a night's report, of the same night
WIDTH, HEIGHT, ACROSS, DOWN, EDGE = 156, 52, 40, 16, 8  # px of a box, and between boxes
PASSING = 10  # px of height of a line that passes a column
CHOSEN = ' class="here"'
FITS, WORDS_FIT = 18, 22  # letters of a name in a box, and of a kind


@dataclass(frozen=True)
class Node:
    """A box: an artifact of the page, by its place in it, or what is not in the page."""

    name: str
    kind: str
    place: int | None


@dataclass(frozen=True)
class Graph:
    nodes: Mapping[str, Node]  # by a name of its own
    edges: frozenset[tuple[str, str]]  # from what was used to what was made with it

    def around(self, name: str) -> "Graph":
        """The part from which a node was made, and what was made from it."""
        kept = {name} | self.reach(name, forward=False) | self.reach(name, forward=True)
        return Graph(
            {one: node for one, node in self.nodes.items() if one in kept},
            frozenset(edge for edge in self.edges if {*edge} <= kept),
        )

    def reach(self, name: str, forward: bool) -> set[str]:
        found: set[str] = set()
        waiting = [name]
        while waiting:
            here = waiting.pop()
            for used, made in self.edges:
                start, end = (used, made) if forward else (made, used)
                if start == here and end not in found:
                    found.add(end)
                    waiting.append(end)
        return found

    def depths(self) -> dict[str, int]:
        """Of each node the longest way to it, so that each line runs to the right."""
        depth: dict[str, int] = {}

        def measure(name: str, seen: frozenset[str]) -> int:
            if name not in depth:
                before = [used for used, made in self.edges if made == name and used not in seen]
                depth[name] = max((1 + measure(used, seen | {name}) for used in before), default=0)
            return depth[name]

        for name in self.nodes:
            measure(name, frozenset())
        return depth


def connect(given: Sequence[Given]) -> Graph:
    """All that is given, and what it was made from that is not."""
    known: dict[str, list[str]] = {}
    for place, one in enumerate(given):
        for digest in digests_of(one):
            known.setdefault(digest, []).append(f"a{place}")
    at = {one.store.uri: f"a{place}" for place, one in enumerate(given)}
    nodes = {f"a{place}": Node(one.name, kind_in_words(one.kind), place) for place, one in enumerate(given)}
    edges: set[tuple[str, str]] = set()
    unsure: list[tuple[list[str], str]] = []
    for place, one in enumerate(given):
        made = f"a{place}"
        for role, digests in named_inputs(one.record):
            used = min((known[digest] for digest in digests if digest in known), key=len, default=[])
            if not used and role in ROLES:
                used = [f"x{digests[0]}"]
                nodes[used[0]] = Node(f"{ROLES[role]}, {digests[0][:8]}", "not in this page", None)
            if used and used != [made]:
                known |= {digest: used for digest in digests if digest not in known}
                if len(used) > 1:
                    unsure.append((used, made))
                else:
                    edges.add((used[0], made))
        if one.kind == NIGHT:
            places = [f"{one.store.uri.rpartition('/')[0]}/{name}" for name in BESIDE]
            edges |= {(at[uri], made) for uri in places if uri in at}
    # A set of which nothing was left out is the same as what it was made from: of such, nothing is made from its own.
    for used, made in unsure:
        later = {made} | Graph(nodes, frozenset(edges)).reach(made, forward=True)
        edges |= {(one, made) for one in [one for one in used if one not in later][-1:]}
    return Graph(nodes, frozenset(edges))


def digests_of(one: Given) -> Iterator[str]:
    """All that others may call it by."""
    yield one.record.recipe_digest
    if one.images:
        yield one.images.digest
    if one.kind == FINE_TUNED_MODEL:
        yield model_digest(one.record)
    if is_digest(one.store.uri):  # data and models of nights are called by their places
        yield one.store.uri.rpartition("/")[2]


def model_digest(record: Record) -> str:
    """Of the files that are loaded of a fine-tuned model."""
    lora = any(stored.key == LORA_FILE for stored in record.objects)
    loaded = [one for one in record.objects if (one.key == LORA_FILE if lora else is_wanted(one.key, MODEL))]
    return digest_of((one.key, one.sha256) for one in loaded)


def named_inputs(record: Record) -> Iterator[tuple[str, list[str]]]:
    """(role, digests) of what it was made from: a set has two, that of its catalog and that of its recipe."""
    named: dict[str, list[str]] = {}
    for role, value in [*record.recipe.items(), *record.inputs.items()]:
        for number, one in enumerate(value if isinstance(value, list) else [value]):
            if isinstance(one, str) and is_digest(one):
                named.setdefault(role if number == 0 else f"{role} {number}", []).append(one)
    yield from named.items()


@dataclass(frozen=True)
class Laid:
    """A graph on paper: columns of boxes, and of points where lines pass that run on to a later column."""

    columns: list[list[str]]  # from above
    lines: list[tuple[str, str]]  # each from one column to the next

    def is_point(self, name: str) -> bool:
        return "@" in name

    def height(self, name: str) -> int:
        return PASSING if self.is_point(name) else HEIGHT


def lay_out(graph: Graph) -> Laid:
    """All lines of one box pass a later column at one point; a column is ordered by where its lines come from."""
    depth = graph.depths()
    columns = [[name for name in graph.nodes if depth[name] == level] for level in range(1 + max(depth.values()))]
    lines: list[tuple[str, str]] = []
    for used, made in sorted(graph.edges):
        last = used
        for level in range(depth[used] + 1, depth[made]):
            point = f"{used}@{level}"
            if point not in columns[level]:
                columns[level].append(point)
            lines.append((last, point))
            last = point
        lines.append((last, made))
    for before, column in pairwise(columns):
        middle = {
            name: [before.index(used) / len(before) for used, made in lines if made == name and used in before]
            for name in column
        }
        column.sort(key=lambda name: sum(middle[name]) / max(1, len(middle[name])))
    return Laid(columns, list(dict.fromkeys(lines)))


def draw_graph(graph: Graph, here: str | None = None) -> str:
    """An SVG, its boxes links to the artifacts of the page.

    Args:
        here: the node that is looked at.
    """
    laid = lay_out(graph)
    heights = [sum(laid.height(name) + DOWN for name in column) - DOWN for column in laid.columns]
    width, height = 2 * EDGE + len(heights) * (WIDTH + ACROSS) - ACROSS, 2 * EDGE + max(heights)
    corner: dict[str, tuple[float, float]] = {}
    for level, column in enumerate(laid.columns):
        top = (height - heights[level]) / 2
        for name in column:
            corner[name] = EDGE + level * (WIDTH + ACROSS), top
            top += laid.height(name) + DOWN
    lines = [draw_line(laid, used, made, corner) for used, made in laid.lines]
    boxes = [draw_box(node, *corner[name], name == here) for name, node in graph.nodes.items()]
    told = "; ".join(f"{graph.nodes[made].name} from {graph.nodes[used].name}" for used, made in sorted(graph.edges))
    return (
        f'<svg class="lineage" width="{width}" height="{height:g}" viewBox="0 0 {width} {height:g}" role="img" '
        f'aria-label="{escape("What was made from what: " + (told or "nothing that is known here"))}">'
        f"{''.join(lines)}{''.join(boxes)}</svg>"
    )


def draw_line(laid: Laid, used: str, made: str, corner: Mapping[str, tuple[float, float]]) -> str:
    """From the right of a box to the left of another, through points straight on; a tip where it ends at a box."""
    (left, top), (to_left, to_top) = corner[used], corner[made]
    x, y, to_x, to_y = left + WIDTH, top + laid.height(used) / 2, to_left, to_top + laid.height(made) / 2
    start, bend, on = f"M{left if laid.is_point(used) else x:g} {y:g}H{x:g}", ACROSS / 2, laid.is_point(made)
    end = to_x if on else to_x - 6
    curve = f"C{x + bend:g} {y:g} {end - bend:g} {to_y:g} {end:g} {to_y:g}"
    return f'<path d="{start}{curve}"/>' + ("" if on else f'<path class="tip" d="M{to_x:g} {to_y:g}l-8-4v8z"/>')


def draw_box(node: Node, left: float, top: float, here: bool) -> str:
    shape = f'<rect x="{left:g}" y="{top:g}" width="{WIDTH}" height="{HEIGHT}" rx="6"/>'
    words = (
        f"<title>{escape(node.name)}</title>"
        f'<text class="name" x="{left + 10:g}" y="{top + 22:g}">{escape(shorten(node.name, FITS, end=True))}</text>'
        f'<text x="{left + 10:g}" y="{top + 41:g}">{escape(shorten(node.kind, WORDS_FIT))}</text>'
    )
    if node.place is None:
        return f'<g class="absent">{shape}{words}</g>'
    return f'<a href="#a{node.place}"{CHOSEN if here else ""}>{shape}{words}</a>'


def shorten(text: str, letters: int, end: bool = False) -> str:
    """Its beginning, or its end, which tells names apart."""
    if len(text) <= letters:
        return text
    return f"…{text[1 - letters :]}" if end else f"{text[: letters - 1]}…"
