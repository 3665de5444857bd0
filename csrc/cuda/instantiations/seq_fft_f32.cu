#include "cuda/seq_fft.h"

template int fnet::launch_seq_fft(const fnet::SeqFftArgs<float>&, int, fnet::Order, void*);
