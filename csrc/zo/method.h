// A method of zeroth-order optimisation: which copies of the model a step evaluates, and the record
// that their losses make (design rule 10). How a record changes weights is a rule of the run
// (UpdateRules): w -= sum of c_k z_k, unless a method says otherwise.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "core/json.h"
#include "device/ops.h"
#include "model/spec.h"
#include "zo/record.h"

namespace zo2 {

struct MethodOptions {
  std::string name = "mezo";
  double epsilon = 1e-3;
  int directions = 1;  // q
  double clip = 0;     // largest |projected gradient|; 0: any
  // What only some methods have, by name; where one is left out, its method says what it is.
  Json constants = Json::object();
};

class Method {
 public:
  explicit Method(const MethodOptions& options) : options_(options) {}
  virtual ~Method() = default;

  // What a step evaluates, ordered by direction; scale 0 comes first.
  virtual std::vector<Branch> branches() const = 0;
  // Sets of `record`: losses, projected_grad and coefficients [directions], and what the method
  // carries on; its learning rate is set. `losses`: of the branches, in fp64; what is not finite
  // makes results that are not. `last`: the record before, null at the first step. A pure function.
  virtual void finish(const Record* last, const std::vector<double>& losses,
                      Record& record) const = 0;
  // How its records change weights, beside what the run says.
  virtual void set_rules(const ModelSpec& /*model*/, UpdateRules& /*rules*/) const {}
  // The share of every matrix, from the largest magnitude down, that is never moved.
  virtual double sparsity() const { return 0; }
  // The step whose seed is the basis of step t's directions, where they have one.
  virtual uint64_t basis_step(uint64_t t) const { return t; }
  // Whether it is scales that train: of weights stored as q8s, and of no others.
  virtual bool trains_scales() const { return false; }
  // Adds its constants to the header's "method".
  void describe(Json& method) const;

 protected:
  // Constants are read once, as the method is made. Throw Error(kInvalidConfig) naming one that is
  // no number, or no whole number from `least` to `most`.
  double number(const char* name, double otherwise);
  int whole(const char* name, int otherwise, int least, int most);

  double clipped(double g) const;
  // Scales +epsilon and -epsilon for every direction.
  std::vector<Branch> pairs() const;
  // Of pairs from branch `first` on, into loss_plus and loss_minus.
  void split(const std::vector<double>& losses, size_t first, Record& record) const;

  const MethodOptions options_;

 private:
  Json::Object constants_;  // that were read
};

struct MethodEntry {
  const char* name;
  int version;  // of the meaning of its records
  std::unique_ptr<Method> (*make)(const MethodOptions& options);
};
// By name; null: none.
const MethodEntry* find_method(const std::string& name);
// Throws Error(kInvalidConfig) for a name that there is not, or options that the method refuses.
std::unique_ptr<Method> make_method(const MethodOptions& options);
// What a header's "method" says (train_header); the same errors.
MethodOptions method_options(const Json& method);
// "a, b or c", for messages.
std::string method_names();

}  // namespace zo2
