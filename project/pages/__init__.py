"""Read a page: find its lines, cut each out, give them to the recogniser; write what was read to files.

    from project.pages.reading import find_lines, is_page, read_page

    page = read_page(picture, recognizer)    # a `page.Page`: lines in reading order, with texts and places
    layout = find_lines(picture)             # the pictures of the lines, not read
    is_page(pixels)                          # or a line

A picture passes, in this order, `orientation` (level; with `detection`, where text is, and `text_lines`, the pieces of
it as courses), `ink` (paper, ink and ruled lines), `text_lines` (pieces joined to lines), `reading_order`, `line_cut`
(pictures of the lines without their neighbours' ink), `reading` (what they say: a `page`). `page_xml`, `alto` and
`pdf` write a page to files.
"""
