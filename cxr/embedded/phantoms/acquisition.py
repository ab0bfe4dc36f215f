"""From attenuation to the picture: exposure, markers, artifacts of the technique, and pictures of pictures."""

from collections.abc import Callable

import cv2
import numpy as np

from cxr.embedded.phantoms.anatomy import by_severity
from cxr.embedded.phantoms.canvas import polygon, soft, strokes, texture, uniform
from cxr.prompts.findings import Sign

Effect = Callable[[np.ndarray, Sign, np.random.Generator], tuple[np.ndarray, dict]]


def expose(mu: np.ndarray, turn: float, lean: float, rng: np.random.Generator) -> tuple[np.ndarray, dict]:
    """Attenuation [n, n] to brightness [n, n] in 0..1: turn by degrees, film response, window, scatter, noise."""
    n = mu.shape[0]
    hardness, white, noise = uniform(rng, 1.0, 1.45), uniform(rng, 1.65, 1.9), uniform(rng, 0.008, 0.016)
    edge = cv2.BORDER_CONSTANT if abs(turn) > 8 else cv2.BORDER_REPLICATE
    matrix = cv2.getRotationMatrix2D((n / 2, n / 2), turn, 1.0)
    mu = cv2.warpAffine(mu, matrix, (n, n), flags=cv2.INTER_LINEAR, borderMode=edge, borderValue=0)
    if lean:
        mu = mu * (1 - 0.9 * lean * (0.5 - np.arange(n, dtype=np.float32) / n))
    light = (1 - np.exp(-hardness * np.maximum(mu, 0))) / (1 - np.exp(-hardness * white))
    light = 0.94 * light + 0.06 * soft(light, 0.06)
    light = cv2.GaussianBlur(light, (0, 0), 0.0025 * n)
    light += noise * rng.standard_normal((n, n), np.float32)
    return np.clip(light, 0, 1), {"hardness": hardness, "white": white, "noise": noise}


