"""Files by name and SHA-256: found in a directory of yours, or downloaded once into the user's cache."""

import hashlib
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from fdl.cache import cache_directory
from fdl.data.files import write_whole

CHUNK = 2**20
TIMEOUT = 30  # seconds without a byte
LOOPBACK = ("127.0.0.1", "::1", "localhost")
PART = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]*")


class FetchError(RuntimeError):
    """A file cannot be had, or is not the one that was asked for."""


def fetch(name: str, url: str, sha256: str, *, size: int, root: str | os.PathLike | None = None) -> Path:
    """The path of the file `name` with this SHA-256 and this size in bytes.

    Looks in root, in $FDL_DATA and in the user's cache ($XDG_CACHE_HOME/fdl or ~/.cache/fdl); then downloads url, over
    https, into the cache.  The first file found is checked and used.  Raises FetchError if it differs or none is found.
    """
    parts = name.split("/")
    if not all(PART.fullmatch(part) for part in parts):
        raise FetchError(f"name must be plain words joined by '/', as in mnist/train.gz, got {name!r}")
    places = [place.joinpath(*parts) for place in directories(root)]
    for path in places:
        if path.is_file():
            _verify(path, sha256, size)
            return path
    try:
        _download(places[-1], cache_directory(), url, sha256, size)
    except OSError as error:
        looked = "\n".join(f"  {path}" for path in places)
        raise FetchError(
            f"{name} is in none of\n{looked}\nand downloading {url} failed: {error}\n"
            f"set FDL_DATA to a directory that holds {name}, or copy the file {parts[-1]} into {places[-1].parent}"
        ) from error
    return places[-1]


def directories(root: str | os.PathLike | None) -> list[Path]:
    """Where a file is looked for, in this order; the cache is the last."""
    given = [Path(place) for place in (root, os.environ.get("FDL_DATA")) if place]
    return [*given, cache_directory()]


def _verify(path: Path, sha256: str, size: int) -> None:
    found = path.stat().st_size
    if found != size:
        raise FetchError(f"{path} must have {size} bytes, it has {found}; delete it, or put the right file there")
    with open(path, "rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    if digest != sha256:
        raise FetchError(f"{path} must have SHA-256 {sha256}, it has {digest}; delete it, or put the right file there")


def _download(path: Path, cache: Path, url: str, sha256: str, size: int) -> None:
    """Into a temporary file of our own, then into place: processes that race each end with the same whole file."""
    from http.client import HTTPException

    _require_secure(url, url)
    path.parent.mkdir(parents=True, exist_ok=True)
    if not path.parent.resolve().is_relative_to(cache.resolve()):
        raise FetchError(
            f"{path.parent} is a link out of {cache}; remove the link, or set XDG_CACHE_HOME to its target"
        )
    try:
        with _opener().open(url, timeout=TIMEOUT) as response:
            write_whole(path, _checked(response, url, sha256, size))
    except HTTPException as error:  # a reply that is no HTTP; urllib lets these through
        raise OSError(f"broken reply, {error!r}") from error


def _checked(response: Any, url: str, sha256: str, size: int) -> Iterator[bytes]:
    """The chunks of the response.  Raises at its end, before the file is put into place, if they are the wrong ones."""
    announced = response.headers.get("Content-Length", str(size))
    if announced != str(size):
        raise FetchError(f"{url} must have {size} bytes, the server announces {announced}; nothing was kept")
    digest, count = hashlib.sha256(), 0
    while chunk := response.read(min(CHUNK, size + 1 - count)):
        count += len(chunk)
        if count > size:
            raise FetchError(f"{url} must have {size} bytes, the server sends more; nothing was kept")
        digest.update(chunk)
        yield chunk
    if count < size:
        raise FetchError(f"{url} must have {size} bytes, the connection ended after {count}; try again")
    if digest.hexdigest() != sha256:
        raise FetchError(f"{url} must have SHA-256 {sha256}, got {digest.hexdigest()}; nothing was kept")


def _require_secure(url: str, origin: str) -> None:
    """https only, and no redirect away from it; plain http never leaves this machine."""
    from urllib.parse import urlsplit

    target = urlsplit(url)
    local = target.scheme == "http" and target.hostname in LOOPBACK and urlsplit(origin).scheme == "http"
    if target.scheme != "https" and not local:
        redirected = "" if url == origin else f" by a redirect from {origin}"
        raise FetchError(f"downloads are over https only, got {url}{redirected}")


def _opener() -> Any:
    """An opener that checks every redirect.  urllib is imported here because most programs never download."""
    import urllib.request

    class Secure(urllib.request.HTTPRedirectHandler):
        def redirect_request(self, req, fp, code, msg, headers, newurl):
            _require_secure(newurl, req.full_url)
            return super().redirect_request(req, fp, code, msg, headers, newurl)

    return urllib.request.build_opener(Secure)
