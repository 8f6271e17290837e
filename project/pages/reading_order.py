"""The order in which the lines of a page are read.

Breuel 2003, "High performance document layout analysis", section 5: a partial order of pairs of lines, and then one
order that keeps it (topological sorting).
"""

import numpy as np

MAX_GAP = 2.5  # line heights between two lines of a block
MAX_APART = 0.9  # heights of cores between two lines of which neither is below the other
MAX_ROW = 1.0  # of the usual height of lines' cores
MIN_SHARED = 0.5  # of the narrower one's width that two lines of a block have in common


def reading_order(boxes: np.ndarray) -> list[int]:
    """Return the indices of lines in reading order. boxes: float (N, 4), left, top, right, bottom of each, px.

    One line comes before another if it is above it and they share columns of the page; or if it is left of it, and no
    line between them in height shares columns with both (a heading over two columns parts what is above it from what is
    below). A line that is left of another and below it comes first only where there are columns side by side: a date at
    the right is read before the greeting under it.
    """
    left, top, right, bottom = boxes.T
    middle = (top + bottom) / 2
    shares = shared(left, right) > 0
    above = middle[:, None] < middle
    before = shares & above
    wholly_left = (right[:, None] <= left) & ~shares
    apart = np.maximum(top[:, None], top) - np.minimum(bottom[:, None], bottom)  # of cores, which are lower than lines
    level = apart < MAX_APART * np.minimum((bottom - top)[:, None], bottom - top)
    beside = wholly_left & level
    in_columns = beside | (shares @ beside) | (beside @ shares)  # a line of the one's columns is beside the other
    for one, other in zip(*np.nonzero(wholly_left), strict=True):
        if above[other, one] and not in_columns[one, other]:
            before[other, one] = True
            continue
        low, high = sorted((middle[one], middle[other]))
        between = (middle > low) & (middle < high) & shares[one] & shares[other]
        before[one, other] = not between.any()
    return topological_order(before)


def row_order(boxes: np.ndarray) -> list[int]:
    """Return the indices of lines in the order of a table: row by row, each from left to right. boxes: as above.

    Neighbouring rows are put together, the nearest first, while their middles are less than `MAX_ROW` of the usual
    height apart and no line of the one shares columns with one of the other.
    """
    left, top, right, bottom = boxes.T
    middle = (top + bottom) / 2
    rows = [[index] for index in middle.argsort(kind="stable").tolist()]
    shares = shared(left, right) > MIN_SHARED * np.minimum((right - left)[:, None], right - left)
    spread = np.diff([middle[row[0]] for row in rows])  # from the first line of a row to the last of the next
    while len(spread) and spread.min() < MAX_ROW * np.median(bottom - top):
        first = int(spread.argmin())
        if shares[np.ix_(rows[first], rows[first + 1])].any():
            spread[first] = np.inf
            continue
        rows[first] += rows.pop(first + 1)
        spread = np.delete(spread, first)
        for pair in (first - 1, first):
            if 0 <= pair < len(spread) and np.isfinite(spread[pair]):
                spread[pair] = middle[rows[pair + 1][-1]] - middle[rows[pair][0]]
    return [index for row in rows for index in sorted(row, key=lambda index: left[index])]


def shared(left: np.ndarray, right: np.ndarray) -> np.ndarray:
    """Return how many columns of the page each two lines share, (N, N), px; below 0 how far apart they are."""
    return np.minimum(right[:, None], right) - np.maximum(left[:, None], left)


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
