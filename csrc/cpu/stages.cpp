// The stages of a plan's lines, for explanations.
#include <initializer_list>

#include "cpu/api.h"
#include "cpu/line_shape.h"
#include "cpu/long_shape.h"
#include "cpu/real_line.h"

namespace fnet {
namespace {

std::string text_of(const LineShape& shape) {
  std::string text;
  for (int s = 0; s < shape.count; ++s) {
    const StageShape& stage = shape.stage[s];
    text += (s > 0 ? " * " : "") + std::to_string(stage.points);
    if (stage.algorithm == Algorithm::kDirect) text += " (direct)";
    if (stage.algorithm == Algorithm::kRader)
      text += " (Rader: " + text_of(rader_shape(stage.convolution)) + ")";
    if (stage.algorithm == Algorithm::kBluestein)
      text += " (Bluestein: " + text_of(line_shape(stage.convolution)) + ")";
  }
  return text;
}

// Factors of a length that are transformed one after the other.
LineStages product(std::initializer_list<int64_t> factors) {
  LineStages stages;
  for (const int64_t factor : factors) {
    if (!has_line(factor)) return {};
    if (factor == 1 && !stages.text.empty()) continue;
    const LineShape shape = line_shape(factor);
    for (int s = 0; s < shape.count && factor > 1; ++s)
      stages.radices.push_back(int(shape.stage[s].points));
    stages.text += (stages.text.empty() ? "" : " * ") + text_of(shape);
  }
  return stages;
}

LineStages in_parts(int64_t length) {
  if (const Split own = split_of(length); own.points() > 0) return product({own.a, own.b});
  const Split convolution = convolved_split_of(length);
  const std::string inner = product({convolution.a, convolution.b}).text;
  return {{int(length)}, std::to_string(length) + " (Bluestein: " + inner + ")"};
}

}  // namespace

LineStages seq_stages(const MixArgs& args, const CpuPlan& plan) {
  return plan.scheme == Scheme::kLongSeq ? in_parts(args.seq) : product({args.seq});
}

LineStages hidden_stages(const MixArgs& args, const CpuPlan& plan) {
  if (plan.scheme == Scheme::kLongHidden) return in_parts(args.hidden);
  if (plan.scheme == Scheme::kSequences && has_real_line(args.seq, args.hidden))
    return product({2, args.hidden / 2});
  return product({args.hidden});
}

}  // namespace fnet
