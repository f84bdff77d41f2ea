"""The cheapest way to give every row a column of its own: detections to objects, predictions to targets."""

import jax
import jax.numpy as jnp

from fdl.checks import require_float, require_shape


def assignment(cost: jax.Array) -> jax.Array:
    """For each row its column, no column twice, so that the sum of the costs is least.  (n, m >= n) -> int32 (n,)

    A pair whose cost is NaN or infinite is forbidden; a row that finds no other gets -1.
    The Hungarian method by shortest augmenting paths, n² m steps; with fewer columns than rows give cost.T.
    Kuhn 1955, https://doi.org/10.1002/nav.3800020109; Jonker & Volgenant 1987, https://doi.org/10.1007/BF02278710
    """
    require_float(cost, "cost")
    require_shape(cost, None, None, name="cost")
    rows, columns = cost.shape
    if rows > columns:
        raise ValueError(f"cost has {rows} rows and only {columns} columns: give its transpose")

    allowed = jnp.isfinite(cost)
    low, high = jnp.min(cost, initial=0.0, where=allowed), jnp.max(cost, initial=0.0, where=allowed)
    cost = jnp.where(allowed, cost, high + rows * (high - low + 1))  # dearer than any sum without it

    # Column `columns` is the root of every path: the row that looks for a column sits there.  -1 is no row.
    def add(row, carry):
        owner, by_row, by_column = carry
        owner = owner.at[columns].set(row)
        owner, way, end, by_row, by_column = _shortest_path(cost, owner, by_row, by_column)

        def hand_on(carry):
            owner, end = carry
            return owner.at[end].set(owner[way[end]]), way[end]

        owner, _ = jax.lax.while_loop(lambda carry: carry[1] != columns, hand_on, (owner, end))
        return owner, by_row, by_column

    nobody = jnp.full((columns + 1,), -1, jnp.int32)
    zeros = jnp.zeros((rows,), cost.dtype), jnp.zeros((columns + 1,), cost.dtype)
    owner = jax.lax.fori_loop(0, rows, add, (nobody, *zeros))[0][:columns]
    taken = jnp.where(owner < 0, rows, owner)
    found = jnp.zeros((rows + 1,), jnp.int32).at[taken].set(jnp.arange(columns, dtype=jnp.int32))[:rows]
    return jnp.where(jnp.take_along_axis(allowed, found[:, None], 1)[:, 0], found, -1)


def _shortest_path(cost, owner, by_row, by_column):
    """The cheapest alternating path from the root to a column without owner, and the prices that keep costs >= 0."""
    rows, columns = cost.shape
    far = jnp.full((columns,), jnp.inf, cost.dtype)

    def grow(carry):
        at, used, distance, way, by_row, by_column = carry
        used = used.at[at].set(True)
        reduced = cost[owner[at]] - by_row[owner[at]] - by_column[:columns]
        closer = ~used[:columns] & (reduced < distance)
        distance, way = jnp.where(closer, reduced, distance), jnp.where(closer, at, way)
        open_ = jnp.where(used[:columns], jnp.inf, distance)
        after = jnp.argmin(open_).astype(jnp.int32)
        step = open_[after]
        by_row = by_row.at[jnp.where(used, owner, rows)].add(step, mode="drop")
        by_column = jnp.where(used, by_column - step, by_column)
        return after, used, jnp.where(used[:columns], distance, distance - step), way, by_row, by_column

    start = jnp.int32(columns), jnp.zeros((columns + 1,), bool), far, jnp.zeros((columns,), jnp.int32)
    end, _, _, way, by_row, by_column = jax.lax.while_loop(
        lambda carry: owner[carry[0]] >= 0, grow, (*start, by_row, by_column)
    )
    return owner, way, end, by_row, by_column
