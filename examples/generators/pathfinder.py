"""Pathfinder: do the two marked ends belong to one contour of dashes?

After the images of Linsley et al., Learning long-range spatial dependencies with horizontal gated
recurrent units (2018), in the size of Long Range Arena: 32 x 32 pixels, two contours of 14 dashes
that begin 7 pixels apart, and five contours of 4 dashes that distract. The numbers are the
published ones, the generator is not: accuracies compare within this project only.
"""

from __future__ import annotations

import math
import random
from array import array
from collections.abc import Iterable, Sequence
from itertools import chain

import numpy as np
from numpy.typing import NDArray

SIZE = 32  # pixels a side; positions are (y, x) in pixels
PADDING = 1  # pixels of the border without dashes
DASH = 2.0  # length of a dash
THICKNESS = 0.5
MARGIN = 1.0  # around a dash: two dashes are twice as far apart
LENGTH, DISTRACTOR_LENGTH, DISTRACTORS = 14, 4, 5  # dashes of a contour, and number of contours
SEED_DISTANCE = 7.0  # of the beginnings of the two long contours
CONTINUITY = 1.0  # more is straighter
MARKER = 1.5  # radius of the mark of an end
BRIGHTNESS = 1.5  # of a pixel that a dash covers, limited to 1: contrasts 2 and 0.75
SAMPLES = 2  # points a side in each pixel, of which the image shows the mean

VOCABULARY, FIRST = 258, 2  # the id of a black pixel is FIRST; 0 is padding, 1 is CLS
_REACH = 2 * MARGIN + DASH  # dashes touch only if their middles are closer
TRIES = 4  # of a contour that distracts

Point = tuple[float, float]
Dash = tuple[Point, Point, Point]  # tail, middle and head

#: Turns from one dash to the next, which move its head by one pixel each, and their weights.
TURNS = tuple(step / (MARGIN + DASH) for step in range(-4, 5))
WEIGHTS = tuple(math.cos(min(abs(turn) * CONTINUITY, math.pi / 2)) ** 2 for turn in TURNS)


def example(chance: random.Random) -> tuple[Sequence[int], int]:
    """The pixels of an image, row by row as ids, and 1 if both marks are on one contour."""
    image, label = picture(chance)
    return array("H", (np.rint(255 * image).astype(int) + FIRST).ravel().tolist()), label


def picture(chance: random.Random) -> tuple[NDArray[np.float64], int]:
    """An image [32, 32] of values 0 to 1, and its label."""
    long = _long_contours(chance)
    while long is None:
        long = _long_contours(chance)
    contours = list(long)
    for _ in range(DISTRACTORS):
        for _ in range(TRIES):
            start = (chance.uniform(0, SIZE), chance.uniform(0, SIZE))
            if short := _short_contour(chance, start, contours):
                contours.append(short)
                break
    label, first = chance.randrange(2), chance.randrange(2)
    last = first if label else 1 - first
    return _drawn(chain(*contours), (long[first][0][0], long[last][-1][-1])), label


def _long_contours(chance: random.Random) -> tuple[list[Dash], list[Dash]] | None:
    """Two contours, which grow in turns; None at a dead end.

    The first one begins at least twice the seed distance from the border.
    """
    low, high = 2 * SEED_DISTANCE, SIZE - 2 * SEED_DISTANCE
    a = (chance.uniform(low, high), chance.uniform(low, high))
    b = _moved(a, SEED_DISTANCE, _direction(chance))
    one, other = [_first(chance, a)], [_first(chance, b)]
    if not _is_free(other[0], one):
        return None
    for _ in range(LENGTH - 1):
        if not (_grow(chance, one, [other]) and _grow(chance, other, [one])):
            return None
    return one, other


