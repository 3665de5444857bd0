#include "cuda/seq_fft.h"

template int fnet::launch_seq_fft(const fnet::SeqFftArgs<fnet::Float16>&, int, fnet::Order, void*);
