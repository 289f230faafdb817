"""The main job on a running sample market: ask, order, watch, read, and check every receipt offline.

    python demo.py DEMO.JSON [--report FILE]

DEMO.JSON is what `entrepot dev` writes: addresses and the places of key and trust files. Nothing here uses more than the public SDK.
"""

import argparse
import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import entrepot

SQL = """
SELECT l.addr_state, COUNT(*), AVG(l.int_rate), AVG(b.annual_inc)
FROM lender.loans l JOIN bureau.credit b ON l.customer = b.customer
WHERE l.term = 'term_36' GROUP BY l.addr_state
""".strip()

steps: list[dict[str, object]] = []


@contextmanager
def step(name: str) -> Iterator[None]:
    """Announces a step and keeps how long it took."""
    print(f"\n\033[1m{len(steps) + 1}. {name}\033[0m")
    start = time.monotonic()
    yield
    steps.append({"name": name, "seconds": round(time.monotonic() - start, 3)})


def peak_rss(processes: dict[str, int]) -> list[dict[str, object]]:
    """The most memory each process ever had, by the kernel's account."""
    found: list[dict[str, object]] = []
    for name, pid in processes.items():
        try:
            lines = Path(f"/proc/{pid}/status").read_text().splitlines()
        except OSError:
            continue
        kib = next((int(line.split()[1]) for line in lines if line.startswith("VmHWM:")), 0)
        found.append({"name": name, "peak_rss_bytes": kib * 1024})
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("market", type=Path)
    parser.add_argument("--report", type=Path)
    arguments = parser.parse_args()
    market = json.loads(arguments.market.read_text())
    client = entrepot.Client(market["url"], key=market["keys"]["consumer"], trust=market["trust"])

    with step("The consumer asks what a query costs and what each party would learn"):
        print(SQL)
        quote = client.products.get(market["product_id"]).quote(SQL)
        print(quote.explain())
    with step("It signs an agreement and an order; the price is held; three workers compute"):
        job = quote.order()
        table = job.result()
    with step("The result, opened by the consumer's key alone"):
        print(table)
    with step("The money"):
        journal = [
            {
                "entry": entry.entry_id,
                "kind": entry.kind,
                "account": posting.account,
                "amount_minor": posting.amount_minor,
                "currency": entry.currency,
            }
            for entry in client.account.journal(job_id=job.id)
            for posting in entry.postings
        ]
        for line in journal:
            print(f"  {line['kind']:<8} {line['amount_minor']:>8} {line['currency']}  {line['account']}")
    with step("The receipts, verified offline against the trust file"):
        report = job.receipt.verify()
        print(report)
        receipts = json.loads(job.receipt.fetch())
    print(f"\nThe exchange answers at {market['url']}")

    if arguments.report:
        document = {
            "quote": {
                "price": {"amount_minor": quote.price.amount_minor, "currency": quote.price.currency},
                "parties": [{"participant": pin.participant, "worker": pin.worker} for pin in quote.parties],
                "security": quote.security,
                "leakage": quote.leakage,
            },
            "result": {"columns": table.column_names, "rows": [list(row) for row in table]},
            "withheld_groups": table.withheld_groups,
            "journal": journal,
            "receipts": receipts["entries"],
            "verified": report.witnessed,
            "steps": steps,
            "processes": peak_rss(market["processes"]),
        }
        arguments.report.write_text(json.dumps(document, indent=1))
    if not report.witnessed:
        raise SystemExit("the receipts are not witnessed")


if __name__ == "__main__":
    main()
