-- Up to which day the sums of hours and of days are in order, where some are.
SELECT what, until_day::TIMESTAMP FROM in_order ORDER BY what;
