-- Names of dimensions that the books had not seen.
INSERT INTO dimensions
SELECT unnest($names::VARCHAR[])
ON CONFLICT DO NOTHING;
