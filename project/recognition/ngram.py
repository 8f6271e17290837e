"""A character n-gram language model, as tables that beam search can look up for its whole beam at once.

Interpolated Kneser-Ney smoothing with one discount per order: Chen and Goodman 1998, TR-10-98, section 2.7. It keeps a
text that many writers copied from counting more than one that was written once.
"""

import math
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from project.errors import InputError
from project.recognition.charset import BLANK, Charset

MAX_CONTEXTS = 2**16  # the most frequent ones are kept: with 100 classes the tables take 52 MB
MAX_CELLS = 2**23  # of each of the two tables, however many classes there are: 67 MB for both
BOUNDARY = BLANK  # no text holds a blank, so its label marks where a line starts and ends


@dataclass(frozen=True)
class Counts:
    """The counts of a character n-gram. An n-gram is a number to base `classes`; BOUNDARY is both ends of a line."""

    classes: int  # C
    keys: list[np.ndarray]  # for each length from 1, the n-grams, sorted
    counts: list[np.ndarray]  # for each length from 1, the Kneser-Ney count of each
    discounts: np.ndarray  # (order,): taken off each count and given to the next shorter context


class NGram:
    """A character n-gram over the labels of a charset of C classes.

    A state is a context: the last characters, as many as were seen together often enough. Both tables are (S, C):
    `log_probs[state, label]` of the next character, in column BOUNDARY of the line's end, and
    `successors[state, label]`, the state after it. `start` is the state at the start of a line.
    """

    def __init__(self, counts: Counts):
        self.counts = counts
        self.log_probs, self.successors = build_tables(counts)
        self.start = int(self.successors[0, BOUNDARY])

    @classmethod
    def from_texts(cls, texts: Iterable[str], charset: Charset, order: int) -> "NGram":
        """Count the texts, each a line; characters outside the charset are left out.

        Raise InputError if nothing is left, or if n-grams of this order do not fit into 63 bits.
        """
        highest = highest_order(len(charset))
        if not 1 <= order <= highest:
            raise InputError(f"order must be from 1 to {highest} with {len(charset)} classes, got {order}")
        symbols = [BOUNDARY]
        for text in texts:
            if labels := charset.encode("".join(character for character in text if character in charset.characters)):
                symbols += [*labels, BOUNDARY]
        if len(symbols) == 1:
            raise InputError("an n-gram needs at least one text with a character of the charset")
        return cls(kneser_ney_counts(np.array(symbols), len(charset), order))

    def tensors(self) -> dict[str, np.ndarray]:
        """Return the counts as tensors to be saved; the long ones are compressed to uint8 (bytes,)."""
        counts = self.counts
        tensors = {"classes": np.array(counts.classes), "discounts": counts.discounts}
        for length, (keys, seen) in enumerate(zip(counts.keys, counts.counts, strict=True), start=1):
            tensors |= {f"key_steps_{length}": compress(np.diff(keys, prepend=0)), f"times_{length}": compress(seen)}
        return tensors

    @classmethod
    def from_tensors(cls, tensors: Mapping[str, np.ndarray]) -> "NGram":
        """Return the n-gram of what `tensors` gave, or of what earlier versions saved, which did not compress."""
        lengths = range(1, len(tensors["discounts"]) + 1)
        if "keys_1" in tensors:
            keys, counts = ([tensors[f"{name}_{length}"] for length in lengths] for name in ("keys", "counts"))
        else:
            keys = [np.cumsum(decompress(tensors[f"key_steps_{length}"])) for length in lengths]
            counts = [decompress(tensors[f"times_{length}"]) for length in lengths]
        return cls(Counts(int(tensors["classes"]), keys, counts, tensors["discounts"]))

    @property
    def order(self) -> int:
        """Return the length of its longest n-grams."""
        return len(self.counts.keys)

    def log_prob(self, labels: Sequence[int]) -> float:
        """Return log P(labels and then the end of the line)."""
        state, total = self.start, 0.0
        for label in (*labels, BOUNDARY):
            total += float(self.log_probs[state, label])
            state = self.successors[state, label]
        return total


def compress(numbers: np.ndarray) -> np.ndarray:
    """Compress whole numbers from 0 to 2^63 - 1, most of them small (N,), to uint8 (bytes,): a plane for each byte."""
    planes = numbers.astype("<i8").view(np.uint8).reshape(-1, 8).T
    return np.frombuffer(zlib.compress(planes.tobytes(), 9), np.uint8)


def decompress(compressed: np.ndarray) -> np.ndarray:
    """Return the numbers, int64 (N,), that `compress` was given."""
    planes = np.frombuffer(zlib.decompress(compressed.tobytes()), np.uint8).reshape(8, -1)
    return planes.T.copy().view("<i8")[:, 0].astype(np.int64)


def highest_order(classes: int) -> int:
    """Return the greatest length of n-grams that fit into 63 bits."""
    return int(63 / math.log2(classes))


