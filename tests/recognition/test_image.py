import io

import numpy as np
import pytest
from PIL import Image, ImageDraw

from project.recognition.batch import batch, padded_width, width_batches
from project.recognition.image import Region, read_image
from project.recognition.line_image import HALF_HEIGHT, MIN_SIDE, center_line, normalize_line, normalize_with_placement


def drawn(width=200, height=60, paper=230, ink=40):
    """A grey picture with two strokes, and paper all around."""
    picture = Image.new("L", (width, height), paper)
    ImageDraw.Draw(picture).line([(30, 15), (50, 45), (width - 30, 15)], fill=ink, width=4)
    return picture


def saved(picture, kind="PNG", **options):
    file = io.BytesIO()
    picture.save(file, kind, **options)
    return file.getvalue()


def similar(a, b, tolerance=3.0):
    return a.shape == b.shape and np.abs(a.astype(float) - b).mean() < tolerance


@pytest.mark.parametrize("kind", ["PNG", "TIFF", "WEBP", "JPEG", "BMP", "GIF"])
def test_every_usual_file_format_is_read(kind):
    assert similar(read_image(saved(drawn(), kind)), np.asarray(drawn()))


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "CMYK", "P", "LA", "1"])
def test_every_usual_mode_is_read_as_the_same_grey(mode):
    kind = "TIFF" if mode == "CMYK" else "PNG"
    picture = drawn(paper=255, ink=0)
    assert similar(read_image(saved(picture.convert(mode), kind)), np.asarray(picture))


def test_sixteen_bits_a_pixel_are_scaled_down():
    deep = Image.fromarray(np.asarray(drawn()).astype(np.uint16) * 257)
    assert similar(read_image(saved(deep)), np.asarray(drawn()))


@pytest.mark.parametrize("factor", [4, 16])
def test_scanners_that_fill_ten_or_twelve_of_sixteen_bits_are_understood(factor):
    deep = Image.fromarray(np.asarray(drawn(paper=255)).astype(np.uint16) * factor)
    assert similar(read_image(saved(deep)), np.asarray(drawn(paper=255)))


def test_floats_are_greys_from_0_to_1_and_what_is_no_number_is_ink():
    floats = np.asarray(drawn()).astype(np.float32) / 255
    floats[0, 0] = np.nan
    pixels = read_image(saved(Image.fromarray(floats), "TIFF"))
    assert similar(pixels, np.asarray(drawn()))
    assert pixels[0, 0] == 0


def test_a_region_is_cut_out_of_its_page_and_what_is_outside_its_outline_becomes_paper(tmp_path):
    page = np.full((30, 40), 200, np.uint8)
    page[:, 10] = 0
    page[10, :] = 50
    Image.fromarray(page).save(tmp_path / "page.png")
    triangle = ((5, 5), (25, 5), (5, 25))
    pixels = read_image(Region(str(tmp_path / "page.png"), triangle))
    assert pixels.shape == (21, 21)
    x, y = np.meshgrid(range(21), range(21))
    assert (pixels[x + y > 20] == 200).all()  # beyond the long side, where the page has ink as well
    assert (pixels[x + y <= 20] == page[5:26, 5:26][x + y <= 20]).all()


def test_a_region_counts_in_the_size_that_its_page_was_said_to_have(tmp_path):
    Image.new("L", (40, 30), 200).save(tmp_path / "page.png")
    box = ((0, 0), (99, 0), (99, 49), (0, 49))
    assert read_image(Region(str(tmp_path / "page.png"), box, (400, 300))).shape == (6, 11)


