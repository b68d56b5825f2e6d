"""Every kubectl command of the documents, run in order by the real kubectl."""

from tests.cluster.control_plane import ControlPlane
from tests.cluster.kubectl import kubectl
from tests.cluster.operator import Operator, shipped_rights
from tests.project.metadata import ROOT
from tests.project.test_documents import commands


def test_kubectl_commands(control_plane: ControlPlane, rljobs: None) -> None:
    documented = list(commands("kubectl"))
    assert documented
    operator = Operator(control_plane, shipped_rights(control_plane), name="documents")
    operator.start()
    try:
        for document, words in documented:
            ending = [word for word in words if word != "-w"]  # that waits for ever
            result = kubectl(control_plane.kubeconfig, *ending, cwd=ROOT)
            assert result.returncode == 0, f"{document.name}: {words}\n{result.stderr}"
    finally:
        operator.kill()
