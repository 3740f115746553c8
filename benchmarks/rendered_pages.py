"""Counts how many rendered pages are read in full: what people write, and what has been hard to read, with test digits.

The pages are drawn as those that the finder learns from, but with MNIST's test digits and another seed.
Run it: python -m benchmarks.rendered_pages
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image, ImageDraw

from benchmarks.own_pictures import MAX_SHOWN, draw_sheet, print_table, read_result
from digits.command_line import add_shared_flags, run_script, whole_number
from digits.plots import save_figure
from digits.reading.digits import find_digits
from digits.reading.pages.canvas import Canvas, Rng, Slot, log_uniform, sample_view
from digits.reading.pages.page import PAINT, is_readable, render_page
from digits.reading.pages.paper import print_page
from digits.reading.pages.shapes import Shape, trace
from digits.reading.pages.writing import write_digits
from digits.training.mnist import load_mnist
from digits.weights import load_finder, load_weights

REPORT_SEED = 1_000_000  # of the pages; no training has it
NUM_DIGITS = 2000  # test images that pages are drawn with
SIZE = 480, 360  # pixels: width and height of a page
SHEET_PATH = Path("mistakes_pages.png")


class Kind(NamedTuple):
    """A kind of page."""

    num_digits: tuple[int, int]  # smallest and largest number of digits in a line
    num_lines: tuple[int, int] = (1, 1)
    gap: tuple[float, float] = (0.1, 0.5)  # between digits, relative to their height
    step: float = 0.0  # from digit to digit downwards, relative to their height
    second: float = 1.0  # height of all digits but the first, relative to it
    mark: str = ""  # what else is written: underline, ring or dash
    setting: str = ""  # the page as a canvas or a note, or with a coin or a pen beside it


KINDS = {
    "one digit": Kind((1, 1)),
    "number": Kind((2, 6)),
    "several lines": Kind((3, 6), (3, 4)),
    "underlined": Kind((2, 4), mark="underline"),
    "ringed": Kind((2, 3), mark="ring"),
    "dash": Kind((2, 3), mark="dash"),
    "touching": Kind((2, 4), gap=(-0.08, -0.02)),
    "two lines": Kind((2, 5), (2, 2)),
    "column": Kind((1, 1), (3, 4)),
    "stairs": Kind((3, 4), step=0.4),
    "smaller second digit": Kind((2, 2), second=0.55),
    "dark canvas": Kind((1, 3), setting="canvas"),
    "small note": Kind((1, 3), setting="note"),
    "coin": Kind((1, 3), setting="coin"),
    "pen": Kind((1, 3), setting="pen"),
    "no digit": Kind((0, 0)),
}


def place_digits(rng: Rng, kind: Kind, shapes: list[Shape]) -> tuple[list[int], list[Slot]]:
    """Return the numbers of random shapes, line by line, and where they go."""
    num_lines, gap = int(rng.integers(kind.num_lines[0], kind.num_lines[1] + 1)), rng.uniform(*kind.gap)
    counts = rng.integers(kind.num_digits[0], kind.num_digits[1] + 1, num_lines)
    lines = [rng.integers(len(shapes), size=count).tolist() for count in counts]
    # Relative to the heights, as are the gaps
    widths = [[float(np.ptp(shapes[number].points[:, 0])) for number in line] for line in lines]
    longest = max(1.0, *(sum(width + gap for width in line) for line in widths))
    size = min(0.53 * SIZE[1] / num_lines, 0.85 * SIZE[0] / longest) * rng.uniform(0.7, 1)
    left, top = rng.uniform(0.05, 0.95) * (SIZE[0] - longest * size), 0.5 * SIZE[1] - 0.675 * size * (num_lines - 1)
    slots = []
    for index, line in enumerate(widths):
        x, y = left, top + size * (1.35 * index - 0.5 * kind.step * (len(line) - 1))
        for position, width in enumerate(line):
            height = size * (kind.second if position else 1) * rng.uniform(0.92, 1.05)
            slots.append((x + height * width / 2, y + (size - height) / 2 + rng.normal(0, 0.03) * size, height))
            x, y = x + height * width + gap * size, y + kind.step * size
    return [number for line in lines for number in line], slots


def draw_mark(rng: Rng, mark: str, boxes: np.ndarray, width: float, canvas: Canvas) -> None:
    """Draw an underline, a ring or a dash with a pen of this width (pixels)."""
    (left, top), (right, bottom) = boxes[:, :2].min(axis=0), boxes[:, 2:].max(axis=0)
    size, turn = bottom - top, np.linspace(0, 2 * np.pi, 60)
    if mark == "underline":
        x = np.linspace(left - 0.2 * size, right + 0.2 * size, 8)
        y = bottom + size * rng.uniform(0.08, 0.25) + rng.normal(0, 0.01 * size, 8)
    elif mark == "ring":
        x = (left + right) / 2 + (0.62 * (right - left) + 0.15 * size) * np.cos(turn)
        y = (top + bottom) / 2 + 0.75 * size * np.sin(turn)
    else:
        x = right + size * np.array([0.25, 0.6])
        y = np.full(2, (top + bottom) / 2)
    canvas.draw_curve(np.stack([x, y], axis=1), width)


def put_somewhere(rng: Rng, setting: str, picture: Image.Image) -> Image.Image:
    """Return the picture of a page (mode RGB) on a larger one: a canvas, a note, or with a thing beside it."""
    width, height = picture.size
    if setting == "canvas":
        window = Image.new("RGB", (round(1.6 * width), round(1.5 * height)), "white")
        window.paste(picture, (round(0.3 * width), round(0.2 * height)))
        return window
    if setting == "note":
        desk = rng.uniform(30, 200, 3) + rng.normal(0, 6, (round(2.2 * height), round(2.2 * width), 1))
        large = Image.fromarray(desk.clip(0, 255).astype(np.uint8))
        large.paste(picture, (round(rng.uniform(0.2, 1) * width), round(rng.uniform(0.2, 1) * height)))
        return large
    colour = tuple(int(value) for value in np.asarray(picture)[2, 2])
    large = Image.new("RGB", (round(1.4 * width), height), colour)
    large.paste(picture)
    pencil, x, y = ImageDraw.Draw(large), 1.2 * width, rng.uniform(0.3, 0.7) * height
    shade = tuple(int(value) for value in rng.uniform(60, 200, 3))
    if setting == "coin":
        radius = rng.uniform(0.08, 0.14) * width
        pencil.ellipse((x - radius, y - radius, x + radius, y + radius), shade, tuple(value // 2 for value in shade), 3)
    else:
        lean = rng.uniform(-0.15, 0.15) * width
        pencil.line((x - lean, 0.1 * height, x + lean, 0.9 * height), shade, round(0.035 * width))
    return large


def draw(rng: Rng, kind: Kind, shapes: list[Shape], labels: np.ndarray) -> tuple[Image.Image, str]:
    """Return a page of this kind (mode RGB) with random shapes, and their labels in reading order."""
    is_paint = kind.setting == "canvas" or rng.random() < PAINT
    view = np.eye(3) if is_paint else sample_view(rng, *SIZE)
    written, printed = Canvas(*SIZE, view), Canvas(*SIZE, view)
    pen, (numbers, slots) = log_uniform(rng, (0.05, 0.14)), place_digits(rng, kind, shapes)
    boxes = write_digits(rng, [shapes[number] for number in numbers], slots, pen, written, is_deformed=False)
    if len(boxes) < len(slots):  # a digit had no room
        return draw(rng, kind, shapes, labels)
    label = "".join(str(labels[number]) for number in numbers)
    if kind.mark:
        size = boxes[0][3] - boxes[0][1]
        draw_mark(rng, kind.mark, boxes, pen * size, written)
    print_page(rng, [], boxes, printed, is_paint)
    page = render_page(rng, written, printed, boxes, is_paint)
    if not is_readable(page):
        return draw(rng, kind, shapes, labels)
    picture = Image.fromarray(page.picture)
    if kind.setting == "canvas" and page.picture.mean() > 127:
        picture = Image.fromarray(255 - page.picture)
    return (put_somewhere(rng, kind.setting, picture) if kind.setting else picture), label


def main() -> None:
    """Draw and read the pages of each kind; print a table, and draw those that are not read in full."""
    parser = argparse.ArgumentParser(description="Counts how many rendered pages are read in full.")
    parser.add_argument(
        "--each", type=whole_number(1, 10_000), default=40, help="pages of a kind (default: %(default)s)"
    )
    parser.add_argument("--sheet", type=Path, default=SHEET_PATH, help="where it goes (default: %(default)s)")
    add_shared_flags(parser, "--data-dir", "--model-path", "--finder-path")
    args = parser.parse_args()
    model, finder = load_weights(args.model_path), load_finder(args.finder_path)
    images, labels = load_mnist(args.data_dir, train=False, device="cpu")
    images, labels = images[:NUM_DIGITS, 0].numpy(), labels[:NUM_DIGITS].numpy()
    shapes = trace(images, np.full(len(labels), -1))  # as they are: no 1 gets strokes added

    rows, results, mistakes = [], [], []
    for number, (name, kind) in enumerate(KINDS.items()):
        for page in range(args.each):
            picture, label = draw(np.random.default_rng([REPORT_SEED, number, page]), kind, shapes, labels)
            result = read_result(picture, model, lambda picture: find_digits(picture, finder)[0])
            rows.append({"kind": name, "digits": label})
            results.append(result)
            if result.digits != label:
                mistakes.append((picture, result.image, f"is {label or 'none'}: {result.digits or 'none'}"))
    print_table(rows, [results])
    pictures, joined_images, titles = ([mistake[index] for mistake in mistakes[:MAX_SHOWN]] for index in range(3))
    save_figure(args.sheet, draw_sheet, pictures, joined_images, titles)


if __name__ == "__main__":
    run_script(main)
