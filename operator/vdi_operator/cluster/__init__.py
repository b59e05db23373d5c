"""The edge to the API server: requests, watches, the queue of passes, metrics. Asyncio."""

__all__: list[str] = []
