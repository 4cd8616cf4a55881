"""Losses that act on pairs, triplets and batches of embeddings."""

import os
import warnings
from numbers import Integral, Real
from typing import ClassVar

import numpy as np

from sklosses._isa import kernel
from sklosses._parametrised import Parametrised
from sklosses.losses._traits import Interval

_kernels = kernel("sklosses.losses._embedding_kernels")

POSITIVE = Interval(0.0, low_closed=False)


class EmbeddingLoss(Parametrised):
    """The base of losses of embeddings.

    ``value`` has one number for each pair, triplet or row, times its sample weight; ``gradient`` is the gradient of the
    *sum* of these numbers, an array for one embedding argument, a tuple of arrays for several. ``loss(...)`` is the
    weighted mean: divide a gradient by the sum of the weights to have the mean's.

    Attributes
    ----------
    name : str
        The name under which :func:`get_loss` knows the loss.
    arguments : tuple of str
        The arguments that gradients are taken in, in their order.
    """

    name = ""
    arguments = ()
    ranges: ClassVar = {}
    tasks = frozenset({"embedding"})

    def _set(self, **given):
        """Check and keep parameters, in the order of the constructor's arguments."""
        for name, value in given.items():
            interval = self.ranges[name]
            if interval is bool:
                if not isinstance(value, bool | np.bool_):
                    raise ValueError(f"{name}={value!r} of {type(self).__name__} must be True or False.")
            elif not isinstance(value, Real) or isinstance(value, bool) or float(value) not in interval:
                raise ValueError(f"{name}={value!r} of {type(self).__name__} must be a number in {interval}.")
        self._given = given

    def __call__(self, *args, sample_weight=None, n_threads=None):
        """The weighted mean of the values.

        Parameters
        ----------
        *args
            The arguments of ``value`` up to ``sample_weight``.
        sample_weight : array-like of shape (n,), default=None
            Weights; a weight of k counts as the pair, triplet or row k times over.
        n_threads : int or None, default=None
            As in ``value``.

        Returns
        -------
        float
            sum(sample_weight * value) / sum(sample_weight).
        """
        values = self.value(*args, n_threads=n_threads)
        if sample_weight is None:
            return float(np.mean(values, dtype=np.float64))
        return float(np.average(values, weights=_weights(sample_weight, len(values))))


# Arguments ----------------------------------------------------------------------------------------------------------


def effective_threads(n_threads, name="n_threads"):
    """The number of threads: as given, or as many as OMP_NUM_THREADS, threadpoolctl and the CPUs allow."""
    if n_threads is None:
        from sklearn.utils._openmp_helpers import _openmp_effective_n_threads  # importing scikit-learn takes its time

        return _openmp_effective_n_threads()
    if not isinstance(n_threads, Integral) or isinstance(n_threads, bool) or n_threads == 0:
        raise ValueError(f"{name}={n_threads!r} must be None or an integer other than 0.")
    return int(n_threads) if n_threads > 0 else max(1, (os.cpu_count() or 1) + 1 + int(n_threads))


def _embeddings(**given):
    """The embeddings as C-contiguous arrays of one dtype: float32 if all are, otherwise float64."""
    arrays = {name: np.asarray(array) for name, array in given.items()}
    for name, array in arrays.items():
        if array.dtype.kind not in "fiub":
            raise ValueError(f"{name} must hold real numbers, got dtype {array.dtype}.")
        if array.ndim != 2 or 0 in array.shape:
            raise ValueError(f"{name} has shape {array.shape}, expected (n, d) with n and d at least 1.")
    dtype = np.float32 if all(array.dtype == np.float32 for array in arrays.values()) else np.float64
    for name, array in arrays.items():
        array = arrays[name] = np.require(array, dtype, "CA")
        with np.errstate(over="ignore", invalid="ignore"):
            total = np.sum(array)  # one pass without a copy; it may overflow where all is finite
        if not np.isfinite(total) and not np.isfinite(array).all():
            bad = array[~np.isfinite(array)][0]
            raise ValueError(f"{name} contains {bad}: embeddings must be finite.")
    return arrays


