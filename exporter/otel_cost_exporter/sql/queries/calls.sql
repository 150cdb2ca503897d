-- How many calls stand in the books.
SELECT count(*) AS calls FROM calls;
