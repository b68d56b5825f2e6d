"""Model families: how Hugging Face and Megatron name and split the same weights."""
