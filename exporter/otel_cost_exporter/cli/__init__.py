"""The commands that ask the books: a module each, what they share, and how they print.

DuckDB and Arrow take a second to import, so a command does that when it is run: ``otel-cost --help`` imports them all.
"""
