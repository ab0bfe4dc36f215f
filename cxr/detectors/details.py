"""Is a synthetic picture a near-duplicate of a training picture? The most similar are nominated, aligned, correlated.

Amplitude spectra nominate: they do not move with the picture, and dividing by their length takes contrast out. What is
correlated are details, a picture less a blurred one, which leaves out what all chests share; the best of a window of
shifts, of three sizes and of both orientations counts. What noise takes from a query's spectrum and correlations is
given back, as far as its level is known: of 100 copies of X-rays with noise of 40 gray levels 97 % are found (without
it half of 30), and of 240 X-rays of other patients with such noise none.

Measured at 128 px on nih-cxr (773 pictures of 531 patients) and 900 phantoms, 100 copies of a kind, with 1 % false
alarms. By spectrum the original is among the first ten for every copy shifted by up to 5 %, mirrored, JPEG-ed, 5 %
larger or smaller, turned by 2 degrees, with other contrast, noise, blur, or from an autoencoder; by features of the
embedded extractor it is for 4 % (nih-cxr) and 41 % (phantoms) of copies with 0.6 of the contrast, so they do not
nominate. All of these copies of X-rays are found, half of those 10 % larger, 6 % of those turned by 5 degrees. Phantoms
are more alike (another's correlates by 0.97, an X-ray of another patient by 0.75): identical, contrast, JPEG, mirrored
and 3 % shifted copies are all found, 87 % of blurred ones, a quarter of those 5 % smaller, none of those turned.

Nothing else is looked for: `cxr.report.limits` says what is not, on every page. A model that plainly memorised its 30
patients passes this search (0 of 96 pictures flagged).
"""

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from scipy.fft import rfft2

from cxr.data.images import fit_square
from cxr.detectors.matches import Matches, in_parts, pool

SIDE = 128  # px that pictures are compared at
SMOOTH, BLUR = 1.0, 5.0  # px; details are what lies between
MARGIN = 8  # px, the largest shift
ZOOMS = (1.0, 0.96, 1.04)
WAVES = 16  # across the picture, up to which spectra are compared
NOMINATED = 10
MIN_CONTRAST = 0.5  # gray levels, of details; every X-ray of nih-cxr has 4.6 at least
WINDOW = np.outer(np.hanning(SIDE), np.hanning(SIDE)).astype(np.float32)
PATCH, SHIFTS = SIDE - 2 * MARGIN, 2 * MARGIN + 1  # px of what is shifted, and how far it can be along each axis
LAPLACE = np.array([[1, -2, 1], [-2, 4, -2], [1, -2, 1]], np.float32)  # spread 6 times that of white noise; 0 of lines
CORRECTED = 0.9  # of the noise, so that noisy pictures of other patients are not lifted above the threshold


@dataclass(frozen=True)
class DetailMatches(Matches):
    """Scores are correlations of aligned details; -1 where every training picture was left out."""

    mirrored: np.ndarray  # bool [Q]


