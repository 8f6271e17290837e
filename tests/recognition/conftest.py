"""What several of these tests read: the base model, and the pictures and texts of `test_inputs`."""

import pytest
from PIL import Image

from project.recognition.recognizer import Recognizer
from project.tracking.registry import BASE, TEST_INPUTS


@pytest.fixture(scope="package")
def base():
    return Recognizer.load(BASE)


@pytest.fixture(scope="package")
def lines():
    paths = sorted(TEST_INPUTS.glob("*.png"))
    return [Image.open(path).convert("L") for path in paths], [
        path.with_suffix(".gt.txt").read_text("utf-8").strip() for path in paths
    ]
