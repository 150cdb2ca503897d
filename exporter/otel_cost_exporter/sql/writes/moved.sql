-- What is committed moves from the log to the file.
CHECKPOINT;
