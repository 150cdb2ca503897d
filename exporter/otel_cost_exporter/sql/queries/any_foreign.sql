-- Whether the books hold a call that was priced here: then another may tell of it.
SELECT EXISTS (FROM calls WHERE NOT metered);
