-- The names of the tables and views of a file, the user's own among them.
SELECT table_name FROM information_schema.tables WHERE table_catalog = current_database();
