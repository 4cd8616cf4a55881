"""What a loss makes of a batch of embeddings: its mean, and the gradient in every embedding."""

import numpy as np
from scipy import sparse
from scipy.special import logsumexp

from sklosses.embedding._sampling import sample
from sklosses.exceptions import DivergenceError


class Objective:
    """The mean of a loss over a batch. The base compares all rows of the batch with each other.

    Parameters
    ----------
    loss : EmbeddingLoss
    n_threads : int or None
        For the loss.

    Attributes
    ----------
    partners : bool
        Whether batches must come with similar pairs.
    resamples : bool
        Whether `plan` draws or updates anything, so that it is to be called again now and then.
    """

    partners = False
    resamples = False

    def __init__(self, loss, n_threads=None):
        self.loss, self.n_threads = loss, n_threads

    def start(self, n_components, dtype):
        """Parameters besides the components, as one flat array, and the size of a step in them."""
        return np.empty(0), 0.0

    def plan(self, batch, Z, generator, rate=1.0):
        """What has to be decided with the embeddings at hand, before values and gradients of it are taken."""
        return

    def contributes(self, batch, plan):
        """Whether any row of the batch has both one of its own class and one of another in it."""
        _, counts = np.unique(batch.codes, return_counts=True)
        return bool(len(counts) > 1 and counts.max() > 1)

    def __call__(self, batch, Z, plan, extra):
        """(mean, its gradient in Z, its gradient in the other parameters)."""
        value, gradient = self._evaluate((Z, batch.codes), _mean(len(Z)))
        return value, gradient, extra

    def _evaluate(self, arguments, weight):
        """Weighted sum of the loss and its gradients, which are checked: the loss may be the user's."""
        try:
            returned = self.loss.value_and_gradient(*arguments, sample_weight=weight, n_threads=self.n_threads)
        except Exception as error:
            error.add_note(f"In value_and_gradient of the loss {self.loss!r}.")
            raise
        return checked(self.loss, returned, arguments, len(weight))


class PairObjective(Objective):
    """A loss of similar and dissimilar pairs."""

    partners = resamples = True

    def __init__(self, loss, sampling, n_nearest, cosine, n_threads=None):
        super().__init__(loss, n_threads)
        self.sampling, self.n_nearest, self.cosine = sampling, n_nearest, cosine

    def plan(self, batch, Z, generator, rate=1.0):
        """Triplets of positions, see `sample`."""
        return sample(self.sampling, batch, unit_rows(Z) if self.cosine else Z, self.n_nearest, generator)

    def contributes(self, batch, plan):
        """Whether any pair or triplet was found."""
        return len(plan[0]) > 0

    def __call__(self, batch, Z, plan, extra):
        """(mean, its gradient in Z, its gradient in the other parameters)."""
        anchors, partners, others = plan
        if len(anchors) == 0:
            return 0.0, np.zeros_like(Z), np.zeros_like(extra)
        similar = np.unique(np.stack([anchors, partners]), axis=1)
        first = np.concatenate([similar[0], anchors])
        second = np.concatenate([similar[1], others])
        same = np.arange(len(first)) < similar.shape[1]
        # Similar and dissimilar pairs weigh the same, however many there are of either.
        weight = np.where(same, 0.5 / similar.shape[1], 0.5 / len(anchors))
        value, gradients = self._evaluate((Z[first], Z[second], same), weight)
        return value, gathered(len(Z), (first, second), gradients), extra


class TripletObjective(PairObjective):
    """A loss of triplets."""

    def __call__(self, batch, Z, plan, extra):
        """(mean, its gradient in Z, its gradient in the other parameters)."""
        if len(plan[0]) == 0:
            return 0.0, np.zeros_like(Z), np.zeros_like(extra)
        value, gradients = self._evaluate([Z[positions] for positions in plan], _mean(len(plan[0])))
        return value, gathered(len(Z), plan, gradients), extra


class ViewObjective(Objective):
    """A loss of two views of each row: of two corrupted copies, or of a row and another of its class."""

    partners = resamples = True

    def plan(self, batch, Z, generator, rate=1.0):
        """Pairs in which no row occurs twice: a copy of a row would be its own hardest negative."""
        return disjoint(batch.anchors, batch.partners, len(Z), generator)

    def contributes(self, batch, plan):
        """Whether there are at least two pairs, so that each row has others to be told from."""
        return len(plan[0]) > 1

    def __call__(self, batch, Z, plan, extra):
        """(mean, its gradient in Z, its gradient in the other parameters)."""
        if len(plan[0]) < 2:
            return 0.0, np.zeros_like(Z), np.zeros_like(extra)
        value, gradients = self._evaluate([Z[positions] for positions in plan], _mean(2 * len(plan[0])))
        return value, gathered(len(Z), plan, gradients), extra


