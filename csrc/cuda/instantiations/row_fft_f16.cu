#include "cuda/row_fft.h"

template int fnet::launch_row_fft(const fnet::RowFftArgs<fnet::Float16>&, int, fnet::Order, void*);
