"""Entrepot: buy computations on data that stays with its owners, and check every receipt yourself.

    import entrepot

    client = entrepot.Client("http://127.0.0.1:8080", key="consumer.key.json", trust="trust.json")
    quote = client.products.get("loans-with-credit").quote("SELECT ...")
    print(quote.explain())
    job = quote.order()
    print(job.result())
    print(job.receipt.verify())

`AsyncClient` has the same methods, to be awaited.
"""

from ._async.client import AsyncClient
from ._async.jobs import AsyncJob, AsyncOrder, AsyncReceipt
from ._async.market import AsyncAgreement, AsyncProduct, AsyncQuote
from ._async.operations import AsyncCertificate, AsyncDataset
from ._sync.client import Client
from ._sync.jobs import Job, Order, Receipt
from ._sync.market import Agreement, Product, Quote
from ._sync.operations import Certificate, Dataset
from ._version import VERSION as __version__
from .errors import (
    ApiError,
    AuthenticationError,
    BadRequestError,
    ConfigurationError,
    ConflictError,
    ConnectionFailedError,
    EntrepotError,
    EvidenceError,
    ForbiddenError,
    JobError,
    JobRefundedError,
    JobTimeoutError,
    NotFoundError,
    OrderUncertainError,
    PaymentRequiredError,
    PlanError,
    RateLimitError,
    ResultWithheldError,
    ServerError,
    UnexpectedResponseError,
    UnprocessableError,
)
from .keys import Key, generate_key_file, load_key
from .models import Bounds, ColumnRule, DatasetPolicy, Money, ProductTable, SplitShare
from .report import VerificationReport, verify_file
from .table import Column, Table
from .trust import Trust

__all__ = [
    "Agreement",
    "ApiError",
    "AsyncAgreement",
    "AsyncCertificate",
    "AsyncClient",
    "AsyncDataset",
    "AsyncJob",
    "AsyncOrder",
    "AsyncProduct",
    "AsyncQuote",
    "AsyncReceipt",
    "AuthenticationError",
    "BadRequestError",
    "Bounds",
    "Certificate",
    "Client",
    "Column",
    "ColumnRule",
    "ConfigurationError",
    "ConflictError",
    "ConnectionFailedError",
    "Dataset",
    "DatasetPolicy",
    "EntrepotError",
    "EvidenceError",
    "ForbiddenError",
    "Job",
    "JobError",
    "JobRefundedError",
    "JobTimeoutError",
    "Key",
    "Money",
    "NotFoundError",
    "Order",
    "OrderUncertainError",
    "PaymentRequiredError",
    "PlanError",
    "Product",
    "ProductTable",
    "Quote",
    "RateLimitError",
    "Receipt",
    "ResultWithheldError",
    "ServerError",
    "SplitShare",
    "Table",
    "Trust",
    "UnexpectedResponseError",
    "UnprocessableError",
    "VerificationReport",
    "__version__",
    "generate_key_file",
    "load_key",
    "verify_file",
]