def _like(arrays, reference):
    """Raise unless all have the shape of the one named reference."""
    for name, array in arrays.items():
        if array.shape != arrays[reference].shape:
            raise ValueError(f"{name} has shape {array.shape}, but {reference} has {arrays[reference].shape}.")


def _weights(sample_weight, n):
    """The weights as float64, or None."""
    if sample_weight is None:
        return None
    weight = np.ascontiguousarray(sample_weight, dtype=np.float64)
    if weight.shape != (n,):
        raise ValueError(f"sample_weight has shape {weight.shape}, expected ({n},).")
    if not np.isfinite(weight).all() or (weight < 0).any():
        raise ValueError("sample_weight must be finite and not negative.")
    return weight


def _same(same, n):
    """Which pairs are similar, as 1. and 0."""
    array = np.asarray(same)
    if array.shape != (n,):
        raise ValueError(f"same has shape {array.shape}, expected ({n},).")
    if array.dtype.kind not in "fiub" or not np.isin(array, (0, 1)).all():
        bad = array[~np.isin(array, (0, 1))]
        hint = " PyTorch's -1 for a dissimilar pair is 0 here." if len(bad) and (bad == -1).all() else ""
        raise ValueError(
            f"same must be 1 (or True) for similar and 0 (or False) for dissimilar pairs, got "
            f"{bad[0] if len(bad) else array.dtype!r}.{hint}"
        )
    return array.astype(np.float64)


def _codes(labels, n):
    """Labels of any kind as codes 0, 1, ..., and the number of rows of each."""
    array = np.asarray(labels)
    if array.shape != (n,):
        raise ValueError(f"labels has shape {array.shape}, expected ({n},).")
    if array.dtype.kind == "f" and not np.isfinite(array).all():
        raise ValueError("labels contains NaN or infinity.")
    _, codes, counts = np.unique(array, return_inverse=True, return_counts=True)
    return codes.reshape(n), counts


def _center_numbers(labels, n, n_centers):
    """Labels as rows of the centers."""
    array = np.asarray(labels)
    if array.shape != (n,):
        raise ValueError(f"labels has shape {array.shape}, expected ({n},).")
    if array.dtype.kind not in "iu":
        raise ValueError(f"labels must be integers, the rows of centers, got dtype {array.dtype}.")
    if array.min() < 0 or array.max() >= n_centers:
        bad = array[(array < 0) | (array >= n_centers)][0]
        raise ValueError(f"labels contains {bad}, but centers has the rows 0 to {n_centers - 1}.")
    return np.ascontiguousarray(array, dtype=np.int64)


class _Results:
    """The arrays that a loss writes, of the user's or new, and what is returned of them."""

    def __init__(self, what, shape, arrays, out):
        """`what`: value, gradient or value_and_gradient; `shape` of the value; `arrays` to be differentiated in."""
        self.what, self.single = what, len(arrays) == 1
        dtype = next(iter(arrays.values())).dtype
        value, gradients = None, (None,) * len(arrays)
        if out is not None:
            value, gradients = self._split(out, len(arrays))
        self._given, self._used = [], []
        if what != "gradient":
            self._add("value", value, shape, dtype)
        if what != "value":
            for (name, array), gradient in zip(arrays.items(), gradients, strict=True):
                self._add(f"gradient in {name}", gradient, array.shape, dtype)

    def _split(self, out, n_gradients):
        """`out` as the value's array and the gradients'."""
        if self.what == "value":
            return out, ()
        gradients = out
        value = None
        if self.what == "value_and_gradient":
            if not isinstance(out, tuple | list) or len(out) != 2:
                raise ValueError("out must be a pair: an array for the value, and gradient's out.")
            value, gradients = out
        if self.single or gradients is None:
            return value, (gradients,) * n_gradients
        if not isinstance(gradients, tuple | list) or len(gradients) != n_gradients:
            raise ValueError(f"out must hold {n_gradients} arrays for the gradients.")
        return value, gradients

    def _add(self, name, given, shape, dtype):
        if given is not None and not (
            isinstance(given, np.ndarray) and given.shape == shape and given.dtype == dtype and given.flags.writeable
        ):
            found = f"{given.dtype} of shape {given.shape}" if isinstance(given, np.ndarray) else type(given).__name__
            raise ValueError(
                f"out for the {name} must be a writeable ndarray of {dtype} and shape {shape}, got {found}."
            )
        in_place = given is not None and given.flags.c_contiguous and given.flags.aligned
        self._given.append(given)
        self._used.append(given if in_place else np.empty(shape, dtype))

    @property
    def outputs(self):
        """What kernels take: the value's array or None, the gradients' arrays or None."""
        value = None if self.what == "gradient" else self._used[0]
        gradients = self._used[self.what != "gradient" :]
        return value, tuple(gradients) or None

    def separate(self, arrays):
        """Write elsewhere first where an argument overlaps a result."""
        for k, used in enumerate(self._used):
            if any(np.may_share_memory(used, array) for array in arrays):
                self._used[k] = np.empty_like(used)

    def zero(self):
        """Results of a batch that contributes nothing."""
        for used in self._used:
            used[...] = 0

    def returned(self):
        """What the user gets."""
        results = []
        for given, used in zip(self._given, self._used, strict=True):
            if given is not None and given is not used:
                given[...] = used
            results.append(used if given is None else given)
        if self.what == "value":
            return results[0]
        gradients = results[self.what != "gradient" :]
        gradient = gradients[0] if self.single else tuple(gradients)
        return gradient if self.what == "gradient" else (results[0], gradient)


