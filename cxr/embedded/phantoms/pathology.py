"""Disease drawn into a healthy chest: each function changes the scene's attenuation and returns what it drew."""

from collections.abc import Callable

import numpy as np

from cxr.embedded.phantoms.anatomy import DIRECTION, WALL_U, WALL_V, Scene, by_severity, direction, required
from cxr.embedded.phantoms.canvas import discs, ellipse, polygon, smooth, smoothstep, soft, strokes, texture, uniform
from cxr.prompts.findings import Sign

ZONE_V = {"upper": (0.02, 0.36), "mid": (0.33, 0.68), "lower": (0.62, 1.05)}
Pathology = Callable[[Scene, Sign, np.random.Generator], dict]


def affected_sides(sign: Sign) -> tuple[str, ...]:
    return (sign.side,) if sign.side in DIRECTION else ("right", "left")


def zone_mask(scene: Scene, zone: str, edge: float) -> np.ndarray:
    low, high = ZONE_V[zone]
    return smoothstep(scene.v, low - edge, low + edge) * smoothstep(scene.v, high + edge, high - edge)


def sample_lung_point(
    rng: np.random.Generator, side: str, zone: str | None = None, margin: float = 0.0
) -> tuple[float, float]:
    """A chest point (u, v) inside one lung, away from heart, wall and clavicle."""
    low, high = ZONE_V[zone] if zone else (0.1, 0.9)
    v = uniform(rng, max(0.16, low + 0.04), min(0.84, high - 0.04))
    inner = 0.34 if side == "right" else 0.34 + 0.3 * float(smoothstep(np.array(v), 0.4, 0.8))
    outer = float(np.interp(v, WALL_V, WALL_U)) - 0.16 - margin
    return DIRECTION[side] * uniform(rng, min(inner + margin, outer - 0.05), outer), v


def ground_glass(scene: Scene, sign: Sign, rng: np.random.Generator) -> dict:
    density = by_severity(sign, 0.31, 0.38, 0.45) * uniform(rng, 0.95, 1.05)
    veil = zone_mask(scene, required(sign.zone), 0.12) * (0.65 + 0.35 * texture(scene.n, 0.04, rng))
    lung = sum(scene.lungs[s] for s in affected_sides(sign))
    scene.mu += density * soft(veil * lung, 0.008) * lung
    return {"density": density}


def edema(scene: Scene, sign: Sign, rng: np.random.Generator) -> dict:
    """Bat wings around both hila, fat upper vessels, Kerley B lines at the bases."""
    density, reach = by_severity(sign, 0.27, 0.35, 0.42), by_severity(sign, 0.5, 0.58, 0.66)
    distance = np.hypot((np.abs(scene.u) - 0.22) / reach, (scene.v - 0.5) / (reach * 0.72))
    wings = smoothstep(distance, 1.05, 0.25) * (0.75 + 0.25 * texture(scene.n, 0.06, rng))
    scene.mu += density * wings * scene.both
    lines = []
    for side in ("right", "left"):
        for v in np.linspace(0.66, 0.96, 6) + rng.uniform(-0.01, 0.01, 6):
            lines.append(scene.layout.path([(DIRECTION[side] * 0.86, v), (DIRECTION[side] * 0.99, v + 0.004)]))
    scene.mu += 0.16 * strokes(scene.n, lines, 0.007) * scene.both
    return {"density": density, "reach": reach}


def atelectasis(scene: Scene, sign: Sign, rng: np.random.Generator) -> dict:
    """Plates of collapsed lung across the base, under a raised diaphragm (which the layout lifts)."""
    count, width = int(by_severity(sign, 2, 2, 3)), by_severity(sign, 0.022, 0.03, 0.034)
    s, tilt = direction(sign), uniform(rng, 0.06, 0.14)
    inner = 0.25 if s < 0 else 0.4
    plates = [
        smooth(
            scene.layout.path([(s * inner, v + bend), (s * 0.7, v - 0.02), (s * 0.97, v - bend * 0.3)]), closed=False
        )
        for v, bend in zip((0.84, 0.67, 0.5), (tilt, -tilt, tilt), strict=True)
    ]
    lung = scene.lungs[required(sign.side)]
    scene.mu += 0.4 * strokes(scene.n, plates[:count], width, 0.004) * lung
    scene.mu += 0.2 * smoothstep(scene.v, 0.8, 1.0) * lung
    return {"plates": count, "width": width, "tilt": tilt}