class TrainingImageIndex:
    """The training pictures, ready to be searched: 36 kB each. Never written to, so processes can share them."""

    def __init__(self, pixels: np.ndarray, groups: Sequence[Hashable]) -> None:
        """Of uint8 [N, H, W]; `groups` says whose each is, and a query of the same group does not match it."""
        self.details = np.empty((len(pixels), SIDE, SIDE), np.float16)
        self.spreads = np.empty((len(pixels), SHIFTS, SHIFTS), np.float32)
        raw = np.empty((len(pixels), 2 * WAVES**2), np.float32)

        def prepare(row: int) -> None:
            self.details[row] = detail(pixels[row])
            one = self.details[row].astype(np.float32)
            self.spreads[row], raw[row] = spreads(one), spectra(one, noise_level(pixels[row]))[0]

        with pool() as threads:
            list(threads.map(prepare, range(len(pixels))))
        self.middle = raw.mean(axis=0)
        self.spectra = unit(raw - self.middle)
        self.numbers: dict[Hashable, int] = {}
        self.groups = np.array([self.numbers.setdefault(group, len(self.numbers)) for group in groups])

    def nearest(
        self,
        pixels: np.ndarray,
        groups: Sequence[Hashable | None] | None = None,
        advance: Callable[[int], object] = lambda count: None,
        threads: int | None = None,
    ) -> DetailMatches:
        """Of queries uint8 [Q, H, W], Q at least 1, whose own group is left out where `groups` names it; on so many
        threads, by default one for each core."""
        own = np.array([self.numbers.get(group, -1) for group in groups or [None] * len(pixels)])
        found: list[tuple[float, int, bool]] = []
        with pool(threads) as at_work:
            for part in at_work.map(lambda part: self.search(pixels[part], own[part]), in_parts(len(pixels))):
                found += part
                advance(len(part))
        return DetailMatches(*(np.array(column) for column in zip(*found, strict=True)))

    def search(self, pixels: np.ndarray, own: np.ndarray) -> list[tuple[float, int, bool]]:
        """Score, row and orientation of the best match of each query, uint8 [Q, H, W], whose own groups int [Q] are
        left out."""
        views, clear = zip(*map(examine_query, pixels), strict=True)
        return list(map(self.best, pixels, clear, *self.nominate(np.stack(views), own)))

    def nominate(self, queries: np.ndarray, own: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Rows int [Q, K] of the training pictures with the nearest spectra, and whether mirrored, bool [Q, K].

        Args:
            queries: float32 [Q, 2, F], the queries' spectra.
        """
        alike = [unit(queries[:, view] - self.middle) @ self.spectra.T for view in (0, 1)]
        similarity = np.maximum(*alike)
        similarity[own[:, None] == self.groups] = -np.inf
        rows = largest(similarity, NOMINATED)
        similar = np.take_along_axis(similarity, rows, axis=1)
        mirrored = np.take_along_axis(alike[1] > alike[0], rows, axis=1)
        return np.where(np.isfinite(similar), rows, -1), mirrored

    def best(
        self, picture: np.ndarray, clear: float, rows: np.ndarray, mirrored: np.ndarray
    ) -> tuple[float, int, bool]:
        """Score, row and orientation of the best of the nominated; rows of -1 are none.

        Args:
            clear: the picture's, as `clearness` gives it.
        """
        mirrored, rows = mirrored[rows >= 0], rows[rows >= 0]
        scores = np.minimum(self.correlations(zoomed(picture), rows, mirrored) / clear, 1)
        return max(zip(scores.tolist(), rows.tolist(), mirrored.tolist(), strict=True), default=(-1.0, 0, False))

    def relatives(self, pixels: np.ndarray, rows: np.ndarray) -> np.ndarray:
        """Of training pictures int [R] the best score with another of the same group, float; those without are left
        out. `pixels` are all training pictures."""
        scores = []
        for row in rows:
            others = np.flatnonzero(self.groups == self.groups[row])
            others = others[others != row]
            if len(others):
                both, clear = np.repeat([False, True], len(others)), examine_query(pixels[row])[1]
                scores.append(self.best(pixels[row], clear, np.tile(others, 2), both)[0])
        return np.array(scores)

    def correlations(self, patches: np.ndarray, rows: np.ndarray, mirrored: np.ndarray) -> np.ndarray:
        """With each of training pictures int [K], float32: the best over sizes and shifts; 0 where either is flat,
        whose correlation would be a quotient of nothings.

        The same as OpenCV's matchTemplate with TM_CCOEFF_NORMED, but each picture is transformed once, and turned back
        are the shifts within the margin alone: two products of matrices, in half of an inverse transform's time.

        Args:
            patches: float32 [Z, PATCH, PATCH], as `zoomed` gives them.
        """
        if not len(rows) or patches.std(axis=(1, 2)).min() < MIN_CONTRAST:
            return np.zeros(len(rows), np.float32)
        patches = patches - patches.mean(axis=(1, 2), keepdims=True)
        patches /= np.linalg.norm(patches, axis=(1, 2))[:, None, None]
        padding = (0, 0), (0, SIDE - PATCH), (0, SIDE - PATCH)
        views = np.stack([rfft2(np.pad(patches[:, :, ::step], padding)).conj() for step in (1, -1)])
        scores = []
        for part in in_parts(len(rows)):
            originals = rfft2(self.details[rows[part]].astype(np.float32))
            at_shifts = (DOWN @ (originals[:, None] * views[mirrored[part].astype(int)]) @ ACROSS).real
            scores.append((at_shifts / self.spreads[rows[part]][:, None]).max(axis=(1, 2, 3)))
        return np.concatenate(scores)


def detail(picture: np.ndarray) -> np.ndarray:
    """float32 [SIDE, SIDE] of uint8 [H, W]: what is neither noise nor what all chests share."""
    light = fit_square(picture, SIDE, "keep").astype(np.float32)
    return cv2.GaussianBlur(light, (0, 0), SMOOTH) - cv2.GaussianBlur(light, (0, 0), BLUR)


def noise_level(picture: np.ndarray) -> float:
    """Gray levels of the white noise of uint8 [H, W], scaled to SIDE (Immerkaer 1996, CVIU 64, 300; by the median,
    which edges hardly move)."""
    light = fit_square(picture, SIDE, "keep").astype(np.float32)
    return float(np.median(np.abs(cv2.filter2D(light, -1, LAPLACE)))) / (6 * 0.6745)


def clearness(details: np.ndarray, noise: float) -> float:
    """By what noise lowers each of a picture's correlations: the root of the share of the variance of its details that
    is not noise (Spearman 1904, Am. J. Psychol. 15, 72)."""
    variance = float(details[MARGIN:-MARGIN, MARGIN:-MARGIN].var())
    of_noise = noise**2 * float(np.sum(ONE_POINT**2))
    return float(np.sqrt(1 - CORRECTED * min(of_noise / max(variance, MIN_CONTRAST**2), 1)))


def examine_query(picture: np.ndarray) -> tuple[np.ndarray, float]:
    """The `spectra` of uint8 [H, W], and its `clearness`."""
    details, noise = detail(picture), noise_level(picture)
    return spectra(details, noise), clearness(details, noise)


def spectra(details: np.ndarray, noise: float) -> np.ndarray:
    """float32 [2, 2 WAVES^2] of length 1, of a picture and of its mirror image: square roots of the amplitudes of the
    lowest frequencies, less the noise's, of either slant. Mirroring swaps the slants."""
    power = np.abs(rfft2(details * WINDOW)[:, : WAVES + 1]) ** 2
    low = np.maximum(power - noise**2 * NOISE_POWER, 0) ** 0.25
    rising, falling = low[:WAVES], low[-np.arange(WAVES)]
    views = [(rising[:, :-1], falling[:, :0:-1]), (falling[:, :-1], rising[:, :0:-1])]
    return unit(np.stack([np.concatenate(slants, axis=1).ravel() for slants in views]))


def spreads(details: np.ndarray) -> np.ndarray:
    """float32 [SHIFTS, SHIFTS]: of each window of PATCH pixels a side the root of its summed squares about its mean;
    infinite for a flat picture, which so correlates with nothing."""
    if details.std() < MIN_CONTRAST:
        return np.full((SHIFTS, SHIFTS), np.inf, np.float32)
    total, squares = (
        table[PATCH:, PATCH:] - table[:-PATCH, PATCH:] - table[PATCH:, :-PATCH] + table[:-PATCH, :-PATCH]
        for table in cv2.integral2(details, sdepth=cv2.CV_64F, sqdepth=cv2.CV_64F)
    )
    return np.sqrt(np.maximum(squares - total**2 / PATCH**2, MIN_CONTRAST**2)).astype(np.float32)


def unit(vectors: np.ndarray) -> np.ndarray:
    return vectors / np.maximum(np.linalg.norm(vectors, axis=-1, keepdims=True), 1e-6)


def largest(values: np.ndarray, count: int) -> np.ndarray:
    """int [Q, count or N]: places of the largest of each row of [Q, N], the largest first, of equal ones the first."""
    if values.shape[1] > count:
        places = np.sort(np.argpartition(-values, count - 1, axis=1)[:, :count], axis=1)
    else:
        places = np.broadcast_to(np.arange(values.shape[1]), values.shape)
    order = np.argsort(-np.take_along_axis(values, places, axis=1), axis=1, kind="stable")
    return np.take_along_axis(places, order, axis=1)


def zoomed(picture: np.ndarray) -> np.ndarray:
    """float32 [Z, PATCH, PATCH]: the inner part of the details of the picture in each size."""
    inner, middle = slice(MARGIN, -MARGIN), (SIDE - 1) / 2
    picture = np.ascontiguousarray(fit_square(np.ascontiguousarray(picture), SIDE, "keep"))
    turns = [cv2.getRotationMatrix2D((middle, middle), 0, zoom) for zoom in ZOOMS]
    sizes = [cv2.warpAffine(picture, turn, (SIDE, SIDE), borderMode=cv2.BORDER_REPLICATE) for turn in turns]
    return np.stack([detail(size)[inner, inner] for size in sizes])


def turned_back() -> tuple[np.ndarray, np.ndarray]:
    """complex64 [SHIFTS, SIDE] and [SIDE / 2 + 1, SHIFTS]: the inverse of `rfft2` at the first shifts down and across,
    for products from the left and from the right."""
    down, across = np.arange(SIDE), np.arange(SIDE // 2 + 1)
    twice = np.where((across == 0) | (across == SIDE // 2), 1, 2)  # all others stand for two frequencies
    one_way, other_way = (
        np.exp(2j * np.pi * np.outer(waves, np.arange(SHIFTS)) / SIDE) / SIDE for waves in (down, across)
    )
    return one_way.T.astype(np.complex64), (other_way * twice[:, None]).astype(np.complex64)


DOWN, ACROSS = turned_back()
ONE_POINT = detail(np.pad(np.full((1, 1), 255, np.uint8), SIDE // 2)[:SIDE, :SIDE]) / 255  # what details keep of it
NOISE_POWER = np.sum(WINDOW**2) * np.abs(rfft2(ONE_POINT)[:, : WAVES + 1]) ** 2  # of white noise of one gray level
