#include "cuda/row_fft.h"

template int fnet::launch_row_fft(const fnet::RowFftArgs<float>&, int, fnet::Order, void*);
