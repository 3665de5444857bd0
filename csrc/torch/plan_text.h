// Writes a plan as a JSON object for Python.
#pragma once

#include <string>
#include <vector>

#include "core/args.h"

namespace fnet::binding {

class PlanText {
 public:
  PlanText(Path path, Reason reason) { add("path", name_of(path)).add("reason", name_of(reason)); }

  PlanText& add(const char* name, const char* text) {
    return put(name, std::string("\"") + text + "\"");
  }
  PlanText& add(const char* name, int64_t number) { return put(name, std::to_string(number)); }
  PlanText& add(const char* name, const int* begin, const int* end) {
    std::string list;
    for (const int* number = begin; number < end; ++number)
      list.append(list.empty() ? "" : ",").append(std::to_string(*number));
    return put(name, "[" + list + "]");
  }
  PlanText& add(const char* name, const std::vector<int>& list) {
    return add(name, list.data(), list.data() + list.size());
  }
  std::string str() const { return "{" + fields_ + "}"; }

 private:
  PlanText& put(const char* name, const std::string& value) {
    fields_.append(fields_.empty() ? "\"" : ",\"").append(name).append("\":").append(value);
    return *this;
  }
  std::string fields_;
};

}  // namespace fnet::binding
