"""What was found, and read, on a page: places are (x, y) in px of the picture, as it was given, from its top left."""

from dataclasses import dataclass, field

Point = tuple[float, float]
Outline = tuple[Point, ...]  # a polygon


@dataclass(frozen=True)
class Character:
    """A character of a line."""

    text: str
    confidence: float  # 0 to 1
    outline: Outline


@dataclass(frozen=True)
class Word:
    """What stands between the spaces of a line."""

    text: str
    confidence: float  # that of its least sure character, 0 to 1
    outline: Outline


@dataclass(frozen=True)
class Line:
    """A line of writing, and once it is read what it says."""

    outline: Outline
    baseline: Outline  # from where the line starts to its end
    region: int  # lines of a block, such as a column or a note in the margin, have the same; from 0
    text: str = ""
    confidence: float = 0.0  # that the text is right, 0 to 1
    words: tuple[Word, ...] = ()
    characters: tuple[Character, ...] = ()
    alternatives: tuple[tuple[str, float], ...] = ()  # other texts, and the confidence of each


@dataclass(frozen=True)
class Page:
    """The lines of a page in reading order; none where nothing is written."""

    size: tuple[int, int]  # width and height of the picture, px
    turn: float  # degrees clockwise by which the picture has to be turned for its lines to be level and upright
    lines: tuple[Line, ...] = field(default=())

    @property
    def text(self) -> str:
        """The lines of text, one below the other."""
        return "\n".join(line.text for line in self.lines)

    @property
    def confidence(self) -> float:
        """The mean confidence of the lines, by how long their texts are; 0 where nothing is written."""
        letters = sum(len(line.text) for line in self.lines)
        return sum(line.confidence * len(line.text) for line in self.lines) / max(letters, 1)


def word_spans(text: str) -> list[tuple[int, int]]:
    """Return where each word of a text starts and stops."""
    spans, start = [], 0
    for word in text.split(" "):
        if word:
            spans.append((start, start + len(word)))
        start += len(word) + 1
    return spans
