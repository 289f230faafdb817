"""The client's source. `generate_sync.py` makes the blocking twin in `_sync` of it."""
