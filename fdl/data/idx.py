"""IDX, the format of MNIST: two zero bytes, a type, the number of axes, their sizes in uint32, the values; big-endian.

https://yann.lecun.com/exdb/mnist/  A file is not trusted: what it declares is compared with what it holds first.
"""

import gzip
import io
import math
import os
import struct
import zlib
from pathlib import Path
from typing import BinaryIO, NoReturn

import numpy as np

from fdl.data.files import write_whole

DTYPES = {0x08: ">u1", 0x09: ">i1", 0x0B: ">i2", 0x0C: ">i4", 0x0D: ">f4", 0x0E: ">f8"}
AXES = 32
CHUNK = 2**20
DEFLATE = 1032  # deflate never expands by more than this


class IdxError(ValueError):
    """An IDX file is damaged, or is none; the message names the file and the byte."""


def read_idx(path: str | os.PathLike, *, max_bytes: int = 2**30) -> np.ndarray:
    """Read an IDX file, gzipped or not, into an array of native byte order.

    Raises IdxError for a damaged file and for one that declares more than max_bytes.  Memory stays within what the file
    truly holds.  Byte offsets are those of the content, after decompression.
    """
    path = Path(path)
    with open(path, "rb") as file:
        packed = file.read(2) == b"\x1f\x8b"
        file.seek(0)
        held = os.fstat(file.fileno()).st_size * (DEFLATE if packed else 1)
        stream = gzip.GzipFile(fileobj=file) if packed else file
        return _parse(path, stream, held, max_bytes)


def write_idx(path: str | os.PathLike, array: np.ndarray) -> None:
    """Write an array as IDX, gzipped if the name ends in .gz.  Equal arrays give equal bytes.  The write is atomic."""
    path, array = Path(path), np.asarray(array)
    codes = {np.dtype(dtype).newbyteorder("="): code for code, dtype in DTYPES.items()}
    code = codes.get(array.dtype.newbyteorder("="))
    if code is None:
        known = ", ".join(str(dtype) for dtype in codes)
        raise IdxError(f"{path}: IDX holds {known}, got {array.dtype}; cast the array first")
    if not 1 <= array.ndim <= AXES or max(array.shape) >= 2**32:
        raise IdxError(f"{path}: IDX here holds 1 to {AXES} axes, each shorter than 2**32, got shape {array.shape}")
    header = struct.pack(f">BBBB{array.ndim}I", 0, 0, code, array.ndim, *array.shape)
    content = header + array.astype(DTYPES[code]).tobytes()
    write_whole(path, [_gzip(content) if path.suffix == ".gz" else content])


def _parse(path: Path, stream: BinaryIO | gzip.GzipFile, held: int, max_bytes: int) -> np.ndarray:
    dtype, shape, start = _header(path, stream)
    declared = math.prod(shape) * dtype.itemsize
    # an axis of 0 must not hide one that is too long for NumPy
    if math.prod(max(n, 1) for n in shape) * dtype.itemsize > max_bytes:
        _fail(path, 4, f"shape {shape} of {dtype} is more than max_bytes={max_bytes}; raise it if you trust the file")
    if start + declared > held:
        _fail(path, 4, f"shape {shape} of {dtype} needs {start + declared} bytes, the file holds at most {held}")
    content = _read(path, stream, start, declared)
    if _read(path, stream, start + declared, 1):  # reaching the end is also what makes gzip compare the checksum
        _fail(path, start + declared, f"shape {shape} of {dtype} ends here, but more bytes follow")
    if len(content) < declared:
        _fail(
            path,
            start + len(content),
            f"the file ends, {declared - len(content)} bytes before shape {shape} of {dtype}",
        )
    values = np.frombuffer(content, dtype).reshape(shape)
    return values.astype(dtype.newbyteorder("="), copy=False)


def _header(path: Path, stream: BinaryIO | gzip.GzipFile) -> tuple[np.dtype, tuple[int, ...], int]:
    """(dtype, shape, where the values start)"""
    magic = _read(path, stream, 0, 4)
    if len(magic) < 4:
        _fail(path, len(magic), "the file ends within the 4 bytes of the magic number")
    if magic[:2] != b"\0\0":
        _fail(path, 0, f"an IDX file starts with two zero bytes, got {magic.hex(' ')}; is it an IDX file?")
    if magic[2] not in DTYPES:
        _fail(path, 2, f"the type must be one of {', '.join(f'0x{code:02x}' for code in DTYPES)}, got 0x{magic[2]:02x}")
    axes = magic[3]
    if not 1 <= axes <= AXES:
        _fail(path, 3, f"the number of axes must be 1 to {AXES}, got {axes}")
    sizes = _read(path, stream, 4, 4 * axes)
    if len(sizes) < 4 * axes:
        _fail(path, 4 + len(sizes), f"the file ends within the sizes of its {axes} axes")
    return np.dtype(DTYPES[magic[2]]), struct.unpack(f">{axes}I", sizes), 4 + 4 * axes


def _read(path: Path, stream: BinaryIO | gzip.GzipFile, offset: int, count: int) -> bytearray:
    """Up to count bytes.  The buffer grows with what arrives, never with what was declared."""
    content = bytearray()
    try:
        while len(content) < count:
            chunk = stream.read(min(CHUNK, count - len(content)))
            if not chunk:
                break
            content += chunk
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        _fail(path, offset + len(content), f"the gzip stream is damaged at or after this byte: {error}", error)
    return content


def _fail(path: Path, offset: int, fact: str, cause: Exception | None = None) -> NoReturn:
    raise IdxError(f"{path}: byte {offset}: {fact}") from cause


def _gzip(content: bytes) -> bytes:
    packed = io.BytesIO()
    with gzip.GzipFile(filename="", mode="wb", fileobj=packed, mtime=0) as stream:
        stream.write(content)
    return packed.getvalue()