def lobar_consolidation(scene: Scene, sign: Sign, rng: np.random.Generator) -> dict:
    """One dense lobe with a sharp fissure and dark air bronchograms."""
    density, s = by_severity(sign, 0.42, 0.49, 0.56), direction(sign)
    low, high = ZONE_V[required(sign.zone)]
    grow, slant = by_severity(sign, -0.05, 0.0, 0.06), uniform(rng, -0.08, 0.08)
    level = scene.v + slant * (np.abs(scene.u) - 0.5)
    top = smoothstep(level, low - grow - 0.02, low - grow + 0.02) if low > 0.1 else 1.0
    bottom = smoothstep(level, high + grow + 0.02, high + grow - 0.02) if high < 0.9 else 1.0
    lobe = top * bottom * scene.lungs[required(sign.side)] * (0.88 + 0.12 * texture(scene.n, 0.06, rng))
    hub = (0.2, np.clip((low + high) / 2, 0.25, 0.75))
    fan = np.linspace(-0.75, 0.75, 5) + rng.uniform(-0.1, 0.1, 5)
    airways = [
        scene.layout.path([(s * hub[0], hub[1]), (s * 0.5, hub[1] + 0.14 * f), (s * 0.8, hub[1] + 0.26 * f)])
        for f in fan
    ]
    scene.mu += density * lobe * (1 - 0.55 * strokes(scene.n, airways, 0.012, 0.003))
    return {"density": density, "growth": grow, "slant": slant}


