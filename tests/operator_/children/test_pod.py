"""The pods: resources, volumes, networks, placement."""

from typing import Any

import pytest

from rljob.api import RLJob
from rljob_operator import names
from tests.operator_.children.subject import (
    WORKLOADS,
    a_job,
    children_of,
    container,
    manifest,
    minimal,
    templates,
    variables,
)

COMPUTING = ("trainer", "rollout")
OTHERS = ("buffer", "router")


def capabilities(job: Any, role: str) -> dict[str, Any]:
    found: dict[str, Any] = container(job, role)["securityContext"]["capabilities"]
    return found


def test_gpus_are_those_of_the_spec() -> None:
    job = minimal(trainer={"gpusPerReplica": 8}, rollout={"gpusPerReplica": 2})
    assert container(job, "trainer")["resources"]["limits"] == {"nvidia.com/gpu": "8"}
    assert container(job, "rollout")["resources"]["limits"] == {"nvidia.com/gpu": "2"}
    for role in OTHERS:
        assert "limits" not in container(job, role)["resources"]


def test_every_pod_requests_what_its_processes_need() -> None:
    job = minimal(
        trainer={"gpusPerReplica": 8},
        rollout={"gpusPerReplica": 2},
        buffer={"memory": "3Gi"},
    )
    assert requests(job) == {
        "trainer": {"cpu": "8", "memory": "32Gi"},
        "rollout": {"cpu": "2", "memory": "8Gi"},
        "router": {"cpu": "100m", "memory": "128Mi"},
        "buffer": {"cpu": "100m", "memory": "3Gi"},
    }
    assert requests(minimal(device="cpu")) == {
        "trainer": {"cpu": "250m", "memory": "768Mi"},
        "rollout": {"cpu": "250m", "memory": "2Gi"},
        "router": {"cpu": "100m", "memory": "128Mi"},
        "buffer": {"cpu": "100m", "memory": "256Mi"},
    }


def test_a_job_on_cpus_has_limits_as_a_quota_may_ask() -> None:
    """Far above the requests; the buffer's leave room for twice its data."""
    job = minimal(device="cpu", trainer={"gpusPerReplica": 2}, buffer={"memory": "1536Mi"})
    assert resources(job, "limits") == {
        "trainer": {"cpu": "8", "memory": "32Gi"},
        "rollout": {"cpu": "4", "memory": "16Gi"},
        "router": {"cpu": "1", "memory": "512Mi"},
        "buffer": {"cpu": "1", "memory": "3Gi"},
    }
    assert resources(minimal(device="cpu"), "limits")["buffer"] == {"cpu": "1", "memory": "1Gi"}


def requests(job: RLJob) -> dict[str, Any]:
    return resources(job, "requests")


def resources(job: RLJob, kind: str) -> dict[str, Any]:
    return {role: container(job, role)["resources"][kind] for role in WORKLOADS}


def test_every_role_takes_a_template() -> None:
    overlay = {"spec": {"nodeSelector": {"pool": "cpu"}, "priorityClassName": "high"}}
    job = minimal(
        trainer={"template": overlay},
        rollout={"template": overlay, "router": {"enabled": True, "template": overlay}},
        buffer={"template": overlay},
    )
    for role in WORKLOADS:
        assert templates(job)[role]["spec"].items() >= overlay["spec"].items()


def test_images_are_the_jobs_or_the_operators() -> None:
    job = a_job(imagePullPolicy="Never")
    for role, own, default in (
        ("trainer", "trainer:2", "trainer:1"),
        ("rollout", "rollout:2", "rollout:1"),
        ("router", "rollout:2", "rollout:1"),
        ("buffer", "trainer:2", "trainer:1"),
    ):
        assert container(job, role)["image"] == own
        assert container(minimal(), role)["image"] == default
        assert container(job, role)["imagePullPolicy"] == "Never"
        assert templates(job)[role]["spec"]["imagePullSecrets"] == [{"name": "registry"}]


