"""The life of one call, from reserve to settle, and the thin wraps of the clients that it leaves by."""
