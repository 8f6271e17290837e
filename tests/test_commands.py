"""The front door: each entry point through `mlflow run`, against a real tracking server and a really served model."""

import json
import shutil
import subprocess
import urllib.error
import urllib.request
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import mlflow
import numpy as np
import pandas as pd
import pytest
from mlflow.exceptions import ExecutionException
from PIL import Image

from project.data.page_xml import read_pages
from project.recognition.decoding import decode
from project.recognition.image import read_image
from project.tracking import registry
from tests.conftest import MLFLOW, free_port, serving


@pytest.fixture
def run(trained, checkout, capfd):
    """`run("sampler", seed=1)` is `mlflow run . -e sampler -P seed=1`; returns the MLflow run and what was printed."""

    def run_entry_point(entry_point, **parameters):
        capfd.readouterr()
        with suppress(ExecutionException):  # the run's status says so too, and it is what the tests look at
            mlflow.projects.run(
                str(checkout), entry_point, parameters=parameters, experiment_name="mlp", env_manager="local"
            )
        latest = mlflow.search_runs(experiment_names=["mlp"], max_results=1, output_format="list")[0]
        assert latest.data.tags["mlflow.project.entryPoint"] == entry_point
        return latest, "".join(capfd.readouterr())

    return run_entry_point


@pytest.fixture(scope="module")
def answered(served, checkout):
    """The files that `sampler` and `poster` write, after one line has gone through both."""
    for entry_point, parameters in (("sampler", {"seed": "1"}), ("poster", {"port": str(served)})):
        mlflow.projects.run(
            str(checkout), entry_point, parameters=parameters, experiment_name="mlp", env_manager="local"
        )
    names = ("text_image.json", "text_image.gt.txt", "prediction.json", "prediction.gt.txt")  # as they were made
    return {checkout / "project" / name: (checkout / "project" / name).read_bytes() for name in names}


@pytest.fixture
def posted(answered):
    """A line was sampled and posted, and the answer has come."""
    for path, content in answered.items():
        path.write_bytes(content)


def artifact(run, path):
    return mlflow.artifacts.download_artifacts(run_id=run.info.run_id, artifact_path=path)


def fails(run, words, entry_point, **parameters):
    """The entry point says `words`, shows no traceback, and its run is FAILED."""
    ran, printed = run(entry_point, **parameters)
    assert words in printed
    assert "Traceback (most recent call last)" not in printed.split("=== Running command")[1].split("mlflow.cli")[0]
    assert ran.info.status == "FAILED"


# ------------------------------------------------------------------------------------------- as the user works


def test_one_line_goes_all_the_way_from_picture_to_text(run, served, checkout):
    sampled, printed = run("sampler", seed="7")
    body = json.loads((checkout / "project/text_image.json").read_text())
    pixels = np.array(body["inputs"])
    assert list(body) == ["inputs"]
    assert pixels.ndim == 4
    assert pixels.dtype == int
    assert np.array_equal(read_image(artifact(sampled, "text_image.png")), pixels[0, 0])
    transcription = sampled.data.tags["transcription"]
    assert f"transcription: {transcription}" in printed

    posted, _ = run("poster", port=str(served))
    answer = json.loads((checkout / "project/prediction.json").read_text())
    assert list(answer) == ["predictions"]
    assert posted.info.status == "FINISHED"

    inferred, printed = run("inferrer")
    text = inferred.data.tags["text"]
    assert f"text: {text}" in printed
    assert f"transcription: {transcription}" in printed
    assert inferred.data.metrics["cer"] >= 0

    recognizer = registry.load_recognizer(registry.find_version("champion"))
    assert recognizer.read([recognizer.line_image(pixels[0, 0].astype(np.uint8))]) == [text]


def test_the_sampler_takes_any_line_by_chance_and_the_same_for_a_seed(run):
    pictures = {run("sampler", seed="3")[0].data.tags["picture"] for _ in range(2)}
    assert len(pictures) == 1
    assert run("sampler")[0].info.status == "FINISHED"


