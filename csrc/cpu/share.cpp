#include "cpu/share.h"

#include <algorithm>

namespace fnet {
namespace {

// The time of a sequence in fine tiles over that in whole ones: half vectors, shorter runs of x.
constexpr double kFineTime = 1.1;
// The time of the last row alone over that of a tile: its transform takes as long.
constexpr double kLastTime = 0.4;

// The first pieces are a tile each, and the last piece has the remaining tiles.
PassShare share_pieces(const PassTiles& pass, int64_t pieces, int64_t sequences, int slots,
                       ScratchBytes scratch, Tiles tiles) {
  const int64_t total = sequences * pieces, most = std::min<int64_t>(slots, total);
  const int64_t own = std::clamp<int64_t>(scratch.own / pass.scratch_bytes, 0, most);
  const int64_t lent = std::min(scratch.lent / pass.scratch_bytes, most - own);
  PassShare share{tiles, pass, sequences, pieces, int(own + lent), int(own), 0};
  if (share.slots == 0) share.slots = share.own_slots = 1;
  const int64_t most_pieces = (total + share.slots - 1) / share.slots;
  const double with_last = pieces < pass.count ? kLastTime : 0;
  share.time = (tiles == Tiles::kFine ? kFineTime : 1) * (double(most_pieces) + with_last) /
               double(pass.full);
  return share;
}

// A last tile that takes little time goes with the tile before it where this shortens the pass.
PassShare share_tiles(PassOf of, const MixArgs& args, int64_t sequences, int slots,
                      ScratchBytes scratch, Tiles tiles) {
  const PassTiles pass = of(args.dtype, args.seq, args.hidden, tiles);
  const auto with = [&](int64_t pieces) {
    return share_pieces(pass, pieces, sequences, slots, scratch, tiles);
  };
  const PassShare each = with(pass.count), joined = with(pass.full);
  return joined.time < each.time ? joined : each;
}

}  // namespace

PassShare share_pass(PassOf pass, const MixArgs& args, int64_t sequences, int slots,
                     ScratchBytes scratch) {
  const auto with = [&](Tiles tiles) {
    return share_tiles(pass, args, sequences, slots, scratch, tiles);
  };
  const PassShare whole = with(Tiles::kWhole), fine = with(Tiles::kFine);
  return fine.time < whole.time ? fine : whole;
}

int64_t lent_by_y(const Kernels& kernels, const MixArgs& args, int64_t sequences) {
  if (args.y && (args.y == args.x || args.y == args.residual)) return 0;
  const int64_t y = args.present_rows() * args.hidden * element_size(args.dtype) - kWorkspaceAlign;
  const PassTiles pass = kernels.seq_pass(args.dtype, args.seq, args.hidden, Tiles::kWhole);
  return args.present_rows() < args.seq || y < pass.scratch_bytes ? 0 : sequences * y;
}

}  // namespace fnet
