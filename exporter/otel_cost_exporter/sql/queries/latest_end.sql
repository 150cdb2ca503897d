-- When the last of the calls of the books ended, microseconds.
SELECT coalesce(max(epoch_us(coalesce(end_ts, start_ts))), 0) FROM calls;
