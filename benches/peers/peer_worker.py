"""Runs hnswlib and faiss for the driver: one JSON command a line on stdin, one JSON reply a line on stdout.

Arrays travel as .npy files whose paths stand in the commands. Times are taken here, around the library's own call.
A command is {"op": ..., "engine": ..., other arguments}; a reply is an object, {"error": ...} when it failed.
"""

import json
import os
import sys
import time
from importlib.metadata import version

import faiss
import hnswlib
import numpy as np


class Hnswlib:
    def __init__(self, metric, dim, capacity, m, ef_construction):
        self.capacity = capacity
        self.index = hnswlib.Index(space=metric, dim=dim)
        self.shape = dict(max_elements=capacity, M=m, ef_construction=ef_construction)

    @staticmethod
    def details():
        # The compiler's instruction set is not recorded anywhere but in the names of the compiled kernels.
        with open(hnswlib.__file__, "rb") as extension:
            names = extension.read()
        simd = next((name for name in ("AVX512", "AVX", "SSE") if f"L2SqrSIMD16Ext{name}".encode() in names), "none")
        return f"{version('hnswlib')}, compiled with {simd}"

    def prepare(self, rows):
        return rows

    def add(self, rows, first, threads):
        if first == 0:
            self.index.init_index(**self.shape)
        self.index.add_items(rows, np.arange(first, first + len(rows)), num_threads=threads)

    def set_ef(self, ef, threads):
        self.index.set_ef(ef)
        self.threads = threads

    def search(self, queries, k):
        return self.index.knn_query(queries, k, num_threads=self.threads)[0]

    def bytes(self):
        return self.index.index_file_size()

    def save(self, path):
        self.index.save_index(path)

    def load(self, path):
        self.index.load_index(path, max_elements=self.capacity)


class Faiss:
    """IndexHNSWFlat. Cosine becomes L2 over normalised vectors: the same order."""

    def __init__(self, metric, dim, capacity, m, ef_construction):
        self.normalised = metric == "cosine"
        self.index = faiss.IndexHNSWFlat(dim, m)
        self.index.hnsw.efConstruction = ef_construction

    @staticmethod
    def details():
        return f"{faiss.__version__}, runs {faiss.SIMDConfig.get_level_name()}"

    def prepare(self, rows):
        if self.normalised:
            rows = rows.copy()
            faiss.normalize_L2(rows)
        return rows

    def add(self, rows, first, threads):
        if first != self.index.ntotal:
            raise ValueError(f"faiss numbers rows itself: next is {self.index.ntotal}, asked for {first}")
        faiss.omp_set_num_threads(threads)
        self.index.add(rows)

    def set_ef(self, ef, threads):
        self.index.hnsw.efSearch = ef
        faiss.omp_set_num_threads(threads)

    def search(self, queries, k):
        return self.index.search(queries, k)[1]

    def bytes(self):
        links = self.index.hnsw
        return 4 * self.index.ntotal * self.index.d + 4 * (links.neighbors.size() + links.levels.size())

    def save(self, path):
        faiss.write_index(self.index, path)

    def load(self, path):
        self.index = faiss.read_index(path)


LIBRARIES = {"hnswlib": Hnswlib, "faiss": Faiss}


class Worker:
    def __init__(self):
        self.engines = {}
        self.prepared = {}

    def details(self, engine):
        return {"details": LIBRARIES[engine].details()}

    def open(self, engine, **options):
        self.engines[engine] = LIBRARIES[engine](**options)
        return {}

    def add(self, engine, rows, first, threads):
        rows = self.engines[engine].prepare(np.load(rows))
        start = time.perf_counter()
        self.engines[engine].add(rows, first, threads)
        return {"seconds": time.perf_counter() - start}

    def search(self, engine, queries, k, ef, threads, single, ids):
        library = self.engines[engine]
        if self.prepared.get(engine, (None,))[0] != queries:
            self.prepared[engine] = (queries, library.prepare(np.load(queries)))
        rows = self.prepared[engine][1]
        library.set_ef(ef, threads)
        start = time.perf_counter()
        if single:
            found = np.concatenate([library.search(rows[i : i + 1], k) for i in range(len(rows))])
        else:
            found = library.search(rows, k)
        seconds = time.perf_counter() - start
        # faiss writes -1 where it found fewer than k; the driver reads that as the largest u32.
        np.save(ids, found.astype(np.int64).astype(np.uint32))
        return {"seconds": seconds}

    def bytes(self, engine):
        return {"bytes": self.engines[engine].bytes()}

    def save(self, engine, path):
        self.engines[engine].save(path)
        return {}

    def load(self, engine, path):
        self.engines[engine].load(path)
        return {}


def main():
    # The libraries may print: their stdout becomes stderr, and the replies keep the real one.
    replies = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    worker = Worker()
    commands = {name: getattr(worker, name) for name in ("details", "open", "add", "search", "bytes", "save", "load")}
    for line in sys.stdin:
        command = json.loads(line)
        try:
            reply = commands[command.pop("op")](**command)
        except Exception as error:  # whatever a library raises belongs in the reply
            reply = {"error": f"{type(error).__name__}: {error}"}
        print(json.dumps(reply), file=replies, flush=True)


if __name__ == "__main__":
    main()
