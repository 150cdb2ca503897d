"""Where the service listens, and who may ask what of it: addresses, certificates, tokens."""
