"""What routes do with parameters."""

from __future__ import annotations

from typing import ClassVar, Final

from fastapi import HTTPException, Request  # noqa: TC002 - FastAPI reads the annotations
from starlette.convertors import PathConvertor, register_url_convertor


class _IdConvertor(PathConvertor):
    """An id in a path: any text, line breaks among it, which Starlette's own paths do not have."""

    regex: ClassVar[str] = r"[\s\S]*"


register_url_convertor("id", _IdConvertor())
ID: Final = "{id:id}"
"""Where the id stands in a path."""


def no_parameter(request: Request) -> None:
    """Refuse what would be passed over: whoever filters by it would take the answer for a part."""
    names = ", ".join(repr(name) for name in request.query_params)
    if names:
        what = f"parameters {names} are" if len(request.query_params) > 1 else f"parameter {names} is"
        raise HTTPException(400, f"{what} unknown, none is allowed here")
