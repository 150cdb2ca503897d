-- The dimensions that occur in the books, by name.
SELECT dimension FROM dimensions ORDER BY dimension;
