"""Sums the attenuation of a chest seen from the side, the patient facing left."""

import numpy as np

from cxr.embedded.phantoms.anatomy import Anatomy, Layout, Scene, chest_maps
from cxr.embedded.phantoms.canvas import ellipse, polygon, smooth, soft, strokes, tube


def lateral_scene(n: int, a: Anatomy, lay: Layout) -> Scene:
    """The healthy chest from the side, [n, n]: one lung field, spine behind, heart in front, the arms up."""
    top, base, hump = lay.apex, lay.dome_right - 0.02, 0.03 * a.kyphosis
    back = [(0.8 + hump, top + 0.22), (0.84 + hump, 0.5), (0.82, 0.72), (0.8, base + 0.15), (0.8, base + 0.15)]
    floor = [(0.62, base + 0.02), (0.45, base - 0.02), (0.26, base + 0.04)]
    front = [(0.2, base + 0.02), (0.17, 0.55), (0.24, 0.34), (0.36, top + 0.1), (0.46, top), (0.62, top + 0.02)]
    heart = ellipse(n, 0.335, base - 0.075, 0.17 * lay.heart_ratio / 0.45, 0.12, 0.014, -0.75)
    lung = polygon(n, smooth(back + floor + front), 0.004) * np.clip(1 - 0.75 * heart, 0, 1)
    skin = [(0.36, -0.1), (0.34, top), (0.16, 0.3), (0.07, 0.58), (0.08, 1.1)]
    skin += [(0.93, 1.1), (0.95, 0.5), (0.9, 0.15), (0.74, -0.1)]
    mask = polygon(n, smooth(skin), 0.004)
    mu = mask * a.habitus * (0.6 + 0.45 * soft(mask, 0.05)) + a.breast * ellipse(n, 0.12, 0.62, 0.09, 0.12, 0.008)
    mu = mu - lung * a.habitus * (0.48 + 0.18 * soft(lung, 0.03)) + 0.2 * heart + bones(n, a, top, hump) * a.bone
    arm = polygon(n, [(0.3, -0.1), (0.62, -0.1), (0.66, top + 0.05), (0.4, top + 0.1)], 0.015)
    mu += 0.15 * arm - 0.14 * strokes(n, [[(0.5, -0.05), (0.53, 0.2), (0.56, 0.42)]], 0.035, 0.005)
    mu += 0.2 * ellipse(n, 0.54, 0.47, 0.05, 0.05, 0.012) + aorta(n, top) * lung
    u, v = chest_maps(n, lay)
    return Scene(lay, mu.astype(np.float32), {"right": lung, "left": lung}, u, v)


def aorta(n: int, top: float) -> np.ndarray:
    arch = smooth([(0.44, 0.45), (0.46, top + 0.2), (0.58, top + 0.18), (0.68, 0.42), (0.7, 0.8)], closed=False)
    return 0.1 * strokes(n, [arch], 0.05, 0.008)


def bones(n: int, a: Anatomy, top: float, hump: float) -> np.ndarray:
    """Vertebrae in a row at the back, oblique ribs, the sternum in front."""
    ys = np.linspace(top - 0.02, 1.0, 13)
    xs = 0.72 + (0.07 + hump) * np.sin(np.pi * np.clip((ys - top + 0.05) / 1.0, 0, 1))
    blocks = [[(x - 0.032, y), (x + 0.032, y + 0.006)] for x, y in zip(xs, ys, strict=True)]
    ribs = [
        smooth([(0.8 + hump, y), (0.62, y + 0.06), (0.4, y + 0.17), (0.26, y + 0.2)], closed=False)
        for y in np.linspace(top + 0.04, 0.72, a.rib_count)
    ]
    sternum = smooth([(0.33, top + 0.13), (0.21, 0.36), (0.15, 0.56)], closed=False)
    column = 0.12 * strokes(n, blocks, 0.05, 0.003) + 0.07 * strokes(n, [np.stack([xs, ys], 1)], 0.075, 0.004)
    return column + 0.1 * tube(n, ribs, a.rib_width, 0.005) + 0.18 * strokes(n, [sternum], 0.022, 0.003)
