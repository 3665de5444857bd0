"""The operators `torch.ops.fnet_kernels.*`: loading, argument checks, and their torch rules."""
