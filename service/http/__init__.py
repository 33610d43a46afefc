"""HTTP concerns of every route: access log, API keys, CSRF, limits, load shedding, errors."""
