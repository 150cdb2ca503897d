-- From when calls and sums are kept, where some were pruned.
SELECT what, since_ts FROM kept ORDER BY what;
