"""What all commands share: errors in words, passwords that are masked, paths in full."""

import subprocess
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

import pytest

from project import handover
from project.errors import InputError, mask_passwords
from project.poster import is_local, post
from tests.conftest import ROOT

COMMAND = """
import click, logging, sys
from project import cli
from project.errors import InputError

@click.command()
def main():
    logging.warning("at http://ann:secret@127.0.0.1:9/mlflow")
    {body}

cli.run("main", main)
"""


def ran(body, folder):
    command = [sys.executable, "-c", COMMAND.format(body=body)]
    environment = {"PYTHONPATH": str(ROOT), "PATH": "/usr/bin:/bin", "PYTHONIOENCODING": "ascii"}
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)


def test_what_a_user_can_mend_is_one_line_and_a_bug_says_that_it_is_one(tmp_path):
    mended = ran("raise InputError('line: 7 is not on this page')", tmp_path)
    assert (mended.returncode, mended.stderr.splitlines()[-1]) == (1, "main: line: 7 is not on this page")
    bug = ran("[][1]", tmp_path)
    assert bug.returncode == 1
    assert bug.stderr.splitlines()[-1].startswith("main: this is a bug: IndexError: list index out of range; its trace")
    assert "Traceback" not in bug.stderr
    assert "IndexError" in (tmp_path / "log.log").read_text()


def test_a_password_is_neither_printed_nor_logged(tmp_path):
    done = ran("raise InputError('no server at postgresql://ann:secret@db/mlflow')", tmp_path)
    log = (tmp_path / "log.log").read_text()
    assert "postgresql://ann:***@db/mlflow" in done.stderr
    assert "http://ann:***@127.0.0.1:9/mlflow" in log
    assert "secret" not in done.stdout + done.stderr + log


def test_a_text_that_the_terminal_cannot_print_is_printed_with_escapes(tmp_path):
    done = ran("print('d\\u00e9j\\u00e0 vu')", tmp_path)
    assert (done.returncode, done.stdout) == (0, "d\\xe9j\\xe0 vu\n")


@pytest.mark.parametrize(
    ("uri", "masked"),
    [
        ("https://u:p%40x@host:8080/a", "https://u:***@host:8080/a"),
        ("https://u:p@x@host:8080/a", "https://u:***@host:8080/a"),
        ("https://host:8080/a@b", "https://host:8080/a@b"),
        ("sqlite:///mlflow.db", "sqlite:///mlflow.db"),
    ],
)
def test_only_passwords_are_masked(uri, masked):
    assert mask_passwords(f"at {uri}") == f"at {masked}"


def test_paths_are_of_the_folder_in_which_the_command_was_typed(tmp_path):
    (tmp_path / "scans, box 2").mkdir()
    (tmp_path / "words").mkdir()
    folder = tmp_path / "project"
    folder.mkdir()
    script = (
        "import os; from project import cli; os.chdir('project'); print(cli.full_path('read.csv'));"
        "print(cli.full_data('scans, box 2')); print(cli.full_data('synthetic,hf:a/b'));"
        "print(cli.full_data('synthetic:fonts:texts/a.txt,stitched:words,stitched:hf:a/b'))"
    )
    mlflow_run = tmp_path / "mlflow"
    mlflow_run.write_text(f"import subprocess, sys; subprocess.run([sys.executable, '-c', {script!r}], check=True)")
    command, environment = [sys.executable, str(mlflow_run), "run"], {"PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)
    expected = [f"{tmp_path}/read.csv", f"{tmp_path}/scans, box 2", "synthetic,hf:a/b"]
    expected.append(f"synthetic:{tmp_path}/fonts:{tmp_path}/texts/a.txt,stitched:{tmp_path}/words,stitched:hf:a/b")
    assert done.stdout.splitlines() == expected, done.stderr


def test_hand_over_files_are_not_written_to_a_temporary_checkout(tmp_path, monkeypatch):
    handover.check_kept()
    checkout = tmp_path / "tmpab12_x9z"
    (checkout / ".git").mkdir(parents=True)
    monkeypatch.setattr(handover, "FOLDER", checkout / "project")
    monkeypatch.setattr("tempfile.gettempdir", lambda: str(tmp_path))
    with pytest.raises(InputError, match="is a temporary checkout"):
        handover.check_kept()


@pytest.mark.parametrize(
    ("url", "local"),
    [
        ("http://127.0.0.1:8000/a", True),
        ("http://[::1]:8000/a", True),
        ("http://localhost/a", True),
        ("http://a.org/a", False),
    ],
)
def test_only_addresses_of_this_machine_go_past_a_proxy(url, local):
    assert is_local(url) is local


@pytest.fixture
def reader_url():
    """The URL of a server on this machine that answers any body with a text."""

    class Reader(BaseHTTPRequestHandler):
        def do_POST(self):
            self.send_response(200)
            self.end_headers()
            self.wfile.write(b'{"predictions": [{"text": "read", "confidence": 0.5, "error": ""}]}')

    with ThreadingHTTPServer(("127.0.0.1", 0), Reader) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/invocations"
        server.shutdown()


def test_the_user_s_proxy_and_settings_of_curl_do_not_keep_poster_from_this_machine(tmp_path, monkeypatch, reader_url):
    (tmp_path / ".curlrc").write_text("head\nmax-time = 0.001\n")
    (tmp_path / "body.json").write_text("{}")
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in ("http_proxy", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    assert post(reader_url, tmp_path / "body.json", tmp_path / "answer.json") == "confidence 50%\ntext: read"


def test_without_curl_poster_says_so(tmp_path, monkeypatch, reader_url):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(InputError, match="curl is not installed"):
        post(reader_url, tmp_path / "body.json", tmp_path / "answer.json")
