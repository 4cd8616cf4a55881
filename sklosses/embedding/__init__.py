"""Linear embeddings that losses of pairs, triplets and batches train."""

from sklosses.embedding._linear_embedding import LinearEmbedding
from sklosses.losses import NCA

__all__ = ["NCA", "LinearEmbedding"]
