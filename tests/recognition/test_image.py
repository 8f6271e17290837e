import io

import numpy as np
import pytest
from PIL import Image, ImageDraw

from project.recognition.image import Region, read_image


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


def test_outlines_are_those_of_the_page_as_it_is_or_upright_by_its_exif_tag_and_of_no_other_shape(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6  # "rotate by 90 degrees clockwise to see it upright"
    Image.new("L", (40, 30), 200).save(tmp_path / "page.jpg", exif=exif)
    box = ((0, 0), (9, 0), (9, 4), (0, 4))
    assert read_image(Region(str(tmp_path / "page.jpg"), box, (30, 40))).shape == (5, 10)
    assert read_image(Region(str(tmp_path / "page.jpg"), box, (40, 30))).shape == (5, 10)
    with pytest.raises(ValueError, match=r"page.jpg: upright by its EXIF tag it has 30 x 40 px, its XML says 80 x 30"):
        read_image(Region(str(tmp_path / "page.jpg"), box, (80, 30)))


@pytest.mark.parametrize(("right", "wide"), [(43, 40), (40, 40), (45, None)])
def test_a_region_may_stick_out_of_its_page_by_a_tenth(tmp_path, right, wide):
    Image.new("L", (40, 30), 200).save(tmp_path / "page.png")
    region = Region(str(tmp_path / "page.png"), ((0, 0), (right, 0), (right, 9), (0, 9)))
    if wide:
        assert read_image(region).shape == (10, wide)
    else:
        with pytest.raises(ValueError, match=r"page.png: an outline from x 0 to 45, y 0 to 9 is not on the page of 40"):
            read_image(region)


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
