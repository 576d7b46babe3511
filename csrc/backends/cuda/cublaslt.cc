#include "backends/cuda/cublaslt.h"

#include <dlfcn.h>

#include <algorithm>
#include <array>
#include <cstdlib>
#include <map>
#include <vector>

#include "backends/cuda/cublaslt_api.h"
#include "core/error.h"

namespace zo2::cuda {
namespace {

constexpr const char* kVariable = "ZO2_CUBLASLT";

std::vector<std::string> candidates() {
  if (const char* path = std::getenv(kVariable); path && *path) return {path};
  return {"libcublasLt.so.13", "libcublasLt.so.12", "libcublasLt.so",
          "/usr/local/cuda/lib64/libcublasLt.so"};
}

struct Library {
  void* handle = nullptr;
  std::string path;
};

Library open_library(std::string* problem) {
  std::string tried;
  for (const std::string& path : candidates()) {
    if (void* handle = dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL)) return {handle, path};
    tried += (tried.empty() ? "" : ", ") + path;
  }
  if (problem)
    *problem = "cuBLASLt is not found (" + tried + "); install it with NVIDIA's toolkit, or name " +
               "its libcublasLt.so in " + kVariable;
  return {};
}

void check_status(lt::Status status, const char* what) {
  if (status == 0) return;
  throw Error(ErrorCode::kDevice, std::string("cuBLASLt: ") + what + ": status " +
                                      std::to_string(status) + "; matmul: \"zo2\" does without it");
}

// An object of the library and what ends it.
template <class T>
class Owned {
 public:
  Owned() = default;
  explicit Owned(lt::Status (*destroy)(T)) : destroy_(destroy) {}
  Owned(Owned&& other) noexcept { *this = std::move(other); }
  Owned& operator=(Owned&& other) noexcept {
    std::swap(value_, other.value_);
    std::swap(destroy_, other.destroy_);
    return *this;
  }
  ~Owned() {
    if (value_) (void)destroy_(value_);
  }
  T* put() { return &value_; }
  T get() const { return value_; }

 private:
  T value_ = nullptr;
  lt::Status (*destroy_)(T) = nullptr;
};

struct Api {
  explicit Api(const Library& library) {
    const auto find = [&](auto& function, const char* name) {
      function = reinterpret_cast<std::remove_reference_t<decltype(function)>>(
          dlsym(library.handle, name));
      if (!function)
        throw Error(ErrorCode::kDevice, library.path + ": has no " + name + "; it is no cuBLASLt");
    };
    find(create, "cublasLtCreate");
    find(destroy, "cublasLtDestroy");
    find(desc_create, "cublasLtMatmulDescCreate");
    find(desc_destroy, "cublasLtMatmulDescDestroy");
    find(desc_set, "cublasLtMatmulDescSetAttribute");
    find(layout_create, "cublasLtMatrixLayoutCreate");
    find(layout_destroy, "cublasLtMatrixLayoutDestroy");
    find(layout_set, "cublasLtMatrixLayoutSetAttribute");
    find(preference_create, "cublasLtMatmulPreferenceCreate");
    find(preference_destroy, "cublasLtMatmulPreferenceDestroy");
    find(preference_set, "cublasLtMatmulPreferenceSetAttribute");
    find(heuristic, "cublasLtMatmulAlgoGetHeuristic");
    find(matmul, "cublasLtMatmul");
  }
  lt::Create create;
  lt::Destroy destroy;
  lt::MatmulDescCreate desc_create;
  lt::MatmulDescDestroy desc_destroy;
  lt::MatmulDescSetAttribute desc_set;
  lt::MatrixLayoutCreate layout_create;
  lt::MatrixLayoutDestroy layout_destroy;
  lt::MatrixLayoutSetAttribute layout_set;
  lt::PreferenceCreate preference_create;
  lt::PreferenceDestroy preference_destroy;
  lt::PreferenceSetAttribute preference_set;
  lt::AlgoGetHeuristic heuristic;
  lt::Matmul matmul;
};

cudaDataType_t data_type(FloatType type) {
  switch (type) {
    case FloatType::kBF16: return CUDA_R_16BF;
    case FloatType::kF16: return CUDA_R_16F;
    case FloatType::kF32: break;
  }
  return CUDA_R_32F;
}

// Of a pointer, as far as kernels care.
uint32_t alignment_of(const void* address) {
  const auto bits = reinterpret_cast<uintptr_t>(address) | 256;
  return static_cast<uint32_t>(bits & (~bits + 1));
}

// A row-major [rows][columns] is a column-major matrix of as many rows as it has columns.
struct Batched {
  cudaDataType_t type;
  int64_t rows, columns, leading, batch_stride;
};

// What the library is asked once for every shape: y^T = w x^T, all of them column-major.
struct Chosen {
  Owned<lt::MatmulDesc> desc;
  Owned<lt::MatrixLayout> w, x, y;
  lt::Algo algo;
};

class Loaded final : public CublasLt {
 public:
  explicit Loaded(const Library& library) : api_(library), handle_(api_.destroy) {
    check_status(api_.create(handle_.put()), "start");
  }

