"""Files by name and SHA-256 (R18, R19), against a server on this machine."""

import hashlib
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from fdl.data import FetchError, fetch

CONTENT = bytes(range(256)) * 1000
SIZE = len(CONTENT)
SHA256 = hashlib.sha256(CONTENT).hexdigest()


class Handler(BaseHTTPRequestHandler):
    """/good, /race, /wrong, /short, /long, /broken and /redirect?URL; anything else is missing."""

    def do_GET(self):
        self.server.asked.append(self.path)
        path, _, query = self.path.partition("?")
        if path == "/redirect":
            self.send_response(302)
            self.send_header("Location", query)
            self.end_headers()
            return
        if path == "/broken":
            self.wfile.write(b"this is no HTTP\r\n\r\n")
            return
        if path == "/race":
            self.server.race.wait(timeout=30)  # no reply until both processes have asked
            path = "/good"
        body = {"/good": CONTENT, "/wrong": CONTENT[::-1], "/short": CONTENT[:-9], "/long": CONTENT * 2}.get(path)
        self.send_response(200 if body else 404)
        if path in ("/good", "/wrong"):
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body or b"")

    def log_message(self, *args):
        pass


@pytest.fixture
def server():
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.asked = []
        server.race = threading.Barrier(2)
        server.url = f"http://127.0.0.1:{server.server_port}"
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.delenv("FDL_DATA", raising=False)
    return tmp_path / "cache" / "fdl"


def _fetch(url, name="set/file.gz", sha256=SHA256, size=SIZE, root=None):
    return fetch(name, url, sha256, size=size, root=root)


def _files(directory):
    return sorted(str(path.relative_to(directory)) for path in directory.rglob("*") if path.is_file())


def test_a_download_is_kept_and_not_repeated(server, cache):
    for _ in range(2):
        path = _fetch(server.url + "/good")
        assert path == cache / "set" / "file.gz"
        assert path.read_bytes() == CONTENT
    assert server.asked == ["/good"]
    assert _files(cache) == ["set/file.gz"]


def test_order_of_search(server, cache, tmp_path, monkeypatch):
    for place in ("root", "data"):
        (tmp_path / place / "set").mkdir(parents=True)
        (tmp_path / place / "set" / "file.gz").write_bytes(CONTENT)
    _fetch(server.url + "/good")
    monkeypatch.setenv("FDL_DATA", str(tmp_path / "data"))
    assert _fetch("https://unused.invalid", root=tmp_path / "root").is_relative_to(tmp_path / "root")
    assert _fetch("https://unused.invalid").is_relative_to(tmp_path / "data")
    (tmp_path / "data" / "set" / "file.gz").unlink()
    assert _fetch("https://unused.invalid").is_relative_to(cache)


@pytest.mark.parametrize(("content", "said"), [(CONTENT[::-1], "SHA-256"), (CONTENT[:-1], "255999"), (b"", "it has 0")])
def test_a_wrong_file_that_is_found_is_an_error_and_stays(server, tmp_path, content, said):
    (tmp_path / "root" / "set").mkdir(parents=True)
    wrong = tmp_path / "root" / "set" / "file.gz"
    wrong.write_bytes(content)
    with pytest.raises(FetchError, match=f"(?s){wrong} must have .*{said}.*delete it"):
        _fetch(server.url + "/good", root=tmp_path / "root")
    assert wrong.read_bytes() == content
    assert server.asked == []


@pytest.mark.parametrize(
    ("path", "said"),
    [
        ("/wrong", f"must have SHA-256 {SHA256}, got "),
        ("/short", "ended after 255991"),
        ("/long", "server sends more"),
        ("/missing", "404"),
        ("/broken", "broken reply"),
        ("/redirect?http://example.invalid/x", "over https only, got http://example.invalid/x by a redirect"),
        ("/redirect?file:///etc/passwd", "'file:///etc/passwd' is not allowed"),
        ("/redirect?ftp://127.0.0.1/x", "over https only"),
    ],
)
def test_a_wrong_download_leaves_nothing(server, cache, path, said):
    with pytest.raises(FetchError, match=said.replace("?", r"\?")):
        _fetch(server.url + path)
    assert _files(cache) == []