def test_the_sampler_says_how_many_lines_a_page_has_and_takes_the_one_that_is_asked_for(run, checkout):
    letter = checkout / "project/figures/letter.jpg"
    sampled, printed = run("sampler", image=str(letter), line=4)
    assert f"{letter} is a page with 15 lines" in printed
    assert sampled.data.tags["picture"] == f"{letter}, line 4 of 15"
    line = read_image(artifact(sampled, "text_image.png"))
    recognizer = registry.load_recognizer(registry.find_version("base"))
    assert "breakfast" in recognizer.read([recognizer.line_image(line)], "beam")[0]
    fails(run, "line: 16 is not on this page; it has 15 lines", "sampler", image=str(letter), line=16)


def test_a_text_image_made_by_hand_is_sent_and_no_old_transcription_is_taken_for_its_own(run, posted, served, checkout):
    (checkout / "project/text_image.json").write_text(json.dumps({"inputs": np.full((1, 1, 20, 90), 255).tolist()}))
    assert run("poster", port=str(served))[0].info.status == "FINISHED"
    _, printed = run("inferrer")
    assert "text: \n" in printed  # empty paper
    assert "CER" not in printed


def test_a_large_photo_is_shrunk_before_it_is_sent(run, checkout, tmp_path):
    Image.new("L", (4000, 3000), 255).save(tmp_path / "photo.png")
    assert run("sampler", image=str(tmp_path / "photo.png"))[0].info.status == "FINISHED"
    pixels = np.array(json.loads((checkout / "project/text_image.json").read_text())["inputs"])
    assert pixels.shape == (1, 1, 750, 1000)


def test_a_picture_of_the_user_s_own_is_read_and_nothing_is_claimed_about_its_text(run, served, tmp_path):
    path = tmp_path / "my photo's line.jpg"
    line = np.random.default_rng(0).integers(0, 256, (50, 300, 3), dtype=np.uint8)
    Image.fromarray(line).save(path)
    _, printed = run("sampler", image=str(path))
    assert "its transcription is not known" in printed
    assert run("poster", port=str(served))[0].info.status == "FINISHED"
    inferred, printed = run("inferrer")
    assert "text: " in printed
    assert "CER" not in printed
    assert "cer" not in inferred.data.metrics


@pytest.mark.parametrize(("model_version", "decoder"), [("1", "best_path"), ("2", "beam"), ("3", "best_path")])
def test_any_version_of_the_same_charset_can_decode(run, posted, checkout, model_version, decoder):
    ran, printed = run("inferrer", model_version=model_version, decoder=decoder)
    version = registry.find_version(model_version)
    recognizer = registry.load_recognizer(version)
    log_probs = np.array(json.loads((checkout / "project/prediction.json").read_text())["predictions"][0])
    assert ran.info.status == "FINISHED"
    assert ran.data.tags["version"] == version.version
    text = recognizer.charset.decode(decode(log_probs, decoder, recognizer.language))
    assert f"text: {text}\n" in printed


def test_evaluate_ends_with_its_figures_as_one_line_of_json(run, checkout, tmp_path):
    names = sorted((checkout / "project/test_inputs").glob("*.png"))[:3]
    texts = [name.with_suffix(".gt.txt").read_text().strip() for name in names]
    table = tmp_path / "lines.csv"
    pd.DataFrame({"image": [*map(str, names), "missing.png"], "text": [*texts, "no picture"]}).to_csv(
        table, index=False
    )
    ran, printed = run("evaluate", data=str(table), model_version="2")
    figures = json.loads([line for line in printed.splitlines() if line.startswith("{")][-1])
    assert figures["lines"] == 3
    assert figures["rejected"] == 1
    assert f"left out: {table}:4: " in printed
    assert ran.data.metrics["cer"] == pytest.approx(figures["cer"])
    assert ran.data.tags["version"] == "2"