  void multiply(const Product& whole, cudaStream_t stream) override {
    Product p = whole;
    if (p.bias) add_bias(p, stream);
    if (p.w_copy == 0) {  // one weight for all branches, whose rows lie behind each other
      p.m *= p.branches;
      p.branches = 1;
    }
    const auto* x = p.x.as<const std::byte>();
    auto* y = p.y.as<std::byte>();
    const Chosen& chosen = choose(p, x, y);
    const float alpha = 1, beta = p.accumulate || p.bias ? 1.0f : 0.0f;
    check_status(api_.matmul(handle_.get(), chosen.desc.get(), &alpha, p.w, chosen.w.get(), x,
                             chosen.x.get(), &beta, y, chosen.y.get(), y, chosen.y.get(),
                             &chosen.algo, nullptr, 0, stream),
                 "multiply");
  }

 private:
  using Key = std::array<int64_t, 12>;

  const Chosen& choose(const Product& p, const void* x, const void* y) {
    const uint32_t align_w = alignment_of(p.w), align_x = alignment_of(x),
                   align_y = alignment_of(y);
    const Key key = {p.m,
                     p.n,
                     p.k,
                     p.branches,
                     p.w_stride,
                     p.w_copy,
                     p.y_stride,
                     static_cast<int64_t>(p.type),
                     static_cast<int64_t>(p.y.type),
                     align_w,
                     align_x,
                     align_y};
    const auto known = chosen_.find(key);
    if (known != chosen_.end()) return known->second;
    Chosen made{Owned<lt::MatmulDesc>(api_.desc_destroy), {}, {}, {}, {}};
    check_status(api_.desc_create(made.desc.put(), lt::kCompute32F, CUDA_R_32F), "describe");
    check_status(
        api_.desc_set(made.desc.get(), lt::kTransA, &lt::kOpTranspose, sizeof lt::kOpTranspose),
        "describe");
    const int64_t copies = p.w_copy > 0 ? p.branches : 1;
    made.w = layout({data_type(p.type), p.n, p.k, p.w_stride, p.w_copy}, copies);
    made.x = layout({data_type(p.x.type), p.m, p.k, p.k, p.m * p.k}, copies);
    made.y = layout({data_type(p.y.type), p.m, p.n, p.y_stride, p.m * p.y_stride}, copies);
    Owned<lt::Preference> preference(api_.preference_destroy);
    check_status(api_.preference_create(preference.put()), "describe");
    const auto prefer = [&](lt::PreferenceAttribute attribute, auto value) {
      check_status(api_.preference_set(preference.get(), attribute, &value, sizeof value),
                   "describe");
    };
    prefer(lt::kMaxWorkspaceBytes, uint64_t{0});  // nothing is allocated behind the plan's back
    prefer(lt::kMinAlignmentA, align_w);
    prefer(lt::kMinAlignmentB, align_x);
    prefer(lt::kMinAlignmentC, align_y);
    prefer(lt::kMinAlignmentD, align_y);
    lt::HeuristicResult result{};
    int found = 0;
    check_status(api_.heuristic(handle_.get(), made.desc.get(), made.w.get(), made.x.get(),
                                made.y.get(), made.y.get(), preference.get(), 1, &result, &found),
                 "choose a kernel");
    check_status(found > 0 ? result.state : 15, "choose a kernel");  // 15: not supported
    made.algo = result.algo;
    return chosen_.emplace(key, std::move(made)).first->second;
  }

  Owned<lt::MatrixLayout> layout(const Batched& m, int64_t copies) {
    Owned<lt::MatrixLayout> made(api_.layout_destroy);
    check_status(api_.layout_create(made.put(), m.type, static_cast<uint64_t>(m.columns),
                                    static_cast<uint64_t>(m.rows), m.leading),
                 "describe");
    const auto count = static_cast<int32_t>(copies);
    check_status(api_.layout_set(made.get(), lt::kBatchCount, &count, sizeof count), "describe");
    check_status(api_.layout_set(made.get(), lt::kStridedBatchOffset, &m.batch_stride,
                                 sizeof m.batch_stride),
                 "describe");
    return made;
  }

  Api api_;
  Owned<lt::Handle> handle_;
  std::map<Key, Chosen> chosen_;
};

}  // namespace

std::string CublasLt::find(std::string* problem) {
  const Library library = open_library(problem);
  if (library.handle) dlclose(library.handle);
  return library.path;
}

// The library stays in the process: it is not made to be unloaded.
std::unique_ptr<CublasLt> CublasLt::load() {
  std::string problem;
  const Library library = open_library(&problem);
  if (!library.handle)
    throw Error(ErrorCode::kDevice, "schedule.matmul is \"cublaslt\", but " + problem);
  return std::make_unique<Loaded>(library);
}

bool CublasLt::takes(const Product& p) {
  return p.x.type == p.type && (p.y.type == p.type || p.y.type == FloatType::kF32);
}

}  // namespace zo2::cuda
