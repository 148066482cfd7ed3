"""The examples most like each example: what labels they have, and the three nearest as evidence.

Exact where that takes seconds, by blocks of matrix products; above that by faiss. scikit-learn and faiss are imported
where they are used.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from scipy import sparse

NEIGHBOURS = 20
EVIDENCE = 3
"""Of the nearest, those that a reviewer reads."""

# numbers in a block of similarities
_BLOCK = 1 << 24
# multiplications up to which all pairs are compared: seconds on two cores
_EXACT = 3e11
# of the graph: links of an example, candidates that are kept while building and while searching
_LINKS, _WIDTH_BUILT, _WIDTH_SEARCHED = 16, 40, 64
# a sparse vector as a dense one, to find the candidates by; they are compared in full
_SKETCH, _CANDIDATES = 256, 60

Floats = npt.NDArray[np.float64]
Labels = npt.NDArray[np.int64]
Vectors = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Neighbours:
    """Of N examples the K nearest others, the nearest first; ties by index. Fewer examples have fewer: K < N."""

    index: npt.NDArray[np.int64]
    """(N, K)."""
    similarity: npt.NDArray[np.float32]
    """Cosine, (N, K)."""

    def shares(self, label: Labels, n_classes: int) -> Floats:
        """Share of the neighbours that have each class, (N, C)."""
        n, k = self.index.shape
        cell = np.arange(n)[:, None] * n_classes + label[self.index]
        counts = np.bincount(cell.ravel(), minlength=n * n_classes).reshape(n, n_classes)
        return counts / max(k, 1)

    def disagreement(self, label: Labels) -> Floats:
        """`neighbour_disagreement`: share of the neighbours with another label, (N,); NaN where there are none."""
        if not self.index.shape[1]:
            return np.full(len(label), np.nan)
        share: Floats = (label[self.index] != label[:, None]).mean(axis=1)
        return share


def paired(a: Vectors, b: Vectors | None) -> Vectors:
    """Unit vectors whose cosine is the mean of the two texts' cosines, from unit vectors (N, D) of each text."""
    return a if b is None else np.hstack([a, b]) * np.float32(np.sqrt(0.5))


def nearest(vectors: Vectors | sparse.csr_array, k: int = NEIGHBOURS, *, seed: int = 0) -> Neighbours:
    """The `k` other examples with the highest cosine, of vectors (N, D), dense or sparse, of length 1 or 0.

    Beyond some 20,000 examples the search is approximate, and needs faiss; `seed` is for sparse vectors, whose
    candidates are found by a random projection.
    """
    n = vectors.shape[0]
    k = min(k, n - 1)
    if k <= 0:
        return Neighbours(np.zeros((n, 0), np.int64), np.zeros((n, 0), np.float32))
    # a sparse product costs more for each number
    width = vectors.shape[1] if isinstance(vectors, np.ndarray) else max(1, vectors.nnz // n) * 8
    if float(n) * n * width <= _EXACT:
        return _exact(vectors, k)
    if isinstance(vectors, np.ndarray):
        return _by_graph(np.ascontiguousarray(vectors, np.float32), k)
    return _sketched(vectors, k, seed)


def _exact(vectors: Vectors | sparse.csr_array, k: int) -> Neighbours:
    n = vectors.shape[0]
    index, similarity = np.empty((n, k), np.int64), np.empty((n, k), np.float32)
    transposed = vectors.T if isinstance(vectors, np.ndarray) else vectors.T.tocsr()
    step = max(1, _BLOCK // n)
    for first in range(0, n, step):
        block = vectors[first : first + step] @ transposed
        found = block if isinstance(block, np.ndarray) else block.toarray()
        rows = np.arange(len(found))
        found[rows, first + rows] = -np.inf
        index[first : first + step], similarity[first : first + step] = _highest(found, k)
    return Neighbours(index, similarity)


def _highest(similarity: npt.NDArray[np.float32], k: int) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float32]]:
    """Columns and values of the k highest of each row, ties by column."""
    n = similarity.shape[1]
    # the k-th highest value, then all that reach it in the order of their columns
    least = np.partition(similarity, n - k, axis=1)[:, n - k : n - k + 1]
    above = similarity > least
    room = k - above.sum(axis=1, keepdims=True)
    equal = similarity == least
    taken = above | (equal & (equal.cumsum(axis=1) <= room))
    columns = np.nonzero(taken)[1].reshape(-1, k)
    values = np.take_along_axis(similarity, columns, axis=1)
    order = np.argsort(-values, axis=1, kind="stable")
    return np.take_along_axis(columns, order, axis=1), np.take_along_axis(values, order, axis=1)


def _by_graph(vectors: Vectors, k: int) -> Neighbours:
    """Approximate, by a graph of neighbours (HNSW: Malkov and Yashunin 2018); the same vectors give the same answer."""
    import faiss

    index = faiss.IndexHNSWFlat(vectors.shape[1], _LINKS, faiss.METRIC_INNER_PRODUCT)
    index.hnsw.efConstruction, index.hnsw.efSearch = _WIDTH_BUILT, max(_WIDTH_SEARCHED, 2 * k)
    threads = faiss.omp_get_max_threads()
    try:
        faiss.omp_set_num_threads(1)  # several threads insert in an order of their own
        index.add(vectors)
    finally:
        faiss.omp_set_num_threads(threads)
    similarity, found = index.search(vectors, k + 1)
    # where the graph gives fewer, the nearest stands for what is missing
    missing = found < 0
    similarity = np.where(missing, similarity[:, :1], similarity)
    return _without_itself(np.where(missing, found[:, :1], found), similarity, k)


def _without_itself(found: npt.NDArray[np.int64], similarity: npt.NDArray[np.float32], k: int) -> Neighbours:
    """The k of k + 1 that are not the example itself; among many duplicates it may be missing: then the last goes."""
    itself = found == np.arange(len(found))[:, None]
    itself[~itself.any(axis=1), -1] = True
    index = found[~itself].reshape(-1, k)
    return Neighbours(index, similarity[~itself].reshape(-1, k))


def _sketched(vectors: sparse.csr_array, k: int, seed: int) -> Neighbours:
    """Candidates by random projection, the nearest of them by their full vectors."""
    from sklearn.preprocessing import normalize
    from sklearn.random_projection import GaussianRandomProjection

    project = GaussianRandomProjection(min(_SKETCH, vectors.shape[1]), random_state=seed)
    sketch = np.ascontiguousarray(normalize(project.fit_transform(vectors)), np.float32)
    candidates = _by_graph(sketch, max(k, _CANDIDATES)).index
    n, many = candidates.shape
    similarity = np.empty((n, many), np.float32)
    step = max(1, _BLOCK // (many * 64))
    for first in range(0, n, step):
        rows = np.repeat(np.arange(first, min(n, first + step)), many)
        product = vectors[rows].multiply(vectors[candidates[first : first + step].ravel()])
        similarity[first : first + step] = np.asarray(product.sum(axis=1)).reshape(-1, many)
    order = np.lexsort((candidates, -similarity), axis=1)[:, :k]
    return Neighbours(np.take_along_axis(candidates, order, axis=1), np.take_along_axis(similarity, order, axis=1))
