"""Sums the attenuation of a chest seen from the front (PA or AP)."""

from functools import reduce
from operator import add

import numpy as np

from cxr.embedded.phantoms.anatomy import (
    Anatomy,
    Layout,
    Scene,
    chest_maps,
    heart_outline,
    lung_outline,
    rib_lines,
    vessel_lines,
)
from cxr.embedded.phantoms.canvas import discs, ellipse, polygon, smooth, smoothstep, soft, strokes, tube


def frontal_scene(n: int, a: Anatomy, lay: Layout) -> Scene:
    """The healthy chest from the front, [n, n]; every part adds its path length times its density."""
    u, v = chest_maps(n, lay)
    heart, centre = polygon(n, heart_outline(lay, a), 0.008), mediastinum(n, a, lay)
    free = np.clip((1 - heart) * (1 - centre), 0, 1)
    lungs = {side: polygon(n, lung_outline(lay, s), 0.003) * free for side, s in (("right", -1), ("left", 1))}
    air = lungs["right"] + lungs["left"]
    trunk = body(n, a, lay)
    mu = trunk + 0.28 * smoothstep(v, 0.9, 1.3) * (1 - air)
    mu += 0.2 * heart + 0.2 * np.maximum(centre - heart, 0)
    mu -= air * a.habitus * (0.48 + 0.22 * soft(air, 0.03))
    flesh = smoothstep(trunk, 0.05, 0.4)
    mu += a.bone * (
        skeleton(n, a, lay) * (0.45 + 0.55 * soft(air, 0.01)) * flesh + spine(n, a, lay) * (1 - 0.5 * heart)
    )
    mu += vessels(n, a, lay) * air + airways(n, lay)
    mu += breasts(n, a, lay) - stomach(n, a, lay, air)
    return Scene(lay, mu.astype(np.float32), lungs, u, v)


def body(n: int, a: Anatomy, lay: Layout) -> np.ndarray:
    """Soft tissue with neck, shoulders and flanks; the air around it is black."""
    half = 0.1 + a.thorax * 1.12 + 0.35 * (a.habitus - 1)
    top = lay.apex - 0.06 - max(0.0, -lay.clavicle)
    right = [(0.5 - 0.1, -0.1), (0.5 - 0.11, top - 0.03), (0.5 - half * 0.8, top + 0.05), (0.5 - half * 1.1, top + 0.2)]
    right += [(0.5 - half * 1.05, 0.42), (0.5 - half * 0.98, 0.6), (0.5 - half, 0.85), (0.5 - half, 1.1)]
    outline = np.array(right + [(1 - x, y) for x, y in reversed(right)])
    mask = polygon(n, smooth(outline), 0.004)
    return mask * a.habitus * (0.55 + 0.42 * soft(mask, 0.05))


def mediastinum(n: int, a: Anatomy, lay: Layout) -> np.ndarray:
    m = a.mediastinum
    right = [(-m * 0.9, -0.1), (-m * 0.85, 0.1), (-m * 1.05, 0.3), (-m * 1.1, 0.5), (-m, 1.1)]
    left = [(m, 1.1), (m * 1.3, 0.5), (m * 1.25, 0.36), (m * 0.9, 0.12), (m * 0.9, -0.1)]
    band = polygon(n, smooth(lay.path(right + left)), 0.006)
    x, y = lay.at(m * 0.85, 0.24)
    return np.maximum(band, ellipse(n, x, y, a.aorta * 1.1, a.aorta * 1.25, 0.004))


