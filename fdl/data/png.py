"""PNG: a signature, chunks with checksums, and rows of pixels, each filtered and all deflated together.

https://www.w3.org/TR/png-3/  Read are all kinds of pixels of files that are not interlaced; written are grey and RGB of
8 bits.  A file is not trusted: what it declares is compared with what it holds before memory is taken for it.
"""

import os
import struct
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple, NoReturn

import numpy as np

from fdl.data.files import write_whole

SIGNATURE = b"\x89PNG\r\n\x1a\n"
GREY, RGB, PALETTE, GREY_ALPHA, RGBA = 0, 2, 3, 4, 6
CHANNELS = {GREY: 1, RGB: 3, PALETTE: 1, GREY_ALPHA: 2, RGBA: 4}
DEPTHS = {GREY: (1, 2, 4, 8, 16), RGB: (8, 16), PALETTE: (1, 2, 4, 8), GREY_ALPHA: (8, 16), RGBA: (8, 16)}


class PngError(ValueError):
    """A PNG file is damaged, or is none, or of a kind that is not read; the message names the file."""


class _Header(NamedTuple):
    width: int
    height: int
    depth: int
    colour: int
    compression: int
    filtering: int
    interlaced: int

    @property
    def row_bytes(self) -> int:
        return (self.width * CHANNELS[self.colour] * self.depth + 7) // 8


