"""JSON schema of the options passed through that the manifest describes, because rules use them.

Other options are checked only against the tables of the pinned packages. Null means unset.
"""

from typing import Any

from rljob.api.passthrough.table import Section, options

JSON_TYPES = {"bool": "boolean", "int": "integer", "float": "number", "str": "string"}

# The meaning and the bounds of each option; its type is in the tables.
_NAMED: dict[Section, dict[str, dict[str, Any]]] = {
    "optimizer": {
        "optimizer": {"enum": ["adam", "sgd"], "description": "Method. Default: adam."},
        "use_distributed_optimizer": {
            "description": "Shard Adam's state over the data-parallel processes.",
        },
        "use_precision_aware_optimizer": {
            "description": "Allow lower precision for Adam's state; needs Transformer Engine.",
        },
        "lr": {"exclusiveMinimum": 0, "description": "Learning rate, after the warm-up."},
        "min_lr": {"minimum": 0, "description": "Learning rate at the end of the decay."},
        "init_lr": {"minimum": 0, "description": "Learning rate when the warm-up begins."},
        "lr_warmup_steps": {"minimum": 0, "description": "Optimizer steps of the warm-up."},
        "lr_decay_steps": {
            "minimum": 1,
            "description": "Optimizer steps until the decay ends. Default: all of the run.",
        },
        "lr_decay_style": {"description": "Shape of the learning-rate decay after the warm-up."},
        "wsd_decay_steps": {"minimum": 1, "description": "WSD: optimizer steps of the decay."},
        "lr_wsd_decay_style": {"description": "WSD: shape of the decay."},
        "weight_decay": {"minimum": 0, "description": "Weight decay."},
        "start_wd": {"minimum": 0, "description": "Initial weight decay. Default: weight_decay."},
        "end_wd": {"minimum": 0, "description": "Final weight decay. Default: weight_decay."},
        "wd_incr_steps": {"minimum": 0, "description": "Optimizer steps from start_wd to end_wd."},
        "wd_incr_style": {"description": "Shape of the increase from start_wd to end_wd."},
        "clip_grad": {"minimum": 0, "description": "Maximum norm of the gradient; 0: no limit."},
        "adam_beta1": {"minimum": 0, "exclusiveMaximum": 1, "description": "Adam's beta1."},
        "adam_beta2": {"minimum": 0, "exclusiveMaximum": 1, "description": "Adam's beta2."},
        "adam_eps": {"exclusiveMinimum": 0, "description": "Adam's epsilon."},
        "optimizer_offload_fraction": {
            "minimum": 0,
            "maximum": 1,
            "description": "Share of the optimizer's state that is kept on the CPU.",
        },
    },
    "sglang": {
        "context_length": {
            "minimum": 1,
            "description": "Longest sequence of the engine, in tokens. Default: the model's.",
        },
    },
}


def named(section: Section) -> dict[str, Any]:
    """The JSON schema of a section's described options."""
    return {"properties": {name: _schema(section, name) for name in _NAMED[section]}}


def _schema(section: Section, name: str) -> dict[str, Any]:
    option = options(section)[name]
    [kind] = set(option.types) - {"null"}
    schema = {"type": JSON_TYPES[kind], **_NAMED[section][name]}
    return schema | {"enum": list(option.choices)} if option.choices else schema
