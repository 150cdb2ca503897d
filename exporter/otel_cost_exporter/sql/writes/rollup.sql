-- What the calls of one commit, which stand in `fresh`, add to the sums.
INSERT INTO rollup_fresh BY NAME
FROM sums_of('fresh');
