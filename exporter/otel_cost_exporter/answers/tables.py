"""Answers as tables: Arrow, and CSV. Money is DECIMAL in one and an exact decimal text in the other."""

from __future__ import annotations

import csv
import io
import json
from types import UnionType
from typing import TYPE_CHECKING, Annotated, Any, Final, Union, get_args, get_origin, get_type_hints

import pyarrow as pa
from pydantic import BaseModel

from otel_cost_exporter.answers import shapes
from otel_cost_exporter.answers.question import TIME_BUCKETS
from otel_cost_exporter.answers.words import in_words

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from datetime import tzinfo

    from otel_cost_exporter.answers.routes import Route

    Row = dict[str, Any]

ARROW: Final = "application/vnd.apache.arrow.stream"
"""The media type of a stream of Arrow record batches."""
_USD: Final = pa.decimal128(38, 12)
_PLAIN: Final = {str: pa.string(), int: pa.int64(), float: pa.float64(), bool: pa.bool_()}


def rows_of(route: Route, answer: Mapping[str, Any]) -> list[Row]:
    """The rows of the table of an answer: its list, else the total of what was asked without a grouping."""
    rows: list[Row] = answer[route.table] if route.table else [dict(answer)]
    return rows or ([answer["total"]] if route.path == "summary" else [])


def arrow(route: Route, answer: Mapping[str, Any], tz: tzinfo) -> pa.Table:
    """The table of an answer that is not yet in words."""
    rows = rows_of(route, answer)
    shape = _row_shape(route)
    kept = list(dict.fromkeys(name for row in rows for name in row)) or list(shape.model_fields)
    hints = get_type_hints(shape, include_extras=True)
    times = dict.fromkeys(TIME_BUCKETS, pa.date32()) | {"hour": _time(tz)}
    fields = [(name, _type(hints[name], tz) if name in hints else times.get(name, pa.string())) for name in kept]
    return pa.Table.from_pylist(rows, schema=pa.schema(fields))


def texts(rows: Iterable[Mapping[str, Any]], tz: tzinfo) -> Iterator[str]:
    """`rows` as CSV, line by line, the names first; a list or an object is JSON."""
    names: list[str] = []
    for row in rows:
        if not names:
            names = list(row)
            yield _line(names)
        yield _line([_cell(row[name], tz) for name in names])


def _line(cells: Sequence[object]) -> str:
    text = io.StringIO()
    csv.writer(text).writerow(cells)
    return text.getvalue()


def _cell(value: object, tz: tzinfo) -> object:
    if value is None or isinstance(value, (str, int)):  # as most are
        return value
    said = in_words(value, tz)
    return json.dumps(said) if isinstance(said, (list, dict)) else said


def _row_shape(route: Route) -> type[BaseModel]:
    """The shape of a row of the table."""
    if route.table is None:
        return route.shape
    found: type[BaseModel] = get_args(route.shape.model_fields[route.table].annotation)[0]
    return found


def _type(hint: Any, tz: tzinfo) -> pa.DataType:  # noqa: PLR0911 - one return for each kind
    """The Arrow type of what a shape says."""
    if get_origin(hint) in {Union, UnionType}:
        return _type(next(each for each in get_args(hint) if each is not type(None)), tz)
    if hint in (shapes.Usd, shapes.Time):
        return _USD if hint == shapes.Usd else _time(tz)
    if get_origin(hint) is Annotated:
        return _type(get_args(hint)[0], tz)
    if get_origin(hint) is list:
        return pa.list_(_type(get_args(hint)[0], tz))
    if get_origin(hint) is dict:
        return pa.map_(pa.string(), _type(get_args(hint)[1], tz))
    if isinstance(hint, type) and issubclass(hint, BaseModel):
        hints = get_type_hints(hint, include_extras=True)
        return pa.struct([(name, _type(each, tz)) for name, each in hints.items() if name in hint.model_fields])
    return _PLAIN.get(hint, pa.string())


def _time(tz: tzinfo) -> pa.DataType:
    return pa.timestamp("us", str(tz))
