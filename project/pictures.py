"""Pictures for people: line images with what was read in them, curves, and a network's log-probs over its line."""

import difflib
from collections.abc import Mapping, Sequence

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from project.charset import BLANK, Charset
from project.crnn import FRAME_WIDTH

WRONG, RIGHT = "#c1121f", "#1b4332"


def line_sheet(images: Sequence[np.ndarray], titles: Sequence[str], columns: int = 1) -> Figure:
    """Line images, each uint8 (1, H, W) with paper 0 and ink 255, under their titles."""
    rows = -(-len(images) // columns)
    figure, axes = plt.subplots(rows, columns, figsize=(10, 0.75 * rows), squeeze=False, layout="constrained")
    widest = max(image.shape[2] for image in images)
    for ax in axes.flat:
        ax.axis("off")
    for ax, image, title in zip(axes.flat, images, titles, strict=False):
        ax.imshow(image[0], cmap="gray_r", vmin=0, vmax=255, aspect="equal")
        ax.set_xlim(0, widest)
        ax.set_anchor("W")
        ax.set_title(_plain(title), loc="left", fontsize=8, pad=2)
    return figure


def reading_sheet(
    images: Sequence[np.ndarray], texts: Sequence[str], predictions: Sequence[str], notes: Sequence[str] | None = None
) -> Figure:
    """Line images, each uint8 (1, H, W), with the prediction under each: wrong characters in red, missing ones as _."""
    figure, axes = plt.subplots(len(images), 1, figsize=(10, 0.95 * len(images)), squeeze=False, layout="constrained")
    widest = max(image.shape[2] for image in images)
    notes = notes or [""] * len(images)
    for ax, image, text, prediction, note in zip(axes.flat, images, texts, predictions, notes, strict=True):
        ax.axis("off")
        ax.imshow(image[0], cmap="gray_r", vmin=0, vmax=255, aspect="equal")
        ax.set(xlim=(0, widest), anchor="W")
        if note:
            ax.set_title(note, loc="left", fontsize=7, color="grey", pad=1)
        end = 0.0
        for piece, color in _pieces(text, prediction):
            written = ax.annotate(
                _plain(piece), (end, 0), (0, -2), xycoords="axes fraction", textcoords="offset points",
                va="top", color=color, fontsize=9, family="monospace", annotation_clip=False,
            )  # fmt: skip
            box = written.get_window_extent(figure.canvas.get_renderer()).transformed(ax.transAxes.inverted())
            end += box.width
    return figure


def _pieces(text: str, prediction: str) -> list[tuple[str, str]]:
    """The prediction cut into pieces with the color of each."""
    pieces = []
    for kind, start, stop, low, high in difflib.SequenceMatcher(None, text, prediction, autojunk=False).get_opcodes():
        read = prediction[low:high] or "_" * (stop - start)
        pieces.append((read, RIGHT if kind == "equal" else WRONG))
    return pieces


def _plain(text: str) -> str:
    """Without matplotlib's own meaning of a dollar sign."""
    return text.replace("$", r"\$")


def draw_curve(ax: Axes, histories: Mapping[str, Sequence[Mapping[str, float]]], figure_name: str, label: str) -> None:
    """One figure of each epoch (counted from 1) of each run, by the run's name."""
    for name, history in histories.items():
        ax.plot(range(1, len(history) + 1), [figures[figure_name] for figures in history], marker=".", label=name)
    ax.set(xlabel="epoch", ylabel=label, ylim=(0, None))
    ax.xaxis.get_major_locator().set_params(integer=True)
    ax.grid(alpha=0.3)
    ax.legend()


def reading(image: np.ndarray, log_probs: np.ndarray, charset: Charset) -> Figure:
    """A line image, uint8 (1, H, W), over its log-probs (T, C): at each frame, how probable each character is."""
    probabilities = np.exp(log_probs)  # (T, C)
    seen = [label for label in range(len(charset)) if probabilities[:, label].max() > 0.2 and label != BLANK]
    seen.sort(key=lambda label: int(probabilities[:, label].argmax()))
    shown = probabilities[:, [*seen, BLANK]].T  # (characters seen, then the blank; T)
    names = [charset.decode([label]).replace(" ", "space") for label in seen]
    figure, (top, bottom) = plt.subplots(
        2, 1, figsize=(11, 1.2 + 0.17 * len(shown)), sharex=True, height_ratios=[3, len(shown)], layout="constrained"
    )
    width = len(log_probs) * FRAME_WIDTH
    top.imshow(image[0], cmap="gray_r", aspect="auto", extent=(0, image.shape[2], 0, image.shape[1]))
    top.set_yticks([])
    bottom.imshow(shown, cmap="magma_r", aspect="auto", extent=(0, width, len(shown), 0), vmin=0, vmax=1)
    bottom.set_yticks(np.arange(len(shown)) + 0.5, [*map(_plain, names), "blank"], fontsize=7)
    bottom.set_xlabel("px of the line image")
    return figure
