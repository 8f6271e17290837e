import matplotlib.pyplot as plt
import numpy as np
import pytest

from project.evaluation import figures
from project.recognition.charset import Charset


@pytest.fixture(autouse=True)
def closed():
    yield
    plt.close("all")


@pytest.mark.parametrize(
    ("text", "prediction", "right", "wrong"),
    [
        ("cat", "cat", "cat", "   "),
        ("cat", "cut", "c t", " u "),
        ("cat", "ct", "c t", " _ "),
        ("cat", "chat", "c at", " h  "),
        ("cat", "", "   ", "___"),
        ("", "a", " ", "a"),
    ],
)
def test_right_and_wrong_characters_are_told_apart(text, prediction, right, wrong):
    assert figures.right_and_wrong(text, prediction) == (right, wrong)


def test_as_many_characters_are_wrong_as_there_are_edits():
    # kitten -> sitting: two substitutions and an insertion
    right, wrong = figures.right_and_wrong("kitten", "sitting")
    assert right == " itt n "
    assert wrong == "s   i g"


def test_a_sheet_shows_each_line_with_what_was_read():
    images = [np.full((1, 40, width), 128, dtype=np.uint8) for width in (90, 300)]
    figure = figures.line_sheet(images, ["one", "costs $5 or $6"], ["one", "$5"], ["ona", "$5"])
    figure.canvas.draw()
    assert [ax.get_title(loc="left") for ax in figure.axes] == ["one", r"costs \$5 or \$6"]
    assert [[text.get_text() for text in ax.texts] for ax in figure.axes] == [["on ", "  a"], [r"\$5", "  "]]


def test_a_reading_shows_the_characters_seen_in_the_order_of_the_line():
    charset = Charset("ab ")
    path = [0, 2, 0, 3, 1, 1, 0]  # "b a"
    log_probs = np.log(np.eye(4)[path] * 0.96 + 0.01)
    figure = figures.reading(np.zeros((1, 40, 28), dtype=np.uint8), log_probs, charset)
    labels = [label.get_text() for label in figure.axes[1].get_yticklabels()]
    assert labels == ["b", "space", "a", "blank"]


def test_a_curve_has_a_line_for_each_run():
    _, ax = plt.subplots()
    figures.draw_curve(ax, {"one": [{"cer": 1.0}, {"cer": 0.5}], "two": [{"cer": 0.7}]}, "cer", "CER")
    assert [line.get_xydata().tolist() for line in ax.lines] == [[[1, 1], [2, 0.5]], [[1, 0.7]]]
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["one", "two"]


def test_a_reliability_diagram_shows_how_often_each_confidence_was_right():
    # Two lines of 0.9, one of them right, and one of 0.2 that is wrong: ECE = 2/3 * 0.4 + 1/3 * 0.2
    outcomes = {"beam": (np.array([0.9, 0.9, 0.2]), np.array([True, False, False]))}
    figure = figures.reliability_diagram(outcomes)
    figure.canvas.draw()
    curve = figure.axes[0].lines[1]
    assert curve.get_xydata() == pytest.approx(np.array([[0.2, 0.0], [0.9, 0.5]]))
    assert curve.get_label() == "beam, ECE 0.333"


def test_the_histogram_of_confidence_has_a_step_for_each_bin_from_0_to_1():
    (ax,) = figures.confidence_histogram(np.array([3, 0, 5, 1])).axes
    (steps,) = ax.patches
    assert steps.get_data().values.tolist() == [3, 0, 5, 1]
    assert steps.get_data().edges.tolist() == [0, 0.25, 0.5, 0.75, 1]
