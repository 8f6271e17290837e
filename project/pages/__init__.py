"""Read a page: find its lines, cut each out, give them to the recogniser; write what was read to files.

    page = read_page(picture, recognizer)     # lines in reading order, with texts and places
    layout = find_lines(picture)              # the pictures of the lines alone
    is_page(picture)                          # whether there is more than one line on it

The stages: `detection` (where is text), `text_lines` (pieces of it joined to lines), `orientation` (which way is up),
`reading_order`, `line_cut` (line pictures without their neighbours' ink), `reading`; `page` is the result, which
`page_xml`, `alto`, `pdf` write.
"""
