"""The page to try a served reader on, in a real Chromium, beside a really served version."""

import base64
import json
import re
import shutil
import sys

import editdistance
import pytest
from PIL import Image
from playwright.sync_api import expect, sync_playwright
from starlette.testclient import TestClient

from project.data.page_xml import read_pages
from project.serving import server
from project.tracking.registry import PACKAGE, TEST_INPUTS
from tests.conftest import ROOT, free_port, serving

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
LETTER = PACKAGE / "figures" / "letter.jpg"
TEXT = LETTER.with_suffix(".txt").read_text("utf-8").splitlines()
in_chromium = pytest.mark.skipif(not CHROMIUM, reason="Chromium is not installed")
DROP = """([name, base64, event]) => {
    const bytes = Uint8Array.from(atob(base64), letter => letter.charCodeAt());
    const data = new DataTransfer();
    data.items.add(new File([bytes], name, { type: "image/png" }));
    const options = { bubbles: true, cancelable: true, dataTransfer: data, clipboardData: data };
    const Event = event === "drop" ? DragEvent : ClipboardEvent;
    document.body.dispatchEvent(new Event(event, options));
}"""


@pytest.fixture(scope="module")
def address(base_store, tmp_path_factory):
    port = free_port()
    command = [sys.executable, "-m", "project.serve_model", "--model-name=handwriting_reader", "--model-version=base"]
    command += ["--host=127.0.0.1", f"--port={port}", "--workers=1", "--web-page=on"]
    environment = {"MLFLOW_TRACKING_URI": base_store, "PYTHONPATH": str(ROOT)}
    with serving(command, f"http://127.0.0.1:{port}/ping", tmp_path_factory.mktemp("page"), **environment):
        yield f"http://127.0.0.1:{port}/"


@pytest.fixture(scope="module")
def browser():
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture
def page(browser, address):
    """The page as it opens; a test in which anything fails in the browser's console fails."""
    page = browser.new_page(viewport={"width": 1280, "height": 800})
    said = []
    page.on("console", lambda message: said.append(message.text))
    page.on("pageerror", lambda error: said.append(str(error)))
    page.goto(address)
    yield page
    page.close()
    assert [message for message in said if "ERR_INTERNET_DISCONNECTED" not in message] == []


@pytest.fixture
def letter(page):
    """The page after it has read the letter."""
    page.set_input_files("#choose", LETTER)
    expect(page.locator("#lines li")).to_have_count(len(TEXT), timeout=30_000)
    return page


def saved(page, kind, folder):
    with page.expect_download() as download:
        page.locator(f"[data-save={kind}]").click()
    path = folder / download.value.suggested_filename
    download.value.save_as(path)
    return path


def answered(page, *texts):
    """Let every picture have these lines; returns the list to which the bodies of requests will be added."""
    bodies = []

    def fulfill(route):
        bodies.append(route.request.post_data)
        route.fulfill(json=answer(*texts))

    page.route("**/invocations", fulfill)
    return bodies


def answer(*texts):
    """What a server answers of a page with these lines, which are 10 px high."""
    lines = []
    for number, text in enumerate(texts):
        top, bottom = 10 * number, 10 * number + 9
        outline = [[0, top], [90, top], [90, bottom], [0, bottom]]
        words = [{"text": word, "confidence": 0.6, "outline": outline} for word in text.split()]
        line = {"text": text, "confidence": 0.6, "outline": outline, "baseline": [[0, bottom], [90, bottom]]}
        lines.append(line | {"region": 0, "words": words, "characters": [], "alternatives": []})
    return {"predictions": [{"text": "\n".join(texts), "error": "", "layout": "page", "lines": lines}]}


def test_only_its_own_script_runs_on_the_page_and_it_can_be_turned_off(monkeypatch):
    monkeypatch.setenv(server.MODEL, "nowhere")
    monkeypatch.setenv(server.WORKERS, "1")
    assert TestClient(server.app()).get("/").status_code == 404
    monkeypatch.setenv(server.WEB_PAGE, "1")
    got = TestClient(server.app()).get("/")
    assert got.status_code == 200
    policy = got.headers["content-security-policy"]
    assert policy.startswith("default-src 'none'; script-src 'sha256-")
    assert "unsafe" not in policy
    markup = re.sub(r"<script>.*</script>", "", got.text, flags=re.DOTALL)
    assert re.findall(r"""https?://|\bon\w+=["']|style=["']""", markup) == []


@in_chromium
def test_a_photo_of_a_letter_is_read_and_each_line_and_word_is_found_on_the_picture(letter):
    text = "\n".join(letter.locator("#lines li").all_text_contents())
    assert editdistance.eval(text, "\n".join(TEXT)) < 0.1 * len(text)
    assert letter.locator("polygon.line").count() == len(TEXT)
    line = TEXT.index("We shall come on Friday by the late train.")
    letter.locator(f"#lines li >> nth={line} >> .word >> nth=1").hover()
    expect(letter.locator("polygon.current")).to_have_count(2)  # the line, and its word
    expect(letter.locator("#summary")).to_contain_text(f"Line {line + 1} of {len(TEXT)}")
    expect(letter.locator("#summary")).to_contain_text("“shall”")
    letter.locator("polygon.line >> nth=3").hover()
    expect(letter.locator("#lines li.current")).to_have_attribute("data-line", "3")
    scale = letter.locator(".picture").bounding_box()["height"] / Image.open(LETTER).height
    box = letter.locator(f"polygon.line >> nth={line}").bounding_box()
    top = box["y"] - letter.locator(".picture").bounding_box()["y"]
    assert abs((top + box["height"] / 2) / scale - 905) < 40  # where the line is on the photo, px


