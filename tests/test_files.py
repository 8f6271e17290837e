import pytest

from project.files import replaced


def test_a_file_is_replaced_whole(tmp_path):
    path = tmp_path / "new" / "answer.json"
    for content in ("old", "new"):
        with replaced(path) as beside:
            beside.write_text(content)
    assert path.read_text() == "new"
    assert list(path.parent.iterdir()) == [path]


def test_a_failure_leaves_the_old_file_and_nothing_else(tmp_path):
    path = tmp_path / "answer.json"
    path.write_text("old")

    def write_and_fail():
        with replaced(path) as beside:
            beside.write_text("half of the n")
            raise OSError("No space left on device")

    with pytest.raises(OSError, match="No space left"):
        write_and_fail()
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]
