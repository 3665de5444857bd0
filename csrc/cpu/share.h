// How the slots share the passes of several sequences: the tiles of all of them form one range.
#pragma once

#include "cpu/kernels.h"
#include "cpu/workspace.h"

namespace fnet {

using PassOf = PassTiles (*)(DType, int64_t seq, int64_t hidden, Tiles);

// Memory for the scratch of a pass: the call's own, which is warm, and then what other buffers lend
// while they hold nothing.
struct ScratchBytes {
  int64_t own, lent;
};

// One pass of `sequences` sequences over `slots` slots, which are as many as have work and scratch.
struct PassShare {
  Tiles tiles;
  PassTiles pass;
  int64_t sequences, pieces;  // of each sequence; the last piece has the remaining tiles
  int slots, own_slots;       // the first ones have scratch of the call's own
  // The time of the slot with the most tiles. The unit is one pass of one sequence on one slot.
  double time;

  int64_t own_bytes() const { return own_slots * pass.scratch_bytes; }
  void* scratch(int slot, void* own, void* lent) const {
    return slot < own_slots ? offset_bytes(own, slot * pass.scratch_bytes)
                            : offset_bytes(lent, (slot - own_slots) * pass.scratch_bytes);
  }

  // body(sequence, begin, end, slot) for all tiles: ranges of tiles of one sequence.
  template <class F>
  void each(const Parallel& parallel, const F& body) const {
    parallel_pieces(sequences, pieces, parallel.first(slots),
                    [&](int64_t i, int64_t begin, int64_t end, int slot) {
                      body(i, begin, end < pieces ? end : pass.count, slot);
                    });
  }
};

// The faster of whole and fine tiles within the scratch, but at least one slot gets scratch.
PassShare share_pass(PassOf pass, const MixArgs& args, int64_t sequences, int slots,
                     ScratchBytes scratch);

// The bytes that y of some sequences lends until their row pass, from its first multiple of 64
// bytes on. None if the call is in place, if y lacks rows, or if y of one sequence is smaller than
// the scratch of a slot of the seq pass.
int64_t lent_by_y(const Kernels& kernels, const MixArgs& args, int64_t sequences);

}  // namespace fnet
