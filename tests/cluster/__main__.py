"""Runs a control plane by hand: prints its kubeconfig, stays until Ctrl-C."""

import argparse
import signal

from tests.cluster.control_plane import ControlPlane


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.cluster", description=__doc__)
    parser.add_argument("--nodes", type=int, default=4, help="default: %(default)s")
    parser.add_argument("--gpus", type=int, default=8, help="of each node; default: %(default)s")
    parser.add_argument("--pods", type=int, default=250, help="of each node; default: %(default)s")
    arguments = parser.parse_args()
    # Both end it in order, also where a shell has started it in the background.
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, signal.default_int_handler)
    plane = ControlPlane()
    try:
        plane.start()
        plane.add_nodes(arguments.nodes, gpus=arguments.gpus, pods=arguments.pods)
        print(plane.kubeconfig, flush=True)
        signal.pause()
    except KeyboardInterrupt:
        pass
    finally:
        plane.stop()


if __name__ == "__main__":
    main()
