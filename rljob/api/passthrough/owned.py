"""Options that rljob sets: the field of the manifest to use, or "" if there is none."""

ARCHITECTURE = "spec.model.architecture"
DTYPE = "spec.model.dtype"
CHECKPOINT = "spec.model.checkpoint"

_MEGATRON = {
    "tensor_model_parallel_size": "spec.trainer.parallelism.tensor",
    "pipeline_model_parallel_size": "spec.trainer.parallelism.pipeline",
    "virtual_pipeline_model_parallel_size": "spec.trainer.parallelism.virtualPipeline",
    "context_parallel_size": "spec.trainer.parallelism.context",
    "expert_model_parallel_size": "spec.trainer.parallelism.expert",
    "expert_tensor_parallel_size": "spec.trainer.parallelism.expertTensor",
    "sequence_parallel": "spec.trainer.parallelism.sequence",
    "recompute_granularity": "spec.trainer.recompute",
    **dict.fromkeys(
        (
            "params_dtype",
            "pipeline_dtype",
            "autocast_dtype",
            "bf16",
            "fp16",
        ),
        DTYPE,
    ),
    **dict.fromkeys(
        (
            "num_layers",
            "hidden_size",
            "ffn_hidden_size",
            "num_attention_heads",
            "num_query_groups",
            "kv_channels",
            "normalization",
            "layernorm_epsilon",
            "layernorm_zero_centered_gamma",
            "add_bias_linear",
            "add_qkv_bias",
            "qk_layernorm",
            "gated_linear_unit",
            "activation_func",
            "multi_latent_attention",
            "num_moe_experts",
            "moe_ffn_hidden_size",
            "moe_layer_freq",
            "moe_router_topk",
            "moe_shared_expert_intermediate_size",
            "window_size",
        ),
        ARCHITECTURE,
    ),
    **dict.fromkeys(
        (
            "perform_initialization",  # the weights come from a checkpoint
            "calculate_per_token_loss",  # the loss has its own denominators
            "finalize_model_grads_func",
            "grad_scale_func",
            "no_sync_func",
            "grad_sync_func",
            "param_sync_func",
            "timers",
            "test_mode",
        ),
        "",
    ),
}

_OPTIMIZER = {
    **dict.fromkeys(("params_dtype", "bf16", "fp16"), DTYPE),
    "max_lr": "spec.trainer.optimizer.lr",
    # A resumed run takes its place in the schedule from the checkpoint, the rest from the manifest.
    "use_checkpoint_opt_param_scheduler": "",
    "override_opt_param_scheduler": "",
    "timers": "",
}

_SGLANG = {
    "model_path": CHECKPOINT,
    "tokenizer_path": CHECKPOINT,
    "dtype": DTYPE,
    "random_seed": "spec.seed",
    "tp_size": "spec.rollout.gpusPerReplica",
    "pp_size": "spec.rollout.gpusPerReplica",
    "dp_size": "spec.rollout.replicas",
    "enable_memory_saver": "spec.colocate",
    "sampling_defaults": "spec.rollout.sampling",
    "preferred_sampling_params": "spec.rollout.sampling",
    **dict.fromkeys(
        (
            "host",
            "port",
            "nccl_port",
            "dist_init_addr",
            "nnodes",
            "node_rank",
            "base_gpu_id",
            "gpu_id_step",
            "api_key",
            "admin_api_key",
            "served_model_name",
            "weight_version",
            "is_embedding",
            "skip_tokenizer_init",
            "enable_metrics",
            "custom_sigquit_handler",
            "cuda_graph_config",
        ),
        "",
    ),
}

FIELDS = {"megatron": _MEGATRON, "optimizer": _OPTIMIZER, "sglang": _SGLANG}
