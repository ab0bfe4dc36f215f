"""The healthy chest: what a patient's body is like, how it lies in one picture, and its attenuation map."""

from dataclasses import dataclass

import numpy as np

from cxr.embedded.phantoms.canvas import smooth, uniform
from cxr.prompts.findings import SEVERITIES, Attributes, Sign

DIRECTION: dict[str, int] = {"right": -1, "left": 1}  # the patient's right is on the left of the picture
WALL_V = (0.0, 0.05, 0.18, 0.42, 0.72, 1.1)
WALL_U = (0.42, 0.64, 0.83, 0.95, 1.0, 1.03)


def required(attribute: str | None) -> str:
    """A sign's severity, side or zone, which its pattern always has.

    Raises:
        ValueError: it has not.
    """
    if attribute is None:
        raise ValueError("the pattern needs a severity, side or zone that its sign does not have")
    return attribute


def by_severity(sign: Sign, mild: float, moderate: float, severe: float) -> float:
    return (mild, moderate, severe)[SEVERITIES.index(required(sign.severity))]


def direction(sign: Sign) -> int:
    return DIRECTION[required(sign.side)]


@dataclass(frozen=True)
class Anatomy:
    """A body. Lengths are fractions of the picture's side unless said otherwise."""

    thorax: float  # half the inner width of the rib cage
    apex: float  # height of the lung tops
    dome: float  # height of the right diaphragm
    dome_drop: float  # how much lower the left one stands
    heart_ratio: float  # cardiothoracic ratio on a PA picture
    heart_apex: float  # how far down the heart's tip points, 0..1
    aorta: float  # radius of the aortic knob
    mediastinum: float  # half width in thorax halves
    rib_count: int
    rib_slope: float  # fall of a posterior rib from spine to wall, in lung heights
    rib_width: float
    clavicle: float  # height of the clavicles in lung heights
    clavicle_rise: float
    habitus: float  # thickness of the soft tissue, 1 is average
    breast: float  # density of the breast shadows, 0 for none
    stomach: float  # width of the air bubble under the left diaphragm
    bone: float  # bone density, 1 is average
    kyphosis: float  # 0..1
    vessels: int  # seed of the lungs' branching


def sample_anatomy(sex: str, age: int, rng: np.random.Generator) -> Anatomy:
    """Draws a body for this sex and age: children have a wide heart in a small chest, old people a wide aorta."""
    child, old = max(0.0, 1 - age / 16), max(0.0, (age - 55) / 40)
    large = 0.008 if sex == "M" else -0.004
    return Anatomy(
        thorax=round(uniform(rng, 0.36, 0.415) + large - 0.035 * child, 4),
        apex=round(uniform(rng, 0.10, 0.15) + 0.05 * child + 0.015 * old, 4),
        dome=round(uniform(rng, 0.73, 0.80) - 0.04 * child, 4),
        dome_drop=uniform(rng, 0.015, 0.045),
        heart_ratio=round(uniform(rng, 0.41, 0.48) + 0.05 * child + 0.015 * old, 4),
        heart_apex=uniform(rng, 0.2, 0.9),
        aorta=round(uniform(rng, 0.026, 0.034) - 0.008 * child + 0.012 * old, 4),
        mediastinum=round(uniform(rng, 0.17, 0.2) + 0.05 * child + 0.02 * old, 4),
        rib_count=int(rng.integers(9, 11)),
        rib_slope=uniform(rng, 0.13, 0.21),
        rib_width=round(uniform(rng, 0.024, 0.031) - 0.006 * child, 4),
        clavicle=uniform(rng, 0.07, 0.13),
        clavicle_rise=uniform(rng, 0.03, 0.09),
        habitus=uniform(rng, 0.88, 1.15),
        breast=uniform(rng, 0.07, 0.13) if sex == "F" and age > 14 else 0.0,
        stomach=uniform(rng, 0.05, 0.11),
        bone=round(uniform(rng, 0.85, 1.15) - 0.2 * old, 4),
        kyphosis=round(uniform(rng, 0, 0.3) + 0.7 * old, 4),
        vessels=int(rng.integers(2**31)),
    )


