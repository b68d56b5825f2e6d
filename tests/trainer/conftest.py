"""During tests, tensors are checked against the shapes in signatures."""

from jaxtyping import install_import_hook

# As for mypy, an int is a float. jaxtyping takes the checker as text.
_CHECKER = "beartype.beartype(conf=beartype.BeartypeConf(is_pep484_tower=True))"

install_import_hook(["rljob_trainer.algorithms", "rljob_trainer.megatron"], _CHECKER)