def draw_marker(light: np.ndarray, view: str, rng: np.random.Generator) -> dict:
    """Writes the lead marker into an upper corner: the side, or AP."""
    n, side = light.shape[0], "R" if rng.random() < 0.5 else "L"
    text = {"AP": "AP", "lateral": "L"}.get(view, side)
    shown, y = bool(rng.random() < 0.85), uniform(rng, 0.07, 0.12)
    right = view == "lateral" or text == "L" or (text == "AP" and side == "L")
    x = uniform(rng, 0.86, 0.9) if right else uniform(rng, 0.05, 0.08)
    if shown:
        x = x - 0.03 * (right and text == "AP")
        place, scale = (round(x * n), round(y * n)), n / 256 * 0.6
        letters = np.zeros((n, n), np.uint8)  # OpenCV writes on bytes only
        cv2.putText(letters, text, place, cv2.FONT_HERSHEY_SIMPLEX, scale, 255, max(1, n // 160), cv2.LINE_AA)
        np.maximum(light, letters.astype(np.float32) / 255, out=light)
    return {"text": text, "shown": shown, "x": x, "y": y}


def motion_blur(light: np.ndarray, sign: Sign, rng: np.random.Generator) -> tuple[np.ndarray, dict]:
    """The patient moved: smeared along one direction, with a ghost at the end of the way."""
    n, angle = light.shape[0], uniform(rng, -0.6, 0.6) + (np.pi / 2) * (rng.random() < 0.5)
    length = by_severity(sign, 0.07, 0.1, 0.13)
    k = round(length * n) | 1
    kernel, reach = np.zeros((k, k), np.float32), np.array([np.cos(angle), np.sin(angle)]) * (k - 1) / 2
    a, b = np.array([k // 2, k // 2]) - reach, np.array([k // 2, k // 2]) + reach
    cv2.line(kernel, tuple(a.round().astype(int).tolist()), tuple(b.round().astype(int).tolist()), 1.0)
    kernel[tuple(a.round().astype(int)[::-1])] += 0.3 * kernel.sum()
    kernel[tuple(b.round().astype(int)[::-1])] += 0.3 * kernel.sum()
    smear = cv2.filter2D(light, -1, kernel / kernel.sum(), borderType=cv2.BORDER_REPLICATE)
    return smear, {"length": length, "angle": round(float(angle), 4)}


def grid_lines(light: np.ndarray, sign: Sign, rng: np.random.Generator) -> tuple[np.ndarray, dict]:
    """The shadow of an anti-scatter grid that stood still."""
    n, depth, pitch = light.shape[0], by_severity(sign, 0.11, 0.15, 0.2), uniform(rng, 0.036, 0.05)
    upright, phase = bool(rng.random() < 0.5), uniform(rng, 0, 6)
    wave = np.sin(2 * np.pi * np.arange(n, dtype=np.float32) / (pitch * n) + phase)
    stripes = wave.reshape(1, -1) if upright else wave.reshape(-1, 1)
    return light * (1 - 0.3 * depth) + depth * stripes * (0.35 + 0.65 * light), {
        "depth": depth,
        "pitch": pitch,
        "upright": upright,
    }


def quantum_mottle(light: np.ndarray, sign: Sign, rng: np.random.Generator) -> tuple[np.ndarray, dict]:
    """Too few photons: coarse grain everywhere the beam passed."""
    depth, n = by_severity(sign, 0.075, 0.105, 0.14), light.shape[0]
    k = n // 2 if n <= 256 else n // 4
    grain = cv2.resize(rng.standard_normal((k, k), np.float32), (n, n), interpolation=cv2.INTER_LINEAR)
    return light + 1.5 * depth * cv2.GaussianBlur(grain, (0, 0), 0.0035 * n), {"depth": depth}


def inverted(light: np.ndarray, sign: Sign, rng: np.random.Generator) -> tuple[np.ndarray, dict]:
    """MONOCHROME1 shown as MONOCHROME2."""
    return 1 - light, {}


def washed_out(light: np.ndarray, sign: Sign, rng: np.random.Generator) -> tuple[np.ndarray, dict]:
    """Flat grey with little contrast and no black."""
    contrast, grey = by_severity(sign, 0.34, 0.27, 0.2), uniform(rng, 0.55, 0.66)
    return grey + contrast * (light - 0.6), {"contrast": contrast, "grey": grey}


def screen_photo(light: np.ndarray, sign: Sign, rng: np.random.Generator) -> tuple[np.ndarray, dict]:
    """A phone's photo of a monitor: skewed, moire, a glare, the dark room around."""
    n, inset = light.shape[0], rng.uniform(0.05, 0.17, (4, 2))
    corners = np.array([[0, 0], [1, 0], [1, 1], [0, 1]]) + inset * [[1, 1], [-1, 1], [-1, -1], [1, -1]]
    source = np.array([[0, 0], [n, 0], [n, n], [0, n]], np.float32)
    y, x = np.mgrid[:n, :n].astype(np.float32) / n
    pitch, skew = uniform(rng, 0.05, 0.08), uniform(rng, 0.3, 1.0)
    moire = 0.07 * np.sin(2 * np.pi * (x + skew * y + 0.06 * np.sin(5 * y)) / pitch)
    gx, gy = uniform(rng, 0.3, 0.7), uniform(rng, 0.25, 0.7)
    glare = 0.5 * np.exp(-((x - gx) ** 2 + ((y - gy) * 0.8) ** 2) / 0.012)
    matrix = cv2.getPerspectiveTransform(source, (corners * n).astype(np.float32))
    shown = cv2.warpPerspective(0.12 + 0.72 * light + moire + glare, matrix, (n, n), borderValue=0.06)
    frame = strokes(n, [corners], 0.014, closed=True)
    return np.maximum(shown, 0.3 * frame), {
        "corners": corners.round(4).tolist(),
        "glare": [gx, gy],
        "moire_pitch": pitch,
    }


def film_digitiser(light: np.ndarray, sign: Sign, rng: np.random.Generator) -> tuple[np.ndarray, dict]:
    """A scanned film: white light box around a black film edge, scratches, the patient's label."""
    n, black, white = light.shape[0], uniform(rng, 0.035, 0.05), uniform(rng, 0.035, 0.055)
    edge = round((black + white) * n)
    film = cv2.copyMakeBorder(light, edge, edge, edge, edge, cv2.BORDER_CONSTANT, value=0.03)
    film = cv2.resize(film, (n, n), interpolation=cv2.INTER_AREA)
    w = round(white * n)
    film[:w], film[-w:], film[:, :w], film[:, -w:] = 1, 1, 1, 1
    starts = rng.uniform(0.1, 0.9, (4, 2))
    scratches = [(p, p + rng.uniform(-0.25, 0.25, 2) * [0.25, 1]) for p in starts]
    film = np.maximum(film, 0.95 * strokes(n, scratches, 0.006))
    x = white + black + (0.02 if rng.random() < 0.5 else 0.58)
    box = [(x, 0.11), (x + 0.22, 0.11), (x + 0.22, 0.2), (x, 0.2)]
    film = np.maximum(film, 0.92 * polygon(n, box))
    for row in (0.135, 0.16, 0.182):
        film = film * (1 - 0.8 * strokes(n, [[(x + 0.02, row), (x + uniform(rng, 0.12, 0.2), row)]], 0.01))
    return film + 0.03 * (texture(n, 0.2, rng) - 0.5), {"border": [white, black], "label_x": round(x, 4)}