def read_png(path: str | os.PathLike, *, max_bytes: int = 2**28) -> np.ndarray:
    """The pixels of a PNG file, (height, width, channels): 1 grey, 2 grey and alpha, 3 RGB, 4 RGBA.

    uint8, or uint16 where the file has 16 bits a sample; samples of 1, 2 and 4 bits of grey are scaled to 0 … 255, and
    palettes become RGB.  Raises PngError for a damaged file, an interlaced one, and one of more than max_bytes.
    """
    path = Path(path)
    content = path.read_bytes()
    if not content.startswith(SIGNATURE):
        _fail(path, f"a PNG file starts with {SIGNATURE.hex(' ')}, got {content[:8].hex(' ')}; is it a PNG file?")
    chunks = list(_chunks(path, content))
    header = _header(path, chunks[0] if chunks else (b"", b""))
    packed = b"".join(data for kind, data in chunks if kind == b"IDAT")
    rows = _unfiltered(path, header, _inflated(path, header, packed, max_bytes))
    samples = _samples(header, rows)
    if header.colour == PALETTE:
        return _coloured(path, samples, b"".join(data for kind, data in chunks if kind == b"PLTE"))
    if header.depth < 8:
        samples = samples * np.uint8(255 // (2**header.depth - 1))
    return samples.reshape(header.height, header.width, CHANNELS[header.colour])


def write_png(path: str | os.PathLike, image: np.ndarray) -> None:
    """Write uint8 pixels (height, width), (height, width, 1) or (height, width, 3).  Equal pixels give equal bytes."""
    path, image = Path(path), np.asarray(image)
    image = image[..., None] if image.ndim == 2 else image
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[-1] not in (1, 3) or not image.size:
        _fail(path, f"pixels must be uint8 (height, width, 1 or 3), got {image.dtype} {image.shape}")
    height, width, channels = image.shape
    header = struct.pack(">IIBBBBB", width, height, 8, GREY if channels == 1 else RGB, 0, 0, 0)
    rows = np.pad(image.reshape(height, -1), ((0, 0), (1, 0)))  # each row begins with the number of its filter, 0: none
    chunks = {b"IHDR": header, b"IDAT": zlib.compress(rows.tobytes(), 9), b"IEND": b""}
    write_whole(path, [SIGNATURE, *(_chunk(kind, data) for kind, data in chunks.items())])


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def _chunks(path: Path, content: bytes) -> Iterator[tuple[bytes, bytes]]:
    """(kind, data) of each chunk, its checksum compared, up to the end of the image."""
    at, kind = len(SIGNATURE), b""
    while kind != b"IEND":
        if at + 12 > len(content):
            _fail(path, f"byte {at}: the file ends before its last chunk")
        length, kind = struct.unpack(">I4s", content[at : at + 8])
        data = content[at + 8 : at + 8 + length]
        if len(data) < length or at + 12 + length > len(content):
            _fail(path, f"byte {at}: chunk {kind!r} declares {length} bytes, the file ends before")
        if struct.pack(">I", zlib.crc32(kind + data)) != content[at + 8 + length : at + 12 + length]:
            _fail(path, f"byte {at}: chunk {kind!r} does not have the checksum that it declares")
        yield kind, data
        at += 12 + length


def _header(path: Path, first: tuple[bytes, bytes]) -> _Header:
    kind, data = first
    if kind != b"IHDR" or len(data) != 13:
        _fail(path, f"the first chunk must be IHDR of 13 bytes, got {kind!r} of {len(data)}")
    header = _Header(*struct.unpack(">IIBBBBB", data))
    if header.depth not in DEPTHS.get(header.colour, ()) or not header.width or not header.height:
        _fail(path, f"no PNG has {header.width} x {header.height} pixels of {header.depth} bits, kind {header.colour}")
    if header.compression or header.filtering or header.interlaced:
        _fail(path, "only deflated files that are not interlaced are read; save the image again without interlacing")
    return header


def _inflated(path: Path, header: _Header, packed: bytes, max_bytes: int) -> bytes:
    declared = header.height * (header.row_bytes + 1)
    if declared > max_bytes:
        _fail(path, f"{header.width} x {header.height} pixels are more than max_bytes={max_bytes}")
    inflate = zlib.decompressobj()
    try:
        rows = inflate.decompress(packed, declared + 1)
    except zlib.error as error:
        _fail(path, f"the pixels cannot be inflated: {error}")
    if len(rows) != declared or not inflate.eof:
        _fail(path, f"{declared} bytes of pixels must be deflated, followed by their checksum; got {len(rows)}")
    return rows


def _unfiltered(path: Path, header: _Header, packed: bytes) -> np.ndarray:
    """The rows of bytes, (height, row_bytes): each filter adds what it foretold from bytes to the left and above."""
    rows = np.frombuffer(packed, np.uint8).reshape(header.height, -1)
    step = max(1, CHANNELS[header.colour] * header.depth // 8)
    found, above = np.empty((header.height, header.row_bytes), np.uint8), np.zeros(header.row_bytes, np.uint8)
    for i, (kind, row) in enumerate(zip(rows[:, 0].tolist(), rows[:, 1:])):
        if kind == 0:
            above = row
        elif kind == 1:
            above = _summed(row, step)
        elif kind == 2:
            above = row + above
        elif kind in (3, 4):
            above = np.frombuffer(
                _from_the_left(row.tobytes(), above.tobytes(), step, _mean if kind == 3 else _paeth), np.uint8
            )
        else:
            _fail(path, f"row {i} has filter {kind}; there are 0 to 4")
        found[i] = above
    return found


def _summed(row: np.ndarray, step: int) -> np.ndarray:
    """Running sums, modulo 256, of every step-th byte."""
    missing = -len(row) % step
    return np.pad(row, (0, missing)).reshape(-1, step).cumsum(0, dtype=np.uint8).ravel()[: len(row)]


def _from_the_left(row: bytes, above: bytes, step: int, foretell) -> bytearray:
    found = bytearray(row)
    for i, byte in enumerate(row):
        left, corner = (found[i - step], above[i - step]) if i >= step else (0, 0)
        found[i] = (byte + foretell(left, above[i], corner)) & 255
    return found


def _mean(left: int, above: int, corner: int) -> int:
    return (left + above) // 2


def _paeth(left: int, above: int, corner: int) -> int:
    """Whichever of the three is nearest to left + above - corner; of equally near ones the first."""
    guess = left + above - corner
    return min((left, above, corner), key=lambda byte: abs(guess - byte))


def _samples(header: _Header, rows: np.ndarray) -> np.ndarray:
    """The samples of each row, (height, width · channels)."""
    if header.depth == 16:
        return rows.view(">u2").astype(np.uint16)
    if header.depth == 8:
        return rows
    bits = np.unpackbits(rows, axis=1).reshape(header.height, -1, header.depth)
    return (bits @ (1 << np.arange(header.depth, dtype=np.uint8)[::-1]))[:, : header.width]


def _coloured(path: Path, numbers: np.ndarray, palette: bytes) -> np.ndarray:
    colours = np.frombuffer(palette[: len(palette) // 3 * 3], np.uint8).reshape(-1, 3)
    if numbers.max() >= len(colours):
        _fail(path, f"a pixel has colour {numbers.max()} of a palette of {len(colours)}")
    return colours[numbers]


def _fail(path: Path, fact: str) -> NoReturn:
    raise PngError(f"{path}: {fact}")