def test_a_page_that_its_exif_tag_turns_away_from_its_outlines_is_refused(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6  # "rotate by 90 degrees clockwise to see it upright"
    Image.new("L", (40, 30), 200).save(tmp_path / "page.jpg", exif=exif)
    box = ((0, 0), (9, 0), (9, 4), (0, 4))
    assert read_image(Region(str(tmp_path / "page.jpg"), box, (30, 40))).shape == (5, 10)
    with pytest.raises(ValueError, match=r"page.jpg: upright by its EXIF tag it has 30 x 40 px, its XML says 40 x 30"):
        read_image(Region(str(tmp_path / "page.jpg"), box, (40, 30)))


@pytest.mark.parametrize(("right", "wide"), [(43, 40), (40, 40), (45, None)])
def test_a_region_may_stick_out_of_its_page_by_a_tenth(tmp_path, right, wide):
    Image.new("L", (40, 30), 200).save(tmp_path / "page.png")
    region = Region(str(tmp_path / "page.png"), ((0, 0), (right, 0), (right, 9), (0, 9)))
    if wide:
        assert read_image(region).shape == (10, wide)
    else:
        with pytest.raises(ValueError, match=r"page.png: an outline from x 0 to 45, y 0 to 9 is not on the page of 40"):
            read_image(region)


def test_why_there_is_no_picture_is_told_by_who_knows():
    with pytest.raises(ValueError, match="not reached"):
        read_image(ValueError("not reached"))


@pytest.mark.parametrize("grey", [0, 255])
def test_what_is_transparent_is_paper_and_the_rest_is_ink_even_if_it_is_white(grey):
    ink_only = Image.new("RGBA", (100, 40), (0, 0, 0, 0))
    ImageDraw.Draw(ink_only).line([(10, 10), (90, 30)], fill=(grey, grey, grey, 255), width=4)
    pixels = read_image(saved(ink_only))
    assert pixels[0, 0] == 255
    assert pixels.min() == 0


def test_what_pillow_cannot_turn_to_grey_is_named(tmp_path):
    Image.merge("LAB", [drawn()] * 3).save(tmp_path / "lab.tiff")
    with pytest.raises(ValueError, match=r"lab\.tiff: cannot be read as a picture: .*LAB"):
        read_image(tmp_path / "lab.tiff")


def test_a_photo_taken_sideways_is_turned_upright():
    exif = Image.Exif()
    exif[0x0112] = 6  # "rotate by 90 degrees clockwise to see it upright"
    sideways = drawn().transpose(Image.Transpose.ROTATE_90)
    assert similar(read_image(saved(sideways, "JPEG", exif=exif)), np.asarray(drawn()))


@pytest.mark.parametrize("content", [b"", b"%PDF-1.7 no picture", b"plain text"])
def test_what_is_no_picture_is_refused_by_name(tmp_path, content):
    path = tmp_path / "line.png"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"line\.png: not a picture"):
        read_image(path)


def test_a_picture_cut_short_is_refused():
    with pytest.raises(ValueError, match="cannot be read as a picture"):
        read_image(saved(drawn(), "JPEG")[:-400])


def test_a_missing_file_is_refused(tmp_path):
    with pytest.raises(ValueError, match=r"gone\.png: no such file"):
        read_image(tmp_path / "gone.png")


@pytest.mark.parametrize("side", [7_000, 20_000])
def test_a_decompression_bomb_is_refused_before_it_is_decoded(side):
    with pytest.raises(ValueError, match="at most 40000000 are read"):
        read_image(saved(Image.new("1", (side, side))))


def bars(*boxes, width=400, height=100):
    """White paper with black bars; each box is left, top, right, bottom, the last row and column included."""
    picture = Image.new("L", (width, height), 255)
    for box in boxes:
        ImageDraw.Draw(picture).rectangle(box, fill=0)
    return np.asarray(picture)


def test_a_line_image_has_the_height_asked_for_and_keeps_its_aspect():
    for height in (24, 40, 64):
        image = normalize_line(bars((50, 40, 129, 59)), height)  # 80 x 20 px: spread 5, so 40 rows are shown
        assert image.dtype == np.uint8
        assert image.shape[:2] == (1, height)
        inked = np.flatnonzero((image[0] > 128).any(axis=0))
        assert np.ptp(inked) == pytest.approx(80 * height / 40, abs=3)


def test_the_middle_of_a_bar_is_its_middle_and_its_spread_a_quarter_of_its_height():
    ink = 255 - bars((0, 40, 399, 59))  # rows 40..59: mean 49.5, and |row - mean| is 0.5, 1.5, .. 9.5, each twice
    middle, spread = center_line(ink)
    assert middle == pytest.approx(np.full(400, 49.5))
    assert spread == pytest.approx(5.0)


def test_a_climbing_line_is_made_level():
    letters = [(20 + 30 * i, 70 - 2 * i, 35 + 30 * i, 89 - 2 * i) for i in range(12)]
    level = [(left, 70, right, 89) for left, _, right, _ in letters]
    climbing, straight = normalize_line(bars(*letters), 40)[0], normalize_line(bars(*level), 40)[0]
    for image in (climbing, straight):
        rows = np.flatnonzero((image > 128).any(axis=1))
        assert np.ptp(rows) < 0.7 * 40  # 20 of the 40 rows that are shown, and a little
    assert climbing.shape[1] == pytest.approx(straight.shape[1], rel=0.15)


def test_a_short_word_with_a_tail_is_not_taken_for_a_falling_line():
    ink = 255 - bars((10, 10, 20, 50), (40, 30, 50, 70), width=60)  # as "b" and "y" stand
    middle, _ = center_line(ink)
    assert abs(middle[45] - middle[15]) < 5  # the bars' own middles are 20 px apart


def test_one_tall_stroke_does_not_make_the_writing_small():
    letters = [(20 + 30 * i, 60, 40 + 30 * i, 79) for i in range(11)]
    plain, tall = bars(*letters), bars(*letters, (355, 5, 360, 99))
    assert normalize_line(tall, 40).shape[2] > 0.75 * normalize_line(plain, 40).shape[2]


