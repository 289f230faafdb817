"""The few primitives that differ between the blocking and the asynchronous client."""

from __future__ import annotations

import asyncio
import threading
import time

__all__ = ["AsyncLock", "Lock", "async_sleep", "sleep"]

AsyncLock = asyncio.Lock
Lock = threading.Lock
async_sleep = asyncio.sleep
sleep = time.sleep
