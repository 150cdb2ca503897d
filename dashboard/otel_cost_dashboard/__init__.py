"""The cost explorer: Streamlit pages on the ledger's HTTP API, and on nothing else."""