# Pairs and triplets -------------------------------------------------------------------------------------------------


class _RowLoss(EmbeddingLoss):
    """A loss whose pairs or triplets are independent of each other."""

    def _rows(self, what, arrays, same, sample_weight, settings):
        out, n_threads = settings
        first = next(iter(arrays.values()))
        weight = _weights(sample_weight, len(first))
        results = _Results(what, (len(first),), arrays, out)
        results.separate(arrays.values())
        _kernels.by_rows(
            self.name,
            tuple(arrays.values()),
            same,
            weight,
            results.outputs,
            {**self._given, "n_threads": effective_threads(n_threads)},
        )
        return results.returned()


class _PairLoss(_RowLoss):
    """A loss of similar and dissimilar pairs."""

    arguments = ("A", "B")

    def _pairs(self, what, A, B, same, sample_weight, settings):
        arrays = _embeddings(A=A, B=B)
        _like(arrays, "A")
        return self._rows(what, arrays, _same(same, len(arrays["A"])), sample_weight, settings)

    def value(self, A, B, same, sample_weight=None, *, out=None, n_threads=None):
        """The loss of each pair.

        Parameters
        ----------
        A, B : array-like of shape (n, d)
            The pairs' embeddings.
        same : array-like of shape (n,)
            1 or True for similar pairs, 0 or False for dissimilar ones.
        sample_weight : array-like of shape (n,), default=None
            Factors of the pairs.
        out : ndarray of the result's shape and dtype, default=None
            Where to write the result.
        n_threads : int or None, default=None
            Threads; None: what OMP_NUM_THREADS, threadpoolctl and the CPUs allow. Results do not depend on it.

        Returns
        -------
        ndarray of shape (n,)
            float32 if A and B are, otherwise float64.

        Raises
        ------
        ValueError
            If shapes do not match, an embedding is NaN or infinite, or same holds anything but 0 and 1.
        """
        return self._pairs("value", A, B, same, sample_weight, (out, n_threads))

    def gradient(self, A, B, same, sample_weight=None, *, out=None, n_threads=None):
        """The gradient of the sum of the values. Parameters and errors are those of :meth:`value`.

        Returns
        -------
        tuple of two ndarrays of shape (n, d)
            In A and in B; `out` is a pair of arrays.
        """
        return self._pairs("gradient", A, B, same, sample_weight, (out, n_threads))

    def value_and_gradient(self, A, B, same, sample_weight=None, *, out=None, n_threads=None):
        """Both at once: (value, gradient), `out` likewise. Parameters and errors are those of :meth:`value`."""
        return self._pairs("value_and_gradient", A, B, same, sample_weight, (out, n_threads))


