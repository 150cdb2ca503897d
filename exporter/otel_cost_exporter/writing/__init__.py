"""What arrives goes into the books: in line, in one transaction with its sums, each call once."""