def test_evaluate_reads_the_rows_marked_test_alone_and_with_the_decoder_that_it_is_told(run, checkout, tmp_path):
    names = sorted((checkout / "project/test_inputs").glob("*.png"))[:4]
    texts = [name.with_suffix(".gt.txt").read_text().strip() for name in names]
    lines = pd.DataFrame({"image": map(str, names), "text": texts, "split": ["test", "train", "test", "validation"]})
    lines.to_csv(tmp_path / "lines.csv", index=False)
    ran, printed = run("evaluate", data=str(tmp_path / "lines.csv"), model_version="base", decoder="beam")
    assert "on test lines of" in printed
    table = json.loads(Path(artifact(ran, "lines.json")).read_text())
    read = pd.DataFrame(table["data"], columns=table["columns"])
    assert list(read["text"]) == [texts[0], texts[2]]
    recognizer = registry.load_recognizer(registry.find_version("base"))
    line_images = [recognizer.line_image(read_image(names[number])) for number in (0, 2)]
    by_beam, by_best_path = (recognizer.transcribe(line_images, decoder) for decoder in ("beam", "best_path"))
    assert list(read["confidence"]) == pytest.approx([reading.confidence for reading in by_beam])
    assert [reading.confidence for reading in by_best_path] != pytest.approx(list(read["confidence"]))


def test_convert_writes_a_data_set_once_for_all_and_its_run_keeps_the_card(run, checkout, tmp_path):
    data, output = checkout / "project/test_inputs", tmp_path / "lines"
    ran, printed = run("convert", data=str(data), output=str(output))
    counts = json.loads([line for line in printed.splitlines() if line.startswith("{")][-1])
    assert counts["train"] + counts["validation"] + counts["test"] == len(list(data.glob("*.png")))
    assert counts["rejected"] == 0
    assert ran.data.metrics["train"] == counts["train"]
    card = (output / "README.md").read_text()
    assert Path(artifact(ran, "README.md")).read_text() == card
    assert "is held out by line, so its hands occur in training too" in printed
    fails(run, f"{output} is there already", "convert", data=str(data), output=str(output))
    assert (output / "README.md").read_text() == card


@pytest.fixture(scope="module")
def served_reader(trained, checkout, tmp_path_factory):
    """The port at which `mlflow run . -e serve_model -P model_name=handwriting_reader` serves the base model."""
    port = free_port()
    command = [*MLFLOW, "run", str(checkout), "-e", "serve_model", "--env-manager", "local"]
    command += ["--experiment-name", "mlp", "-P", f"port={port}", "-P", "model_name=handwriting_reader"]
    command += ["-P", "model_version=base", "-P", "workers=1"]
    with serving(command, f"http://127.0.0.1:{port}/ping", tmp_path_factory.mktemp("served_reader")):
        yield port


def test_a_picture_as_the_user_has_it_is_read_by_the_served_reader(run, served_reader, checkout, tmp_path):
    line = min((checkout / "project/test_inputs").glob("*.png"))
    photo = tmp_path / "my photo.webp"
    Image.open(line).save(photo, lossless=True)
    photo.with_suffix(".gt.txt").write_text(transcription := line.with_suffix(".gt.txt").read_text())
    posted, printed = run("poster", image=str(photo), port=str(served_reader))
    recognizer = registry.load_recognizer(registry.find_version("base"))
    text = recognizer.read([recognizer.line_image(read_image(line))])[0]
    assert f"text: {text}\n" in printed
    (row,) = json.loads((checkout / "project/prediction.json").read_text())["predictions"]
    assert row["text"] == text
    assert posted.info.status == "FINISHED"

    inferred, printed = run("inferrer", model_version="base")
    assert f"text: {text}\n" in printed
    assert f"transcription: {transcription.strip()}\n" in printed
    assert inferred.data.tags["text"] == text
    fails(run, "prediction.json holds texts", "inferrer", decoder="beam")


