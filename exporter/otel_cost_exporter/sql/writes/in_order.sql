-- Sums are in order up to this day.
INSERT INTO in_order VALUES ($what, $until::DATE)
ON CONFLICT (what) DO UPDATE SET until_day = excluded.until_day;
