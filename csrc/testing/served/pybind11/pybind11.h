// Replaces pybind11 if the core is cross-compiled. core_test.cpp becomes a program that serves its
// functions over standard input and output, so the Python tests of the core run unchanged against
// an emulated processor. Contains only the parts that core_test.cpp uses.
#pragma once

#include <pybind11/numpy.h>

#include <functional>
#include <map>
#include <optional>
#include <stdexcept>

namespace pybind11 {

using fnet::served::Message;
using fnet::served::Value;

struct none {};
using tuple = Message;
struct value_error : std::runtime_error {
  using runtime_error::runtime_error;
};

template <class T>
struct Scalar : std::bool_constant<std::is_arithmetic_v<T>> {};
template <class T>
struct Scalar<std::complex<T>> : std::true_type {};

// Conversions to Python.
inline Value to_value(none) { return {}; }
inline Value to_value(const array& a) { return a.value(); }
inline Value to_value(const std::string& text) { return {"S", {}, {}, {text.begin(), text.end()}}; }
inline Value to_value(const char* text) { return to_value(std::string(text)); }
inline Value to_value(const std::vector<int>& items) {
  const char* bytes = reinterpret_cast<const char*>(items.data());
  return {"list", {}, {}, {bytes, bytes + items.size() * sizeof(int)}};
}
template <class T>
  requires Scalar<T>::value
Value to_value(T number) {
  if constexpr (std::is_integral_v<T>) {
    const int64_t wide = number;
    return array(dtype("i8"), {}, &wide).value();
  } else {
    return array(dtype::of<T>(), {}, &number).value();
  }
}

template <class... T>
tuple make_tuple(const T&... items) {
  return {to_value(items)...};
}

// Conversions from Python. `wanted` is the dtype to which arrays are converted; "" for none.
template <class T>
struct From {
  static constexpr bool kArray = std::is_base_of_v<array, T>;
  static std::string wanted() { return ""; }
  static T value(Value v) {
    if constexpr (kArray) {
      return T(std::move(v));
    } else {
      double real;
      int64_t integer;
      if (v.bytes.size() != sizeof(real)) throw value_error("expected a number, got " + v.dtype);
      memcpy(&real, v.bytes.data(), sizeof(real));
      memcpy(&integer, v.bytes.data(), sizeof(integer));
      return v.dtype == "f8" ? T(real) : T(integer);
    }
  }
};
template <class T, int Flags>
struct From<array_t<T, Flags>> {
  static std::string wanted() { return dtype::of<T>().name(); }
  static array_t<T, Flags> value(Value v) { return array_t<T, Flags>(std::move(v)); }
};
template <>
struct From<std::string> {
  static std::string wanted() { return ""; }
  static std::string value(const Value& v) { return {v.bytes.begin(), v.bytes.end()}; }
};
template <class T>
struct From<std::optional<T>> {
  static std::string wanted() { return ""; }
  static std::optional<T> value(Value v) {
    if (v.dtype.empty()) return std::nullopt;
    return From<T>::value(std::move(v));
  }
};

// The name of a parameter and its default.
struct arg {
  std::string name;
  std::optional<Value> otherwise{};
  explicit arg(const char* text) : name(text) {}
  template <class T>
  arg operator=(const T& value) && {
    otherwise = to_value(value);
    return *this;
  }
};

class module_ {
 public:
  template <class F, class... Arg>
  void def(const char* name, F&& f, const Arg&... args) {
    add(name, std::function(std::forward<F>(f)), {args...});
  }

  // First lists the functions, each as "name parameter:dtype ...". Then each message is the name of
  // a function and its arguments. The answer is "ok" and the results, or the name of an exception
  // and its text.
  int serve() const {
    Message all;
    for (const auto& [name, function] : functions_) all.push_back(to_value(function.signature));
    write(all);
    for (Message message; read(message);) write(answer(message));
    return 0;
  }

 private:
  struct Function {
    std::string signature;
    std::function<Message(Message&)> call;
  };
  std::map<std::string, Function> functions_;

  Message answer(Message& message) const try {
    Message results = functions_.at(From<std::string>::value(message[0])).call(message);
    results.insert(results.begin(), to_value("ok"));
    return results;
  } catch (const value_error& error) {
    return {to_value("ValueError"), to_value(error.what())};
  } catch (const std::exception& error) {
    return {to_value("RuntimeError"), to_value(error.what())};
  }

  template <class R, class... A>
  void add(const std::string& name, std::function<R(A...)> f, std::vector<arg> args) {
    const std::vector<std::string> wanted{From<std::decay_t<A>>::wanted()...};
    std::string signature = name;
    for (size_t i = 0; i < wanted.size(); ++i)
      signature.append(" ").append(i < args.size() ? args[i].name : "").append(":" + wanted[i]);
    functions_[name] = {signature, [f, args](Message& message) {
                          for (size_t at = 0; at < args.size(); ++at)
                            if (message[at + 1].dtype == "default")
                              message[at + 1] = args[at].otherwise.value();
                          return results(f, message, std::index_sequence_for<A...>{});
                        }};
  }

  template <class R, class... A, size_t... I>
  static Message results(const std::function<R(A...)>& f, Message& message,
                         std::index_sequence<I...>) {
    const auto run = [&] { return f(From<std::decay_t<A>>::value(std::move(message[I + 1]))...); };
    if constexpr (std::is_void_v<R>)
      return run(), Message{to_value(none{})};
    else if constexpr (std::is_same_v<R, tuple>)
      return run();
    else
      return {to_value(run())};
  }
};

}  // namespace pybind11

#define PYBIND11_MODULE(name, m)            \
  static void define(pybind11::module_& m); \
  int main() {                              \
    pybind11::module_ m;                    \
    define(m);                              \
    return m.serve();                       \
  }                                         \
  static void define(pybind11::module_& m)
