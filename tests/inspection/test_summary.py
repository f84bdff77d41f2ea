"""A model summed up: parameters and operations of known networks, without an array."""

import os
import subprocess
import sys
import time
from pathlib import Path

import jax
import jax.numpy as jnp
import pytest

from fdl import nn, tree
from fdl.checks import ShapeError
from fdl.inspection import flops, summary
from tests.inspection.models import alexnet, deep, gpt

KEY = jax.random.key(0)
X = jax.random.normal(jax.random.key(1), (6, 4))
ROOT = Path(__file__).parent.parent.parent


def spec(*shape, dtype="float32"):
    return jax.ShapeDtypeStruct(shape, dtype)


def by_path(found):
    return {row.path: row for row in found.rows}


def test_the_table_reads_as_the_documentation_says():
    assert str(summary(nn.serial(nn.dense(4, 3), nn.relu), spec(8, 4))).splitlines() == [
        "path     layer                                     calls         input        output  params  bytes  FLOPs",
        "-" * 106,
        "(model)  serial(dense(in_dim=4, out_dim=3), relu)     ×1  float32[8,4]  float32[8,3]      15     60    216",
        "dense_0  dense(in_dim=4, out_dim=3)                   ×1  float32[8,4]  float32[8,3]      15     60    216",
        "relu_0   function(relu)                               ×1  float32[8,3]  float32[8,3]       0      0      0",
        "15 parameters (60 bytes), 0 values of state, 216 FLOPs",
    ]


def test_gpt2_small_is_summed_up_in_seconds(agrees):
    model = gpt()
    start = time.perf_counter()
    found = summary(model, spec(8, 1024, dtype="int32"))
    text = str(found)
    assert time.perf_counter() - start < 5
    total, rows = found.rows[0], by_path(found)
    agrees.values("inspection.summary, parameters", "GPT-2 small as published", float(total.params), 124_439_808.0)
    assert "124,439,808 parameters (474.7 MiB)" in text
    assert total.output.shape == (8, 1024, 50257)
    attend = rows["blocks/attend/attend"]
    assert attend.calls == 12
    assert attend.params == 12 * (768 * 2304 + 2304 + 768 * 768 + 768)
    tokens = 8 * 1024
    products = 2 * tokens * (12 * (12 * 768**2 + 2 * 1024 * 768) + 768 * 50257)
    assert products < total.flops < 1.01 * products


def test_alexnet_has_its_parameters_and_multiplications(agrees):
    found = summary(alexnet(), spec(1, 227, 227, 3))
    total = found.rows[0]
    agrees.values("inspection.summary, parameters", "AlexNet as published", float(total.params), 60_965_224.0)
    # 724,406,816 multiplications, the sum over its layers of positions times kernel
    convolutions = 55**2 * 34_848 + 27**2 * 307_200 + 13**2 * (884_736 + 663_552 + 442_368)
    dense = 9216 * 4096 + 4096**2 + 4096 * 1000
    assert convolutions + dense == 724_406_816
    assert 2 * 724_406_816 < total.flops < 1.01 * 2 * 724_406_816


def test_the_lenet_of_the_textbooks_has_61706_parameters():
    model = nn.serial(
        nn.conv(1, 6, 5),
        nn.tanh,
        nn.average_pool(2),
        nn.conv(6, 16, 5, padding="valid"),
        nn.tanh,
        nn.average_pool(2),
        nn.flatten,
        nn.dense(400, 120),
        nn.tanh,
        nn.dense(120, 84),
        nn.tanh,
        nn.dense(84, 10),
    )
    rows = by_path(summary(model, spec(8, 28, 28, 1)))
    assert rows[""].params == 61_706
    assert [rows[name].params for name in ("conv_0", "conv_1", "dense_0", "dense_1", "dense_2")] == [
        156,
        2416,
        48_120,
        10_164,
        850,
    ]
    assert rows["average_pool_1"].output == spec(8, 5, 5, 16)
    assert rows["average_pool_1"].inputs == (spec(8, 10, 10, 16),)


def test_rows_hold_what_the_trees_hold_and_calls_are_counted():
    model = deep()
    found = summary(model, X, train=True)
    params, state = model.init(KEY)
    rows = by_path(found)
    assert list(rows)[:4] == ["", "dense_0", "blocks", "blocks/heads"]
    assert (rows[""].params, rows[""].param_bytes) == (tree.count(params), tree.nbytes(params))
    assert rows["norm"].state == rows[""].state == tree.count(state) == 8
    assert rows["blocks/mlp"].params == tree.count(params["blocks"]["mlp"])  # once, though it is called twice
    calls = {path: row.calls for path, row in rows.items()}
    assert calls["blocks"] == calls["norm"] == 1
    assert (calls["blocks/heads"], calls["blocks/heads/0"], calls["blocks/mlp/dense_0"]) == (0, 3, 6)
    assert rows["blocks/heads"].flops == rows["blocks/heads/0"].flops + rows["blocks/heads/1"].flops > 0
    inside = sum(rows[f"blocks/mlp/{name}"].flops for name in ("layer_norm_0", "dense_0", "dropout_0"))
    assert rows["blocks/mlp"].flops == inside + 6 * X.size  # and the sum of the shortcut
    assert rows["blocks/mlp"].inputs == (spec(6, 4),)


def test_the_model_costs_what_its_apply_costs():
    model = deep()
    params, state = model.init(KEY)
    run = lambda params, state, x: model.apply(params, state, x)
    assert summary(model, X).rows[0].flops == flops(run, params, state, X).total


def test_parts_called_inside_transforms_and_with_plain_numbers_are_counted():
    place = nn.pure(lambda key: {"table": jnp.zeros((9, 4))}, lambda params, n: params["table"][:n])
    model = nn.wire(
        lambda x, place, body: jax.vmap(body)(x) + place(x.shape[0]), place=place, body=nn.dense(4, 4, use_bias=False)
    )
    rows = by_path(summary(model, spec(6, 4)))
    assert rows["place"].inputs == (6,)
    assert rows["body"].flops == 2 * 6 * 4 * 4
    assert rows["body"].calls == 1


def test_a_loop_of_unknown_length_is_marked():
    halve = lambda x: jax.lax.while_loop(lambda x: jnp.max(x) > 1, lambda x: x / 2, x)
    found = summary(nn.serial(nn.function(halve)), spec(3))
    assert found.at_least
    assert "at least" in str(found)


def test_a_wrong_shape_names_the_part():
    with pytest.raises(ShapeError) as error:
        summary(deep(), spec(6, 5))
    assert "in dense_0: dense(in_dim=4, out_dim=4) on float32[6,5]" in error.value.__notes__[0]


def test_no_device_is_needed():
    """There is no platform of this name: the first array made would be an error."""
    code = (
        "import jax; from fdl import inspection; from tests.inspection.models import gpt\n"
        "S = jax.ShapeDtypeStruct\n"
        "assert inspection.summary(gpt(), S((8, 1024), 'int32'), train=True).rows[0].params == 124439808\n"
        "assert inspection.flops(jax.grad(lambda x: (x @ x).sum()), S((9, 9), 'float32')).total > 0\n"
        "try: jax.numpy.zeros(())\n"
        "except Exception: print('no device')"
    )
    environment = os.environ | {"JAX_PLATFORMS": "none", "PYTHONPATH": str(ROOT)}
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, env=environment, capture_output=True, text=True)
    assert done.stdout.strip() == "no device", done.stderr[-2000:]
