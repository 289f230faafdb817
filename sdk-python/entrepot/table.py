"""A result: rows in plain Python, and on request in Arrow, pandas or polars."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal
from html import escape
from typing import TYPE_CHECKING, Literal, TypeAlias

from pydantic import TypeAdapter, ValidationError

from .errors import UnexpectedResponseError
from .models import Record

if TYPE_CHECKING:
    import pandas
    import polars
    import pyarrow

Value: TypeAlias = str | int | float | Decimal


class Column(Record):
    """Name and type of a column; decimals have `scale` digits after the point."""

    name: str
    type: Literal["text", "integer", "decimal", "float"]
    scale: int | None = None


class _Decoded(Record):
    columns: list[Column]
    rows: list[list[str | int | float]]
    withheld_groups: int
    groups: int


@dataclass(frozen=True)
class Table:
    """The groups that were large enough to be opened.

    Sums are exact (`int` or `Decimal`); averages are floats. `withheld_groups` of all `groups` had fewer rows than the policies' minimum
    and are missing here; nobody learned their cells.
    """

    columns: tuple[Column, ...]
    rows: tuple[tuple[Value, ...], ...]
    withheld_groups: int
    groups: int

    @classmethod
    def parse(cls, text: str) -> Table:
        """From what native code decoded."""
        try:
            decoded = TypeAdapter(_Decoded).validate_python(json.loads(text))
        except ValidationError as error:
            raise UnexpectedResponseError("the native core and this package are of different versions") from error
        decimals = [column.type == "decimal" for column in decoded.columns]
        floats = [column.type == "float" for column in decoded.columns]

        def value(cell: str | int | float, place: int) -> Value:
            if decimals[place]:
                return Decimal(str(cell))
            return float(cell) if floats[place] else cell

        rows = tuple(tuple(value(cell, place) for place, cell in enumerate(row)) for row in decoded.rows)
        return cls(tuple(decoded.columns), rows, decoded.withheld_groups, decoded.groups)

    @property
    def column_names(self) -> list[str]:
        """Names in the order of the query."""
        return [column.name for column in self.columns]

    def to_dicts(self) -> list[dict[str, Value]]:
        """A dictionary a row."""
        return [dict(zip(self.column_names, row, strict=True)) for row in self.rows]

    def to_arrow(self) -> pyarrow.Table:
        """An Arrow table; needs the extra `arrow`. Decimals stay exact."""
        import pyarrow as pa

        types = {"text": pa.string(), "integer": pa.int64(), "float": pa.float64()}
        fields, arrays = [], []
        for place, column in enumerate(self.columns):
            # 19 digits hold every 64-bit integer.
            kind = pa.decimal128(max(19, column.scale or 0), column.scale or 0) if column.type == "decimal" else types[column.type]
            fields.append(pa.field(column.name, kind, nullable=False))
            arrays.append(pa.array([row[place] for row in self.rows], type=kind))
        return pa.Table.from_arrays(arrays, schema=pa.schema(fields))

    def to_pandas(self) -> pandas.DataFrame:
        """A pandas frame; needs the extra `pandas`. Decimals become floats, which is what pandas computes with."""
        import pandas as pd

        data = {column.name: [row[place] for row in self.rows] for place, column in enumerate(self.columns)}
        types = {"text": "str", "integer": "int64", "decimal": "float64", "float": "float64"}
        return pd.DataFrame(data, columns=self.column_names).astype({column.name: types[column.type] for column in self.columns})

    def to_polars(self) -> polars.DataFrame:
        """A polars frame; needs the extra `polars`. Decimals stay exact."""
        import polars as pl

        frame = pl.from_arrow(self.to_arrow())
        if not isinstance(frame, pl.DataFrame):
            raise TypeError("polars made no frame of a table")
        return frame

    def __len__(self) -> int:
        return len(self.rows)

    def __iter__(self) -> Iterator[tuple[Value, ...]]:
        return iter(self.rows)

    def __str__(self) -> str:
        texts = [self.column_names, *([_text(value) for value in row] for row in self.rows)]
        widths = [max(len(row[place]) for row in texts) for place in range(len(self.columns))]
        left = [column.type == "text" for column in self.columns]

        def line(row: list[str]) -> str:
            cells = (cell.ljust(width) if to_left else cell.rjust(width) for cell, width, to_left in zip(row, widths, left, strict=True))
            return "  ".join(cells).rstrip()

        return "\n".join([line(texts[0]), "  ".join("-" * width for width in widths), *map(line, texts[1:]), self._footnote()])

    def _footnote(self) -> str:
        return f"({len(self.rows)} of {self.groups} groups; {self.withheld_groups} withheld: fewer rows than the policies allow)"

    def _repr_html_(self) -> str:
        head = "".join(f"<th>{escape(name)}</th>" for name in self.column_names)
        body = "".join("<tr>" + "".join(f"<td>{escape(_text(value))}</td>" for value in row) + "</tr>" for row in self.rows)
        return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody><caption>{escape(self._footnote())}</caption></table>"


def _text(value: Value) -> str:
    return f"{value:.4f}" if isinstance(value, float) else str(value)