class Contrastive(_PairLoss):
    """Similar pairs close to each other, dissimilar ones at least a margin apart.

    (same d^2 + (1 - same) (margin - d)+^2) / 2, d = |a - b|. For a dissimilar pair at d = 0, where the direction in
    which to part is undefined, the gradient is 0.

    Parameters
    ----------
    margin : float > 0, default=1.0
        The distance from which dissimilar pairs cost nothing.

    References
    ----------
    Hadsell, Chopra and LeCun, Dimensionality reduction by learning an invariant mapping, CVPR 2006.

    Examples
    --------
    >>> from sklosses.losses import Contrastive
    >>> Contrastive(margin=1.0).value([[0.0, 0.0], [0.0, 0.0]], [[0.6, 0.8], [0.3, 0.4]], [1, 0])
    array([0.5  , 0.125])
    """

    name = "contrastive"
    ranges: ClassVar = {"margin": POSITIVE}

    def __init__(self, margin=1.0):
        self._set(margin=margin)


class Cosine(_PairLoss):
    """Similar pairs in one direction, dissimilar ones at an angle whose cosine is a margin at most.

    same (1 - cos) + (1 - same) (cos - margin)+, cos = a.b / (|a| |b|). Where a or b is zero, cos is 0 and so are both
    gradients; a row too short for 1 / |a| to be a number of its dtype counts as zero.

    Parameters
    ----------
    margin : float in [-1, 1], default=0.0
        The cosine up to which dissimilar pairs cost nothing.

    Examples
    --------
    >>> from sklosses.losses import Cosine
    >>> Cosine(margin=0.5).value([[1.0, 0.0], [1.0, 0.0]], [[0.6, 0.8], [0.6, 0.8]], [1, 0])
    array([0.4, 0.1])
    """

    name = "cosine"
    ranges: ClassVar = {"margin": Interval(-1.0, 1.0)}

    def __init__(self, margin=0.0):
        self._set(margin=margin)


class Triplet(_RowLoss):
    """An anchor closer to a positive than to a negative, by a margin.

    (d^2(a, p) - d^2(a, n) + margin)+ as in the paper, or of the distances themselves. Of the unsquared distances, a
    distance of 0 has the gradient 0.

    Parameters
    ----------
    margin : float >= 0, default=1.0
        By how much the positive is to be closer.
    squared : bool, default=True
        Whether distances are squared.

    References
    ----------
    Schroff, Kalenichenko and Philbin, FaceNet, CVPR 2015.

    Examples
    --------
    >>> from sklosses.losses import Triplet
    >>> Triplet(margin=1.0).value([[0.0, 0.0]], [[0.0, 1.0]], [[1.2, 0.0]])
    array([0.56])
    """

    name = "triplet"
    arguments = ("anchor", "positive", "negative")
    ranges: ClassVar = {"margin": Interval(0.0), "squared": bool}

    def __init__(self, margin=1.0, squared=True):
        self._set(margin=margin, squared=squared)

    def _triplets(self, what, rows, sample_weight, settings):
        arrays = _embeddings(**dict(zip(self.arguments, rows, strict=True)))
        _like(arrays, "anchor")
        return self._rows(what, arrays, None, sample_weight, settings)

    def value(self, anchor, positive, negative, sample_weight=None, *, out=None, n_threads=None):
        """The loss of each triplet.

        Parameters
        ----------
        anchor, positive, negative : array-like of shape (n, d)
            The triplets' embeddings.
        sample_weight : array-like of shape (n,), default=None
            Factors of the triplets.
        out : ndarray of the result's shape and dtype, default=None
            Where to write the result.
        n_threads : int or None, default=None
            Threads; None: what OMP_NUM_THREADS, threadpoolctl and the CPUs allow. Results do not depend on it.

        Returns
        -------
        ndarray of shape (n,)
            float32 if the embeddings are, otherwise float64.

        Raises
        ------
        ValueError
            If shapes do not match, or an embedding is NaN or infinite.
        """
        return self._triplets("value", (anchor, positive, negative), sample_weight, (out, n_threads))

    def gradient(self, anchor, positive, negative, sample_weight=None, *, out=None, n_threads=None):
        """The gradient of the sum of the values. Parameters and errors are those of :meth:`value`.

        Returns
        -------
        tuple of three ndarrays of shape (n, d)
            In anchor, positive and negative; `out` holds three arrays.
        """
        return self._triplets("gradient", (anchor, positive, negative), sample_weight, (out, n_threads))

    def value_and_gradient(self, anchor, positive, negative, sample_weight=None, *, out=None, n_threads=None):
        """Both at once: (value, gradient), `out` likewise. Parameters and errors are those of :meth:`value`."""
        return self._triplets("value_and_gradient", (anchor, positive, negative), sample_weight, (out, n_threads))


