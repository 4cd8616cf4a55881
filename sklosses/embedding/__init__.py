"""Linear embeddings that losses of pairs, triplets and batches train."""

from sklosses.embedding._linear_embedding import LinearEmbedding
from sklosses.embedding._nca import NCA

__all__ = ["NCA", "LinearEmbedding"]