def test_rdma_reaches_the_pods_that_compute() -> None:
    nccl = {"ibHca": "mlx5_0,mlx5_1", "gidIndex": 3, "environment": {"NCCL_DEBUG": "INFO"}}
    adapters = {
        "resource": "rdma/hca",
        "count": 8,
        "networks": ["rail-0", "team/rail-1"],
        "nccl": nccl,
    }
    job = minimal(network={"rdma": adapters})
    expected = {"NCCL_IB_HCA": "mlx5_0,mlx5_1", "NCCL_IB_GID_INDEX": "3", "NCCL_DEBUG": "INFO"}
    for role in COMPUTING:
        assert container(job, role)["resources"]["limits"]["rdma/hca"] == "8"
        assert expected.items() <= variables(job, role).items()
        assert capabilities(job, role) == {"drop": ["ALL"], "add": ["IPC_LOCK"]}
        annotations = templates(job)[role]["metadata"]["annotations"]
        assert annotations["k8s.v1.cni.cncf.io/networks"] == "rail-0,team/rail-1"
    for role in OTHERS:
        assert "limits" not in container(job, role)["resources"]
        assert not any(name.startswith("NCCL") for name in variables(job, role))
        assert capabilities(job, role) == {"drop": ["ALL"]}
        assert "k8s.v1.cni.cncf.io/networks" not in templates(job)[role]["metadata"]["annotations"]


def test_without_rdma_nothing_is_added() -> None:
    for role in WORKLOADS:
        assert capabilities(minimal(), role) == {"drop": ["ALL"]}
        assert not any(name.startswith("NCCL") for name in variables(minimal(), role))


def test_shared_memory_is_not_the_64_mebibytes_of_the_runtime() -> None:
    for role in COMPUTING:
        volumes = {each["name"]: each for each in templates(minimal())[role]["spec"]["volumes"]}
        mounts = {
            each["mountPath"]: each["name"] for each in container(minimal(), role)["volumeMounts"]
        }
        assert volumes[mounts["/dev/shm"]]["emptyDir"] == {"medium": "Memory"}


def test_volumes_of_the_job_are_mounted_where_it_computes() -> None:
    job = minimal(
        storage={
            "run": {"claimName": "runs"},
            "volumes": [
                {"name": "sets", "claimName": "datasets", "mountPath": "/data", "readOnly": True}
            ],
        }
    )
    for role in COMPUTING:
        volumes = {each["name"]: each for each in templates(job)[role]["spec"]["volumes"]}
        mounts = {each["mountPath"]: each for each in container(job, role)["volumeMounts"]}
        claim = volumes[mounts["/data"]["name"]]["persistentVolumeClaim"]
        assert claim == {"claimName": "datasets", "readOnly": True}
        assert mounts["/data"]["readOnly"]
        # Only the trainer writes into the run directory.
        run = volumes[mounts["/rljob/run"]["name"]]
        assert ("persistentVolumeClaim" in run) == (role == "trainer")


def test_engines_read_weights_from_the_disk_of_the_run() -> None:
    job = minimal(weights={"transport": "disk"}, storage={"run": {"claimName": "runs"}})
    volumes = {each["name"]: each for each in templates(job)["rollout"]["spec"]["volumes"]}
    mounts = {each["mountPath"]: each for each in container(job, "rollout")["volumeMounts"]}
    weights = mounts["/rljob/run/weights"]
    assert volumes[weights["name"]]["persistentVolumeClaim"] == {"claimName": "runs"}
    assert (weights["subPath"], weights["readOnly"]) == ("weights", True)
    assert "emptyDir" in volumes[mounts["/rljob/run"]["name"]]
    assert "/rljob/run/weights" not in str(templates(minimal()))


@pytest.mark.parametrize("transport", ["broadcast", "disk"])
def test_every_mount_has_its_volume(transport: str) -> None:
    job = a_job(weights={"transport": transport})
    for role, template in templates(job).items():
        volumes = [each["name"] for each in template["spec"]["volumes"]]
        mounts = [each["name"] for each in container(job, role)["volumeMounts"]]
        assert sorted(volumes) == sorted(mounts)


