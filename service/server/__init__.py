"""The server process: uvicorn's server, worker supervision and connection limits."""