def test_a_size_announced_wrongly_is_refused_before_the_body(server, cache):
    with pytest.raises(FetchError, match="must have 5 bytes, the server announces 256000"):
        _fetch(server.url + "/good", size=5)
    assert _files(cache) == []


def test_a_failed_download_leaves_other_files_alone(server, cache):
    good = _fetch(server.url + "/good")
    with pytest.raises(FetchError):
        _fetch(server.url + "/wrong", name="set/other.gz")
    assert good.read_bytes() == CONTENT
    assert _files(cache) == ["set/file.gz"]


def test_a_redirect_within_this_machine_is_followed(server):
    assert _fetch(f"{server.url}/redirect?{server.url}/good").read_bytes() == CONTENT


@pytest.mark.parametrize("url", ["http://example.invalid/x", "ftp://example.invalid/x", "file:///etc/hostname", "x"])
def test_only_https_leaves_this_machine(url):
    with pytest.raises(FetchError, match="over https only"):
        _fetch(url)


@pytest.mark.parametrize(
    "name", ["", "/etc/x", "../x", "a/../x", "a//x", "./x", "a/.x", "a\\x", "C:/x", "a/x\0", "~/x", "a/x\n", "a/"]
)
def test_names_that_could_leave_the_directory_are_refused(server, name):
    with pytest.raises(FetchError, match="name must be plain words"):
        _fetch(server.url + "/good", name=name)
    assert server.asked == []


def test_a_link_out_of_the_cache_is_not_written_through(server, cache, tmp_path):
    (tmp_path / "elsewhere").mkdir()
    cache.mkdir(parents=True)
    (cache / "set").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(FetchError, match="is a link out of"):
        _fetch(server.url + "/good")
    assert _files(tmp_path / "elsewhere") == []


def test_a_dangling_link_is_replaced_not_followed(server, cache, tmp_path):
    (cache / "set").mkdir(parents=True)
    (cache / "set" / "file.gz").symlink_to(tmp_path / "target")
    assert _fetch(server.url + "/good").read_bytes() == CONTENT
    assert not (tmp_path / "target").exists()
    assert not (cache / "set" / "file.gz").is_symlink()


def test_offline_says_where_it_looked_and_what_to_do(cache, tmp_path, monkeypatch):
    monkeypatch.setenv("FDL_DATA", str(tmp_path / "data"))
    with pytest.raises(FetchError) as caught:
        _fetch("http://127.0.0.1:1/good", root=tmp_path / "root")
    said = str(caught.value)
    for place in (tmp_path / "root", tmp_path / "data", cache):
        assert str(place / "set" / "file.gz") in said
    assert "set FDL_DATA to a directory that holds set/file.gz" in said
    assert f"copy the file file.gz into {cache / 'set'}" in said


def test_a_cache_that_cannot_be_written_is_a_clear_error(server, cache):
    cache.parent.mkdir()
    cache.write_text("a file where the directory should be")
    with pytest.raises(FetchError, match="set FDL_DATA"):
        _fetch(server.url + "/good")


RACE = """
import sys
from fdl.data.fetch import fetch
print(fetch("set/file.gz", sys.argv[1], sys.argv[2], size=int(sys.argv[3])))
"""


def test_two_processes_that_race_both_proceed_with_one_whole_file(server, cache):
    command = [sys.executable, "-c", RACE, server.url + "/race", SHA256, str(SIZE)]
    processes = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    said = [process.communicate(timeout=60)[0].strip() for process in processes]
    assert said == [str(cache / "set" / "file.gz")] * 2
    assert server.asked == ["/race"] * 2
    assert (cache / "set" / "file.gz").read_bytes() == CONTENT
    assert _files(cache) == ["set/file.gz"]
