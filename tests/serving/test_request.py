import base64
import json

import mlflow
import numpy as np

from project.pages.line_or_page import is_strip
from project.serving import request
from project.tracking.registry import PACKAGE, TEST_INPUTS

LETTER = PACKAGE / "figures" / "letter.jpg"  # 15 lines


def test_pages_of_too_many_lines_in_all_are_answered_with_413_and_lines_beside_a_page_count(models, monkeypatch):
    model = mlflow.pyfunc.load_model(models["handwriting_reader"])
    letter, line = (base64.b64encode(path.read_bytes()).decode() for path in (LETTER, min(TEST_INPUTS.glob("*.png"))))

    def answer(*pictures):
        answered = request.answer(model, json.dumps({"inputs": pictures}).encode())
        return answered.status, json.loads(answered.content), answered.lines, answered.pages

    monkeypatch.setattr(request, "MAX_LINES", 16)
    status, read, *counted = answer(line, letter)
    assert (status, len(read["predictions"]), counted) == (200, 2, [16, 1])
    status, error, *_ = answer(letter, line, line)
    assert status == 413
    assert error["message"] == "the pages have more than 16 lines in all; send them one by one"


def test_a_wide_picture_with_two_bands_of_ink_is_no_strip():
    pixels = np.full((60, 400), 240, np.uint8)
    pixels[5:25, 20:380:4] = 20
    assert is_strip(pixels)
    pixels[35:55, 20:60:4] = 20  # a short second line
    assert not is_strip(pixels)
