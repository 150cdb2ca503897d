"""The demo: a stand-in LLM provider, a sample agent, and the command that shows them with the ledger."""