def skeleton(n: int, a: Anatomy, lay: Layout) -> np.ndarray:
    posterior, anterior = rib_lines(lay, a.rib_count)
    bones = 0.17 * tube(n, posterior, a.rib_width, 0.005) + 0.09 * tube(n, anterior, a.rib_width * 1.1, 0.005)
    bones = bones + 0.3 * tube(n, clavicles(a, lay), 0.03, 0.006, 0.6)
    plates, heads = [], []
    for s in (-1, 1):
        k = lay.scapula
        plates.append(
            smooth(lay.path([(s * k, 0.02), (s * (k + 0.42), 0.05), (s * (k + 0.2), 0.3), (s * (k + 0.06), 0.44)]))
        )
        heads.append(lay.at(s * 1.34, 0.03))
    bones = bones + 0.05 * sum(polygon(n, p, 0.003) for p in plates) + 0.09 * strokes(n, plates, 0.006, closed=True)
    return bones + 0.14 * discs(n, np.array(heads), (0.055, 0.055), 0.004)


def clavicles(a: Anatomy, lay: Layout) -> list[np.ndarray]:
    """S-shaped, from the sternum to the shoulder; a rotated patient's inner ends stand unevenly."""
    lines = []
    for s in (-1, 1):
        inner = 0.1 + 0.12 * max(0.0, -s * lay.lean) * 2
        v, rise = lay.clavicle, a.clavicle_rise
        points = [(inner, v + 0.02), (0.4, v + 0.02), (0.75, v - rise), (1.2, v - rise * 1.2)]
        lines.append(smooth(lay.path([(s * u, w) for u, w in points]), closed=False))
    return lines


def spine(n: int, a: Anatomy, lay: Layout) -> np.ndarray:
    """Vertebral bodies with dark discs between; seen best above the heart."""
    x = lay.mid
    column = polygon(n, [(x - 0.042, -0.05), (x + 0.042, -0.05), (x + 0.05, 1.05), (x - 0.05, 1.05)], 0.004)
    rows = (np.arange(n) / n).reshape(-1, 1)
    discs_dark = 0.75 + 0.25 * smoothstep(np.cos(2 * np.pi * rows / 0.075 * (1 + 0.15 * a.kyphosis)), -0.9, -0.3)
    processes = discs(n, np.array([(x, y) for y in np.arange(0.06, 0.95, 0.075)]), [0.009] * 12, 0.003)
    return (0.13 * column * discs_dark + 0.06 * processes).astype(np.float32)


def airways(n: int, lay: Layout) -> np.ndarray:
    """Trachea and main bronchi, dark in the mediastinum."""
    x, carina = lay.mid + 0.004, lay.at(0.0, 0.36)[1]
    trachea = strokes(n, [[(x, -0.05), (x, carina)]], 0.034, 0.004)
    ends = [lay.at(-0.2, 0.46), lay.at(0.22, 0.46)]
    bronchi = strokes(n, [[(x, carina), ends[0]], [(x, carina), ends[1]]], 0.022, 0.004)
    return -np.maximum(0.16 * trachea, 0.09 * bronchi)


def vessels(n: int, a: Anatomy, lay: Layout) -> np.ndarray:
    widths = zip(vessel_lines(lay, a.vessels), (0.12, 0.08), strict=True)
    tree = reduce(add, (strokes(n, lines, width, 0.0025) * value for (width, lines), value in widths))
    hila = [(*lay.at(-0.23, 0.47), -0.4), (*lay.at(0.27, 0.43), 0.4)]
    return tree + 0.16 * reduce(add, (ellipse(n, x, y, 0.026, 0.05, 0.008, t) for x, y, t in hila))


def breasts(n: int, a: Anatomy, lay: Layout) -> np.ndarray:
    if not a.breast:
        return np.zeros((n, n), np.float32)
    (xr, yr), (xl, yl) = lay.at(-0.6, 0.74), lay.at(0.6, 0.72)
    return a.breast * (ellipse(n, xr, yr, 0.16, 0.13, 0.022, 0.3) + ellipse(n, xl, yl, 0.16, 0.13, 0.022, -0.3))


def stomach(n: int, a: Anatomy, lay: Layout, air: np.ndarray) -> np.ndarray:
    x, y = lay.at(0.5, 1.02)
    return 0.32 * ellipse(n, x, y + 0.06, a.stomach, a.stomach * 0.4, 0.008) * (1 - air)
