-- What came before the variable `until` and could not stand in the books goes.
DELETE FROM quarantine WHERE received_ts < getvariable('until');
