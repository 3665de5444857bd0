#include "cuda/row_grad.h"

template int fnet::launch_row_grad(const fnet::RowGradArgs<float>&, int, void*);
