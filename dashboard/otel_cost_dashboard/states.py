"""What the page says when there is nothing to show, and what to do then."""

from __future__ import annotations

from typing import TYPE_CHECKING

import streamlit as st

from otel_cost.settings import URL
from otel_cost_dashboard.client import LedgerUnreachableError
from otel_cost_dashboard.tables import plain

if TYPE_CHECKING:
    from otel_cost_dashboard.client import Health, LedgerError


def failed(error: LedgerError, url: str) -> None:
    """The ledger did not answer: where it looked, and how to start it."""
    if not isinstance(error, LedgerUnreachableError):
        st.error(plain(str(error)), title="The ledger's answer cannot be read", icon=":material/error:")
    else:
        st.error(plain(str(error)), title="The ledger cannot be reached", icon=":material/cloud_off:")
        st.markdown(f"Start the ledger service, or set `{URL.name}` to where it runs. Looked at `{url}`.")
        st.code("otel-cost serve", language="bash")
    st.button("Try again", icon=":material/refresh:")


def cannot_write(health: Health) -> None:
    """The service answers, but what it receives does not reach its books."""
    st.warning(
        f"The ledger service cannot write {plain(health.ledger)}: {plain(str(health.failure))}. "
        "What follows is what stood in it before. Senders keep their spans as long as they can: put it right soon.",
        title="New calls are not being recorded",
        icon=":material/warning:",
    )


def empty(health: Health, url: str) -> None:
    """No call in the books yet: the three lines that instrument an application."""
    st.info(
        f"The ledger at {plain(health.ledger)} is ready and has no calls in it.",
        title="No calls yet",
        icon=":material/hourglass_empty:",
    )
    st.markdown("These three lines instrument an application; its code stays as it is:")
    st.code(
        "pip install otel-cost\n"
        f"export OTEL_EXPORTER_OTLP_ENDPOINT={url} OTEL_EXPORTER_OTLP_PROTOCOL=http/protobuf\n"
        "opentelemetry-instrument python app.py",
        language="bash",
    )


def nothing_found() -> None:
    """There are calls, and none of them in this period with these filters."""
    st.info(
        "Choose a longer period, or take filters away.",
        title="No calls in this view",
        icon=":material/search_off:",
    )
