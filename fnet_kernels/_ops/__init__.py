"""The operators `torch.ops.fnet_kernels.*`: loading, argument checks, autograd, vmap."""
