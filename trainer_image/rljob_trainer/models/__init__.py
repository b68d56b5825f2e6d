"""Model families: the same weights as Hugging Face and as Megatron name and cut them."""