class Center(_RowLoss):
    """Rows close to the centre of their class.

    d^2(z, c_label) / 2. Alone it draws everything to a point: the paper adds it to a softmax loss. Its gradient in the
    centres is that of the sum; the paper moves them by the rule of :meth:`update_centers` instead.

    References
    ----------
    Wen, Zhang, Li and Qiao, A discriminative feature learning approach for deep face recognition, ECCV 2016.

    Examples
    --------
    >>> from sklosses.losses import Center
    >>> Center().value([[0.0, 1.0], [2.0, 2.0]], [0, 1], [[0.0, 0.0], [1.0, 2.0]])
    array([0.5, 0.5])
    """

    name = "center"
    arguments = ("Z", "centers")

    def __init__(self):
        self._set()

    def _centered(self, what, rows, sample_weight, settings):
        Z, labels, centers = rows
        arrays = _embeddings(Z=Z, centers=centers)
        n_centers, d = arrays["centers"].shape
        if arrays["Z"].shape[1] != d:
            raise ValueError(f"centers has shape {(n_centers, d)}, but Z has {arrays['Z'].shape}.")
        labels = _center_numbers(labels, len(arrays["Z"]), n_centers)
        return self._rows(what, arrays, labels, sample_weight, settings)

    def value(self, Z, labels, centers, sample_weight=None, *, out=None, n_threads=None):
        """The loss of each row.

        Parameters
        ----------
        Z : array-like of shape (n, d)
            Embeddings.
        labels : array-like of int of shape (n,)
            For each row of Z the row of its centre.
        centers : array-like of shape (n_centers, d)
            The centres.
        sample_weight : array-like of shape (n,), default=None
            Factors of the rows.
        out : ndarray of the result's shape and dtype, default=None
            Where to write the result.
        n_threads : int or None, default=None
            Threads; None: what OMP_NUM_THREADS, threadpoolctl and the CPUs allow. Results do not depend on it.

        Returns
        -------
        ndarray of shape (n,)
            float32 if Z and centers are, otherwise float64.

        Raises
        ------
        ValueError
            If shapes do not match, an embedding is NaN or infinite, or a label has no centre.
        """
        return self._centered("value", (Z, labels, centers), sample_weight, (out, n_threads))

    def gradient(self, Z, labels, centers, sample_weight=None, *, out=None, n_threads=None):
        """The gradient of the sum of the values. Parameters and errors are those of :meth:`value`.

        Returns
        -------
        tuple of two ndarrays of shapes (n, d) and (n_centers, d)
            In Z and in centers; `out` is a pair of arrays.
        """
        return self._centered("gradient", (Z, labels, centers), sample_weight, (out, n_threads))

    def value_and_gradient(self, Z, labels, centers, sample_weight=None, *, out=None, n_threads=None):
        """Both at once: (value, gradient), `out` likewise. Parameters and errors are those of :meth:`value`."""
        return self._centered("value_and_gradient", (Z, labels, centers), sample_weight, (out, n_threads))

    def update_centers(self, Z, labels, centers, rate=0.5, *, out=None, n_threads=None):
        """Move the centres as the paper does: c_j -= rate * sum_{i in j} (c_j - z_i) / (1 + n_j).

        Parameters
        ----------
        Z, labels, centers
            As in :meth:`value`.
        rate : float in [0, 1], default=0.5
            The paper's alpha.
        out : ndarray of the shape and dtype of the result, default=None
            Where to write the result; may be `centers` itself.
        n_threads : int or None, default=None
            As in :meth:`value`.

        Returns
        -------
        ndarray of shape (n_centers, d)
            The new centres; those without a row stay where they are.

        Raises
        ------
        ValueError
            As :meth:`value`, and if rate is out of range.
        """
        if not isinstance(rate, Real) or not 0 <= rate <= 1:
            raise ValueError(f"rate={rate!r} must be a number in [0, 1].")
        towards = self.gradient(Z, labels, centers, n_threads=n_threads)[1]
        counts = np.bincount(np.asarray(labels), minlength=len(towards))
        moved = np.asarray(centers, dtype=towards.dtype) - (rate / (1.0 + counts))[:, None] * towards
        results = _Results("gradient", (), {"centers": towards}, out)
        results.outputs[1][0][...] = moved
        return results.returned()


