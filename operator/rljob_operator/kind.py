"""The kinds of objects that the operator handles, and their API paths."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of namespaced objects.

    Args:
        group: API group; "" for the core.
        version: e.g. v1.
        name: e.g. StatefulSet.
        plural: as in paths.
        whole: watched with spec and status; otherwise only the metadata is read.
        watched: False: only written, never read.
        optional: from another project, which may not be installed.
    """

    group: str
    version: str
    name: str
    plural: str
    whole: bool = False
    watched: bool = True
    optional: bool = False

    @property
    def api_version(self) -> str:
        """The apiVersion in manifests."""
        return f"{self.group}/{self.version}" if self.group else self.version

    def path(self, namespace: str | None, name: str | None = None) -> str:
        """Path of the objects of a namespace (None: of all), or of one object."""
        parts = ["apis", self.group, self.version] if self.group else ["api", self.version]
        parts += ["namespaces", namespace] if namespace else []
        parts += [self.plural, name] if name else [self.plural]
        return "/" + "/".join(parts)


RLJOB = Kind("rljob.dev", "v1alpha1", "RLJob", "rljobs", whole=True)
POD = Kind("", "v1", "Pod", "pods", whole=True)
SECRET = Kind("", "v1", "Secret", "secrets", watched=False)
EVENT = Kind("events.k8s.io", "v1", "Event", "events", watched=False)
LEASE = Kind("coordination.k8s.io", "v1", "Lease", "leases", watched=False)
CHILDREN = (
    Kind("apps", "v1", "StatefulSet", "statefulsets", whole=True),
    Kind("apps", "v1", "Deployment", "deployments", whole=True),
    Kind("", "v1", "Service", "services"),
    Kind("", "v1", "ConfigMap", "configmaps"),
    Kind("", "v1", "ServiceAccount", "serviceaccounts"),
    Kind("", "v1", "PersistentVolumeClaim", "persistentvolumeclaims"),
    Kind("networking.k8s.io", "v1", "NetworkPolicy", "networkpolicies"),
    Kind("policy", "v1", "PodDisruptionBudget", "poddisruptionbudgets"),
    SECRET,
    Kind("scheduling.volcano.sh", "v1beta1", "PodGroup", "podgroups", optional=True),
    Kind("scheduling.x-k8s.io", "v1alpha1", "PodGroup", "podgroups", optional=True),
    Kind("monitoring.coreos.com", "v1", "PodMonitor", "podmonitors", optional=True),
)
_BY_NAME = {(kind.api_version, kind.name): kind for kind in (*CHILDREN, POD)}


def kind_of(api_version: str, name: str) -> Kind:
    """The kind of a manifest.

    Raises:
        KeyError: the operator does not handle it.
    """
    return _BY_NAME[api_version, name]


def kinds_named(name: str) -> tuple[Kind, ...]:
    """The kinds with a name; two projects have PodGroups."""
    return tuple(kind for kind in (*CHILDREN, POD) if kind.name == name)
