"""Trains the finder on random pages and saves its weights to models/finder.pth.

Run it: python -m digits.reading.train_finder
"""

from __future__ import annotations

import argparse
import math
import time

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor
from torch.optim.lr_scheduler import OneCycleLR
from torch.utils.data import DataLoader, Dataset
from torchvision.ops import box_iou, generalized_box_iou_loss

from digits.command_line import (
    add_shared_flags,
    path_argument,
    positive_float,
    run_script,
    show_progress,
    whole_number,
)
from digits.plots import draw_finder_curves, save_figure
from digits.reading.finder import Finder, decode_boxes, find_positions, look
from digits.reading.pages import draw_page
from digits.reading.shapes import Shape, trace
from digits.training.mnist import load_mnist
from digits.weights import check_model_path, load_finder, save_weights

STEPS = 6000  # training steps
BATCH_SIZE = 16  # pages in a training step
PAGE_SIZES = 9 * [(128, 128)] + [(64, 64), (64, 96), (96, 64), (96, 128), (160, 96)]  # pixels; one size a batch
LEARNING_RATE = 4e-3  # peak of the one-cycle schedule
WEIGHT_DECAY = 0.01
NUM_DIGITS = 10_000  # images of MNIST that pages are drawn with
NUM_VALIDATION_DIGITS, NUM_VALIDATION_PAGES = 1000, 100  # other images, for pages that nothing is learned from
REPORT_EVERY = 500  # training steps
SEED = 0

MAX_DIGITS = 64  # on a page
CORE = 0.5  # size of the ellipse around the middle of a digit where it is to be found, relative to its box
MIN_SIDE = 0.32  # smallest side of that box, relative to the longer one
MIN_REACH = 3.0  # pixels: smallest half of a side


class Pages(Dataset):
    """Batches of random pages, the same for the same seed, however many processes draw them."""

    def __init__(self, shapes: list[Shape], num_batches: int, seed: int) -> None:
        self.shapes, self.num_batches, self.seed = shapes, num_batches, seed

    def __len__(self) -> int:
        return self.num_batches

    def __getitem__(self, number: int) -> tuple[Tensor, Tensor, Tensor]:
        """Return pictures (N, 3, H, W), uint8, ink (N, 1, H, W), uint8, and boxes (N, MAX_DIGITS, 4), 0 where none."""
        rng = np.random.default_rng([self.seed, number])
        size = PAGE_SIZES[int(rng.integers(len(PAGE_SIZES)))]
        pages = [draw_page(rng, self.shapes, *size) for _ in range(BATCH_SIZE)]
        boxes = torch.zeros(BATCH_SIZE, MAX_DIGITS, 4)
        for row, page in zip(boxes, pages):
            row[: len(page.boxes)] = torch.from_numpy(page.boxes[:MAX_DIGITS])
        pictures = torch.from_numpy(np.stack([page.picture for page in pages])).permute(0, 3, 1, 2)
        return pictures, torch.from_numpy(np.stack([page.ink for page in pages]))[:, None], boxes


def assign(boxes: Tensor, height: int, width: int) -> tuple[Tensor, Tensor]:
    """Return where digits are to be found (N, H/4, W/4), booleans, and the box (N, H/4, W/4, 4) of the nearest digit.

    `boxes` (N, MAX_DIGITS, 4), in pixels, are 0 where there is none.
    """
    x, y = find_positions(height, width, boxes.device)
    sides = boxes[..., 2:] - boxes[..., :2]
    reach = torch.maximum(sides, MIN_SIDE * sides.amax(dim=2, keepdim=True)).div(2).clamp(min=MIN_REACH)
    centre = (boxes[..., :2] + boxes[..., 2:]) / 2
    reach_x, reach_y, centre_x, centre_y = (
        values[..., None, None] for values in (reach[..., 0], reach[..., 1], centre[..., 0], centre[..., 1])
    )
    distances = torch.hypot((x - centre_x) / reach_x, (y - centre_y) / reach_y)  # (N, MAX_DIGITS, H/4, W/4)
    distances[boxes[..., 2] == 0] = math.inf
    nearest_distance, nearest = distances.min(dim=1)
    index = nearest.flatten(1)[..., None].expand(-1, -1, 4)
    return nearest_distance < CORE, boxes.gather(1, index).view(*nearest.shape, 4)


def overlap_loss(logits: Tensor, targets: Tensor) -> Tensor:
    """Return how badly logits (any shape) agree with targets in 0..1: cross entropy, and Dice's coefficient."""
    probabilities = logits.sigmoid()
    dice = (2 * (probabilities * targets).sum() + 1) / ((probabilities + targets).sum() + 1)
    return 4 * F.binary_cross_entropy_with_logits(logits, targets) + 1 - dice


