"""IDX files that are right, and IDX files that lie (R17)."""

import gzip
import struct
import tracemalloc

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fdl.data import IdxError, read_idx, write_idx

DTYPES = ["uint8", "int8", "int16", "int32", "float32", "float64"]


def _idx(shape, values=b"", code=8, magic=b"\0\0"):
    return magic + struct.pack(f">BB{len(shape)}I", code, len(shape), *shape) + values


def _write(path, content):
    path.write_bytes(gzip.compress(content, mtime=0) if path.suffix == ".gz" else content)
    return path


@pytest.mark.parametrize("name", ["a.idx", "a.idx.gz"])
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", [(7,), (3, 4, 5), (0, 28, 28), (1,) * 32])
def test_round_trip(tmp_path, name, dtype, shape):
    array = np.random.default_rng(0).normal(0, 50, shape).astype(dtype)
    write_idx(tmp_path / name, array)
    found = read_idx(tmp_path / name)
    assert found.dtype == np.dtype(dtype)
    assert found.dtype.isnative
    assert found.flags.writeable
    np.testing.assert_array_equal(found, array)
    assert [path.name for path in tmp_path.iterdir()] == [name]


def test_bytes_are_those_of_the_format_and_always_the_same(tmp_path):
    write_idx(tmp_path / "a", np.array([[1, -2]], np.int16))
    assert (tmp_path / "a").read_bytes() == bytes.fromhex("00000b02 00000001 00000002 0001fffe")
    write_idx(tmp_path / "a", np.array([[1, -2]], ">i2").T)
    assert (tmp_path / "a").read_bytes() == bytes.fromhex("00000b02 00000002 00000001 0001fffe")
    for name in ("b.gz", "c.gz"):
        write_idx(tmp_path / name, np.arange(1000, dtype=np.int32))
    assert (tmp_path / "b.gz").read_bytes() == (tmp_path / "c.gz").read_bytes()


@pytest.mark.parametrize("array", [np.zeros(3, bool), np.zeros(3, np.int64), np.array(["a"]), np.uint8(3)])
def test_what_idx_cannot_hold_is_refused_and_leaves_the_old_file(tmp_path, array):
    write_idx(tmp_path / "a", np.arange(3, dtype=np.uint8))
    with pytest.raises(IdxError, match=r"a: IDX .*holds"):
        write_idx(tmp_path / "a", array)
    assert read_idx(tmp_path / "a").tolist() == [0, 1, 2]


DAMAGED = {
    "empty": (b"", "byte 0: the file ends within"),
    "short magic": (b"\0\0\x08", "byte 3: the file ends within"),
    "magic": (_idx((2,), b"ab", magic=b"PK"), "byte 0: .* two zero bytes, got 50 4b"),
    "type": (_idx((2,), b"ab", code=7), "byte 2: .* got 0x07"),
    "no axes": (_idx((), b"a"), "byte 3: .* got 0"),
    "axes": (_idx((1,) * 33, b"a"), "byte 3: .* got 33"),
    "short sizes": (_idx((2, 2))[:-3], "byte 9: the file ends within the sizes"),
    "truncated": (_idx((50,), b"a" * 49), r"byte (4|57): "),
    "extra": (_idx((50,), b"a" * 51), "byte 58: .* more bytes follow"),
    "2**31 values": (_idx((2**31,), b"abc"), "byte 4: .* max_bytes"),
    "2**32 - 1 values of 8 bytes": (_idx((2**32 - 1,) * 3, code=0x0E), "byte 4: .* max_bytes"),
    "overflow to 0": (_idx((2**16,) * 4), "byte 4: .* max_bytes"),
    "overflow hidden by 0": (_idx((0, 2**31, 2**31)), "byte 4: .* max_bytes"),
    "more than the file": (_idx((2**20,), b"abc"), "byte 4: .* holds at most"),
}


