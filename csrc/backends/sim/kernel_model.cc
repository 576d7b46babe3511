#include "backends/sim/kernel_model.h"

#include <algorithm>

#include "device/gpu_scratch.h"

namespace zo2 {
namespace {

// Draws that are cheaper than a normal, in normals: instructions of core/philox.h alone per four
// uniforms, and of unpacking bits per sign.
constexpr double kUniformNormals = 0.25, kSignNormals = 0.07;
constexpr double kGiga = 1e9, kTera = 1e12, kMicro = 1e-6;

// The weight that an op multiplies by, if it has one.
struct Product {
  const Weight* weight = nullptr;
  const Branches* branches = nullptr;
};
Product product_of(const Op& op) {
  if (const Linear* linear = std::get_if<Linear>(&op.value))
    return {&linear->weight, &linear->branches};
  if (const HeadLoss* head = std::get_if<HeadLoss>(&op.value))
    return {&head->weight, &head->branches};
  return {};
}

// Copies of the weight in scratch: one per branch where they differ, none where it is multiplied as
// it is stored.
int copies(const Product& product, const GpuScratch& scratch) {
  if (scratch.copies_bytes == 0) return 0;
  return perturbs(*product.weight, *product.branches) ? product.branches->count : 1;
}

int kernels(const Op& op, const Profile& profile) {
  const Product product = product_of(op);
  if (!product.weight || profile.unified) return 1;
  const Weight& w = *product.weight;
  const GpuScratch scratch = gpu_scratch(op);
  const int64_t rows = std::max<int64_t>(1, scratch.chunk_rows > 0 ? scratch.chunk_rows : w.rows);
  const int64_t chunks = (w.rows + rows - 1) / rows;
  const int each = 1 + (stores(w) ? 1 : 0) + (copies(product, scratch) > 0 ? 1 : 0);
  const HeadLoss* head = std::get_if<HeadLoss>(&op.value);
  const int reductions = head ? (head->last ? 2 : 1) : 0;
  return static_cast<int>(chunks) * each + reductions;
}

uint64_t logits_bytes(const Op& op) {
  const HeadLoss* head = std::get_if<HeadLoss>(&op.value);
  if (!head) return 0;
  return static_cast<uint64_t>(head->branches.count * head->m * head->weight.rows) * 4;
}

}  // namespace

uint64_t scratch_bytes_of(const Op& op, const Profile& profile) {
  return profile.unified ? logits_bytes(op) : static_cast<uint64_t>(gpu_scratch(op).bytes());
}

Cost cost_of(const Op& op, const Profile& profile) {
  const Work todo = work(op);
  const Product product = product_of(op);
  Cost cost;
  cost.bytes = todo.bytes;
  if (!profile.unified) {
    cost.bytes += 2 * logits_bytes(op);  // written, then reduced
    if (product.weight) {
      const GpuScratch scratch = gpu_scratch(op);
      cost.bytes += 2 * static_cast<uint64_t>(copies(product, scratch) * product.weight->rows *
                                              scratch.row_bytes);
    }
  }
  const double normals = static_cast<double>(todo.normals) +
                         kUniformNormals * static_cast<double>(todo.uniforms) +
                         kSignNormals * static_cast<double>(todo.signs);
  cost.seconds = std::max(todo.flops / (profile.tflops.value * kTera),
                          static_cast<double>(cost.bytes) / (profile.memory_gbps.value * kGiga)) +
                 normals / (profile.gnormals.value * kGiga) +
                 kernels(op, profile) * profile.launch_us.value * kMicro;
  return cost;
}

}  // namespace zo2
