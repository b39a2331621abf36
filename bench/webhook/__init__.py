"""The webhook beside a bare aiohttp JSON echo: requests a second, latency, memory."""
