"""Counts how many digits and numbers are read on pages as a phone sees them: ruled, squared, shadowed, crumpled, empty.

MNIST's digits are written with several pens on many kinds of page, each seen a little from aside, in uneven light,
with blur, noise and JPEG. Everything is drawn here, and one seed gives the same pages again.
Run it: python benchmarks/pages.py
or, while you change the preparation, on other digits and pages: python benchmarks/pages.py --tune
"""

from __future__ import annotations

import argparse
import collections
import io
import sys
from pathlib import Path
from typing import Callable, Iterator, NamedTuple

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import numpy as np
from own_pictures import crop_and_centre, draw_sheet
from PIL import Image, ImageFilter

from digits.command_line import MODEL_PATH, add_shared_flags, run_script, whole_number
from digits.plots import save_figure
from digits.reading.mnist_format import find_digits
from digits.reading.page import over_window
from digits.reading.picture import decode_picture
from digits.training.mnist import load_mnist
from digits.weights import load_weights
from predict_CNN import predict_probabilities

SIZE = 640, 480  # pixels: width and height of the pictures
VISIBLE = 0.66, 0.62  # of the sheet's width and height, around its middle, are in every picture, see turn()
SHEET_PATH = Path("misread_pages.png")
MAX_SHOWN = 100  # failures on the sheet


class Pen(NamedTuple):
    """What a stroke looks like: how wide, how strong, and which of the light it leaves."""

    width: float  # of MNIST's strokes
    strength: float  # share of the pen's colour at the middle of the stroke
    colour: tuple[float, float, float]  # RGB in 0..1
    grain: float = 0.0  # share of the stroke that the paper's grain leaves without ink


BLACK, BLUE, RED = (0.08, 0.08, 0.1), (0.1, 0.15, 0.5), (0.7, 0.1, 0.12)
PENS = {
    "black": Pen(1.0, 0.95, BLACK),
    "blue": Pen(1.0, 0.9, BLUE),
    "red": Pen(1.0, 0.9, RED),
    "black ball pen": Pen(1 / 3, 0.9, BLACK),
    "blue ball pen": Pen(1 / 3, 0.85, BLUE),
    "pencil": Pen(0.5, 0.65, (0.25, 0.25, 0.27), 0.3),
    "faint pencil": Pen(0.4, 0.4, (0.3, 0.3, 0.32), 0.3),
    "chalk": Pen(0.9, 0.85, (0.95, 0.95, 0.92), 0.4),
}
ON_PAPER = ("black", "blue", "red", "black ball pen", "blue ball pen", "pencil")


class Page(NamedTuple):
    """A kind of page: its paper, what is printed on it, and what light falls on it."""

    colour: tuple[float, float, float]  # RGB in 0..1
    lines: str = ""  # ruled, squared, dotted or legal
    line_strength: tuple[float, float] = (0.15, 0.4)  # from and to, as all pairs here
    shadows: int = 0
    folds: int = 0
    glare: bool = False
    on_desk: bool = False  # and does not fill the picture
    light: tuple[float, float] = (0.75, 1.0)
    noise: tuple[float, float] = (0.005, 0.025)  # standard deviation, where white is 1
    pens: tuple[str, ...] = ON_PAPER


