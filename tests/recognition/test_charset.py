import pytest

from project.recognition.charset import BLANK, Charset


def test_labels_start_after_the_blank():
    charset = Charset("abc")
    assert BLANK == 0
    assert charset.encode("cab") == [3, 1, 2]
    assert len(charset) == 4  # three characters and the blank


def test_decoding_undoes_encoding():
    charset = Charset.from_texts(["The quick brown fox,", "déjà vu: 42 €"])
    for text in ("déjà vu", "fox: 42 €", ""):
        assert charset.decode(charset.encode(text)) == text


def test_a_charset_made_from_texts_is_in_code_point_order_whatever_the_order_of_the_texts():
    assert Charset.from_texts(["ba", "c a"]).characters == " abc"
    assert Charset.from_texts(["c a", "ba"]).characters == " abc"


def test_unknown_characters_are_named():
    with pytest.raises(ValueError, match="'xz'"):
        Charset("abc").encode("zaxz")


@pytest.mark.parametrize("label", [-1, 0, 4])
def test_a_label_outside_the_charset_is_named(label):
    with pytest.raises(ValueError, match=f"label {label} is not one of 1..3"):
        Charset("abc").decode([1, label])


@pytest.mark.parametrize("characters", ["", "aba"])
def test_a_charset_has_each_character_once(characters):
    with pytest.raises(ValueError, match="each character once"):
        Charset(characters)