@pytest.mark.parametrize("name", ["a.idx", "a.idx.gz"])
@pytest.mark.parametrize("kind", DAMAGED)
def test_damage_names_the_file_and_the_byte(tmp_path, name, kind):
    content, said = DAMAGED[kind]
    with pytest.raises(IdxError, match=rf"{name}: {said}"):
        read_idx(_write(tmp_path / name, content))


def test_2_to_the_31_values_are_not_allocated_even_if_allowed(tmp_path):
    for name in ("a.idx", "a.idx.gz"):
        path = _write(tmp_path / name, _idx((2**31,), b"abc"))
        with pytest.raises(IdxError, match="holds at most"):
            read_idx(path, max_bytes=2**40)


@pytest.mark.parametrize("kind", ["crc", "cut", "cut trailer", "garbage after"])
def test_damage_of_the_gzip_stream(tmp_path, kind):
    good = gzip.compress(_idx((1000,), bytes(range(250)) * 4), mtime=0)
    crc = bytearray(good)
    crc[-8] ^= 1
    cases = {"crc": bytes(crc), "cut": good[:-9], "cut trailer": good[:-3], "garbage after": good + b"garbage"}
    (tmp_path / "a.gz").write_bytes(cases[kind])
    with pytest.raises(IdxError, match=r"a\.gz: byte \d+: the gzip stream is damaged"):
        read_idx(tmp_path / "a.gz")


def test_memory_is_bounded_by_what_the_file_declares_and_holds(tmp_path):
    bomb = _write(tmp_path / "bomb.gz", _idx((1000,)) + bytes(64 * 2**20))
    liar = _write(tmp_path / "liar.gz", _idx((2**28,), b"abc"))
    half = _write(tmp_path / "half.gz", _idx((2**28,), bytes(2**21)))
    plain = _write(tmp_path / "plain", _idx((2**28,), b"abc"))
    damaged = [(bomb, "byte 1008: .* more bytes"), (liar, "byte 4: "), (half, "byte 4: "), (plain, "byte 4: ")]
    tracemalloc.start()
    try:
        for path, said in damaged:
            with pytest.raises(IdxError, match=said):
                read_idx(path)
        assert tracemalloc.get_traced_memory()[1] < 8 * 2**20
    finally:
        tracemalloc.stop()


def test_max_bytes_is_a_bound_on_the_values(tmp_path):
    path = _write(tmp_path / "a", _idx((100,), bytes(100)))
    assert read_idx(path, max_bytes=100).shape == (100,)
    with pytest.raises(IdxError, match="max_bytes=99"):
        read_idx(path, max_bytes=99)


def test_a_missing_file_is_a_missing_file(tmp_path):
    with pytest.raises(FileNotFoundError):
        read_idx(tmp_path / "none")


@st.composite
def _damage(draw):
    """(packed, where, how) in fractions of the file."""
    kind = draw(st.sampled_from(["flip", "cut", "insert"]))
    return draw(st.booleans()), kind, draw(st.floats(0, 1, exclude_max=True)), draw(st.binary(min_size=1, max_size=9))


@settings(max_examples=400, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(_damage())
def test_random_damage_is_an_idx_error_or_leaves_the_shape(tmp_path, damage):
    packed, kind, place, extra = damage
    array = (np.arange(600) % 251).astype(np.uint8).reshape(10, 12, 5)
    good = _idx(array.shape, array.tobytes())
    content = gzip.compress(good, mtime=0) if packed else good
    at = int(place * len(content))
    changed = {
        "flip": content[:at] + bytes([content[at] ^ (1 << extra[0] % 8)]) + content[at + 1 :],
        "cut": content[:at],
        "insert": content[:at] + extra + content[at:],
    }[kind]
    path = tmp_path / "damaged"
    path.write_bytes(changed)
    try:
        found = read_idx(path)
    except IdxError:
        return
    # A raw file has no checksum: flipped values cannot be seen, nor can a type of the same width.  Gzip has one.
    assert found.shape == array.shape
    assert kind == "flip" or packed
    if packed:
        np.testing.assert_array_equal(found, array)