# A row against all others -------------------------------------------------------------------------------------------


def _nothing(loss, reason):
    warnings.warn(f"No row of this batch contributes to {loss!r}: {reason}.", UserWarning, stacklevel=5)


class NTXent(EmbeddingLoss):
    """Each row recognises its other view among all rows: the loss of SimCLR.

    -log(exp(cos(z_i, z_j) / t) / sum_{k != i} exp(cos(z_i, z_k) / t)), where z are the 2n rows of Z1 and Z2, j is the
    other view of i, and t the temperature. A cosine with a zero row is 0, and so is its gradient; a row too short for
    1 / |z| to be a number of its dtype counts as zero. A single pair has no negatives: its value is 0.

    Memory beyond arguments and results does not grow with n^2: similarities are computed in tiles, twice if there is a
    gradient, the sums of exponentials relative to a running maximum.

    Parameters
    ----------
    temperature : float > 0, default=0.5
        The lower, the more the most similar negatives count.

    References
    ----------
    Chen, Kornblith, Norouzi and Hinton, A simple framework for contrastive learning, ICML 2020.

    Examples
    --------
    >>> import numpy as np
    >>> from sklosses.losses import NTXent
    >>> NTXent(temperature=0.5).value(np.eye(2), np.eye(2)).round(4)
    array([0.2395, 0.2395, 0.2395, 0.2395])
    """

    name = "nt_xent"
    arguments = ("Z1", "Z2")
    ranges: ClassVar = {"temperature": POSITIVE}

    def __init__(self, temperature=0.5):
        self._set(temperature=temperature)

    def _views(self, what, views, sample_weight, settings):
        out, n_threads = settings
        arrays = _embeddings(Z1=views[0], Z2=views[1])
        _like(arrays, "Z1")
        n = len(arrays["Z1"])
        if sample_weight is not None and np.shape(sample_weight) == (n,):
            sample_weight = np.concatenate([sample_weight, sample_weight])
        weight = _weights(sample_weight, 2 * n)
        results = _Results(what, (2 * n,), arrays, out)
        results.separate(arrays.values())
        if n == 1:
            _nothing(self, "a single pair has no negatives")
            results.zero()
        else:
            weight = np.ones(2 * n) if weight is None else weight
            _kernels.against_all(
                tuple(arrays.values()), None, weight, results.outputs, self.temperature, effective_threads(n_threads)
            )
        return results.returned()

    def value(self, Z1, Z2, sample_weight=None, *, out=None, n_threads=None):
        """The loss of each row.

        Parameters
        ----------
        Z1, Z2 : array-like of shape (n, d)
            Two views: row i of one belongs to row i of the other.
        sample_weight : array-like of shape (n,) or (2 n,), default=None
            Factors of the values, of shape (n,) for both views. A row of weight 0 is still compared with the others.
        out : ndarray of the result's shape and dtype, default=None
            Where to write the result.
        n_threads : int or None, default=None
            Threads; None: what OMP_NUM_THREADS, threadpoolctl and the CPUs allow. Results do not depend on it.

        Returns
        -------
        ndarray of shape (2 n,)
            The rows of Z1, then those of Z2; float32 if both are, otherwise float64.

        Raises
        ------
        ValueError
            If shapes do not match, or an embedding is NaN or infinite.
        """
        return self._views("value", (Z1, Z2), sample_weight, (out, n_threads))

    def gradient(self, Z1, Z2, sample_weight=None, *, out=None, n_threads=None):
        """The gradient of the sum of the values. Parameters and errors are those of :meth:`value`.

        Returns
        -------
        tuple of two ndarrays of shape (n, d)
            In Z1 and in Z2; `out` is a pair of arrays.
        """
        return self._views("gradient", (Z1, Z2), sample_weight, (out, n_threads))

    def value_and_gradient(self, Z1, Z2, sample_weight=None, *, out=None, n_threads=None):
        """Both at once: (value, gradient), `out` likewise. Parameters and errors are those of :meth:`value`."""
        return self._views("value_and_gradient", (Z1, Z2), sample_weight, (out, n_threads))