@dataclass(frozen=True)
class Layout:
    """How one body lies in one picture. Chest coordinates: u is -1 at the patient's right wall, 0 at the midline,
    1 at the left wall; v is 0 at the lung tops and 1 at the diaphragm."""

    mid: float
    half_right: float
    half_left: float
    apex: float
    dome_right: float
    dome_left: float
    heart_ratio: float
    heart_round: float  # 0 normal, 1 a globe
    clavicle: float
    rib_slope: float
    scapula: float  # u of the scapulae's inner edge
    turn: float  # degrees, of the whole picture
    lean: float  # rotation of the patient: positive turns the right lung wide and dark

    def at(self, u: float, v: float, side: int | None = None) -> tuple[float, float]:
        """Picture point (x, y) of chest point (u, v); `side` decides whose diaphragm counts on the midline."""
        left = (side or u) > 0
        dome = self.dome_left if left else self.dome_right
        return self.mid + u * (self.half_left if left else self.half_right), self.apex + v * (dome - self.apex)

    def path(self, points: list[tuple[float, float]]) -> np.ndarray:
        return np.array([self.at(u, v) for u, v in points])


def pose_anatomy(a: Anatomy, attributes: Attributes, rng: np.random.Generator) -> Layout:
    """Poses a body: small jitter always, the wider heart and higher diaphragm of AP, and what the patterns move."""
    signs = {sign.pattern: sign for sign in attributes.signs}
    zoom, shift, turn = uniform(rng, 0.96, 1.03), uniform(rng, -0.015, 0.015), uniform(rng, -2, 2)
    ap, drop = attributes.view == "AP", uniform(rng, -0.01, 0.015)
    lean = lift_right = lift_left = 0.0
    if rotated := signs.get("rotated"):
        lean = -direction(rotated) * by_severity(rotated, 0.34, 0.43, 0.52)
    if tilted := signs.get("tilted"):
        turn = -direction(tilted) * by_severity(tilted, 14, 19, 24) + turn / 2
    if collapse := signs.get("atelectasis"):
        lift = by_severity(collapse, 0.07, 0.10, 0.13)
        lift_right, lift_left = (lift, 0.0) if direction(collapse) < 0 else (0.0, lift)
    lordotic = "lordotic" in signs
    dome = a.dome - 0.03 * ap + drop - 0.06 * lordotic
    ratio = min(0.54, a.heart_ratio * (1 + 0.05 * ap))
    if enlarged := signs.get("globular_heart") or signs.get("cardiomegaly"):
        ratio = by_severity(enlarged, 0.63, 0.71, 0.79)
    return Layout(
        mid=0.5 + shift + 0.2 * lean,
        half_right=a.thorax * zoom * (1 + 0.75 * lean * (lean < 0) + 0.15 * lean * (lean > 0)),
        half_left=a.thorax * zoom * (1 - 0.75 * lean * (lean > 0) - 0.15 * lean * (lean < 0)),
        apex=a.apex + drop / 2 + 0.06 * lordotic,
        dome_right=dome - lift_right,
        dome_left=dome + a.dome_drop - lift_left,
        heart_ratio=ratio * (1.15 if lordotic else 1),
        heart_round=float("globular_heart" in signs),
        clavicle=-0.14 if lordotic else a.clavicle,
        rib_slope=-0.06 if lordotic else a.rib_slope,
        scapula=0.8 if ap else 1.02,
        turn=turn,
        lean=lean,
    )


@dataclass
class Scene:
    """A picture being drawn: the attenuation map and where the chest is in it.

    mu: [n, n] attenuation; lungs: [n, n] mask per side, the heart cut out; u, v: [n, n] chest coordinates.
    """

    layout: Layout
    mu: np.ndarray
    lungs: dict[str, np.ndarray]
    u: np.ndarray
    v: np.ndarray

    @property
    def n(self) -> int:
        return self.mu.shape[0]

    @property
    def both(self) -> np.ndarray:
        return self.lungs["right"] + self.lungs["left"]


