"""Speed: one module for each figure of docs/performance.md, and what they share."""
