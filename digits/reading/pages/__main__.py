"""Draws a sheet of random pages, with the boxes of their digits, and the ink below.

Run it: python -m digits.reading.pages
"""

from __future__ import annotations

import argparse

import numpy as np
from PIL import Image, ImageDraw

from digits.command_line import add_shared_flags, run_script, whole_number
from digits.reading.pages.page import draw_page
from digits.reading.pages.shapes import trace
from digits.training.mnist import load_mnist

SIZE, COLUMNS, ROWS = 128, 12, 6  # pixels of a page along each side; pages on the sheet
NUM_DIGITS = 500  # images of MNIST that the pages are drawn with


def main() -> None:
    """Draw the pages, row by row."""
    parser = argparse.ArgumentParser(description="Draws a sheet of random pages.")
    parser.add_argument("--seed", type=whole_number(0, 2**31), default=0, help="of the pages (default: 0)")
    add_shared_flags(parser, "--data-dir", "--figures-dir")
    args = parser.parse_args()
    images, labels = load_mnist(args.data_dir, train=True, device="cpu")
    shapes, rng = trace(images[:NUM_DIGITS, 0].numpy(), labels[:NUM_DIGITS].numpy()), np.random.default_rng(args.seed)
    sheet = Image.new("RGB", (COLUMNS * SIZE, 2 * ROWS * SIZE))
    for number in range(COLUMNS * ROWS):
        page = draw_page(rng, shapes, SIZE, SIZE)
        picture, left, top = Image.fromarray(page.picture), number % COLUMNS * SIZE, number // COLUMNS * 2 * SIZE
        for box in page.boxes.tolist():
            ImageDraw.Draw(picture).rectangle(box, outline="red")
        sheet.paste(picture, (left, top))
        sheet.paste(Image.fromarray(page.ink), (left, top + SIZE))
    args.figures_dir.mkdir(parents=True, exist_ok=True)
    path = args.figures_dir / "pages.png"
    sheet.save(path)
    print(f"Sheet saved to {path}")


if __name__ == "__main__":
    run_script(main)
