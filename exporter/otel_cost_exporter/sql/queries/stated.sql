-- Calls whose provider stated what they cost.
SELECT count(*) AS calls FROM calls WHERE cost_source = 'provider' /* then */;
