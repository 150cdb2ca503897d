"""The explorer: one page on one ledger service. Nothing that the service answers shows a traceback."""

from __future__ import annotations

import streamlit as st

from otel_cost import settings
from otel_cost_dashboard import states
from otel_cost_dashboard.client import Ledger, LedgerError
from otel_cost_dashboard.views import overview


@st.cache_resource(show_spinner=False, on_release=Ledger.close)
def _connect(url: str) -> Ledger:
    """The connection to the ledger service at `url`, one for all who look at the page."""
    return Ledger(url)


def show() -> None:
    """Draw the page that is asked for, or say why it cannot be drawn."""
    st.set_page_config(page_title="otel-cost", page_icon="💸", layout="wide", initial_sidebar_state=250)
    url = settings.get(settings.URL)
    try:
        overview.show(_connect(url))
    except LedgerError as error:
        states.failed(error, url)
