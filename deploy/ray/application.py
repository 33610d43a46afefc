"""The application on Ray Serve: `serve run deploy.ray.application:application`.

Requires latentd and `ray[serve]`. Settings come from environment variables. Ray sends usage
statistics unless RAY_USAGE_STATS_ENABLED=0 is set where the cluster starts.
"""

from functools import cache

from fastapi import FastAPI
from ray import serve

from service.app import create_app


@cache
def get_application() -> FastAPI:
    """Return the application of this replica."""
    return create_app()


@serve.deployment(
    ray_actor_options={"num_cpus": 1},
    # The bounds are those of latentd: its own queue rejects with 429 before Ray's replica is full.
    max_ongoing_requests=128,
    autoscaling_config={
        "min_replicas": 2,
        "max_replicas": 10,
        "target_ongoing_requests": 8,
        "downscale_delay_s": 300,
    },
    health_check_period_s=5,
    health_check_timeout_s=5,
    # Requests in progress finish: LATENTD_BODY_SECONDS and a margin.
    graceful_shutdown_timeout_s=40,
)
@serve.ingress(get_application)
class Latentd:
    """Replicas of the application; all watch the same models store."""

    def check_health(self) -> None:
        """Report what `/readyz` reports; Ray replaces a replica that stays unhealthy.

        Raises:
            RuntimeError: a required model is not loaded.
        """
        missing = get_application().state.engine.missing
        if missing:
            raise RuntimeError("; ".join(missing))


application = Latentd.bind()
