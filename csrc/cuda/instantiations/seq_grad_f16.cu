#include "cuda/seq_grad.h"

template int fnet::launch_seq_grad(const fnet::SeqGradArgs<fnet::Float16>&, int, void*);
