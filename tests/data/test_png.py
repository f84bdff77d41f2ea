"""PNG files against Pillow, each filter by its definition, and files that lie."""

import struct
import zlib

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fdl.data import PngError, read_png, write_png


def smooth(height, width, channels, dtype=np.uint8):
    """A picture whose rows and columns foretell each other, so that writers choose all filters, with some noise."""
    rng = np.random.default_rng(0)
    ramp = np.add.outer(np.arange(height) * 7, np.arange(width) * 3)[..., None] + 40 * np.arange(channels)
    top = np.iinfo(dtype).max
    return ((ramp * (top // 255) + rng.integers(0, top // 40, (height, width, channels))) % top).astype(dtype)


KINDS = {"L": 1, "LA": 2, "RGB": 3, "RGBA": 4}


@pytest.mark.parametrize("mode", KINDS)
def test_what_pillow_writes_is_read(tmp_path, mode):
    pillow = pytest.importorskip("PIL.Image")
    image = smooth(13, 9, KINDS[mode])
    pillow.fromarray(image.squeeze()).save(tmp_path / "a.png")
    np.testing.assert_array_equal(read_png(tmp_path / "a.png"), image)


def test_bits_palettes_and_sixteen_bits_are_read(tmp_path):
    pillow = pytest.importorskip("PIL.Image")
    bits = smooth(6, 11, 1)[..., 0] > 127
    pillow.fromarray(bits).save(tmp_path / "bits.png")
    np.testing.assert_array_equal(read_png(tmp_path / "bits.png")[..., 0], 255 * bits)
    deep = smooth(6, 11, 1, np.uint16)
    pillow.fromarray(deep[..., 0]).save(tmp_path / "deep.png")
    np.testing.assert_array_equal(read_png(tmp_path / "deep.png"), deep)
    for colours in (2, 4, 16, 200):  # 1, 2, 4 and 8 bits a pixel
        indexed = pillow.fromarray(smooth(6, 11, 3)).quantize(colours)
        indexed.save(tmp_path / "palette.png")
        np.testing.assert_array_equal(read_png(tmp_path / "palette.png"), np.asarray(indexed.convert("RGB")))


@pytest.mark.parametrize("shape", [(5, 7), (5, 7, 1), (5, 7, 3), (1, 1, 3)])
def test_what_is_written_is_read_by_us_and_by_pillow(tmp_path, shape):
    pillow = pytest.importorskip("PIL.Image")
    image = np.random.default_rng(0).integers(0, 256, shape).astype(np.uint8)
    write_png(tmp_path / "a.png", image)
    np.testing.assert_array_equal(read_png(tmp_path / "a.png"), image.reshape(*shape[:2], -1))
    np.testing.assert_array_equal(
        np.asarray(pillow.open(tmp_path / "a.png")), image.squeeze(2) if shape[2:] == (1,) else image
    )


def chunk(kind, data):
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def file_of(header, rows, *, end=True):
    head = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", *header))
    return head + chunk(b"IDAT", zlib.compress(rows)) + (chunk(b"IEND", b"") if end else b"")


def filtered(image, kind):
    """Every row by the same filter, from the definitions: left, above and corner are bytes of the picture itself."""
    height, width, step = image.shape
    pixels = np.pad(image.astype(int), ((1, 0), (1, 0), (0, 0)))
    left, above, corner, own = pixels[1:, :-1], pixels[:-1, 1:], pixels[:-1, :-1], pixels[1:, 1:]
    guess = left + above - corner
    far = [abs(guess - other) for other in (left, above, corner)]
    paeth = np.where((far[0] <= far[1]) & (far[0] <= far[2]), left, np.where(far[1] <= far[2], above, corner))
    foretold = [np.zeros_like(own), left, above, (left + above) // 2, paeth][kind]
    rows = ((own - foretold) % 256).astype(np.uint8).reshape(height, width * step)
    return np.column_stack([np.full(height, kind, np.uint8), rows]).tobytes()


@pytest.mark.parametrize("kind", range(5))
def test_each_filter_is_undone(tmp_path, kind):
    image = np.random.default_rng(1).integers(0, 256, (6, 5, 3)).astype(np.uint8)
    (tmp_path / "a.png").write_bytes(file_of((5, 6, 8, 2, 0, 0, 0), filtered(image, kind)))
    np.testing.assert_array_equal(read_png(tmp_path / "a.png"), image)


GOOD = file_of((2, 1, 8, 0, 0, 0, 0), b"\0ab")
DAMAGED = {
    "empty": (b"", "starts with 89 50 4e 47"),
    "another kind": (b"GIF89a", "got 47 49 46"),
    "only the signature": (GOOD[:8], "byte 8: the file ends before its last chunk"),
    "no end": (file_of((2, 1, 8, 0, 0, 0, 0), b"\0ab", end=False), "ends before its last chunk"),
    "cut": (GOOD[:-20], "ends before"),
    "checksum": (GOOD[:30] + b"x" + GOOD[31:], "checksum"),
    "depth": (file_of((2, 1, 3, 0, 0, 0, 0), b"\0ab"), "no PNG has 2 x 1 pixels of 3 bits, kind 0"),
    "kind of pixels": (file_of((2, 1, 8, 5, 0, 0, 0), b"\0ab"), "kind 5"),
    "no pixels": (file_of((0, 1, 8, 0, 0, 0, 0), b""), "no PNG has 0 x 1"),
    "interlaced": (file_of((2, 1, 8, 0, 0, 0, 1), b"\0ab"), "not interlaced"),
    "too large": (file_of((2**31 - 1, 2**31 - 1, 8, 2, 0, 0, 0), b"\0ab"), "more than max_bytes"),
    "short": (file_of((2, 2, 8, 0, 0, 0, 0), b"\0ab"), "6 bytes of pixels must be deflated, .* got 3"),
    "long": (file_of((2, 1, 8, 0, 0, 0, 0), b"\0abc"), "3 bytes of pixels must be deflated, .* got 4"),
    "filter": (file_of((2, 1, 8, 0, 0, 0, 0), b"\5ab"), "row 0 has filter 5"),
    "no palette": (file_of((2, 1, 8, 3, 0, 0, 0), b"\0ab"), "colour 98 of a palette of 0"),
}


@pytest.mark.parametrize("kind", DAMAGED)
def test_damage_is_named(tmp_path, kind):
    content, said = DAMAGED[kind]
    (tmp_path / "a.png").write_bytes(content)
    with pytest.raises(PngError, match=rf"a\.png: .*{said}"):
        read_png(tmp_path / "a.png")


def test_pixels_that_are_not_written_are_refused(tmp_path):
    for image in (np.zeros((2, 2)), np.zeros((2, 2, 4), np.uint8), np.zeros((0, 2), np.uint8), np.zeros(3, np.uint8)):
        with pytest.raises(PngError, match="pixels must be uint8"):
            write_png(tmp_path / "a.png", image)
    assert not list(tmp_path.iterdir())


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(at=st.floats(0, 1, exclude_max=True), byte=st.integers(1, 255), cut=st.booleans())
def test_random_damage_is_an_error_or_changes_nothing(tmp_path, at, byte, cut):
    image = smooth(8, 8, 3)
    write_png(tmp_path / "a.png", image)
    content = bytearray((tmp_path / "a.png").read_bytes())
    place = int(at * len(content))
    content[place] ^= byte
    (tmp_path / "a.png").write_bytes(content[:place] if cut else content)
    with pytest.raises(PngError):
        read_png(tmp_path / "a.png")
