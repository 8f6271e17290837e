import pytest

from project.recognition.charset import BLANK, Charset, has_invisible, normalize


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


@pytest.mark.parametrize(
    ("text", "normalized"),
    [
        ("so\u00adft", "soft"),
        ("\ufeffa\u200bb\u200e\u2060", "ab"),
        ("nu\x00l\x07", "nul"),
        ("a\u00a0b\u2028c\td", "a b c d"),  # white space is written
        ("heart \u2764\ufe0f", "heart \u2764"),
        ("e\u034f\u0301", "\u00e9"),  # nothing is between them
        ("a\u200db\u200c", "ab"),
        (
            "\u0645\u06cc\u200c\u062e\u0648\u0627\u0647\u0645",
            "\u0645\u06cc\u200c\u062e\u0648\u0627\u0647\u0645",
        ),
        ("\u0915\u094d\u200d\u0937", "\u0915\u094d\u200d\u0937"),  # Devanagari, after a virama
        ("\u0600\u0661", "\u0600\u0661"),  # a sign of Arabic numbers is a format character, and seen
    ],
)
def test_what_leaves_no_trace_in_ink_is_removed_and_joiners_stay_where_they_choose_letters(text, normalized):
    assert normalize(text) == normalized
    assert normalize(normalized) == normalized
    assert has_invisible(text) == (text not in (normalized, "a\u00a0b\u2028c\td"))
