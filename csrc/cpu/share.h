// How the slots share the passes of several sequences: the tiles of all of them form one range.
#pragma once

#include "cpu/kernels.h"
#include "cpu/workspace.h"

namespace fnet {

using PassOf = PassTiles (*)(DType, int64_t seq, int64_t hidden, Tiles);

// One pass of `sequences` sequences over `slots` slots, which are as many as have work and scratch.
struct PassShare {
  Tiles tiles;
  PassTiles pass;
  int64_t sequences;
  int slots;
  // The time of the slot with the most tiles. The unit is one pass of one sequence on one slot.
  double time;

  int64_t scratch_bytes() const { return slots * pass.scratch_bytes; }

  // body(sequence, begin, end, slot) for all tiles: ranges of tiles of one sequence.
  template <class F>
  void each(const Parallel& parallel, const F& body) const {
    parallel_pieces(sequences, pass.count, parallel.first(slots), body);
  }
};

// The faster of whole and fine tiles, where the scratch of all slots takes at most `scratch_bytes`,
// but at least one slot gets scratch.
PassShare share_pass(PassOf pass, const MixArgs& args, int64_t sequences, int slots,
                     int64_t scratch_bytes);

}  // namespace fnet
