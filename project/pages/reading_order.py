"""The order in which the lines of a page are read.

Breuel 2003, "High performance document layout analysis", section 5: a partial order of pairs of lines, and then one
order that keeps it (topological sorting).
"""

import numpy as np

MAX_GAP = 2.5  # line heights between two lines of a block
MIN_SHARED = 0.5  # of the narrower one's width that two lines of a block have in common


def reading_order(boxes: np.ndarray) -> list[int]:
    """Return the indices of lines in reading order. boxes: float (N, 4), left, top, right, bottom of each, px.

    One line comes before another if it is above it and they share columns of the page; or if it is left of it, and no
    line between them in height shares columns with both (a heading over two columns parts what is above it from what is
    below).
    """
    left, top, right, bottom = boxes.T
    middle = (top + bottom) / 2
    shares = (np.minimum(right[:, None], right) - np.maximum(left[:, None], left)) > 0
    above = middle[:, None] < middle
    before = shares & above
    wholly_left = right[:, None] <= left
    for one, other in zip(*np.nonzero(wholly_left & ~shares), strict=True):
        low, high = sorted((middle[one], middle[other]))
        between = (middle > low) & (middle < high) & shares[one] & shares[other]
        before[one, other] = not between.any()
    return topological_order(before)


def topological_order(before: np.ndarray) -> list[int]:
    """Return indices so that i comes before j where `before[i, j]`, bool (N, N); of several, the smallest first."""
    count = before.sum(axis=0)
    done = np.zeros(len(before), bool)
    order: list[int] = []
    while len(order) < len(before):
        free = np.flatnonzero(~done & (count == 0))
        chosen = int(free[0]) if len(free) else int(np.flatnonzero(~done)[count[~done].argmin()])  # a circle is cut
        done[chosen] = True
        count = count - before[chosen]
        order.append(chosen)
    return order


def regions(boxes: np.ndarray) -> list[int]:
    """Return the number of the block that each line stands in, from 0: lines one below the other, not far apart.

    boxes: float (N, 4), left, top, right, bottom, px, in reading order.
    """
    numbers: list[int] = []
    for index, (left, top, right, bottom) in enumerate(boxes.tolist()):
        if not index:
            numbers.append(0)
            continue
        last_left, last_top, last_right, last_bottom = boxes[index - 1].tolist()
        overlap = min(right, last_right) - max(left, last_left)
        below = last_top < bottom and top - last_bottom < MAX_GAP * (bottom - top)
        same = below and overlap > MIN_SHARED * min(right - left, last_right - last_left)
        numbers.append(numbers[-1] + (not same))
    return numbers