def kneser_ney_counts(symbols: np.ndarray, classes: int, order: int) -> Counts:
    """Count the n-grams of lines up to length `order`, and estimate the discounts.

    symbols: the labels of all lines in a row, with BOUNDARY before, between and after them. The longest n-grams, and
    those at the start of a line, count as often as they were seen; a shorter one counts how many different characters
    were seen before it.
    """
    # Count occurrences
    seen = [np.unique(keys, return_counts=True) for keys in occurrences(symbols, classes, order)]
    # Replace the counts of shorter n-grams by the number of their left neighbours
    counts = [times.copy() for _, times in seen]
    for length in range(1, order):
        inner = (seen[length - 1][0] >= classes ** (length - 1)) | (length == 1)  # not at the start of a line
        longer, _ = seen[length]
        counts[length - 1][inner] = np.unique(longer % classes**length, return_counts=True)[1]
    # Estimate one discount per length from how many n-grams count once and twice
    once, twice = (np.array([(each == times).sum() for each in counts]) for times in (1, 2))
    discounts = (once + 1) / (once + 2 * twice + 2)  # the usual estimate; with 1 and 2 added it is never 0 or 1
    # Keep the n-grams of frequent contexts
    kept = prune(seen, classes)
    keys = [keys[chosen] for (keys, _), chosen in zip(seen, kept, strict=True)]
    return Counts(classes, keys, [each[chosen] for each, chosen in zip(counts, kept, strict=True)], discounts)


def occurrences(symbols: np.ndarray, classes: int, order: int) -> Iterator[np.ndarray]:
    """Yield, for each length from 1 to `order`, the number of the n-gram at each position of `symbols`."""
    yield symbols[1:]  # the first BOUNDARY is given, not predicted
    starts, keys = np.arange(len(symbols) - 1), symbols[:-1]
    for length in range(2, order + 1):
        last = symbols[starts + length - 1]
        keys = keys * classes + last
        yield keys
        starts, keys = starts[last != BOUNDARY], keys[last != BOUNDARY]  # no n-gram goes over the end of a line


def prune(seen: Sequence[tuple[np.ndarray, np.ndarray]], classes: int) -> list[np.ndarray]:
    """Return, for each length, a mask of the n-grams to keep: at most MAX_CONTEXTS contexts and MAX_CELLS cells.

    seen: n-grams and their occurrences, for each length. The most frequent contexts stay, and with a context every
    shorter end of it, since that was seen at least as often.
    """
    grouped = [np.unique(keys // classes, return_inverse=True)[1] for keys, _ in seen]
    totals = [np.bincount(group, times) for group, (_, times) in zip(grouped, seen, strict=True)]
    ranked = np.sort(np.concatenate(totals))
    most = max(1, min(MAX_CONTEXTS, MAX_CELLS // classes))
    rarest = ranked[-most - 1] if len(ranked) > most else 0
    return [total[group] > rarest for group, total in zip(grouped, totals, strict=True)]


def build_tables(counts: Counts) -> tuple[np.ndarray, np.ndarray]:
    """Return `log_probs` and `successors` (S, C) of an `NGram`; state 0 is the empty context.

    P(label | context) = max(count - discount, 0) / total + discount * kinds / total * P(label | context one shorter),
    kinds: how many labels were seen after the context.
    """
    classes, rows = counts.classes, [np.zeros(1, int)]  # the states of the contexts of each length
    contexts = [np.unique(keys // classes) for keys in counts.keys]
    states = sum(map(len, contexts))
    probabilities = np.full((states, classes), 1 / classes, np.float32)
    successors = np.zeros((states, classes), np.int32)
    for length, (keys, times) in enumerate(zip(counts.keys, counts.counts, strict=True)):
        if length:
            # Give each context of this length a state
            first = sum(map(len, contexts[:length]))
            rows.append(np.arange(first, first + len(contexts[length])))
            # A context is reached from the context without its last label, by that label
            prefixes, labels = np.divmod(contexts[length], classes)
            successors[rows[-2][np.searchsorted(contexts[length - 1], prefixes)], labels] = rows[-1]
            # Back off: begin with what the context without its first label predicts
            shorter = rows[-2][np.searchsorted(contexts[length - 1], contexts[length] % classes ** (length - 1))]
            successors[rows[-1]] = successors[shorter]
            probabilities[rows[-1]] = probabilities[shorter]
        # Interpolate: scale the shorter context's probabilities by the discounted mass, add the discounted counts
        context = np.searchsorted(contexts[length], keys // classes)  # of each n-gram
        discount, total = counts.discounts[length], np.bincount(context, times)
        probabilities[rows[-1]] *= (discount * np.bincount(context) / total)[:, None]
        probabilities[rows[-1][context], keys % classes] += (times - discount) / total[context]
    return np.log(probabilities), successors
