#include "cpu/share.h"

#include <algorithm>

namespace fnet {
namespace {

// The time of a sequence in fine tiles over that in whole ones: half vectors, shorter runs of x.
constexpr double kFineTime = 1.1;

PassShare share_tiles(PassOf pass, const MixArgs& args, int64_t sequences, int slots,
                      int64_t scratch_bytes, Tiles tiles) {
  PassShare share{tiles, pass(args.dtype, args.seq, args.hidden, tiles), sequences, 1, 0};
  const int64_t total = sequences * share.pass.count;
  const int64_t most = std::min<int64_t>(slots, total);
  share.slots = int(std::clamp<int64_t>(scratch_bytes / share.pass.scratch_bytes, 1, most));
  const int64_t rounds = (total + share.slots - 1) / share.slots;
  share.time = (tiles == Tiles::kFine ? kFineTime : 1) * double(rounds) / double(share.pass.count);
  return share;
}

}  // namespace

PassShare share_pass(PassOf pass, const MixArgs& args, int64_t sequences, int slots,
                     int64_t scratch_bytes) {
  const auto with = [&](Tiles tiles) {
    return share_tiles(pass, args, sequences, slots, scratch_bytes, tiles);
  };
  const PassShare whole = with(Tiles::kWhole), fine = with(Tiles::kFine);
  return fine.time < whole.time ? fine : whole;
}

}  // namespace fnet
