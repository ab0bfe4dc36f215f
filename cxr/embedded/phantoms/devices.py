"""What lies on or in the patient: devices, tubes, and jewellery. Metal is the brightest thing in a picture."""

import numpy as np

from cxr.embedded.phantoms.anatomy import Scene, direction
from cxr.embedded.phantoms.canvas import discs, polygon, smooth, strokes, tube, uniform
from cxr.prompts.findings import Sign

WIRE = 0.014  # of the side: 1.8 px at 128
METAL = 0.9


def pacemaker(scene: Scene, sign: Sign, rng: np.random.Generator) -> dict:
    """A generator under one clavicle and two leads through the vein into the right heart."""
    s, lay = direction(sign), scene.layout
    x, y = lay.at(s * uniform(rng, 0.72, 0.82), uniform(rng, 0.14, 0.2))
    w, h = uniform(rng, 0.04, 0.05), uniform(rng, 0.035, 0.045)
    corners = [(x - w, y - h), (x + w, y - h), (x + w, y + h), (x - w * 0.9, y + h)]
    can = np.maximum(polygon(scene.n, corners), strokes(scene.n, [corners], 0.03, closed=True))
    start = (x - s * w * 0.7, y - h)
    vein = [start, lay.at(s * 0.4, 0.06), lay.at(s * 0.12, 0.1), lay.at(-0.14, 0.26), lay.at(-0.16, 0.55)]
    ends = ([lay.at(-0.1, 0.76, -1), lay.at(0.14, 0.92)], [lay.at(-0.24, 0.74), lay.at(-0.2, 0.64)])
    leads = [smooth(np.array(vein + end), closed=False) for end in ends]
    scene.mu += METAL * np.maximum(can, 0.85 * strokes(scene.n, leads, WIRE))
    return {"x": round(x, 4), "y": round(y, 4), "leads": 2}


def central_line(scene: Scene, sign: Sign, rng: np.random.Generator) -> dict:
    """A catheter from the neck or under the clavicle of one side to the superior vena cava."""
    s, lay, tip, neck = direction(sign), scene.layout, uniform(rng, 0.36, 0.5), bool(rng.random() < 0.5)
    entry = [(s * 0.32, -0.3), (s * 0.26, -0.1)] if neck else [(s * 1.15, 0.2), (s * 0.75, 0.04)]
    route = smooth(lay.path([*entry, (s * 0.2, 0.06), (-0.1, 0.16), (-0.15, 0.26), (-0.16, tip)]), closed=False)
    scene.mu += 0.7 * strokes(scene.n, [route], 0.016)
    hub = lay.at(*entry[0])
    scene.mu += METAL * discs(scene.n, np.array([hub]), [0.018])
    return {"tip_v": tip, "entry": "jugular" if neck else "subclavian"}


def endotracheal_tube(scene: Scene, sign: Sign, rng: np.random.Generator) -> dict:
    """A tube in the trachea, its tip above the carina, with a bright marker stripe and a cuff."""
    tip, bend = uniform(rng, 0.2, 0.28), uniform(rng, -0.012, 0.012)
    x, y = scene.layout.at(0.0, tip)
    path = smooth([(x + bend, -0.05), (x + bend, y * 0.5), (x, y)], closed=False)
    scene.mu += 0.8 * tube(scene.n, [path], 0.044, 0.013, 0.0)
    scene.mu += 0.5 * strokes(scene.n, [path + np.array([0.016, 0.0])], 0.014)
    return {"tip_v": tip, "bend": bend}


def chest_drain(scene: Scene, sign: Sign, rng: np.random.Generator) -> dict:
    """A wide tube through the chest wall of one side up to the apex; its bright stripe breaks at the side hole."""
    s, lay = direction(sign), scene.layout
    entry, tip = uniform(rng, 0.62, 0.82), uniform(rng, 0.08, 0.2)
    points = [
        (s * 1.35, entry + 0.1),
        (s * 1.0, entry),
        (s * 0.72, entry - 0.12),
        (s * 0.62, tip + 0.25),
        (s * 0.45, tip),
    ]
    path = smooth(lay.path(points), closed=False)
    scene.mu += 0.5 * tube(scene.n, [path], 0.036, 0.01, 0.3)
    hole = len(path) * 2 // 3
    scene.mu += 0.45 * strokes(scene.n, [path[: hole - 2], path[hole + 1 :]], 0.013)
    return {"entry_v": entry, "tip_v": tip}


def sternal_wires(scene: Scene, sign: Sign, rng: np.random.Generator) -> dict:
    """Loops of wire down the midline after heart surgery."""
    count, lay = int(rng.integers(5, 8)), scene.layout
    t = np.linspace(0, 2 * np.pi, 24)
    loops = []
    for v in np.linspace(0.16, 0.8, count) + rng.uniform(-0.012, 0.012, count):
        x, y = lay.at(uniform(rng, -0.02, 0.02), v, -1)
        turn = rng.uniform(-0.3, 0.3)
        px, py = 0.036 * np.cos(t), 0.02 * np.sin(t) + 0.036 * np.cos(t) * turn
        loops.append(np.stack([x + px, y + py], 1))
        loops.append(np.array([(x + 0.03, y), (x + 0.05, y + 0.018)]))
    scene.mu += METAL * strokes(scene.n, loops, WIRE)
    return {"wires": count}


def ecg_leads(scene: Scene, sign: Sign, rng: np.random.Generator) -> dict:
    """Electrodes stuck on the chest, their wires hanging to the edge of the picture."""
    lay, wires = scene.layout, []
    spots = [(-0.72, 0.1), (0.74, 0.08), (-0.66, 0.84), (0.8, 0.86), (0.3, 0.6)][: int(rng.integers(4, 6))]
    centres = [lay.at(u + uniform(rng, -0.08, 0.08), v + uniform(rng, -0.05, 0.05)) for u, v in spots]
    for x, y in centres:
        out = -0.05 if x < 0.5 else 1.05
        way = [(x, y), (x + 0.4 * (out - x), y + uniform(rng, 0.02, 0.16)), (out, y + uniform(rng, -0.1, 0.25))]
        wires.append(smooth(way, closed=False))
    snaps = np.array(centres)
    pads = 0.3 * discs(scene.n, snaps, [0.036] * len(spots)) + 0.6 * discs(scene.n, snaps, [0.017] * len(spots))
    scene.mu += np.maximum(pads, 0.7 * strokes(scene.n, wires, WIRE))
    return {"electrodes": len(spots)}


def necklace(scene: Scene, sign: Sign, rng: np.random.Generator) -> dict:
    """A string of beads around the neck, left on."""
    lay, depth, count = scene.layout, uniform(rng, 0.1, 0.2), int(rng.integers(17, 24))
    t = np.linspace(-1, 1, count)
    wide = uniform(rng, 0.15, 0.19)
    beads = np.stack([lay.mid + wide * t, lay.apex - 0.1 + (depth + 0.06) * (1 - np.abs(t) ** 2.4)], 1)
    scene.mu += METAL * discs(scene.n, beads, rng.uniform(0.011, 0.015, count))
    return {"beads": count, "depth": depth}
