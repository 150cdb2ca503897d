"""What Streamlit runs, and nothing more: as a script it belongs to no package, so coverage does not see it."""

from otel_cost_dashboard import explorer  # pragma: no cover - see above

explorer.show()  # pragma: no cover - likewise