def test_transcribe_reads_a_folder_hands_out_the_least_certain_lines_and_reads_what_is_new(run, checkout, tmp_path):
    folder, output, review = tmp_path / "scans", tmp_path / "read.csv", tmp_path / "day 1.csv"
    shutil.copytree(checkout / "project/test_inputs", folder)
    (folder / "torn.png").write_bytes(b"")
    pictures = len(list(folder.glob("*.png")))
    parameters = {"images": str(folder), "output": str(output), "model_version": "2"}
    ran, printed = run("transcribe", **parameters, review=str(review), review_lines=3)
    figures = json.loads([line for line in printed.splitlines() if line.startswith("{")][-1])
    assert (figures["lines"], figures["bad_pictures"], figures["read_now"]) == (pictures, 1, pictures)
    assert f"not read: {folder / 'torn.png'}: " in printed
    assert ran.data.metrics["mean_confidence"] == pytest.approx(figures["mean_confidence"])
    read = pd.read_csv(output)
    assert list(read["model_version"]) == [2] * pictures
    assert list(pd.read_csv(review)["source"]) == list(read.nsmallest(3, "confidence")["source"])
    assert json.loads(Path(artifact(ran, "least_certain.json")).read_text())["columns"] == list(read.columns)

    shutil.copy(next(folder.glob("*-1.png")), folder / "new.png")
    by_chance = tmp_path / "day 2.csv"
    ran, printed = run("transcribe", **parameters, review=str(by_chance), review_lines=3, review_by="chance")
    assert ran.data.metrics["read_now"] == 2  # and the bad picture once more
    assert len(pd.read_csv(output)) == pictures + 1
    chosen, before = (set(pd.read_csv(table)["source"]) for table in (by_chance, review))
    assert len(chosen) == 3
    read = pd.read_csv(output)
    assert chosen < set(read.loc[read["error"].isna(), "source"]) - before


def test_transcribe_reads_a_page_writes_its_file_and_hands_it_out_whole(run, checkout, tmp_path):
    letter, review = checkout / "project/figures/letter.jpg", tmp_path / "day 1.csv"
    parameters = {"images": str(letter), "output": str(tmp_path / "read.csv"), "model_version": "base"}
    ran, printed = run("transcribe", **parameters, pages="page", review=str(review), review_lines=1, review_by="page")
    assert ran.data.metrics["lines"] == 15
    assert f"15 lines to correct: {review.with_suffix('.html')}" in printed
    read = pd.read_csv(tmp_path / "read.csv")
    assert list(read["line"]) == list(range(1, 16))
    assert [row.text for row in read_pages(tmp_path / "read.pages")] == list(read["text"])
    parameters |= {"pages": "alto", "engine": "spark"}
    fails(run, "pages: alto files are written with engine=loop only", "transcribe", **parameters)


def test_transcribe_on_spark_says_the_same(run, checkout, tmp_path):
    read = {}
    for engine in ("loop", "spark"):
        output = tmp_path / f"{engine}.parquet"
        where = {"images": str(checkout / "project/test_inputs"), "output": str(output)}
        ran, _ = run("transcribe", **where, engine=engine, master="local[2]")
        assert ran.info.status == "FINISHED"
        read[engine] = pd.read_parquet(output).sort_values("source", ignore_index=True)
    pd.testing.assert_frame_equal(read["spark"], read["loop"], rtol=2e-3, atol=0)


# --------------------------------------------------------------------------------------------------- bad input


def test_what_was_meant_for_the_other_model_is_refused_and_the_old_prediction_stays(
    run, posted, served, served_reader, checkout
):
    before = (checkout / "project/prediction.json").read_bytes()
    line = min((checkout / "project/test_inputs").glob("*.png"))
    fails(run, "this model takes", "poster", port=str(served_reader))
    fails(run, "this model takes", "poster", port=str(served), image=str(line))
    assert (checkout / "project/prediction.json").read_bytes() == before


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [("gone.png", None, "gone.png: No such file"), ("note.png", b"just text", "could not read the picture: ")],
)
def test_a_picture_that_cannot_be_read_is_told_and_the_old_prediction_stays(
    run, posted, served_reader, checkout, tmp_path, name, content, words
):
    before = (checkout / "project/prediction.json").read_bytes()
    if content is not None:
        (tmp_path / name).write_bytes(content)
    fails(run, words, "poster", image=str(tmp_path / name), port=str(served_reader))
    assert (checkout / "project/prediction.json").read_bytes() == before


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("gone.png", None, "gone.png: no such file"),
        ("paper.pdf", b"%PDF-1.7", "paper.pdf: not a picture"),
        ("note.png", b"just text", "note.png: not a picture"),
    ],
)
def test_what_is_no_picture_fails_and_the_old_text_image_stays(run, posted, checkout, tmp_path, name, content, words):
    before = (checkout / "project/text_image.json").read_bytes()
    if content is not None:
        (tmp_path / name).write_bytes(content)
    fails(run, words, "sampler", image=str(tmp_path / name))
    assert (checkout / "project/text_image.json").read_bytes() == before


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("not json", 'must be {"inputs": 4-D list}'),
        ('{"inputs": []}', 'must be {"inputs": 4-D list}'),
        ('{"inputs": [[1, 2], [3, 4]]}', "The requested URL returned error: 400"),
    ],
)
def test_a_wrong_text_image_is_refused_and_the_old_prediction_stays(run, posted, served, checkout, content, words):
    before = (checkout / "project/prediction.json").read_bytes()
    (checkout / "project/text_image.json").write_text(content)
    fails(run, words, "poster", port=str(served))
    assert (checkout / "project/prediction.json").read_bytes() == before