WHITE, DARK_LINES = (0.95, 0.95, 0.93), (0.55, 0.8)
LINE_COLOURS = (0.35, 0.5, 0.75), (0.4, 0.4, 0.45), (0.3, 0.6, 0.6)
DESKS = (0.35, 0.22, 0.13), (0.55, 0.42, 0.3), (0.2, 0.2, 0.22)
PAGES = {
    "plain": Page(WHITE),
    "ruled": Page(WHITE, "ruled"),
    "squared": Page(WHITE, "squared"),
    "dotted": Page(WHITE, "dotted"),
    "legal pad": Page((0.97, 0.93, 0.6), "legal"),
    "dark ruled": Page(WHITE, "ruled", DARK_LINES),
    "dark squared": Page(WHITE, "squared", DARK_LINES),
    "recycled": Page((0.72, 0.71, 0.68)),
    "kraft": Page((0.7, 0.55, 0.38), pens=("black", "blue", "black ball pen")),
    "blackboard": Page((0.16, 0.2, 0.18), pens=("chalk",)),
    "whiteboard": Page((0.92, 0.93, 0.94), glare=True, pens=("black", "blue", "red")),
    "hard shadow": Page(WHITE, shadows=1),
    "two shadows": Page(WHITE, shadows=2),
    "ruled in shadow": Page(WHITE, "ruled", shadows=1),
    "squared in shadow": Page(WHITE, "squared", shadows=1),
    "crumpled": Page(WHITE, folds=12),
    "low light": Page(WHITE, light=(0.15, 0.35), noise=(0.02, 0.035)),
    "note on a desk": Page((0.97, 0.9, 0.5), on_desk=True),
    "ruled sheet on a desk": Page(WHITE, "ruled", on_desk=True),
    "faint pencil": Page(WHITE, pens=("faint pencil",)),
}


def thin(mask: np.ndarray) -> np.ndarray:
    """Return the middle lines of the strokes in `mask` (H, W), booleans (Zhang and Suen 1984)."""
    mask = np.pad(mask, 1)
    while True:
        before = mask.sum()
        for first in (True, False):
            n, s, w, e = mask[:-2, 1:-1], mask[2:, 1:-1], mask[1:-1, :-2], mask[1:-1, 2:]
            ring = [n, mask[:-2, 2:], e, mask[2:, 2:], s, mask[2:, :-2], w, mask[:-2, :-2]]
            num = sum(part.astype(int) for part in ring)
            turns = sum((~a & b).astype(int) for a, b in zip(ring, ring[1:] + ring[:1]))
            open_sides = ~(n & e & s) & ~(e & s & w) if first else ~(n & e & w) & ~(n & s & w)
            mask[1:-1, 1:-1] &= ~((num >= 2) & (num <= 6) & (turns == 1) & open_sides)
        if mask.sum() == before:
            return mask[1:-1, 1:-1]