@in_chromium
def test_a_line_corrected_by_keyboard_is_what_is_saved_as_text_page_and_alto(letter, schemas, tmp_path):
    letter.locator("#lines li >> nth=0").focus()
    letter.keyboard.press("End")
    letter.keyboard.press("Enter")
    letter.keyboard.press("Control+A")
    letter.keyboard.type('Your <Margaret> & "Co"')
    letter.keyboard.press("Enter")
    read = letter.locator("#lines li").all_text_contents()
    assert read[-1] == 'Your <Margaret> & "Co"'
    assert saved(letter, "text", tmp_path).read_text("utf-8").splitlines() == read
    for kind in ("page", "alto"):
        folder = tmp_path / kind
        folder.mkdir()
        shutil.copy(LETTER, folder)
        file = saved(letter, kind, folder)
        assert file.name == f"letter.{kind}.xml"
        schemas[kind].validate(file)
        rows = list(read_pages(folder))
        assert [row.text for row in rows] == read
        middles = [sum(y for _, y in row.image.outline) / len(row.image.outline) for row in rows]
        assert abs(middles[TEXT.index("We shall come on Friday by the late train.")] - 905) < 40
    letter.context.grant_permissions(["clipboard-read", "clipboard-write"])
    letter.locator("#copy").click()
    expect(letter.locator("#copy")).to_have_text("Copied")
    assert letter.evaluate("navigator.clipboard.readText()").splitlines() == read


@in_chromium
@pytest.mark.parametrize("event", ["drop", "paste"])
def test_a_picture_is_dropped_or_pasted(page, event):
    line = base64.b64encode(min(TEST_INPUTS.glob("*.png")).read_bytes()).decode()
    answered(page, "one", "two <b>words</b>")
    page.evaluate(DROP, ["line.png", line, event])
    expect(page.locator("#lines li")).to_have_count(2)
    assert page.locator("#lines li").all_text_contents() == ["one", "two <b>words</b>"]  # never HTML
    assert page.locator("#lines .doubtful").all_text_contents() == ["one", "two", "<b>words</b>"]  # 60 % sure


@in_chromium
def test_what_is_written_with_the_mouse_is_read(page):
    sent = answered(page, "l")
    page.locator("#write").click()
    expect(page.locator("#read")).to_be_disabled()
    box = page.locator("canvas").bounding_box()
    page.mouse.move(box["x"] + 50, box["y"] + 30)
    page.mouse.down()
    page.mouse.move(box["x"] + 50, box["y"] + 90, steps=5)
    page.mouse.up()
    page.locator("#read").click()
    expect(page.locator("#lines li")).to_have_text(["l"])
    assert json.loads(sent[0])["params"] == {"layout": "auto", "decoder": "beam"}


@in_chromium
def test_a_large_photo_is_shrunk_before_it_is_sent_and_its_places_are_those_of_the_file(page, tmp_path):
    sent = answered(page, "a", "b")
    Image.open(LETTER).resize((5200, 6789)).save(tmp_path / "large.jpg", quality=95)
    page.set_input_files("#choose", tmp_path / "large.jpg")
    expect(page.locator("#lines li")).to_have_count(2, timeout=30_000)
    assert len(sent[0]) < server.MAX_BODY / 2
    (row, _) = read_pages(saved(page, "page", tmp_path).parent)
    assert row.image.size == (5200, 6789)
    assert row.image.outline[1][0] == pytest.approx(90 * 5200 / (8e6 * 5200 / 6789) ** 0.5, abs=1)


@in_chromium
def test_what_goes_wrong_is_said_in_words(page, tmp_path):
    (tmp_path / "notes.txt").write_text("no picture")
    page.set_input_files("#choose", tmp_path / "notes.txt")
    expect(page.locator("#message")).to_contain_text("notes.txt is not a picture that this browser can open")
    Image.new("L", (400, 300), 255).save(tmp_path / "empty.png")
    page.set_input_files("#choose", tmp_path / "empty.png")
    expect(page.locator("#message")).to_contain_text("no handwriting")
    page.context.set_offline(True)
    page.set_input_files("#choose", LETTER)
    expect(page.locator("#message")).to_contain_text("The server does not answer")
    page.context.set_offline(False)
    page.locator("#again").click()
    expect(page.locator("#lines li")).to_have_count(len(TEXT), timeout=30_000)
    expect(page.locator("#message")).to_be_hidden()


@in_chromium
def test_on_a_phone_everything_fits_its_width(browser, address):
    small = {"width": 360, "height": 740}
    phone = browser.new_context(viewport=small, has_touch=True, is_mobile=True, color_scheme="dark")
    page = phone.new_page()
    page.goto(address)
    assert page.locator("label[for=photo]").is_visible()
    answered(page, "word " * 30)
    page.set_input_files("#choose", LETTER)
    page.locator("#lines li").tap()
    expect(page.locator("polygon.line")).to_have_class("line current")
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    phone.close()
