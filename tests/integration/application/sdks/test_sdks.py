"""The table of what one call is, held against the SDKs that are installed."""

import importlib
import os
from functools import reduce

import pytest

from otel_cost.instrumentation.attempts import SDKS, Sdk

os.environ.setdefault("LITELLM_LOCAL_MODEL_COST_MAP", "True")  # else its import waits for a download


@pytest.mark.parametrize("sdk", SDKS, ids=lambda sdk: sdk.module)
def test_every_call_is_wrapped(sdk: Sdk) -> None:
    module = importlib.import_module(sdk.module)
    for call in sdk.calls:
        assert hasattr(reduce(getattr, call.split("."), module), "__wrapped__"), call
