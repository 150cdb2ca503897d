"""The thin wraps of the HTTP clients that calls leave by: one module a client, each only hands its exchange on."""