def _short_contour(
    chance: random.Random, start: Point, others: Sequence[Sequence[Dash]]
) -> list[Dash] | None:
    contour = [_first(chance, start)]
    if not _is_free(contour[0], chain(*others)):
        return None
    grown = all(_grow(chance, contour, others) for _ in range(DISTRACTOR_LENGTH - 1))
    return contour if grown else None


def _grow(chance: random.Random, contour: list[Dash], others: Iterable[Sequence[Dash]]) -> bool:
    """Append a dash, more likely a straight one; False where no direction is free."""
    (y0, x0), _, head = contour[-1]
    ahead = math.atan2(head[0] - y0, head[1] - x0)
    pivot = _moved(head, MARGIN, ahead)
    obstacles = [*contour[:-1], *chain(*others)]
    # The least of exponential times of rates w is that of i with probability w[i] / sum(w), among
    # any subset: the first free turn in their order is a random one of the free turns.
    times = [chance.expovariate(weight) for weight in WEIGHTS]
    for _, turn in sorted(zip(times, TURNS, strict=True)):
        dash = _dash(pivot, ahead + turn)
        if _is_free(dash, obstacles):
            contour.append(dash)
            return True
    return False


def _is_free(dash: Dash, obstacles: Iterable[Dash]) -> bool:
    """Whether a dash is inside the window and two margins from all obstacles."""
    low, high = PADDING, SIZE - PADDING
    if not all(low <= y <= high and low <= x <= high for y, x in dash):
        return False
    y, x = dash[1]
    for other in obstacles:
        v, u = other[1]
        if abs(y - v) < _REACH and abs(x - u) < _REACH and _touch(dash, other):
            return False
    return True


def _touch(a: Dash, b: Dash) -> bool:
    return any((y - v) ** 2 + (x - u) ** 2 < (2 * MARGIN) ** 2 for y, x in a for v, u in b)


def _first(chance: random.Random, tail: Point) -> Dash:
    angle = _direction(chance)
    return _dash(_moved(tail, -MARGIN, angle), angle)


def _dash(pivot: Point, angle: float) -> Dash:
    """The dash that begins a margin after the pivot."""
    tail, middle, head = (_moved(pivot, MARGIN + part * DASH, angle) for part in (0, 0.5, 1))
    return tail, middle, head


def _moved(point: Point, by: float, angle: float) -> Point:
    return point[0] + by * math.sin(angle), point[1] + by * math.cos(angle)


def _direction(chance: random.Random) -> float:
    return chance.uniform(0, 2 * math.pi)


def _drawn(dashes: Iterable[Dash], marks: tuple[Point, Point]) -> NDArray[np.float64]:
    """Dashes and the discs of two marks, with the mean over the points of each pixel."""
    at = (np.arange(SIZE * SAMPLES, dtype=np.float32) + 0.5) / SAMPLES
    y, x = at[:, None, None], at[:, None]
    tail_y, tail_x, head_y, head_x = np.array(
        [(*dash[0], *dash[-1]) for dash in dashes], np.float32
    ).T
    # The nearest point of a dash is a share of the way from its tail to its head.
    along_y, along_x = (head_y - tail_y) / DASH, (head_x - tail_x) / DASH
    share = np.clip((y - tail_y) * along_y + (x - tail_x) * along_x, 0, DASH)
    squared = (y - tail_y - share * along_y) ** 2 + (x - tail_x - share * along_x) ** 2
    lines = np.minimum(1, BRIGHTNESS * _means(squared.min(-1) <= (THICKNESS / 2) ** 2))
    mark_y, mark_x = np.array(marks, np.float32).T
    discs = ((y - mark_y) ** 2 + (x - mark_x) ** 2).min(-1) <= MARKER**2
    image: NDArray[np.float64] = np.maximum(lines, _means(discs))
    return image


def _means(points: NDArray[np.bool_]) -> NDArray[np.float64]:
    means: NDArray[np.float64] = points.reshape(SIZE, SAMPLES, SIZE, SAMPLES).mean((1, 3))
    return means