def draw_strokes(image: np.ndarray, pen: Pen, height: int) -> np.ndarray:
    """Return the digit of an image (28, 28), uint8, as strokes (H, W) in 0..1, as wide as the pen makes them.

    `height` is that of the digit in pixels; pen.width says how wide its strokes are.
    """
    box = Image.fromarray(image).point([0] * 61 + [255] * 195).getbbox()
    digit = Image.fromarray(image).crop(box)
    zoom = height / digit.height
    margin = round(3 * zoom)
    digit = digit.resize((max(1, round(digit.width * zoom)), height), Image.Resampling.BICUBIC)
    canvas = Image.new("L", (digit.width + 2 * margin, digit.height + 2 * margin))
    canvas.paste(digit, (margin, margin))
    mask = np.asarray(canvas.filter(ImageFilter.GaussianBlur(0.35 * zoom))) > 110
    radius = 1.3 * zoom * pen.width  # MNIST's strokes are about 2.6 pixels wide
    if pen.width < 1:
        mask = over_window(thin(mask), 2 * max(0, round(radius - 0.5)) + 1, np.maximum)
    soft = np.asarray(Image.fromarray(mask.astype(np.uint8) * 255).filter(ImageFilter.GaussianBlur(0.8)))
    return soft[margin // 2 : -margin // 2, margin // 2 : -margin // 2] / np.float32(max(1, soft.max()))


def print_lines(shape: tuple[int, int], lines: str, spacing: float, random: np.random.Generator) -> np.ndarray:
    """Return how strong (H, W), in 0..1, the lines or dots are that are printed on a page, `spacing` pixels apart.

    `lines` is ruled, squared, dotted or legal: ruled with a margin line.
    """
    y, x = np.mgrid[: shape[0], : shape[1]].astype(np.float32)
    x, y = (values + random.uniform(0, spacing) for values in (x, y))
    half_width = max(0.5, spacing * random.uniform(0.012, 0.025))

    def line(values: np.ndarray) -> np.ndarray:
        return (half_width + 0.5 - abs(values)).clip(0, 1)

    margin_line = line(x - random.uniform(0.05, 0.25) * shape[1]) if lines == "legal" else 0
    # How far each place lies from the nearest line across, and from the nearest one down
    y, x = ((values + spacing / 2) % spacing - spacing / 2 for values in (y, x))
    if lines == "dotted":
        return (1.5 * half_width + 0.5 - np.hypot(y, x)).clip(0, 1)
    return np.maximum(line(y), line(x)) if lines == "squared" else np.maximum(line(y), margin_line)


def smooth_noise(shape: tuple[int, int], scale: int, random: np.random.Generator) -> np.ndarray:
    """Return noise (H, W) of mean 0 and standard deviation 1 that changes over about `scale` pixels."""
    small = random.normal(size=(shape[0] // scale + 3, shape[1] // scale + 3)).astype(np.float32)
    values = np.asarray(Image.fromarray(small).resize((shape[1], shape[0]), Image.Resampling.BICUBIC))
    return (values - values.mean()) / values.std()


def write_page(page: Page, images: list[np.ndarray], height: int, random: np.random.Generator) -> np.ndarray:
    """Return a sheet (H, W, 3), in 0..1, in even light, on which digits stand side by side, about `height` pixels high.

    The digits are those of images (28, 28), uint8; without any the sheet is empty.
    """
    width_of_sheet, height_of_sheet = SIZE
    shape = height_of_sheet, width_of_sheet
    sheet = np.ones((*shape, 3), dtype=np.float32) * np.array(page.colour, dtype=np.float32)
    sheet *= 1 + 0.01 * (smooth_noise(shape, 3, random) + smooth_noise(shape, 40, random))[..., np.newaxis]
    if page.lines:
        colour = np.array(LINE_COLOURS[random.integers(len(LINE_COLOURS))], dtype=np.float32)
        spacing = max(14, height * random.uniform(0.4, 1.0))
        strength = random.uniform(*page.line_strength) * print_lines(shape, page.lines, spacing, random)
        sheet *= 1 - strength[..., np.newaxis] * (1 - colour * (0.4 if page.line_strength == DARK_LINES else 1))
    if not images:
        return sheet

    pen = PENS[page.pens[random.integers(len(page.pens))]]
    strokes = [draw_strokes(image, pen, round(height * random.uniform(0.9, 1.1))) for image in images]
    gaps = [0, *(round(height * random.uniform(0.15, 0.5)) for _ in strokes[1:])]
    total = sum(part.shape[1] for part in strokes) + sum(gaps)
    if total > VISIBLE[0] * width_of_sheet:
        return write_page(page, images, height * 3 // 4, random)
    left = round((width_of_sheet - total) / 2 + random.uniform(-0.5, 0.5) * (VISIBLE[0] * width_of_sheet - total))
    middle = height_of_sheet / 2 + random.uniform(-0.5, 0.5) * max(0, VISIBLE[1] * height_of_sheet - 1.2 * height)
    ink = np.zeros(shape, dtype=np.float32)
    for part, gap in zip(strokes, gaps):
        left, top = left + gap, round(middle - part.shape[0] / 2 + height * random.uniform(-0.05, 0.05))
        ink[top : top + part.shape[0], left : left + part.shape[1]] = part
        left += part.shape[1]
    ink *= 1 - pen.grain * (smooth_noise(shape, 2, random) > 0.3)
    ink = (pen.strength * random.uniform(0.85, 1) * ink)[..., np.newaxis]
    colour = np.array(pen.colour, dtype=np.float32)
    if sum(pen.colour) > sum(page.colour):  # chalk covers the board; ink lets the paper through
        return sheet * (1 - ink) + ink * colour
    return sheet * (1 - ink * (1 - colour))


def turn(sheet: np.ndarray, page: Page, random: np.random.Generator) -> np.ndarray:
    """Return a sheet (H, W, 3), in 0..1, as it is seen from aside, with the desk around it where the page has one."""
    height, width, _ = sheet.shape
    corners = np.array([(0, 0), (0, height), (width, height), (width, 0)], dtype=float)
    angle = np.radians(random.uniform(-6, 6))
    rotation = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    zoom = random.uniform(1.25, 1.5) if page.on_desk else 0.8
    middle = corners.mean(axis=0)
    corners = (corners - middle) @ rotation * zoom + middle + random.uniform(-0.03, 0.03, (4, 2)) * (width, height)
    planes = [sheet[..., 0], sheet[..., 1], sheet[..., 2], np.ones((height, width), dtype=np.float32)]
    red, green, blue, on_sheet = (
        np.asarray(
            Image.fromarray(plane).transform(
                (width, height), Image.Transform.QUAD, corners.ravel().tolist(), Image.Resampling.BILINEAR
            )
        )
        for plane in planes
    )
    seen = np.stack([red, green, blue], axis=2)
    if page.on_desk:
        desk = np.array(DESKS[random.integers(len(DESKS))], dtype=np.float32)
        grain = smooth_noise((height, 3 * width), 9, random)[:, ::3]  # longer than wide, as that of wood
        seen = seen + (1 - on_sheet[..., np.newaxis]) * desk * (1 + 0.08 * grain[..., np.newaxis])
    return seen


def shine(page: Page, random: np.random.Generator) -> np.ndarray:
    """Return how much light (H, W), in 0..1, falls on each place of a page."""
    width, height = SIZE
    y, x = np.mgrid[-1 : 1 : height * 1j, -1 : 1 : width * 1j].astype(np.float32)

    def distance(farthest: float) -> np.ndarray:
        """Return how far (H, W) each place lies from a line that passes the middle at most so far away."""
        angle = random.uniform(0, 2 * np.pi)
        return x * np.cos(angle) + y * np.sin(angle) - random.uniform(-farthest, farthest)

    light = (1 - random.uniform(0.05, 0.25) * (1 + distance(0)) / 2) * (1 - random.uniform(0, 0.12) * (x**2 + y**2))
    for _ in range(page.shadows):  # with an edge that is some pixels soft
        light *= 1 - random.uniform(0.35, 0.6) * (1 + np.tanh(distance(0.4) / random.uniform(0.008, 0.04))) / 2
    for _ in range(page.folds):  # that tilt the paper on one side, and often leave a crease
        light *= 1 + random.uniform(0.05, 0.15) * np.tanh(distance(0.4) / 0.02) / 2
        light *= 1 - random.uniform(-0.1, 0.2) * np.exp(-((distance(0.8) / random.uniform(0.006, 0.03)) ** 2))
    return light / light.max() * random.uniform(*page.light)


def photograph(page: Page, images: list[np.ndarray], height: int, random: np.random.Generator) -> bytes:
    """Return the JPEG file that a phone makes of a page with digits, see write_page()."""
    pixels = turn(write_page(page, images, height, random), page, random) * shine(page, random)[..., np.newaxis]
    if page.glare:
        y, x = np.mgrid[-1 : 1 : SIZE[1] * 1j, -1 : 1 : SIZE[0] * 1j]
        centre_x, centre_y = random.uniform(-0.8, 0.8, 2)
        spot = np.exp(-((x - centre_x) ** 2 + (y - centre_y) ** 2) / random.uniform(0.02, 0.1))
        pixels = pixels + random.uniform(0.3, 0.8) * spot[..., np.newaxis]
    picture = Image.fromarray((255 * pixels.clip(0, 1)).astype(np.uint8))
    picture = picture.filter(ImageFilter.GaussianBlur(random.uniform(0.4, 1.2)))
    pixels = np.asarray(picture) / 255 + random.normal(0, random.uniform(*page.noise), (*SIZE[::-1], 3))
    file = io.BytesIO()
    quality = int(random.integers(60, 93))
    Image.fromarray((255 * pixels.clip(0, 1)).astype(np.uint8)).save(file, "JPEG", quality=quality)
    return file.getvalue()


def make_pages(
    images: np.ndarray, labels: np.ndarray, seed: int, each: int, empty: int
) -> Iterator[tuple[str, str, bytes]]:
    """Yield the kind of each page, the digits on it, and its JPEG file.

    Of every kind there are `each` pages with one of images (N, 28, 28), uint8, as many with a number of two to five,
    and `empty` without any.
    """
    for kind_number, (kind, page) in enumerate(PAGES.items()):
        for number in range(2 * each + empty):
            random = np.random.default_rng([seed, kind_number, number])
            num_digits = 1 if number < each else int(random.integers(2, 6)) if number < 2 * each else 0
            chosen = random.integers(len(images), size=num_digits)
            largest = 0.6 if num_digits <= 1 else 0.3 * min(1, 3.2 / num_digits)  # of the picture's height
            height = round(SIZE[1] * largest * random.uniform(0.35, 1))
            digits = "".join(str(labels[index]) for index in chosen)
            yield kind, digits, photograph(page, [images[index] for index in chosen], height, random)


def print_table(counts: dict[str, collections.Counter[str]]) -> None:
    """Print a row for each kind of page, and one for all: percent of the pages of each sort, see main()."""
    print("| page | one digit read | refused | simple way | number read | right count | empty: a digit made up |")
    print("|---|---:|---:|---:|---:|---:|---:|")
    for kind, count in {**counts, "**all**": sum(counts.values(), collections.Counter())}.items():
        cells = [
            f"{100 * count[part] / max(1, count[whole]):.1f} %"
            for part, whole in (
                ("one read", "one"),
                ("one refused", "one"),
                ("one read simply", "one"),
                ("number read", "number"),
                ("number counted", "number"),
            )
        ]
        print(f"| {kind} | {' | '.join(cells)} | {count['empty read']} of {count['empty']} |")


def main() -> None:
    """Write and read all pages; print the table and draw the failures."""
    parser = argparse.ArgumentParser(description="Counts how many digits are read on pages as a phone sees them.")
    parser.add_argument("--tune", action="store_true", help="training digits and another seed, not those of the report")
    parser.add_argument("--each", type=whole_number(1, 10_000), default=40, help="of each kind (default: %(default)s)")
    parser.add_argument(
        "--model-path", type=Path, nargs="+", default=[MODEL_PATH], help="one or more files of weights (default: ours)"
    )
    parser.add_argument("--sheet", type=Path, default=SHEET_PATH, help="where it goes (default: %(default)s)")
    add_shared_flags(parser, "--data-dir")
    args = parser.parse_args()
    models = [load_weights(path) for path in args.model_path]
    images, labels = load_mnist(args.data_dir, train=args.tune, device="cpu")
    pages = make_pages(images[:, 0].numpy(), labels.numpy(), int(args.tune), args.each, max(1, args.each // 5))

    def read(find_images: Callable[[Image.Image], list[np.ndarray]], picture: Image.Image) -> list[str]:
        """Return what each of the models reads; nothing where there is no digit."""
        try:
            made[:] = find_images(picture)
        except ValueError:
            return [""] * len(models)
        return ["".join(map(str, predict_probabilities(made, model).argmax(axis=1))) for model in models]

    counts: dict[str, collections.Counter[str]] = {kind: collections.Counter() for kind in PAGES}
    failures = []
    for kind, digits, data in pages:
        picture, count = decode_picture(io.BytesIO(data)), counts[kind]
        made: list[np.ndarray] = []
        answers = read(lambda picture: [digit.image for digit in find_digits(picture)], picture)
        sort = {0: "empty", 1: "one"}.get(len(digits), "number")
        count[sort] += len(models)
        count[f"{sort} read"] += sum(bool(answer) if sort == "empty" else answer == digits for answer in answers)
        count[f"{sort} refused"] += answers.count("")
        count[f"{sort} counted"] += sum(len(answer) == len(digits) for answer in answers)
        if answers[0] != digits:
            seen = np.hstack(made or [np.zeros((28, 28), dtype=np.uint8)])
            failures.append((picture, seen, f"{kind}: {digits or 'empty'}, read {answers[0] or 'nothing'}"))
        if sort == "one":
            count["one read simply"] += read(lambda picture: [crop_and_centre(picture)], picture).count(digits)

    print_table(counts)
    step = max(1, len(failures) // MAX_SHOWN)  # some of each kind
    if failures:
        save_figure(args.sheet, draw_sheet, *map(list, zip(*failures[::step][:MAX_SHOWN])))


if __name__ == "__main__":
    run_script(main)
