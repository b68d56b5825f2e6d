"""The router role: real processes, with stand-ins only for the engines."""

import os
import signal

import httpx
import psutil
import pytest

from rljob.errors import EXIT_USAGE
from rljob_rollout.engine import free_port
from tests.rollout.router.conftest import ADMIN_KEY, API_KEY
from tests.support.waiting import wait_for


def test_the_router_knows_the_engines_that_hold_the_published_weights(
    start_role, trainer, register, engine, second
):
    role = start_role()
    role.until_ready()
    register("rollout-0", engine)
    register("rollout-1", second)
    assert role.listed() == set()  # nothing is published
    trainer.set_version(0, ["rollout-0/e", "rollout-1/e"])
    role.until_listed(engine, second)
    answers = {role.generate().json()["url"] for _ in range(20)}
    assert answers <= {engine.url, second.url}
    trainer.set_version(1, ["rollout-1/e"])
    role.until_listed(second)
    assert {role.generate().json()["url"] for _ in range(5)} == {second.url}
    trainer.set_engine_version("rollout-0/e", 1)
    role.until_listed(engine, second)


def test_requests_go_by_the_jobs_policy(start_role, trainer, register, engine, second):
    role = start_role(router_policy="round_robin")
    role.until_ready()
    register("rollout-0", engine)
    register("rollout-1", second)
    trainer.set_version(0, ["rollout-0/e", "rollout-1/e"])
    role.until_listed(engine, second)
    answers = [role.generate().json()["url"] for _ in range(8)]
    assert sorted(answers) == sorted([engine.url, second.url] * 4)


def test_an_engine_that_falls_silent_is_taken_out(start_role, trainer, register, engine, second):
    role = start_role()
    register("rollout-0", engine)
    register("rollout-1", second, ttl_seconds=5)
    trainer.set_version(0, ["rollout-0/e", "rollout-1/e"])
    role.until_ready()
    role.until_listed(engine)  # the time to live of the other one passes


def test_an_engine_that_cannot_be_reached_keeps_none_else_out(
    start_role, trainer, register, engine, second
):
    second.close()
    register("rollout-0", engine)
    register("rollout-1", second)
    trainer.set_version(0, ["rollout-0/e", "rollout-1/e"])
    role = start_role()
    role.until_ready()
    role.until_listed(engine)
    assert role.generate().json() == {"model_path": "/model", "url": engine.url}


def test_keys_are_asked_for_and_stand_on_no_command_line(start_role, trainer, register, engine):
    role = start_role()
    register("rollout-0", engine)
    trainer.set_version(0, ["rollout-0/e"])
    role.until_ready()
    role.until_listed(engine)
    assert role.generate().status_code == 200
    assert engine.keys["/generate"] == engine.keys["/server_info"] == f"Bearer {API_KEY}"
    for key in (None, "wrong", ADMIN_KEY):
        assert role.generate(key).status_code == 401
    for key in (None, "wrong", API_KEY):
        assert role.workers(key).status_code == 401
    lines = [psutil.Process(role.process.pid).cmdline(), role.router.cmdline()]
    log = (role.run_dir / "logs" / "router.log").read_text()
    for text in (*(" ".join(line) for line in lines), role.output(), log):
        assert API_KEY not in text
        assert ADMIN_KEY not in text


def test_without_an_admin_key_the_engines_key_guards_the_list(
    start_role, trainer, register, engine
):
    role = start_role(engine_admin_key=None)
    register("rollout-0", engine)
    trainer.set_version(0, ["rollout-0/e"])
    role.until_ready()
    role.until(lambda: role.generate().status_code == 200, "the engine is listed")
    assert role.workers(API_KEY).status_code == 200
    assert role.workers(None).status_code == 401


def test_it_ends_with_the_run(start_role, trainer):
    role = start_role()
    role.until_ready()
    router = role.router
    trainer.set_phase("finished")
    assert role.wait() == 0
    assert not router.is_running()
    assert "router.stopped" in role.output()


def test_one_that_lingers_lists_engines_after_the_run(start_role, trainer, register, engine):
    role = start_role(linger=True)
    role.until_ready()
    trainer.set_phase("finished")
    register("rollout-0", engine)
    trainer.set_version(0, ["rollout-0/e"])
    role.until_listed(engine)
    role.process.send_signal(signal.SIGTERM)
    assert role.wait() == 0


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_it_stops_when_asked_to(start_role, trainer, number):
    role = start_role()
    role.until_ready()
    router = role.router
    role.process.send_signal(number)
    assert role.wait() == 0
    assert not router.is_running()


def test_it_stops_when_asked_to_while_the_buffer_is_frozen(start_role, trainer, server):
    role = start_role()
    role.until_ready()
    server.pause()
    role.process.send_signal(signal.SIGTERM)
    assert role.wait() == 0
    server.resume()


def test_a_dead_router_fails_the_role(start_role, trainer):
    role = start_role()
    role.until_ready()
    role.router.kill()
    assert role.wait() == 1
    assert "router: ended with exit code -9" in role.termination_file.read_text()


def test_the_last_lines_of_a_dead_router_are_told(start_role, trainer, register, engine):
    engine.close()
    role = start_role()
    role.until_ready()
    register("rollout-0", engine)
    trainer.set_version(0, ["rollout-0/e"])
    log = role.run_dir / "logs" / "router.log"
    role.until(lambda: "Step failed" in log.read_text(), "the router complains of the engine")
    role.router.kill()
    assert role.wait() == 1
    reason = role.termination_file.read_text()
    assert "Step failed" in reason
    assert "\x1b" not in reason


def test_the_router_does_not_outlive_its_role(start_role, trainer):
    role = start_role()
    role.until_ready()
    router = role.router
    os.kill(role.process.pid, signal.SIGKILL)
    role.process.wait()
    wait_for(lambda: not router.is_running(), "the router follows its role")


def test_it_survives_a_buffer_that_restarts(start_role, trainer, server, register, engine):
    role = start_role()
    register("rollout-0", engine)
    trainer.set_version(0, ["rollout-0/e"])
    role.until_ready()
    role.until_listed(engine)
    server.restart(empty=False)
    trainer.set_phase("finished")
    assert role.wait() == 0


@pytest.mark.parametrize(
    ("field", "name"), [("router_port", "router"), ("metrics_port", "metrics")]
)
def test_a_port_that_is_taken_is_named(start_role, trainer, server, field, name):
    role = start_role(**{field: server.port})
    assert role.wait() == EXIT_USAGE
    assert f"{name} port {server.port} of 127.0.0.1 can't be used" in role.output()


def test_its_metrics_are_where_they_are_asked_for(start_role, trainer):
    port = free_port("127.0.0.1")
    role = start_role(metrics_port=port)
    role.until_ready()
    role.workers()
    assert "smg_http_requests_total" in httpx.get(f"http://127.0.0.1:{port}/metrics").text
