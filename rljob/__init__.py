"""rljob: RL post-training of language models from one manifest."""

__version__ = "0.1.0"
