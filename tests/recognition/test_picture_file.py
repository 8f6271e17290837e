import io
import os
import subprocess
import sys

import numpy as np
import pillow_heif
import pytest
from PIL import Image

from project.recognition.image import read_image, read_page_image
from project.recognition.picture_file import MAX_PIXELS, PageOf, count_pixels, is_picture, pages_of, suffixes


def shades(*greys, width=40, height=30):
    """A picture of each grey."""
    return [Image.new("L", (width, height), grey) for grey in greys]


def saved(kind, pictures, **options):
    file = io.BytesIO()
    pictures[0].save(
        file, kind, **({"save_all": True, "append_images": pictures[1:]} if pictures[1:] else {}), **options
    )
    return file.getvalue()


@pytest.mark.parametrize("kind", ["TIFF", "GIF", "PNG", "WEBP", "AVIF", "PDF"])
def test_every_page_of_a_file_is_a_picture_of_its_own(kind, tmp_path):
    content = saved(kind, shades(30, 120, 220))
    path = tmp_path / "pages"
    path.write_bytes(content)
    for file in (content, path):
        pages = pages_of(file)
        assert [page.number for page in pages] == [1, 2, 3]
        greys = [np.median(read_image(page)) for page in pages]
        assert greys == pytest.approx([30, 120, 220], abs=3)


def test_a_file_of_several_pages_is_not_read_without_saying_which():
    with pytest.raises(ValueError, match="it has 2 pages, each of which is a picture"):
        read_image(saved("TIFF", shades(0, 255)))


def test_a_file_of_one_page_is_itself_and_so_is_one_that_cannot_be_read(tmp_path):
    one, broken = saved("TIFF", shades(0)), b"no picture"
    assert pages_of(one) == [one]
    assert pages_of(broken) == [broken]
    assert pages_of(tmp_path / "gone.tif") == [tmp_path / "gone.tif"]
    with pytest.raises(ValueError, match="cannot be read"):
        read_image(PageOf(one, 7))


def test_a_thumbnail_in_a_tiff_is_no_page():
    page, thumbnail = shades(200)[0], shades(100, width=8, height=6)[0]
    file = io.BytesIO()
    thumbnail.encoderinfo = {"tiffinfo": {254: 1}}
    page.save(file, "TIFF", save_all=True, append_images=[thumbnail])
    assert pages_of(file.getvalue()) == [file.getvalue()]
    assert read_image(file.getvalue()).shape == (30, 40)


def test_a_photo_with_a_preview_is_one_picture():
    content = saved("MPO", [shades(200)[0].convert("RGB"), shades(90, width=8, height=6)[0].convert("RGB")])
    assert pages_of(content) == [content]
    assert read_image(content).shape == (30, 40)


@pytest.mark.parametrize("kind", ["HEIF", "AVIF"])
def test_photos_of_telephones_are_read_whatever_they_are_called(kind, tmp_path):
    pillow_heif.register_heif_opener()
    path = tmp_path / "noext"
    path.write_bytes(saved(kind, shades(77, width=64, height=64)))
    assert is_picture(path)
    assert np.abs(read_image(path).astype(int) - 77).max() < 4


def test_a_pdf_is_rendered_at_300_dpi_and_never_above_the_limit():
    inches = saved("PDF", shades(0, width=150, height=72), resolution=72)
    assert read_image(inches).shape == pytest.approx((300, 625), abs=1)
    poster = saved("PDF", shades(0), resolution=0.1)  # 400 x 300 inches
    assert 0.99 * MAX_PIXELS < read_image(poster).size <= MAX_PIXELS


def test_what_is_no_picture_has_no_pixels_and_one_beyond_all_limits_more_than_any():
    assert count_pixels(saved("PNG", shades(0))) == 1200
    assert count_pixels(b"%PDF-1.7 but no") == count_pixels(b"") == 0
    assert count_pixels(saved("PNG", [Image.new("1", (20_000, 20_000))])) > 10**8


@pytest.mark.parametrize(("kind", "options"), [("JPEG", {}), ("PNG", {"compress_level": 1})])
def test_a_scan_of_a_library_is_read_at_half_of_its_size(kind, options):
    page = Image.linear_gradient("L").resize((8028, 5628))
    pixels, size = read_page_image(saved(kind, [page], **options))
    assert size == (8028, 5628)
    assert pixels.shape == (2814, 4014)
    assert np.abs(pixels - np.asarray(page.resize((4014, 2814))).astype(int)).max() < 4
    with pytest.raises(ValueError, match="45181584 pixels; at most 40000000 are read"):
        read_image(saved(kind, [page], **options))


def test_the_usual_suffixes_are_known():
    assert {".png", ".jpg", ".jpeg", ".tif", ".tiff", ".webp", ".avif", ".heic", ".mpo", ".gif", ".jp2"} <= suffixes()


def test_libraries_that_few_pictures_need_are_not_loaded_before(tmp_path):
    shades(0)[0].save(tmp_path / "a.png")
    script = (
        "import sys; from project.recognition.image import read_image; read_image(sys.argv[1]);"
        "assert not {'pillow_heif', 'pypdfium2', 'scipy', 'cv2'} & sys.modules.keys()"
    )
    subprocess.run([sys.executable, "-c", script, tmp_path / "a.png"], check=True, env=os.environ)
