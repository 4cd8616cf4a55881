"""Containers for the rows of a table: dense or CSR, held by reference, checked once."""

from sklosses.data._rows import Csr, Dense, Rows, all_finite, as_rows

__all__ = ["Csr", "Dense", "Rows", "all_finite", "as_rows"]
