"""Trains the finder on random pages and saves its weights to models/finder.pth.

Run it: python -m digits.reading.train_finder
"""

from __future__ import annotations

import argparse
import math
import time

import torch
from torch.optim.lr_scheduler import OneCycleLR
from torch.utils.data import DataLoader
from torchvision.ops import box_iou

from digits.command_line import (
    add_shared_flags,
    path_argument,
    positive_float,
    run_script,
    show_progress,
    whole_number,
)
from digits.plots import draw_finder_curves, save_figure
from digits.reading.finder import Finder, look
from digits.reading.finder_loss import compute_loss
from digits.reading.pages.batches import Pages
from digits.reading.pages.shapes import trace
from digits.training.mnist import load_mnist
from digits.training.muon import Muon
from digits.weights import check_model_path, load_finder, save_weights

STEPS = 22_000  # training steps
LEARNING_RATE = 0.04  # peak of the one-cycle schedule
MOMENTUM = 0.8
WEIGHT_DECAY = 0.01
NUM_DIGITS = 10_000  # the first images of MNIST, that pages are drawn with
NUM_VALIDATION_DIGITS, NUM_VALIDATION_BATCHES = 1000, 13  # the last images, for pages that nothing is learned from
REPORT_EVERY = 1000  # training steps
SEED = 0
VALIDATION_SEED = 2**31 - 1  # no training has it

REPORT_LINE = (
    "Step {step}/{steps}: loss {loss:.4f}; validation pages: ink {ink:.2f} %, digits found {found:.2f} %, "
    "made up {made_up:.2f} %; {seconds:.0f} s"
)


def evaluate(finder: Finder, pages: Pages) -> dict[str, float]:
    """Return, in percent, how well ink overlaps, which digits are found, and how many of those found are none."""
    finder.eval()
    ink_shared = ink_total = num_found = num_made_up = num_digits = 0
    for pictures, inks, _, all_boxes in (pages[number] for number in range(len(pages))):
        for picture, ink, boxes in zip(pictures, inks, all_boxes):
            boxes = boxes[boxes[:, 2] > 0]
            found_ink, _, found, _ = look(finder, picture.float())
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
    parser.add_argument("--bfloat16", action="store_true", help="half precision: faster on processors made for it")
    parser.add_argument("--seed", type=whole_number(0, 2**31 - 2), default=SEED, help="same seed, same weights")
    add_shared_flags(parser, "--data-dir", "--finder-path", "--figures-dir", "--no-plot", "--device")
    args = parser.parse_args()
    torch.manual_seed(args.seed)
    torch.set_num_threads(max(1, torch.get_num_threads() - 1))  # one core draws pages
    check_model_path(args.finder_path)
    images, labels = load_mnist(args.data_dir, train=True, device="cpu")
    parts = slice(min(NUM_DIGITS, len(images) - NUM_VALIDATION_DIGITS)), slice(-NUM_VALIDATION_DIGITS, None)
    train_shapes, validation_shapes = (trace(images[part, 0].numpy(), labels[part].numpy()) for part in parts)
    train_pages = Pages(train_shapes, args.steps, args.seed)
    validation_pages = Pages(validation_shapes, NUM_VALIDATION_BATCHES, VALIDATION_SEED)

    torch.empty(2**25 - 2**16, dtype=torch.uint8)  # for glibc, as in train_CNN.py
    finder = load_finder(args.start_path) if args.start_path else Finder()
    finder = finder.to(args.device).to(memory_format=torch.channels_last)
    optimizer = Muon(finder.parameters(), lr=args.learning_rate, momentum=MOMENTUM, weight_decay=WEIGHT_DECAY)
    scheduler = OneCycleLR(optimizer, args.learning_rate, args.steps, pct_start=0.15, cycle_momentum=False)
    history: list[dict[str, float]] = []
    start, loss_sum, num_steps = time.perf_counter(), 0.0, 0
    for step, batch in enumerate(DataLoader(train_pages, batch_size=None, num_workers=1, prefetch_factor=8), start=1):
        finder.train()
        with torch.autocast(torch.device(args.device).type, torch.bfloat16, enabled=args.bfloat16):
            loss = compute_loss(finder, *(tensor.to(args.device) for tensor in batch))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        scheduler.step()
        loss_sum, num_steps = loss_sum + float(loss.detach()), num_steps + 1
        show_progress(step, args.steps, start)
        if step % REPORT_EVERY == 0 or step == args.steps:
            history.append({"step": step, "loss": loss_sum / num_steps, **evaluate(finder, validation_pages)})
            seconds = time.perf_counter() - start
            print(REPORT_LINE.format(steps=args.steps, seconds=seconds, **history[-1]), flush=True)
            if not math.isfinite(loss_sum):
                raise ValueError("the loss is no longer a number, nothing is saved; try a smaller --learning-rate")
            loss_sum, num_steps = 0.0, 0
    save_weights(finder, args.finder_path)
    print(f"Weights saved to {args.finder_path}")
    if not args.no_plot:
        save_figure(args.figures_dir / "finder_curves.png", draw_finder_curves, history)


if __name__ == "__main__":
    run_script(main)
