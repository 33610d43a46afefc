"""The application on Ray Serve: `serve run deploy.ray_serve:application`.

Requires latentd and `ray[serve]`. Settings come from environment variables. Ray sends usage
statistics by default; RAY_USAGE_STATS_ENABLED=0 disables this.
"""

from ray import serve

from service.app import create_app


@serve.deployment(num_replicas=2, ray_actor_options={"num_cpus": 1})
@serve.ingress(create_app)
class Latentd:
    """Replicas of the application; each loads the models store."""


application = Latentd.bind()
