"""Pages drawn by hand -> their paper, their ink, and the rules of tables."""

import numpy as np

from project.pages.ink import separate_ink


def page(shade: float = 0.0) -> np.ndarray:
    """Return paper 300 x 400 px, which gets darker to the right, with a stroke of ink and one of pencil."""
    pixels = np.tile(220 - shade * np.arange(400), (300, 1))
    pixels[50:70, 40:44] -= 130
    pixels[200:220, 340:344] -= 35
    return pixels.astype(np.uint8)


def test_ink_and_faint_pencil_are_found_on_paper_with_a_shadow():
    sheet = separate_ink(page(shade=0.3), thickness=20)
    assert np.array_equal(np.argwhere(sheet.ink), np.argwhere(separate_ink(page(), 20).ink))
    assert sheet.ink.sum() == 2 * 20 * 4
    assert np.abs(sheet.paper.astype(int) - (220 - 0.3 * np.arange(400))).max() < 8


def ruled(columns: list[int]) -> np.ndarray:
    pixels = np.full((600, 1000), 220, np.uint8)
    pixels[50:550, columns] = 60
    return pixels


def test_three_rules_make_a_table_and_one_is_a_margin():
    table = separate_ink(ruled([200, 500, 800]), thickness=10)
    assert table.rules[60:540, [200, 500, 800]].all()
    assert not table.rules[:, 300:400].any()
    assert not separate_ink(ruled([200]), thickness=10).rules.any()


def test_squared_paper_is_no_table():
    assert not separate_ink(ruled(list(range(60, 960, 20))), thickness=10).rules.any()


def test_the_edges_of_the_sheet_are_no_rules():
    assert not separate_ink(ruled([2, 500, 997]), thickness=10).rules.any()
