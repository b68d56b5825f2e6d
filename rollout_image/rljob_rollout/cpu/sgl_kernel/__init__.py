"""Stands in for SGLang's compiled kernels on a machine without a GPU.

The package of this name on PyPI can't be imported without libcuda. On a CPU, SGLang imports the
names below but never calls them: nothing is registered with torch, so it uses torch's own
operations. The parent folder is put on PYTHONPATH for CPU engines only.
"""

from typing import NoReturn

# SGLang compares this with the version that it requires.
__version__ = "0.4.10"


def _refuse(*_: object, **__: object) -> NoReturn:
    raise NotImplementedError("a compiled kernel of SGLang was called on a CPU engine")


assign_draft_cache_locs_contiguous_cpu = _refuse
assign_extend_cache_locs_cpu = _refuse
assign_req_to_token_pool_cpu = _refuse
build_tree_kernel_efficient_cpu = _refuse
copy_all_layer_kv_cache_cpu = _refuse
fill_accept_out_cache_loc_cpu = _refuse
fill_bonus_tokens_cpu = _refuse
verify_tree_greedy_cpu = _refuse
