"""Budgets that processes share: their accounts, which the service keeps at hand, and what it writes down of them."""
