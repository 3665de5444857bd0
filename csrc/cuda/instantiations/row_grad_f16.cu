#include "cuda/row_grad.h"

template int fnet::launch_row_grad(const fnet::RowGradArgs<fnet::Float16>&, int, void*);
