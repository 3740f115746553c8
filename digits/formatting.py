"""What is printed of a picture: its digits as numbers and lines, and how sure the networks are of them."""

from __future__ import annotations

import numpy as np

from digits.reading.digits import Digit

CONFIDENT = 0.8  # probability; below it the second best digit is printed as well
WIDE_GAP = 1.0  # between two numbers in a line, relative to the height of the digits


def join_digits(digits: list[Digit], predictions: np.ndarray) -> str:
    """Return the predicted digits (N,) as text, with a space at wide gaps and a slash between lines: `407 15 / 30`."""
    text = ""
    for index, (digit, prediction) in enumerate(zip(digits, predictions)):
        if index and digit.line != digits[index - 1].line:
            text += " / "
        elif index:
            before = digits[index - 1].box
            height = max(before[3] - before[1], digit.box[3] - digit.box[1])
            text += " " if digit.box[0] - before[2] > WIDE_GAP * height else ""
        text += str(prediction)
    return text


def format_prediction(digits: list[Digit], probabilities: np.ndarray) -> str:
    """Return `Digit 8 (99.98 %)`, or `Digits 407 15 / 30 (at least 97.10 %)`, for probabilities (number of digits, 10).

    A digit that is not CONFIDENT is named with its position and the second best: `, digit 3 is 5, perhaps 6 (20.10 %)`,
    or `perhaps no digit`, whose probability is what the row lacks of 1.
    """
    confidences, is_one = 100 * probabilities.max(axis=1), len(digits) == 1
    text = f"{'Digit' if is_one else 'Digits'} {join_digits(digits, probabilities.argmax(axis=1))}"
    text += f" ({'' if is_one else 'at least '}{confidences.min():.2f} %)"
    for number, row in enumerate(probabilities, start=1):
        if row.max() < CONFIDENT:
            second, first = row.argsort()[-2:]
            probability, other = max((row[second], str(second)), (1 - row.sum(), "no digit"))
            which = "perhaps" if is_one else f"digit {number} is {first}, perhaps"
            text += f", {which} {other} ({100 * probability:.2f} %)"
    return text
