"""A result in other libraries' forms."""

from __future__ import annotations

import json
from decimal import Decimal

import pytest

from entrepot import Table, UnexpectedResponseError

TABLE = Table.parse(
    json.dumps(
        {
            "columns": [
                {"name": "state", "type": "text"},
                {"name": "count", "type": "integer"},
                {"name": "total", "type": "decimal", "scale": 2},
                {"name": "mean", "type": "float"},
            ],
            "rows": [["AL", 20, "92233720368547758.07", 1.5], ["NY", 9007199254740993, "-0.01", 2.0]],
            "withheld_groups": 3,
            "groups": 5,
        }
    )
)


def test_values_are_exact_in_python() -> None:
    assert TABLE.to_dicts()[1] == {"state": "NY", "count": 9007199254740993, "total": Decimal("-0.01"), "mean": 2.0}
    assert isinstance(TABLE.rows[1][3], float)
    assert len(TABLE) == len(list(TABLE)) == 2


def test_arrow_and_polars_keep_decimals_exact_and_pandas_has_floats() -> None:
    arrow = TABLE.to_arrow()
    assert [str(kind) for kind in arrow.schema.types] == ["string", "int64", "decimal128(19, 2)", "double"]
    assert arrow.column("total").to_pylist() == [Decimal("92233720368547758.07"), Decimal("-0.01")]
    assert TABLE.to_polars().get_column("total").to_list() == [Decimal("92233720368547758.07"), Decimal("-0.01")]
    frame = TABLE.to_pandas()
    assert list(frame.columns) == ["state", "count", "total", "mean"]
    assert [str(kind) for kind in frame.dtypes[1:]] == ["int64", "float64", "float64"]
    assert int(frame["count"].iloc[1]) == 9007199254740993


def test_an_empty_result_keeps_its_columns_and_types() -> None:
    empty = Table(TABLE.columns, (), 5, 5)
    assert empty.to_arrow().num_rows == 0
    assert [str(kind) for kind in empty.to_pandas().dtypes[1:]] == ["int64", "float64", "float64"]
    assert "5 withheld" in str(empty)


def test_withheld_groups_are_never_silent() -> None:
    assert str(TABLE).splitlines()[-1].startswith("(2 of 5 groups; 3 withheld")
    assert "3 withheld" in TABLE._repr_html_()


def test_something_else_is_no_table() -> None:
    with pytest.raises(UnexpectedResponseError):
        Table.parse('{"columns": []}')
