#!/usr/bin/env python3
"""Makes the demo data from the unpacked text-384 set: `python3 make.py FOLDER`, where FOLDER holds base.npy, base.txt,
query_heldout.npy and query_heldout.txt. Needs numpy. Writes beside this script; the same input gives the same bytes."""

import fractions
import pathlib
import random
import sys

import numpy

ROWS, QUERIES, NEIGHBOURS, SEED = 12_000, 500, 20, 384


def sample(source, name, count, rng):
    """`count` rows of an array and their texts, drawn without replacement, in the order of the set."""
    vectors = numpy.load(source / f"{name}.npy")
    texts = (source / f"{name}.txt").read_text(encoding="utf-8").split("\n")
    if texts.pop() != "" or len(texts) != len(vectors):
        sys.exit(f"{name}.txt: {len(texts)} lines, expected {len(vectors)}: one for every row of {name}.npy")
    # Python promises that random() gives the same numbers in every version; it does not for sample().
    order = [(rng.random(), row) for row in range(len(vectors))]
    rows = sorted(row for _, row in sorted(order)[:count])
    return vectors[rows], [texts[row] for row in rows]


def nearest(base, query, count):
    """Row numbers of the nearest base rows by cosine, nearest first, ties by row number.

    For one query the order of the cosines a·b / sqrt(a·a × b·b) is that of sign(a·b) (a·b)² / a·a, a fraction of
    integers. Doubles choose the candidates, exact fractions order them."""
    base, query = base.astype(numpy.int64), query.astype(numpy.int64)
    squares = (base * base).sum(axis=1)
    table = numpy.empty((len(query), count), numpy.int32)
    for row, products in enumerate(query @ base.T):
        scores = numpy.sign(products) * (products * products) / squares
        candidates = numpy.argsort(-scores, kind="stable")[: 2 * count]
        assert scores[candidates[-1]] < scores[candidates[count - 1]] * (1 - 1e-12), "too many ties: take more candidates"
        table[row] = sorted(candidates, key=lambda at: (-exact(products[at], squares[at]), at))[:count]
    return table


def exact(product, square):
    return fractions.Fraction(int(product) * abs(int(product)), int(square))


def main(source):
    target = pathlib.Path(__file__).resolve().parent
    rng = random.Random(SEED)
    base, base_texts = sample(source, "base", ROWS, rng)
    query, query_texts = sample(source, "query_heldout", QUERIES, rng)
    for name, array in [("base", base), ("query", query), ("gt", nearest(base, query, NEIGHBOURS))]:
        numpy.save(target / f"{name}.npy", array)
    for name, texts in [("base", base_texts), ("query", query_texts)]:
        (target / f"{name}.txt").write_text("".join(f"{text}\n" for text in texts), encoding="utf-8", newline="\n")


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    main(pathlib.Path(sys.argv[1]))
