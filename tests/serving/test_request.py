import base64
import json

import mlflow

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