def test_a_buffer_with_a_disk_of_its_own() -> None:
    spec = manifest(minimal(buffer={"persistence": {"size": "20Gi"}}), "StatefulSet", "math-buffer")
    (claim,) = spec["spec"]["volumeClaimTemplates"]
    assert claim["spec"]["resources"]["requests"]["storage"] == "20Gi"
    assert spec["spec"]["persistentVolumeClaimRetentionPolicy"]["whenDeleted"] == "Delete"
    mounts = {
        each["name"] for each in spec["spec"]["template"]["spec"]["containers"][0]["volumeMounts"]
    }
    assert claim["metadata"]["name"] in mounts


def test_pods_have_no_rights() -> None:
    assert not manifest(minimal(), "ServiceAccount", "math")["automountServiceAccountToken"]
    for template in templates(a_job()).values():
        assert template["spec"]["serviceAccountName"] == "math"
        assert not template["spec"]["automountServiceAccountToken"]
        for each in template["spec"]["containers"]:
            assert each["securityContext"]["readOnlyRootFilesystem"]


def test_the_trainers_pods_find_each_other_by_name() -> None:
    service = manifest(minimal(), "Service", "math-trainer")["spec"]
    workload = manifest(minimal(trainer={"replicas": 2}), "StatefulSet", "math-trainer")["spec"]
    assert service["clusterIP"] == "None"
    assert service["publishNotReadyAddresses"]
    assert workload["serviceName"] == "math-trainer"
    assert workload["podManagementPolicy"] == "Parallel"
    assert workload["updateStrategy"]["rollingUpdate"] == {"maxUnavailable": "100%"}


def test_rollouts_are_spread_over_nodes() -> None:
    (spread,) = templates(minimal())["rollout"]["spec"]["topologySpreadConstraints"]
    assert spread["topologyKey"] == "kubernetes.io/hostname"
    assert spread["whenUnsatisfiable"] == "ScheduleAnyway"
    assert spread["labelSelector"]["matchLabels"] == names.selector("math", "rollout")
    assert "topologySpreadConstraints" not in templates(minimal())["trainer"]["spec"]


@pytest.mark.parametrize(
    "sections", [{"network": {"rdma": {"resource": "rdma/hca"}}}, {"trainer": {"replicas": 2}}]
)
def test_a_job_with_fast_links_prefers_one_zone(sections: dict[str, Any]) -> None:
    for role in COMPUTING:
        assert "affinity" not in templates(minimal())[role]["spec"]
        affinity = templates(minimal(**sections))[role]["spec"]["affinity"]["podAffinity"]
        (preferred,) = affinity["preferredDuringSchedulingIgnoredDuringExecution"]
        term = preferred["podAffinityTerm"]
        assert term["topologyKey"] == "topology.kubernetes.io/zone"
        assert term["labelSelector"]["matchLabels"] == names.selector("math", "trainer")
    for role in OTHERS:
        assert "affinity" not in templates(minimal(**sections))[role]["spec"]


def test_a_colocated_job_has_no_rollout_pods() -> None:
    made = children_of(minimal(colocate=True))
    assert WORKLOADS["rollout"] not in made
    assert WORKLOADS["trainer"] in made


def test_the_network_lets_only_the_job_and_who_reads_its_numbers_in() -> None:
    policy = manifest(minimal(), "NetworkPolicy", "math")["spec"]
    own = {"matchLabels": {names.LABEL_JOB: "math"}}
    assert policy["podSelector"] == own
    assert policy["policyTypes"] == ["Ingress"]
    among, watchers = policy["ingress"]
    assert among == {"from": [{"podSelector": own}]}
    assert watchers["ports"] == [{"port": names.METRICS_PORT, "protocol": "TCP"}]
    readers = [each["podSelector"]["matchLabels"] for each in watchers["from"]]
    assert readers == [
        {"app.kubernetes.io/name": "rljob-operator"},
        {"app.kubernetes.io/name": "prometheus"},
    ]
    assert "egress" not in policy
