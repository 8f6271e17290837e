"""What was found, and read, on a page: places are (x, y) in px of the picture, as it was given, from its top left."""

from dataclasses import dataclass, field, replace

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

    def resized(self, size: tuple[int, int]) -> "Page":
        """Return the page with its places in px of a picture of another width and height."""
        if size == self.size:
            return self
        across, down = size[0] / self.size[0], size[1] / self.size[1]

        def places(outline: Outline) -> Outline:
            return tuple((round(across * x, 1), round(down * y, 1)) for x, y in outline)

        lines = tuple(
            replace(
                line,
                outline=places(line.outline),
                baseline=places(line.baseline),
                words=tuple(replace(word, outline=places(word.outline)) for word in line.words),
                characters=tuple(replace(one, outline=places(one.outline)) for one in line.characters),
            )
            for line in self.lines
        )
        return replace(self, size=size, lines=lines)

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