def test_a_server_that_is_not_ours_is_told_from_ours(run, posted, checkout):
    class Other(BaseHTTPRequestHandler):
        def do_POST(self):
            self.send_response(200)
            self.end_headers()
            self.wfile.write(b'{"predictions": [1.5]}')

    before = (checkout / "project/prediction.json").read_bytes()
    with ThreadingHTTPServer(("127.0.0.1", 0), Other) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        fails(run, "answered without log-probs", "poster", port=str(server.server_port))
        server.shutdown()
    assert (checkout / "project/prediction.json").read_bytes() == before


def test_without_a_server_the_poster_fails_in_words(run, posted, checkout):
    before = (checkout / "project/prediction.json").read_bytes()
    port = str(free_port())
    fails(run, f"http://127.0.0.1:{port}/invocations: curl: (7) Failed to connect", "poster", port=port)
    assert (checkout / "project/prediction.json").read_bytes() == before


@pytest.mark.parametrize(
    ("predictions", "words"),
    [
        ([[[0.0, -1.0]]], "was it another version that was served?"),
        ("NaN", "holds NaN or infinity"),
        (["text"], "3-D list of numbers"),
    ],
)
def test_a_prediction_of_something_else_fails_in_words(run, posted, checkout, predictions, words):
    path = checkout / "project/prediction.json"
    answer = json.loads(path.read_text())
    if predictions == "NaN":
        answer["predictions"][0][0][0] = float("nan")
    else:
        answer["predictions"] = predictions
    path.write_text(json.dumps(answer))
    fails(run, words, "inferrer")


@pytest.mark.parametrize("entry_point", ["inferrer", "serve_model"])
def test_an_unknown_version_is_named_with_those_there_are(run, posted, entry_point):
    words = "it has the versions [1, 2, 3, 4], the aliases ['base', 'champion'], and 'latest'"
    fails(run, words, entry_point, model_version="99", **({} if entry_point == "inferrer" else {"port": free_port()}))


@pytest.mark.parametrize(("entry_point", "port"), [("poster", "-1"), ("serve_model", "65536")])
def test_a_port_out_of_range_is_named(run, entry_point, port):
    fails(run, f"Invalid value for '--port': {port} is not in the range 1<=x<=65535.", entry_point, port=port)


def test_a_port_in_use_is_named(run, served):
    fails(run, f"port {served}: Address already in use", "serve_model", port=str(served))


def test_a_data_path_that_does_not_exist_is_named(run, tmp_path):
    for entry_point in ("evaluate", "main", "train"):
        fails(run, f"{tmp_path / 'nowhere'} does not exist", entry_point, data=str(tmp_path / "nowhere"))


def test_pictures_that_do_not_exist_are_named_before_anything_is_made(run, tmp_path):
    where = {"images": str(tmp_path / "scnas"), "output": str(tmp_path / "read.csv")}
    fails(run, f"images: {tmp_path / 'scnas'} does not exist", "transcribe", **where)
    assert not list(tmp_path.iterdir())