def chest_maps(n: int, lay: Layout) -> tuple[np.ndarray, np.ndarray]:
    y, x = (np.mgrid[:n, :n].astype(np.float32) + 0.5) / n
    left = x > lay.mid
    u = (x - lay.mid) / np.where(left, lay.half_left, lay.half_right)
    v = (y - lay.apex) / (np.where(left, lay.dome_left, lay.dome_right) - lay.apex)
    return u.astype(np.float32), v.astype(np.float32)


def lung_outline(lay: Layout, side: int) -> np.ndarray:
    wall = [(0.64, 0.05), (0.83, 0.18), (0.95, 0.42), (1.0, 0.72), (1.03, 1.0), (1.04, 1.16), (1.04, 1.16)]
    base = [(0.9, 1.05), (0.62, 0.97), (0.38, 0.98), (0.2, 1.05), (0.1, 1.08)]
    inner = [(0.1, 0.6), (0.12, 0.3), (0.16, 0.08), (0.26, 0.0), (0.46, -0.02)]
    return smooth(lay.path([(side * u, v) for u, v in wall + base + inner]))


def heart_outline(lay: Layout, a: Anatomy) -> np.ndarray:
    """The cardiac silhouette: its width is heart_ratio of the chest's, a third of it right of the midline."""
    width = lay.heart_ratio * 2
    right, left = -width * 0.34, width * 0.66
    if lay.heart_round:
        right, left = -width * 0.45, width * 0.55
        points = [(right * 0.45, 0.36), (right, 0.6), (right, 0.86), (right * 0.6, 1.08), (left * 0.6, 1.08)]
        return smooth(lay.path([*points, (left, 0.86), (left, 0.6), (left * 0.45, 0.36)]))
    tip = 0.9 + 0.08 * a.heart_apex
    points = [(-0.22, 0.4), (right * 0.95, 0.58), (right * 1.12, 0.82), (right * 0.85, 1.1), (left * 0.6, 1.14)]
    points += [(left * 1.06, tip + 0.1), (left * 1.04, tip - 0.08), (left * 0.74, 0.62), (0.34, 0.45), (0.2, 0.34)]
    return smooth(lay.path(points))


def rib_lines(lay: Layout, count: int) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """Posterior ribs fall gently from the spine to the wall, anterior ones turn back there and fall to the front."""
    posterior, anterior = [], []
    t = np.linspace(0, 1, 14)
    for i in range(count):
        start = -0.02 + i * 1.12 / count
        end = start + lay.rib_slope * (0.55 + 0.06 * i)
        reach = float(np.interp(end, WALL_V, WALL_U))
        for s in (-1, 1):
            back = start + (end - start) * t**2 - 0.035 * np.sin(np.pi * t) * (lay.rib_slope > 0)
            posterior.append(lay.path(list(zip(s * (0.08 + (reach - 0.08) * t), back, strict=True))))
            front = end + (lay.rib_slope * 1.5) * t**1.3
            anterior.append(lay.path(list(zip(s * reach * (1.0 - 0.6 * t), front, strict=True))))
    return posterior, anterior


def vessel_lines(lay: Layout, seed: int) -> list[tuple[float, list[np.ndarray]]]:
    """(width, lines) of the pulmonary vessels, which fan out from the hila and fork."""
    rng = np.random.default_rng(seed)
    trunks, twigs = [], []
    for s in (-1, 1):
        u0, v0 = 0.2 * s, 0.48 if s < 0 else 0.44
        for angle in np.linspace(-1.35, 1.4, 9) + rng.uniform(-0.12, 0.12, 9):
            bend, length = rng.uniform(-0.25, 0.25), rng.uniform(0.45, 0.65)
            t = np.linspace(0, 1, 8)
            u = u0 + s * length * t * np.cos(angle + bend * t)
            v = v0 + 0.75 * length * t * np.sin(angle + bend * t)
            points = list(zip(u, v, strict=True))
            trunks.append(lay.path(points[:5]))
            twigs.append(lay.path(points[4:]))
            for fork in (-0.5, 0.5):
                du, dv = s * 0.2 * np.cos(angle + fork), 0.16 * np.sin(angle + fork)
                twigs.append(lay.path([points[3], (points[3][0] + du, points[3][1] + dv)]))
    return [(0.012, trunks), (0.006, twigs)]
