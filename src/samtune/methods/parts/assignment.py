"""Assignment: give each row its own column at the least total cost, exactly.

    min over injective a of sum_i cost[i, a(i)],    rows i, columns a(i),    no more rows than columns

Rows enter one after the other. For each the shortest path of changes to the present assignment is found, by costs from
which prices of rows and columns are subtracted so that none is negative; then the path is turned over. Time grows with
rows^2 * columns, which is nothing for the tens of classes and queries it is made for. Source: the Hungarian method in
the form of successive shortest paths (Kuhn 1955; Jonker and Volgenant 1987).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def assign(cost: NDArray[np.float64]) -> list[int]:
    """The column of each row.

    Args:
        cost: (rows, columns) finite, rows <= columns.

    Returns:
        One column per row, all different. Where several assignments cost the same, the same one each time.

    Raises:
        ValueError: more rows than columns, or a cost that is not finite.
    """
    rows, columns = cost.shape
    if rows > columns:
        raise ValueError(f"An assignment needs a column for each row, but {rows} rows and {columns} columns came.")
    if not np.isfinite(cost).all():
        raise ValueError("The costs of an assignment must be finite.")
    of_row, of_column = np.zeros(rows), np.zeros(columns)  # prices
    owner = np.full(columns, -1)
    for row in range(rows):
        column, previous = _shortest_path(cost, row, owner, of_row, of_column)
        while column >= 0:  # turn the path over, from its free end back to the new row
            before = previous[column]
            owner[column] = row if before < 0 else owner[before]
            column = before
    result = np.empty(rows, dtype=int)
    result[owner[owner >= 0]] = np.flatnonzero(owner >= 0)
    return [int(column) for column in result]


def _shortest_path(
    cost: NDArray[np.float64],
    row: int,
    owner: NDArray[np.int64],
    of_row: NDArray[np.float64],
    of_column: NDArray[np.float64],
) -> tuple[int, NDArray[np.int64]]:
    """Find the cheapest way to place a new row; brings the prices up to date.

    Returns:
        The free column where the path ends, and for each column the one before it on its path (-1: the new row itself).
    """
    columns = cost.shape[1]
    distance = np.full(columns, np.inf)
    previous = np.full(columns, -1)
    done = np.zeros(columns, dtype=bool)
    current, last, travelled = row, -1, 0.0
    visited = [(row, 0.0)]
    while True:
        through = travelled + cost[current] - of_row[current] - of_column
        nearer = ~done & (through < distance)
        distance[nearer], previous[nearer] = through[nearer], last
        last = int(np.where(done, np.inf, distance).argmin())
        travelled = float(distance[last])
        if owner[last] < 0:
            break
        done[last] = True
        current = int(owner[last])
        visited.append((current, travelled))
    for reached, at in visited:
        of_row[reached] += travelled - at
    of_column[done] -= travelled - distance[done]
    return last, previous
