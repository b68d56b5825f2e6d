"""The memory of the embedded server if the manifest does not set it."""

import os

import pytest

from rljob.buffer.memory import default_memory

MEBI = 2**20
MACHINE = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
V1 = "memory/{}memory.limit_in_bytes"


@pytest.mark.parametrize(
    ("cgroup", "limits", "expected"),
    [
        pytest.param("0::/\n", {}, MACHINE // 4, id="no limit"),
        pytest.param("0::/\n", {"memory.max": "max"}, MACHINE // 4, id="max"),
        pytest.param("0::/\n", {"memory.max": 400 * MEBI}, 100 * MEBI, id="container"),
        pytest.param(
            "0::/a/b\n",
            {"a/b/memory.max": "max", "a/memory.max": 200 * MEBI, "memory.max": 400 * MEBI},
            50 * MEBI,
            id="a limit of the group around it",
        ),
        pytest.param("0::/of/the/host\n", {"memory.max": 400 * MEBI}, 100 * MEBI, id="namespace"),
        pytest.param(
            "4:cpu:/a\n3:hugetlb,memory:/a\n0::/\n",
            {V1.format("a/"): 400 * MEBI, V1.format(""): 2**63 - 4096},
            100 * MEBI,
            id="version 1",
        ),
    ],
)
def test_it_is_a_quarter_of_what_there_is(tmp_path, cgroup, limits, expected):
    files = {f"cgroup/{name}": limit for name, limit in limits.items()}
    for name, text in {"proc/self/cgroup": cgroup, **files}.items():
        file = tmp_path / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(f"{text}\n")
    assert default_memory(tmp_path / "proc", tmp_path / "cgroup") == expected


def test_of_this_process():
    assert 0 < default_memory() <= MACHINE // 4