def bronchopneumonia(scene: Scene, sign: Sign, rng: np.random.Generator) -> dict:
    """Many soft, uneven patches that run into one another, thicker towards the bases."""
    count, density = int(by_severity(sign, 5, 8, 12)), by_severity(sign, 0.4, 0.44, 0.48)
    patches, drawn = np.zeros_like(scene.mu), []
    for side in affected_sides(sign):
        for _ in range(count if len(affected_sides(sign)) == 1 else max(3, count * 2 // 3)):
            u, v = sample_lung_point(rng, side)
            v = v + (0.9 - v) * 0.25
            r, stretch, turn = uniform(rng, 0.035, 0.06), uniform(rng, 0.6, 1.4), uniform(rng, 0, 3)
            patches = np.maximum(patches, ellipse(scene.n, *scene.layout.at(u, v), r * stretch, r / stretch, 0, turn))
            drawn.append([round(u, 3), round(v, 3), r])
    ragged = soft(patches, 0.012) * (0.55 + 0.75 * texture(scene.n, 0.03, rng))
    scene.mu += density * np.clip(ragged, 0, 1) * scene.both
    return {"density": density, "patches": drawn}


def cavity(scene: Scene, sign: Sign, rng: np.random.Generator) -> dict:
    """A thick-walled ring with air inside and a flat fluid level."""
    u, v = sample_lung_point(rng, required(sign.side), margin=0.08)
    outer = uniform(rng, 0.085, 0.105)
    x, y = scene.layout.at(u, v)
    rim, hole = (
        ellipse(scene.n, x, y, outer, outer * 1.08, 0.002),
        ellipse(scene.n, x, y, outer * 0.66, outer * 0.72, 0.003),
    )
    rows = (np.arange(scene.n, dtype=np.float32) / scene.n).reshape(-1, 1)
    air = hole * smoothstep(rows, y + outer * 0.3, y + outer * 0.26)
    scene.mu += 0.48 * rim * (1 - air) - 0.1 * air
    scene.mu += 0.13 * ellipse(scene.n, x, y, outer * 1.3, outer * 1.3, 0.015) * (1 - rim)
    return {"u": u, "v": v, "radius": outer}


def miliary(scene: Scene, sign: Sign, rng: np.random.Generator) -> dict:
    """Seeds of one size, evenly all over both lungs: a jittered lattice, as loose dice would clump."""
    pitch, density = by_severity(sign, 0.043, 0.038, 0.034), by_severity(sign, 0.28, 0.34, 0.4)
    grid = np.stack(np.meshgrid(np.arange(0.02, 1, pitch), np.arange(0.02, 1, pitch)), -1).reshape(-1, 2)
    centres = grid + rng.uniform(-0.3, 0.3, grid.shape) * pitch
    radii = rng.uniform(0.0085, 0.0115, len(grid))
    scene.mu += density * discs(scene.n, centres, radii, 0.002) * scene.both
    return {"pitch": pitch, "density": density}


def effusion(scene: Scene, sign: Sign, rng: np.random.Generator) -> dict:
    """Fluid that hides the diaphragm and climbs the wall in a meniscus."""
    height, climb = by_severity(sign, 0.16, 0.32, 0.5) * uniform(rng, 0.96, 1.04), uniform(rng, 0.16, 0.24)
    for side in affected_sides(sign):
        across = np.clip(np.abs(scene.u), 0, 1)
        surface = 1.02 - height - climb * (across**3 - 0.3)
        fluid = smoothstep(scene.v, surface - 0.015, surface + 0.04) * np.sqrt(scene.lungs[side])
        scene.mu += fluid * 0.92 * (1.12 - scene.mu)
    return {"height": height, "climb": climb}


def pneumothorax(scene: Scene, sign: Sign, rng: np.random.Generator) -> dict:
    """Black air without vessels outside a white pleural line, the lung inside it denser."""
    gap, s = by_severity(sign, 0.22, 0.33, 0.44) * uniform(rng, 0.95, 1.05), direction(sign)
    lay, n = scene.layout, scene.n
    v = np.array([0.0, 0.12, 0.3, 0.5, 0.7, 0.9, 1.06])
    edge = np.interp(v, WALL_V, WALL_U) - gap * np.array([1.1, 1.1, 1.05, 1.0, 0.9, 0.8, 0.7])
    hilum = np.interp(v, (0.3, 0.8), (0.32, 0.42 if s < 0 else 0.66))  # collapsed lung still shows beside the heart
    line = [(s * 0.12, gap * 0.55), *zip(s * np.maximum(edge, hilum), v * (1 - gap * 0.5) + gap * 0.5, strict=True)]
    border = smooth(lay.path(line), closed=False)
    inside = polygon(n, np.concatenate([border, lay.path([(s * 0.05, 1.1), (s * 0.05, gap * 0.55)])]), 0.003)
    lung = scene.lungs[required(sign.side)]
    free = lung * (1 - inside)
    scene.mu += free * (np.minimum(scene.mu, 0.22) - 0.09 - scene.mu) * 0.85
    scene.mu += lung * inside * (0.1 + 0.16 * gap) + 0.3 * strokes(n, [border], 0.011, 0.002) * soft(lung, 0.004)
    return {"gap": gap}


def pleural_thickening(scene: Scene, sign: Sign, rng: np.random.Generator) -> dict:
    """A lumpy white rind along the chest wall that blunts the angle and caps the apex, with calcified plaques."""
    width, phase = by_severity(sign, 0.11, 0.16, 0.22), uniform(rng, 0, 6)
    wall = np.interp(scene.v, WALL_V, WALL_U).astype(np.float32)
    lumps = width * (0.8 + 0.3 * np.sin(scene.v * 17 + phase) * np.sin(scene.v * 7))
    rind = smoothstep(np.abs(scene.u) - wall + lumps, -0.015, 0.02)
    for side in affected_sides(sign):
        scene.mu += rind * np.sqrt(scene.lungs[side]) * 0.85 * (1.05 - scene.mu)
        plaques = [
            scene.layout.path(
                [(DIRECTION[side] * (np.interp(v, WALL_V, WALL_U) - 0.6 * width), v + d) for d in (-0.05, 0.05)]
            )
            for v in (0.3, 0.52, 0.74)
        ]
        scene.mu += 0.3 * strokes(scene.n, plaques, 0.014, 0.002)
    return {"width": width}


def nodule(scene: Scene, sign: Sign, rng: np.random.Generator) -> dict:
    return draw_lesion(scene, sign, rng, 0.034, 0.042, 0.5)


def mass(scene: Scene, sign: Sign, rng: np.random.Generator) -> dict:
    return draw_lesion(scene, sign, rng, 0.075, 0.105, 0.55)


def draw_lesion(scene: Scene, sign: Sign, rng: np.random.Generator, low: float, high: float, density: float) -> dict:
    """One round lesion with a lobulated edge."""
    u, v = sample_lung_point(rng, required(sign.side), sign.zone, margin=0.6 * low)
    radius, phase = uniform(rng, low, high), uniform(rng, 0, 6)
    t = np.linspace(0, 2 * np.pi, 48, endpoint=False)
    r = radius * (1 + 0.03 * np.sin(3 * t + phase) + 0.015 * np.sin(7 * t))
    x, y = scene.layout.at(u, v)
    ball = polygon(scene.n, np.stack([x + r * np.cos(t), y + r * np.sin(t)], 1), 0.003)
    scene.mu += density * ball * (0.75 + 0.25 * soft(ball, 0.012))
    return {"u": u, "v": v, "radius": radius}


def metastases(scene: Scene, sign: Sign, rng: np.random.Generator) -> dict:
    """Round balls of several sizes in both lungs, kept apart so that each stays a ball."""
    count, placed = int(by_severity(sign, 5, 8, 12)), list[tuple[float, float, float]]()
    for k in range(count * 12):
        u, v = sample_lung_point(rng, ("right", "left")[k % 2])
        (x, y), r = scene.layout.at(u, v), uniform(rng, 0.026, 0.046)
        if len(placed) < count and all(np.hypot(x - a, y - b) > r + c + 0.012 for a, b, c in placed):
            placed.append((round(x, 4), round(y, 4), r))
    balls = np.array(placed)
    scene.mu += 0.48 * discs(scene.n, balls[:, :2], balls[:, 2], 0.003)
    return {"balls": [list(p) for p in placed]}