class LabelledLoss(EmbeddingLoss):
    """A loss of a batch of rows and their labels. Subclasses write ``_batch``, which computes what is asked for."""

    arguments = ("Z",)

    def value(self, Z, labels, sample_weight=None, *, out=None, n_threads=None):
        """The loss of each row.

        Parameters
        ----------
        Z : array-like of shape (n, d)
            Embeddings.
        labels : array-like of shape (n,)
            Their classes, of any kind that can be sorted.
        sample_weight : array-like of shape (n,), default=None
            Factors of the values. A row of weight 0 is still compared with the others.
        out : ndarray of the result's shape and dtype, default=None
            Where to write the result.
        n_threads : int or None, default=None
            Threads; None: what OMP_NUM_THREADS, threadpoolctl and the CPUs allow. Results do not depend on it.

        Returns
        -------
        ndarray of shape (n,)
            float32 if Z is, otherwise float64.

        Raises
        ------
        ValueError
            If shapes do not match, or an embedding or a label is NaN or infinite.
        """
        return self._batch("value", Z, labels, sample_weight, (out, n_threads))

    def gradient(self, Z, labels, sample_weight=None, *, out=None, n_threads=None):
        """The gradient of the sum of the values, of shape (n, d). Parameters and errors are those of :meth:`value`."""
        return self._batch("gradient", Z, labels, sample_weight, (out, n_threads))

    def value_and_gradient(self, Z, labels, sample_weight=None, *, out=None, n_threads=None):
        """Both at once: (value, gradient), `out` likewise. Parameters and errors are those of :meth:`value`."""
        return self._batch("value_and_gradient", Z, labels, sample_weight, (out, n_threads))


class SupCon(LabelledLoss):
    """Each row recognises the rows of its class among all rows.

    The mean over the positives p of i of -log(exp(cos(z_i, z_p) / t) / sum_{k != i} exp(cos(z_i, z_k) / t)), where
    positives are the other rows of i's class and t is the temperature (L_out of the paper). A row without positives
    contributes nothing; in a batch of a single class no row has negatives and none contributes. Zero rows and memory
    are as in :class:`NTXent`.

    Parameters
    ----------
    temperature : float > 0, default=0.1
        The lower, the more the most similar rows count.

    References
    ----------
    Khosla et al., Supervised contrastive learning, NeurIPS 2020.

    Examples
    --------
    >>> from sklosses.losses import SupCon
    >>> SupCon(temperature=1.0).value([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0]], [0, 0, 1]).round(4)
    array([0.3133, 0.3133, 0.    ])
    """

    name = "supcon"
    ranges: ClassVar = {"temperature": POSITIVE}

    def __init__(self, temperature=0.1):
        self._set(temperature=temperature)

    def _batch(self, what, Z, labels, sample_weight, settings):
        out, n_threads = settings
        arrays = _embeddings(Z=Z)
        n = len(arrays["Z"])
        codes, counts = _codes(labels, n)
        weight = _weights(sample_weight, n)
        results = _Results(what, (n,), arrays, out)
        results.separate(arrays.values())
        if len(counts) == 1 or counts.max() == 1:
            _nothing(self, "all rows are of one class" if len(counts) == 1 else "no two rows are of one class")
            results.zero()
        else:
            weight = np.where(counts[codes] > 1, 1.0 if weight is None else weight, 0.0)
            order = np.argsort(codes, kind="stable").astype(np.int64, copy=False)
            classes = order, np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
            _kernels.against_all(
                (arrays["Z"],), classes, weight, results.outputs, self.temperature, effective_threads(n_threads)
            )
        return results.returned()
