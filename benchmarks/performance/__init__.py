"""Speed and size: one module for each section of docs/performance.md."""
