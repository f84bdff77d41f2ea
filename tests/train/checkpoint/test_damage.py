"""Whatever happened to the files: the very state that was saved, or a refusal that says where."""

import json
import os
import random
import shutil
import time
import tracemalloc
import warnings
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fdl import nn, optim, train, tree
from fdl.checks import TreeError
from fdl.train import checkpoint
from fdl.train.checkpoint import manifest
from tests.train.checkpoint.states import kept, make

FILES = ["arrays.safetensors", "manifest.json"]
KEPT = Path(__file__).parent.parent.parent / "data" / "checkpoints" / "format_3_two_processes"
SHARES = ["arrays-00000-of-00002.safetensors", "arrays-00001-of-00002.safetensors"]


@pytest.fixture(scope="module")
def good(tmp_path_factory):
    """A small checkpoint, its state and the digest of it."""
    state = make()._replace(opt_state=())
    folder = checkpoint.save(tmp_path_factory.mktemp("good"), state)
    return folder, state, tree.digest(state)


def restored(directory, like):
    """The state, or the error; that one damaged checkpoint is passed over is what the warning says."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "(?s).*trying the checkpoint before it|.*another environment")
        try:
            return checkpoint.restore(directory, like)[0]
        except checkpoint.CheckpointError as error:
            return error


def test_of_2200_damaged_checkpoints_none_is_silently_wrong(good, tmp_path):
    """1,000 flipped bits, 1,000 cuts, 200 inserted bytes, anywhere in either file."""
    folder, state, whole = good
    bad = shutil.copytree(folder, tmp_path / folder.name)
    chance = random.Random(0)
    originals = {name: (folder / name).read_bytes() for name in FILES}
    outcomes = {"refused": 0, "equal": 0}
    for kind in ["flip"] * 1000 + ["cut"] * 1000 + ["insert"] * 200:
        name = chance.choice(FILES)
        content = bytearray(originals[name])
        place = chance.randrange(len(content))
        if kind == "flip":
            content[place] ^= 1 << chance.randrange(8)
        elif kind == "cut":
            del content[place:]
        else:
            content.insert(place, chance.randrange(256))
        (bad / name).write_bytes(content)
        found = restored(tmp_path, state)
        (bad / name).write_bytes(originals[name])
        refused = isinstance(found, checkpoint.CheckpointError)
        assert refused or tree.digest(found) == whole, f"{kind} at {place} of {name} went unseen"
        outcomes["refused" if refused else "equal"] += 1
    assert outcomes["refused"] >= 2100  # what is left fell on white space


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("how", ["deleted", "empty", "of another step", "of another run", "a directory"])
def test_files_that_are_not_the_right_ones_are_refused_by_name(tmp_path, name, how):
    folder = checkpoint.save(tmp_path / "run", make(1))
    other = checkpoint.save(tmp_path / "run", make(2)) if how == "of another step" else None
    if how == "of another run":
        changed = make(1)._replace(params=jax.tree.map(lambda p: p + 0.5, make(1).params))
        other = checkpoint.save(tmp_path / "other", changed)
    (folder / name).unlink()
    if how == "empty":
        (folder / name).write_bytes(b"")
    elif how == "a directory":
        (folder / name).mkdir()
    elif other:
        shutil.copy(other / name, folder / name)
        shutil.rmtree(other)
    found = restored(tmp_path / "run", make())
    assert isinstance(found, checkpoint.CheckpointError)
    assert str(folder) in str(found)


@pytest.mark.parametrize("name", SHARES)
@pytest.mark.parametrize("how", ["deleted", "empty", "cut", "of the other process", "flipped"])
def test_a_file_of_one_process_that_is_not_the_right_one_is_refused_by_name(tmp_path, name, how):
    folder = shutil.copytree(KEPT / "step_00000007", tmp_path / "step_00000007")
    content = (folder / name).read_bytes()
    other = (folder / SHARES[name == SHARES[0]]).read_bytes()
    (folder / name).unlink()
    flipped = content[:-1] + bytes([content[-1] ^ 1])
    changed = {"empty": b"", "cut": content[:-4], "of the other process": other, "flipped": flipped}
    if how != "deleted":
        (folder / name).write_bytes(changed[how])
    found = restored(tmp_path, kept())
    assert isinstance(found, checkpoint.CheckpointError)
    assert str(folder / name) in str(found)


def test_of_300_bits_flipped_in_the_files_of_two_processes_none_goes_unseen(tmp_path):
    folder, whole, chance = tmp_path / "step_00000007", tree.digest(kept()), random.Random(0)
    for _ in range(300):
        shutil.copytree(KEPT / "step_00000007", folder, dirs_exist_ok=True)
        bad = folder / chance.choice([*SHARES, "manifest.json"])
        content = bytearray(bad.read_bytes())
        content[chance.randrange(len(content))] ^= 1 << chance.randrange(8)
        bad.write_bytes(content)
        found = restored(tmp_path, kept())
        assert isinstance(found, checkpoint.CheckpointError) or tree.digest(found) == whole, bad


def test_whole_folders_that_changed_places_are_refused(tmp_path):
    one, two = checkpoint.save(tmp_path, make(1)), checkpoint.save(tmp_path, make(2))
    one.rename(tmp_path / "third")
    two.rename(one)
    (tmp_path / "third").rename(two)
    assert "is of step 1: it was moved here from another checkpoint" in str(restored(tmp_path, make()))
    assert checkpoint.latest(tmp_path) is None


def rewritten(folder, to, change):
    """A copy whose manifest was changed and signs itself rightly."""
    shutil.copytree(folder, to / folder.name, dirs_exist_ok=True)
    content = json.loads((folder / "manifest.json").read_text())
    content.pop("digest")
    (to / folder.name / "manifest.json").write_bytes(manifest.encode(change(content)))


def array(**what):
    return lambda content: (
        content
        | {"arrays": content["arrays"] | {"params/dense_0/bias": content["arrays"]["params/dense_0/bias"] | what}}
    )


def part(**what):
    """The same, of the one part of an array."""
    return lambda content: array(parts=[content["arrays"]["params/dense_0/bias"]["parts"][0] | what])(content)


def sized(shape):
    """An array and its part, both of this shape."""
    return lambda content: array(shape=shape)(part(shape=shape, start=[0] * len(shape))(content))


def twice(content):
    """An array of eight numbers of which the file has four."""
    (only,) = content["arrays"]["params/dense_0/bias"]["parts"]
    return array(shape=[8], parts=[only, only | {"start": [4]}])(content)


@pytest.mark.parametrize(
    "change",
    [
        sized([2**40]),
        sized([2**62]),
        sized([2**31, 2**31, 2**31]),
        sized([-4]),
        sized([4.0]),
        sized([1] * 100),
        sized([0, 2**59]),
        twice,
        array(parts=[]),
        array(parts={}),
        array(parts=[7]),
        part(start=[1]),
        part(start=[-1]),
        part(start=[]),
        part(start=0),
        part(shape=[3]),
        part(shape=[5]),
        part(shape="4"),
        part(file="manifest.json"),
        part(file="arrays-00001-of-00002.safetensors"),
        part(file=None),
        part(sha256=None),
        part(more=1),
        array(shape=[2**40]),
        array(shape=[2**62]),
        array(shape=[2**31, 2**31, 2**31]),
        array(shape=[-4]),
        array(shape=[-2, -2]),
        array(shape=[4.0]),
        array(shape=[True]),
        array(shape=[1] * 100),
        array(shape=[0, 2**59]),
        array(shape="4"),
        array(dtype="object"),
        array(dtype="O"),
        array(dtype="(4,"),
        array(dtype="i4,i4"),
        array(dtype="datetime64"),
        array(dtype="float64"),
        array(dtype=7),
        array(more=1),
        lambda content: content | {"config": {"rate": 1}},
        lambda content: content | {"config": []},
        lambda content: content | {"step": "7"},
        lambda content: content | {"step": True},
        lambda content: content | {"keys": {"key": "no such generator"}},
        lambda content: content | {"keys": {"params/dense_0/bias": "threefry2x32"}},
        lambda content: content | {"files": {"arrays.safetensors": 2**40}},
        lambda content: content | {"files": {"/etc/passwd": 100}},
        lambda content: content | {"files": {}},
        lambda content: content | {"files": content["files"] | {"../arrays.safetensors": 100}},
        lambda content: content | {"arrays": []},
        lambda content: content | {"format": 0},
        lambda content: content | {"format": "2"},
        lambda content: content | {"format": None},
        lambda content: content | {"surplus": 1},
        lambda content: {name: value for name, value in content.items() if name != "metadata"},
    ],
)
def test_a_manifest_that_lies_is_refused_before_memory_is_asked_for(good, tmp_path, change):
    folder, state, _ = good
    rewritten(folder, tmp_path, change)
    tracemalloc.start()
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "(?s).*trying the checkpoint before it")
            with pytest.raises((checkpoint.CheckpointError, TreeError)):
                checkpoint.restore(tmp_path, state)
        assert tracemalloc.get_traced_memory()[1] < 8 * 2**20
    finally:
        tracemalloc.stop()


def with_header(folder, to, header, length=None):
    """A copy whose array file has this header, in a manifest that knows the new size."""
    data = (folder / "arrays.safetensors").read_bytes()
    body = data[8 + int.from_bytes(data[:8], "little") :]
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    made = (len(text) if length is None else length).to_bytes(8, "little") + text + body
    rewritten(folder, to, lambda content: content | {"files": {"arrays.safetensors": len(made)}})
    (to / folder.name / "arrays.safetensors").write_bytes(made)


def entries(folder):
    data = (folder / "arrays.safetensors").read_bytes()
    return json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])


BIAS = "params/dense_0/bias"


@pytest.mark.parametrize(
    "change",
    [
        lambda header: header | {BIAS: header[BIAS] | {"shape": [2**40]}},
        lambda header: header | {BIAS: header[BIAS] | {"shape": [-4]}},
        lambda header: header | {BIAS: header[BIAS] | {"dtype": "F64"}},
        lambda header: header | {BIAS: header[BIAS] | {"data_offsets": [0, 2**62]}},
        lambda header: header | {BIAS: header[BIAS] | {"data_offsets": [-16, 0]}},
        lambda header: header | {BIAS: header[BIAS] | {"data_offsets": [0, 16]}},  # overlaps another
        lambda header: header | {BIAS: header[BIAS] | {"data_offsets": [0.0, 16.0]}},
        lambda header: header | {BIAS: header[BIAS] | {"data_offsets": None}},
        lambda header: header | {BIAS: 5},
        lambda header: header | {"more": header[BIAS]},
        lambda header: [],
        lambda header: b'{"a": 1, "a": 1}',
        lambda header: b"[" * 100_000,
        lambda header: b"\xff\xfe",
    ],
)
def test_a_header_that_lies_is_refused(good, tmp_path, change):
    folder, state, _ = good
    with_header(folder, tmp_path, change(entries(folder)))
    found = restored(tmp_path, state)
    assert isinstance(found, checkpoint.CheckpointError)
    assert "arrays.safetensors" in str(found)


@pytest.mark.parametrize("length", [0, 1, 10**8, 2**63, 2**64 - 1])
def test_a_header_of_a_wrong_length_is_refused(good, tmp_path, length):
    folder, state, _ = good
    with_header(folder, tmp_path, entries(folder), length)
    assert "it says that its header has" in str(restored(tmp_path, state))


def test_files_that_claim_to_be_huge_are_refused_before_memory_is_asked_for(good, tmp_path):
    """Files with holes, as long as they say."""
    folder, state, _ = good
    rewritten(folder, tmp_path / "arrays", lambda content: content | {"files": {"arrays.safetensors": 2**36}})
    os.truncate(tmp_path / "arrays" / folder.name / "arrays.safetensors", 2**36)
    shutil.copytree(folder, tmp_path / "manifest" / folder.name)
    os.truncate(tmp_path / "manifest" / folder.name / "manifest.json", 2**36)
    tracemalloc.start()
    assert "its arrays do not fill it" in str(restored(tmp_path / "arrays", state))
    assert "manifest.json cannot be read: it has 68,719,476,736 bytes" in str(restored(tmp_path / "manifest", state))
    assert tracemalloc.get_traced_memory()[1] < 2**20
    tracemalloc.stop()


def test_the_unchanged_header_would_have_passed(good, tmp_path):
    """So the tests above refuse for what they changed."""
    folder, state, whole = good
    with_header(folder, tmp_path, entries(folder))
    assert tree.digest(restored(tmp_path, state)) == whole
    rewritten(folder, tmp_path / "again", lambda content: content)
    assert tree.digest(restored(tmp_path / "again", state)) == whole


@pytest.mark.parametrize("text", [b"[" * 100_000, b'{"digest": "0", "digest": "0"}', b"null", b"{}", b"\xff", b"7"])
def test_a_manifest_that_is_none_is_refused(good, tmp_path, text):
    folder, state, _ = good
    shutil.copytree(folder, tmp_path / folder.name)
    (tmp_path / folder.name / "manifest.json").write_bytes(text)
    assert "manifest.json" in str(restored(tmp_path, state))


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)
FUZZ = settings(
    max_examples=150, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


def only_our_errors(directory, like):
    """Load; raises if anything but an error of ours comes, or it takes 64 MB or a second."""
    start = time.perf_counter()
    tracemalloc.start()
    try:
        restored(directory, like)
    except TreeError:
        pass
    finally:
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    assert peak < 64 * 2**20
    assert time.perf_counter() - start < 1


@FUZZ
@given(name=st.sampled_from(FILES), content=st.binary(max_size=300))
def test_any_bytes_in_place_of_a_file(good, tmp_path, name, content):
    folder, state, _ = good
    shutil.copytree(folder, tmp_path / folder.name, dirs_exist_ok=True)
    (tmp_path / folder.name / name).write_bytes(content)
    only_our_errors(tmp_path, state)


@FUZZ
@given(data=st.data(), value=JSON)
def test_any_json_in_place_of_any_entry(good, tmp_path, data, value):
    """In the manifest, which signs itself rightly, and in the header of the arrays, at any depth."""
    folder, state, _ = good

    def changed(node):
        if not isinstance(node, dict | list) or not node or data.draw(st.integers(0, 3)) == 0:
            return value
        place = data.draw(st.sampled_from(sorted(node) if isinstance(node, dict) else range(len(node))))
        made = dict(node) if isinstance(node, dict) else list(node)
        made[place] = changed(node[place])
        return made

    if data.draw(st.booleans()):
        with_header(folder, tmp_path, changed(entries(folder)))
    else:
        content = lambda content: {
            **content,
            **{name: changed(content[name]) for name in [data.draw(st.sampled_from(sorted(content)))]},
        }
        rewritten(folder, tmp_path, content)
    only_our_errors(tmp_path, state)


def test_a_checkpoint_of_another_program_names_every_path_with_both_values(tmp_path):
    state = make()._replace(state={"a": np.zeros(3, np.float64), "count": np.zeros((), np.int64)})
    checkpoint.save(tmp_path, state)
    like = jax.eval_shape(make)
    renamed = like._replace(
        params={
            "dense_9": like.params["dense_0"],
            "batch_norm_0": like.params["batch_norm_0"] | {"more": jnp.zeros(2)},
            "dense_1": {"kernel": jnp.zeros((4, 3)), "bias": jnp.zeros(2, jnp.bfloat16)},
        },
        state={"a": jnp.zeros(3), "count": jnp.zeros((), jnp.int32)},
        opt_state=make().opt_state,
    )
    with pytest.raises(TreeError) as caught:
        checkpoint.restore(tmp_path, renamed)
    message = str(caught.value)
    for line in [
        "holds another model or optimizer (9 paths differ)",
        "params/dense_9/kernel: missing, expected float32[3,4]",
        "params/dense_0/kernel: unexpected float32[3,4]",
        "params/batch_norm_0/more: missing, expected float32[2]",
        "params/dense_1/kernel: expected float32[4,3], got float32[4,2]",
        "params/dense_1/bias: expected bfloat16[2], got float32[2]",
        "and 1 more",
    ]:
        assert line in message
    fitting = renamed._replace(params=like.params)
    with pytest.raises(TreeError, match=r"state/a: expected float32\[3\], got float64\[3\]"):
        checkpoint.restore(tmp_path, fitting)
    with pytest.raises(TreeError, match="float64, which JAX would cut to float32; start with JAX_ENABLE_X64=1"):
        checkpoint.restore(tmp_path, state)


@pytest.mark.parametrize(
    "other", [optim.sgd(0.1), optim.sgd(0.1, 0.9), optim.chain(optim.adam(1e-3), optim.adam(1e-3))]
)
def test_a_checkpoint_of_another_optimizer_is_refused(tmp_path, other):
    checkpoint.save(tmp_path, make())
    with pytest.raises(TreeError, match="opt_state/"):
        checkpoint.restore(tmp_path, make(optimizer=other))


def test_another_generator_of_random_numbers_is_refused(tmp_path):
    checkpoint.save(tmp_path, make())
    other = make()._replace(key=jax.random.key(0, impl="rbg"))
    with pytest.raises(TreeError, match=r"key: expected key<rbg>\[\], got key<fry>\[\]"):
        checkpoint.restore(tmp_path, other)


def test_a_model_that_is_too_large_for_memory_costs_none_to_refuse(tmp_path):
    """The manifest is compared with the program before an array is read."""
    wide = train.init_state(nn.dense(2, 4).init, optim.sgd(0.1))
    checkpoint.save(tmp_path, make()._replace(params={"kernel": np.zeros((2**11, 2**11), np.float32)}, opt_state=()))
    tracemalloc.start()
    with pytest.raises(TreeError):
        checkpoint.restore(tmp_path, wide)
    assert tracemalloc.get_traced_memory()[1] < 2**21
    tracemalloc.stop()