def test_a_table_without_texts_is_named_with_its_columns(run, tmp_path):
    table = tmp_path / "lines.csv"
    table.write_text("image,label\na.png,a\n")
    fails(run, "has no column text; its columns are ['image', 'label']", "evaluate", data=str(table))


def test_an_unknown_start_is_named_before_anything_is_trained(run):
    fails(run, "start_from: cnn_text_identifier has no version 'chmpion'", "main", start_from="chmpion")


@pytest.mark.parametrize("parameters", [{"epochs": "2.5"}, {"seed": "-1"}])
def test_a_number_of_the_main_job_that_makes_no_sense_is_named(run, parameters):
    (name,) = parameters
    fails(run, f"Invalid value for '--{name}': ", "main", **parameters)


def test_every_start_and_every_error_is_in_the_log(run, checkout):
    run("sampler", image="no-such-picture.png")
    log = (checkout / "log.log").read_text()
    assert "sampler INFO" in log
    assert "--image=no-such-picture.png" in log
    assert f"InputError: {checkout}/no-such-picture.png: no such file" in log
    assert "Traceback" in log


# ------------------------------------------------------------------------------------------------ the server


def invoke(port, body, content_type="application/json"):
    """POST a body; returns the status and the answer, which must be strict JSON."""
    request = urllib.request.Request(
        f"http://127.0.0.1:{port}/invocations", body.encode(), {"Content-Type": content_type}
    )

    def not_json(constant):
        raise AssertionError(f"{constant} is not JSON")

    try:
        with urllib.request.urlopen(request, timeout=60) as response:
            return response.status, json.load(response, parse_constant=not_json)
    except urllib.error.HTTPError as error:
        return error.code, json.load(error, parse_constant=not_json)


def test_pictures_of_any_size_are_read_and_a_batch_like_its_lines_alone(served):
    rng = np.random.default_rng(0)
    for height, width in ((8, 8), (64, 500), (33, 1111), (200, 90)):
        batch = rng.integers(0, 256, (3, 1, height, width))
        status, together = invoke(served, json.dumps({"inputs": batch.tolist()}))
        assert status == 200
        for picture, expected in zip(batch, together["predictions"], strict=True):
            _, alone = invoke(served, json.dumps({"inputs": picture[None].tolist()}))
            frames = len(alone["predictions"][0])
            assert np.allclose(alone["predictions"][0], expected[:frames], atol=2e-3)
            assert all(frame[0] == 0 and max(frame[1:]) == -99 for frame in expected[frames:])


@pytest.mark.parametrize(
    "body",
    [
        "",
        "nonsense",
        "{}",
        '{"inputs": []}',
        '{"inputs": [[1, 2]]}',
        '{"inputs": [[[[1, 2], [3]]]]}',
        '{"inputs": "text"}',
        json.dumps({"inputs": np.zeros((1, 3, 40, 40)).tolist()}),
        json.dumps({"inputs": np.zeros((1, 1, 40, 1)).tolist()}),
        json.dumps({"inputs": np.full((1, 1, 10, 10), np.nan).tolist()}),
        json.dumps({"inputs": np.full((1, 1, 10, 10), 256).tolist()}),
        json.dumps({"inputs": np.full((1, 1, 10, 10), -1).tolist()}),
        json.dumps({"inputs": np.zeros((1, 1, 10, 10)).tolist()}).replace("0.0", "null"),
        json.dumps({"inputs": np.zeros((1, 1, 8, 2000)).tolist()}),
    ],
)
def test_a_malformed_body_is_answered_with_400_and_strict_json(served, body):
    status, answer = invoke(served, body)
    assert status == 400, answer
    assert answer["message"]


def test_curl_as_in_the_readme_works(served, run, checkout):
    run("sampler", seed="1")
    command = ["curl", "-sS", "--fail-with-body", "-H", "Content-Type: application/json"]
    command += ["-d", f"@{checkout / 'project/text_image.json'}", f"http://127.0.0.1:{served}/invocations"]
    answer = subprocess.run(command, capture_output=True, check=True)
    assert json.loads(answer.stdout)["predictions"]
