"""Keeping the books: check, mend, prune, price anew."""