class CenterObjective(Objective):
    """A softmax on the embedding, and with a weight the distances to centers, which alone would collapse to a point.

    Parameters
    ----------
    loss : Center
    weight : float
        Factor of the distances (lambda in Wen et al., 2016).
    n_classes : int
    n_threads : int or None
    """

    resamples = True

    def __init__(self, loss, weight, n_classes, n_threads=None):
        super().__init__(loss, n_threads)
        self.weight, self.n_classes = weight, n_classes
        self.centers = None

    def start(self, n_components, dtype):
        """Weights and intercepts of the softmax."""
        return np.zeros(self.n_classes * (n_components + 1)), 0.1

    def contributes(self, batch, plan):
        """Always: a softmax needs no partner."""
        return True

    def plan(self, batch, Z, generator, rate=1.0):
        """Move the centers by the rule of the paper; the first time, to where the rows are."""
        if self.centers is None:
            self.centers = np.zeros((self.n_classes, Z.shape[1]), dtype=Z.dtype)
            rate = 1.0
        self.centers = self.loss.update_centers(Z, batch.codes, self.centers.astype(Z.dtype), rate=rate)
        return self.centers

    def __call__(self, batch, Z, plan, extra):
        """(mean, its gradient in Z, its gradient in the other parameters)."""
        distances, (pull, _) = self._evaluate((Z, batch.codes, plan), self.weight * _mean(len(Z)))
        value, push, slope = softmax(Z, batch.codes, extra.reshape(self.n_classes, -1))
        return value + distances, pull + push.astype(Z.dtype), slope.ravel()


def _mean(n):
    """Weights that make means of sums."""
    return np.full(n, 1.0 / n)


def checked(loss, returned, arguments, n):
    """What `value_and_gradient` returned as (sum of the n values, gradients), or an error that names the loss."""
    called = f"value_and_gradient of the loss {loss!r}"
    if not isinstance(returned, tuple | list) or len(returned) != 2:
        raise ValueError(f"{called} must return a pair, the value and the gradient, got {type(returned).__name__}.")
    value, gradients = returned
    shapes = [np.shape(argument) for argument in arguments if np.ndim(argument) == 2]
    several = len(shapes) > 1
    if several and not (isinstance(gradients, tuple | list) and len(gradients) == len(shapes)):
        raise ValueError(f"{called} must return {len(shapes)} gradients, got {type(gradients).__name__}.")
    value = _numbers(called, "value", value, (n,))
    given = gradients if several else (gradients,)
    gradients = tuple(_numbers(called, "gradient", one, shape) for one, shape in zip(given, shapes, strict=True))
    return float(np.sum(value, dtype=np.float64)), gradients if several else gradients[0]


def _numbers(called, what, given, shape):
    """An array of finite numbers of this shape."""
    array = np.asarray(given)
    if array.shape != shape or array.dtype.kind not in "fiu":
        raise ValueError(f"{called} returned a {what} of {array.dtype} and shape {array.shape}, expected real numbers "
                         f"of shape {shape}.")
    finite = np.isfinite(array)
    if not finite.all():
        raise DivergenceError(f"{called} returned a {what} that contains {array[~finite][0]}: the loss is wrong, its "
                              "parameters are out of all proportion, or the columns' values are.")
    return array


def softmax(Z, codes, V):
    """Mean cross-entropy of a softmax of Z V' + intercepts (V's last column), its gradients in Z and in V."""
    logits = Z @ V[:, :-1].T + V[:, -1]
    total = logsumexp(logits, axis=1, keepdims=True)
    rows = np.arange(len(Z))
    value = float(np.mean(total[:, 0] - logits[rows, codes]))
    slope = np.exp(logits - total)
    slope[rows, codes] -= 1
    slope /= len(Z)
    return value, slope @ V[:, :-1], np.column_stack([slope.T @ Z, slope.sum(axis=0)])


def unit_rows(Z):
    """Rows divided by their lengths; rows of zeros remain."""
    length = np.sqrt(np.einsum("ij,ij->i", Z, Z))[:, None]
    return Z / np.where(length == 0, 1, length)


def disjoint(first, second, n, generator):
    """Of pairs of the numbers below n, in random order, those of which neither number has occurred before."""
    if len(first) + len(second) == len(np.union1d(first, second)):
        return first, second
    free, kept = [True] * n, []
    for pair in generator.permutation(len(first)).tolist():
        a, b = first[pair], second[pair]
        if free[a] and free[b]:
            free[a] = free[b] = False
            kept.append(pair)
    return first[kept], second[kept]


def gathered(n, positions, gradients):
    """Sum gradients taken in copies of rows into the n rows that they are copies of."""
    at = np.concatenate(positions)
    stacked = np.concatenate(gradients)
    picks = sparse.csc_matrix((np.ones(len(at), stacked.dtype), at, np.arange(len(at) + 1)), shape=(n, len(at)))
    return picks.tocsr() @ stacked