def test_a_place_leads_back_from_the_line_image_to_the_picture():
    pixels = bars((100, 40, 119, 59), (300, 40, 319, 59))
    image, place = normalize_with_placement(pixels, 40)
    columns = np.flatnonzero((image[0] > 128).any(axis=0))
    assert place.left + place.scale * columns[0] == pytest.approx(100, abs=2)
    assert place.left + place.scale * (columns[-1] + 1) == pytest.approx(320, abs=2)


def test_empty_paper_is_shown_whole():
    image, place = normalize_with_placement(np.full((80, 200), 255, dtype=np.uint8), 40)
    assert image.shape == (1, 40, 100)
    assert place == (0, 2)
    assert center_line(np.zeros((80, 200), dtype=np.uint8))[1] == 80 / (2 * HALF_HEIGHT)


def test_paper_becomes_0_and_ink_255():
    image = normalize_line(np.asarray(drawn(paper=200, ink=90)), 40)
    assert image.min() == 0
    assert image.max() > 240


def test_light_on_dark_reads_as_dark_on_light():
    pixels = np.asarray(drawn())
    assert similar(normalize_line(255 - pixels, 40), normalize_line(pixels, 40), tolerance=0.5)


def test_margins_do_not_count():
    narrow, wide = drawn(), Image.new("L", (500, 200), 230)
    wide.paste(narrow, (250, 90))
    assert np.array_equal(normalize_line(np.asarray(wide), 40), normalize_line(np.asarray(narrow), 40))


@pytest.mark.parametrize("grey", [0, 128, 255])
def test_a_picture_of_one_colour_is_empty_paper(grey):
    assert normalize_line(np.full((50, 300), grey, dtype=np.uint8), 40).max() == 0


@pytest.mark.parametrize("shape", [(MIN_SIDE, MIN_SIDE), (64, 10), (64, 20_000), (3000, 2000), (2000, 8)])
def test_any_size_gives_a_line_image_or_an_error_in_words(shape):
    pixels = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
    try:
        image = normalize_line(pixels, 40)
    except ValueError as error:
        assert "times as wide as high" in str(error)  # noqa: PT017
    else:
        assert image.shape[1] == 40
        assert image.shape[2] >= MIN_SIDE


@pytest.mark.parametrize("rows", [1, 2])
def test_a_rule_of_one_row_is_a_line_as_one_of_two_rows_is(rows):
    pixels = np.full((60, 400), 255, np.uint8)
    pixels[30 : 30 + rows, 5:-5] = 0
    assert normalize_line(pixels, 40).any()


@pytest.mark.parametrize("shape", [(7, 100), (100, 7), (10, 10, 3)])
def test_a_size_that_cannot_be_a_line_is_named(shape):
    with pytest.raises(ValueError, match="both at least 8 px"):
        normalize_line(np.zeros(shape, dtype=np.uint8), 40)


def test_a_batch_is_padded_with_paper_and_tells_true_widths():
    images = [np.full((1, 4, width), 255, dtype=np.uint8) for width in (3, 5)]
    padded, widths = batch(images)
    assert padded.shape == (2, 1, 4, 32)
    assert padded.dtype == np.float32
    assert widths.tolist() == [3, 5]
    assert padded[0, 0, 0].tolist() == [1, 1, 1] + [0] * 29


def test_width_batches_hold_every_line_once_within_the_budget():
    widths = np.random.default_rng(0).integers(10, 400, 300)
    for rng in (None, np.random.default_rng(1)):
        cut = width_batches(widths, 1000, rng)
        assert sorted(np.concatenate(cut)) == list(range(300))
        assert all(len(chosen) * widths[chosen].max() <= 1000 for chosen in cut)
    widest = [padded_width(widths[chosen].max()) for chosen in width_batches(widths, 1000)]
    assert widest == sorted(widest)


def test_a_line_wider_than_a_batch_comes_alone():
    assert [chosen.tolist() for chosen in width_batches([5, 5000, 6], 1000)] == [[0, 2], [1]]


@pytest.mark.parametrize("dark_ground", [False, True])
@pytest.mark.parametrize(("width", "height"), [(1500, 120), (4000, 3000)])
def test_a_few_strokes_on_a_large_sheet_are_ink(width, height, dark_ground):
    picture = Image.new("L", (width, height), 235)
    ImageDraw.Draw(picture).line([(500, 40), (530, 40), (510, 90)], fill=30, width=5)
    pixels = 255 - np.asarray(picture) if dark_ground else np.asarray(picture)
    image, place = normalize_with_placement(pixels, 40)
    assert image.max() > 200
    assert 470 < place.left < 500
    assert place.left + place.scale * image.shape[2] < 560


def test_specks_are_no_ink():
    pixels = np.full((120, 1500), 235, np.uint8)
    pixels[40:44, 700:705] = 30
    assert not normalize_line(pixels, 40).any()


@pytest.mark.parametrize("shape", [(100, 1500), (300, 3000)])
def test_the_grain_of_paper_is_no_ink(shape):
    grain = np.random.default_rng(0).normal(225, 8, shape)
    assert not normalize_line(grain.clip(0, 255).astype(np.uint8), 40).any()