def compute_loss(finder: Finder, pictures: Tensor, ink: Tensor, boxes: Tensor) -> Tensor:
    """Return the loss of ink, digits and boxes together, for a batch of Pages."""
    ink_logits, digit_logits, distances = finder(pictures.float())
    is_digit, nearest_boxes = assign(boxes, *pictures.shape[2:])
    loss = overlap_loss(ink_logits, ink.float() / 255) + overlap_loss(digit_logits[:, 0], is_digit.float())
    if is_digit.any():
        found = decode_boxes(distances)[is_digit]
        loss = loss + generalized_box_iou_loss(found, nearest_boxes[is_digit], reduction="mean")
    return loss


def evaluate(finder: Finder, pages: Pages) -> dict[str, float]:
    """Return, in percent, how well ink overlaps, which digits are found, and how many of those found are none."""
    finder.eval()
    ink_shared = ink_total = num_found = num_made_up = num_digits = 0
    for pictures, inks, all_boxes in (pages[number] for number in range(len(pages))):
        for picture, ink, boxes in zip(pictures, inks, all_boxes):
            boxes = boxes[boxes[:, 2] > 0]
            found_ink, found = look(finder, picture.float())
            is_ink, is_found = ink[0] > 127, found_ink > 0.5
            ink_shared += 2 * int((is_ink & is_found).sum())
            ink_total += int(is_ink.sum() + is_found.sum())
            matches = box_iou(boxes, found) > 0.5
            num_digits += len(boxes)
            num_found += int(matches.any(dim=1).sum())
            num_made_up += int((~matches.any(dim=0)).sum())
    return {
        "ink": 100 * ink_shared / max(ink_total, 1),
        "found": 100 * num_found / max(num_digits, 1),
        "made_up": 100 * num_made_up / max(num_digits, 1),
    }


def main() -> None:
    """Draw pages in a process of its own, learn from them meanwhile, report now and then, save the weights."""
    parser = argparse.ArgumentParser(
        description="Trains the finder and saves its weights.", formatter_class=argparse.ArgumentDefaultsHelpFormatter
    )
    parser.add_argument("--steps", type=whole_number(1, 10**7), default=STEPS, help="training steps")
    parser.add_argument("--learning-rate", type=positive_float, default=LEARNING_RATE, help="peak of the schedule")
    parser.add_argument("--start-path", type=path_argument, help="weights to go on from (default: none, random ones)")
    parser.add_argument("--seed", type=whole_number(0, 2**31 - 2), default=SEED, help="same seed, same weights")
    add_shared_flags(parser, "--data-dir", "--finder-path", "--figures-dir", "--no-plot", "--device")
    args = parser.parse_args()
    torch.manual_seed(args.seed)
    check_model_path(args.finder_path)
    images, labels = load_mnist(args.data_dir, train=True, device="cpu")
    num_digits = NUM_DIGITS + NUM_VALIDATION_DIGITS
    shapes = trace(images[:num_digits, 0].numpy(), labels[:num_digits].numpy())
    train_pages = Pages(shapes[:-NUM_VALIDATION_DIGITS], args.steps, args.seed)
    validation_pages = Pages(
        shapes[-NUM_VALIDATION_DIGITS:], math.ceil(NUM_VALIDATION_PAGES / BATCH_SIZE), args.seed + 1
    )

    torch.empty(2**25 - 2**16, dtype=torch.uint8)  # for glibc, as in train_CNN.py
    finder = load_finder(args.start_path) if args.start_path else Finder()
    finder = finder.to(args.device).to(memory_format=torch.channels_last)
    optimizer = torch.optim.AdamW(finder.parameters(), lr=args.learning_rate, weight_decay=WEIGHT_DECAY)
    scheduler = OneCycleLR(optimizer, args.learning_rate, total_steps=args.steps, pct_start=0.15)
    history: list[dict[str, float]] = []
    start, loss_sum, num_steps = time.perf_counter(), 0.0, 0
    for step, batch in enumerate(DataLoader(train_pages, batch_size=None, num_workers=1, prefetch_factor=8), start=1):
        finder.train()
        loss = compute_loss(finder, *(tensor.to(args.device) for tensor in batch))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        scheduler.step()
        loss_sum, num_steps = loss_sum + float(loss.detach()), num_steps + 1
        show_progress(step, args.steps, start)
        if step % REPORT_EVERY == 0 or step == args.steps:
            entry = {"step": step, "loss": loss_sum / num_steps, **evaluate(finder, validation_pages)}
            history.append(entry)
            print(
                f"Step {step}/{args.steps}: loss {entry['loss']:.4f}; validation pages: ink {entry['ink']:.2f} %, "
                f"digits found {entry['found']:.2f} %, made up {entry['made_up']:.2f} %; "
                f"{time.perf_counter() - start:.0f} s",
                flush=True,
            )
            loss_sum, num_steps = 0.0, 0
            if not math.isfinite(entry["loss"]):
                raise ValueError("the loss is no longer a number, nothing is saved; try another --seed")
    save_weights(finder, args.finder_path)
    print(f"Weights saved to {args.finder_path}")
    if not args.no_plot:
        save_figure(args.figures_dir / "finder_curves.png", draw_finder_curves, history)


if __name__ == "__main__":
    run_script(main)
