"""Model families: how a Hugging Face checkpoint and a Megatron model name and cut the same weights."""
