"""The router: one address for all engines, as a Deployment and a Service."""

from rljob.api import pod_paths
from rljob.api.estimator import generates
from rljob_operator import names
from rljob_operator.children import job_file, resources
from rljob_operator.children.pod import RolePod, http_probe, template
from rljob_operator.children.wanted import Subject, Wanted, child

ROLE = "router"
_GRACE_SECONDS = 30


def router(subject: Subject) -> list[Wanted]:
    """Service and Deployment; none if the router is disabled, or there are no engines."""
    if not (subject.job.spec.rollout.router.enabled and generates(subject.job.spec.algorithm)):
        return []
    overlay = subject.job.spec.rollout.router.template
    name = f"{subject.name}-{ROLE}"
    selector = names.selector(subject.name, ROLE)
    service = {
        "spec": {
            "selector": selector,
            "ports": [{"name": "http", "port": names.ROUTER_PORT, "targetPort": "http"}],
        }
    }
    workload = {
        "spec": {
            "replicas": subject.want.router,
            "selector": {"matchLabels": selector},
            "template": template(
                subject,
                RolePod(
                    role=ROLE,
                    module="rljob_rollout.router",
                    image=subject.job.spec.rollout.image or subject.cluster.images["rollout"],
                    port=("http", names.ROUTER_PORT),
                    probes={
                        "readinessProbe": http_probe("/liveness", "http", period=5, failures=3)
                    },
                    grace=_GRACE_SECONDS,
                    resources=resources.router(subject),
                    volumes=[{"name": "run", "emptyDir": {}}],
                    mounts=[{"name": "run", "mountPath": pod_paths.RUN}],
                    overlay=overlay,
                ),
            ),
        }
    }
    return [
        child(subject, "Service", "v1", name, service, role=ROLE),
        child(
            subject,
            "Deployment",
            "apps/v1",
            name,
            workload,
            role=ROLE,
            on_trial=bool(overlay),
            annotations=job_file.origin(subject, ROLE),
        ),
    ]
