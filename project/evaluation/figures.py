"""Figures: line images with what was read in them, curves, log-probs under their line image, confidences."""

from collections.abc import Mapping, Sequence

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from rapidfuzz.distance import Levenshtein

from project.recognition.batch import FRAME_WIDTH
from project.recognition.calibration import expected_calibration_error, reliability
from project.recognition.charset import BLANK, Charset

MAX_SHOWN_ASPECT = 40  # width / height shown of a line: one very long line would make the others too small
WRONG, RIGHT = "#c1121f", "#1b4332"


def line_sheet(
    images: Sequence[np.ndarray], titles: Sequence[str], texts: Sequence[str] = (), predictions: Sequence[str] = ()
) -> Figure:
    """Draw line images, each uint8 (1, H, W) with paper 0 and ink 255, under their titles.

    With texts and predictions, what was read is written under each: wrong characters in red, missing ones as _.
    """
    room = 0.75 if not predictions else 0.95  # inches
    figure, axes = plt.subplots(len(images), 1, figsize=(10, room * len(images)), squeeze=False, layout="constrained")
    widest = min(max(image.shape[2] for image in images), MAX_SHOWN_ASPECT * images[0].shape[1])
    for ax, image, title in zip(axes.flat, images, titles, strict=True):
        ax.axis("off")
        ax.imshow(image[0], cmap="gray_r", vmin=0, vmax=255, aspect="equal")
        ax.set(xlim=(0, widest), anchor="W")
        ax.set_title(_plain(title), loc="left", fontsize=8, color="dimgrey", pad=2)
    for ax, text, prediction in zip(axes.flat, texts, predictions, strict=bool(predictions)):
        for written, color in zip(right_and_wrong(text, prediction), (RIGHT, WRONG), strict=True):
            ax.annotate(
                _plain(written), (0, 0), (0, -9), xycoords="axes fraction", textcoords="offset points",
                color=color, fontsize=9, family="monospace",
            )  # fmt: skip
    return figure


def right_and_wrong(text: str, prediction: str) -> tuple[str, str]:
    """Split a prediction into its right and its wrong characters, each with spaces where the other stands.

    A missing character is a wrong "_".
    """
    right = wrong = ""
    for edit in Levenshtein.opcodes(text, prediction):
        read = prediction[edit.dest_start : edit.dest_end] or "_" * (edit.src_end - edit.src_start)
        right += read if edit.tag == "equal" else " " * len(read)
        wrong += " " * len(read) if edit.tag == "equal" else read
    return right, wrong


def _plain(text: str) -> str:
    """Escape dollar signs, with which matplotlib marks formulas."""
    return text.replace("$", r"\$")


def draw_curve(ax: Axes, histories: Mapping[str, Sequence[Mapping[str, float]]], metric: str, label: str) -> None:
    """Plot a metric over the epochs, counted from 1, of each run. histories: by run name, the metrics of each epoch."""
    for name, history in histories.items():
        ax.plot(range(1, len(history) + 1), [epoch[metric] for epoch in history], marker=".", label=name)
    ax.set(xlabel="epoch", ylabel=label, ylim=(0, None))
    ax.xaxis.set_major_locator(MaxNLocator(integer=True))
    ax.grid(alpha=0.3)
    ax.legend()


def confidence_histogram(counts: np.ndarray) -> Figure:
    """Draw how many lines have which confidence. counts: (bins,), of equal bins from 0 to 1."""
    figure, ax = plt.subplots(figsize=(5, 3.5), layout="constrained")
    ax.stairs(counts, np.linspace(0, 1, len(counts) + 1), fill=True)
    ax.set(xlabel="confidence", ylabel="lines", xlim=(0, 1))
    return figure


def reading(image: np.ndarray, log_probs: np.ndarray, charset: Charset) -> Figure:
    """Draw a line image, uint8 (1, H, W), over its probabilities: at each frame, those of the characters seen.

    log_probs: (T, C).
    """
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


def reliability_diagram(outcomes: Mapping[str, tuple[np.ndarray, np.ndarray]]) -> Figure:
    """Draw the share of right lines by confidence, for each decoder; calibrated ones lie on the dotted diagonal.

    outcomes: by decoder, confidences (N,) and whether each line is right (N,). Below, how many lines have which
    confidence.
    """
    figure, (top, bottom) = plt.subplots(
        2, 1, figsize=(5, 5.5), sharex=True, height_ratios=[3, 1], layout="constrained"
    )
    top.plot([0, 1], [0, 1], ":", color="dimgrey")
    for name, (confidences, right) in outcomes.items():
        counts, sure, correct = reliability(confidences, right).T
        error = expected_calibration_error(confidences, right)
        (curve,) = top.plot(sure[counts > 0], correct[counts > 0], marker="o", label=f"{name}, ECE {error:.3f}")
        bottom.stairs(counts, np.linspace(0, 1, len(counts) + 1), color=curve.get_color())
    top.set(xlim=(0, 1), ylim=(0, 1), ylabel="share of right lines")
    bottom.set(xlabel="confidence", ylabel="lines")
    top.legend(loc="upper left")
    return figure


def page_outlines(pixels: np.ndarray, outlines: Sequence[Sequence[tuple[float, float]]]) -> Figure:
    """Draw the outlines of lines, polygons of (x, y) in px, on the picture of their page, uint8 (H, W)."""
    figure, ax = plt.subplots(figsize=(7, 7 * pixels.shape[0] / pixels.shape[1]), layout="constrained")
    ax.imshow(pixels, cmap="gray", vmin=0, vmax=255)
    for number, outline in enumerate(outlines, start=1):
        ax.fill(*zip(*outline, strict=True), facecolor="none", edgecolor=WRONG, linewidth=1)
        ax.annotate(str(number), outline[0], color=WRONG, fontsize=8, ha="right")
    ax.axis("off")
    return figure
