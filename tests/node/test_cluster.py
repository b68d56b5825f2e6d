import time
from tests.node.cluster import NodeCluster
from tests.node import operator
from tests.node.place import CHECKOUT, DIRECTORY

D = CHECKOUT / "examples/sort_digits"


def test_it(nodes: NodeCluster) -> None:
    try:
        operator.install(nodes)
    except Exception as e:
        print(e)
        print(nodes.kubectl("-n", "rljob-system", "get", "pods"))
        print(
            nodes.kubectl(
                "-n",
                "rljob-system",
                "logs",
                "-l",
                "app.kubernetes.io/name=rljob-operator",
                "--tail=50",
            )
        )
        raise
    print(nodes.kubectl("-n", "rljob-system", "get", "pods"))
    nodes.kubectl(
        "create",
        "configmap",
        "sort-digits-code",
        f"--from-file={D}/prepare.py",
        f"--from-file={D}/reward.py",
    )
    p = DIRECTORY / "data.yaml"
    p.write_text(
        (D / "data.yaml")
        .read_text()
        .replace("ghcr.io/rljob/trainer:latest", "localhost/rljob:test")
    )
    nodes.kubectl("apply", "-f", p)
    print(
        nodes.kubectl("wait", "--for=condition=complete", "job/sort-digits-data", "--timeout=100s")
    )
    nodes.kubectl("apply", "-f", D / "kubernetes.yaml")
    t = time.time()
    last = ""
    while time.time() - t < 700:
        now = nodes.kubectl("get", "rlj,pods", "--no-headers")
        import re

        k = re.sub(r"\d+[ms]\S*", "", now)
        if k != last:
            print(round(time.time() - t), now, flush=True)
        last = k
        if "Succeeded" in now or "Failed" in now:
            break
        time.sleep(3)
    print(nodes.kubectl("describe", "rlj", "sort-digits"))
    print(nodes.kubectl("get", "events"))
    d = nodes.directory_of("sort-digits-run")
    import subprocess

    print(subprocess.run(["ls", "-laR", str(d)], capture_output=True, text=True).stdout)
    import os

    os.system(
        f"cp -r {d} /tmp/noderun; cp -r {DIRECTORY}/logs /tmp/nodelogs; cp -rL {DIRECTORY}/node-1/log/pods /tmp/podlogs"
    )
