"""What was read on pages, as a file each: plain text, PAGE XML, ALTO, or a searchable PDF."""

import os
from dataclasses import dataclass
from pathlib import Path

from project.atomic import check_outside, replaced
from project.data.rows import Row
from project.pages.page import Page
from project.recognition.picture_file import PageOf

SUFFIXES = {"text": ".txt", "page": ".xml", "alto": ".xml", "pdf": ".pdf"}  # by format


def page_folder(parts: Path, images: str) -> Path:
    """Return the folder of the files: for an output `read` or `read.csv` it is `read.pages`.

    Raise InputError if it is in `images`.
    """
    folder = parts.with_name(Path(parts.name.removesuffix(".parts")).stem + ".pages")
    check_outside(images, "output", folder)
    return folder


@dataclass(frozen=True)
class PageFiles:
    """Where the files of pages are written, and in which of the formats of `SUFFIXES`.

    images: the folder of the pictures, whose folders are those of the files too.
    """

    folder: Path
    images: str
    format: str

    def path(self, row: Row) -> Path:
        """Return the file of a page: `box/scan.jpg.xml` for `box/scan.jpg`, `a.pdf.3.xml` for page 3 of `a.pdf`."""
        name = row.source
        if isinstance(row.image, PageOf):
            name = f"{name.removesuffix(f':{row.image.number}')}.{row.image.number}"
        images = Path(self.images).expanduser().resolve()
        inside = Path(name).is_relative_to(images) and Path(name) != images
        relative = Path(name).relative_to(images) if inside else Path(Path(name).name)
        return self.folder / relative.with_name(relative.name + SUFFIXES[self.format])

    def write(self, page: Page, row: Row) -> None:
        """Write the file of a page, whole or not at all."""
        path = self.path(row)
        with replaced(path) as beside:
            beside.write_bytes(self._content(page, row, path.parent))

    def _content(self, page: Page, row: Row, folder: Path) -> bytes:
        assert row.image is not None  # it was read
        file = row.image.file if isinstance(row.image, PageOf) else row.image
        # PAGE and ALTO name the picture, from where they are, so that other programs find it
        picture = os.path.relpath(file, folder) if isinstance(file, str) else Path(row.source).name
        match self.format:
            case "text":
                return f"{page.text}\n".encode()
            case "page":
                from project.pages.page_xml import page_xml

                return page_xml(page, picture)
            case "alto":
                from project.pages.alto import alto

                return alto(page, picture)
            case _:
                from project.pages.pdf import searchable_pdf  # fpdf2 and Matplotlib's fonts, which nothing else needs

                return searchable_pdf(row.image, page)
