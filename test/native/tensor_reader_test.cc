#include "store/tensor_reader.h"

#include <string>
#include <vector>

#include "check.h"
#include "core/error.h"

namespace zo2::test {

namespace {

constexpr int64_t kOut = 150, kIn = 70;

// Two tensors in memory: element [r, c] of the matrix, in canonical orientation, is 1000 r + c, and
// element r of the vector r.
class Stored final : public Checkpoint {
 public:
  // Stored [in, out] or [out, in]; `turned`: which of them Hugging Face has, it is not.
  Stored(bool columns_first, bool turned) : columns_first_(columns_first) {
    const std::vector<int64_t> shape =
        columns_first ? std::vector{kIn, kOut} : std::vector{kOut, kIn};
    tensors_ = {{"m.weight", shape, "F32", turned}, {"m.bias", {kOut}, "F32"}};
  }
  const std::string& path() const override { return path_; }
  const char* format() const override { return "memory"; }
  const Json& config() const override { return config_; }
  const std::vector<CheckpointTensor>& tensors() const override { return tensors_; }
  int find(const std::string& name) const override {
    return name == "m.weight" ? 0 : name == "m.bias" ? 1 : -1;
  }
  void read_rows(int index, int64_t row, int64_t count, float* out) const override {
    ++reads;
    if (index == 1) {
      for (int64_t i = 0; i < kOut; ++i) out[i] = static_cast<float>(i);
      return;
    }
    const int64_t columns = columns_first_ ? kOut : kIn;
    for (int64_t i = 0; i < count * columns; ++i) {
      const int64_t r = row + i / columns, c = i % columns;
      out[i] = static_cast<float>(columns_first_ ? 1000 * c + r : 1000 * r + c);
    }
  }
  std::string fingerprint() const override { return ""; }
  std::vector<std::string> companion_files() const override { return {}; }

  mutable int reads = 0;

 private:
  bool columns_first_;
  std::string path_ = "memory.safetensors";
  Json config_ = Json::object();
  std::vector<CheckpointTensor> tensors_;
};

// Parts of 40, 60 and 50 rows.
std::vector<TensorSource> parts(bool transposed) {
  std::vector<TensorSource> sources;
  for (const int64_t row : {0, 40, 100}) {
    const std::vector<int64_t> shape = transposed ? std::vector{kIn, kOut} : std::vector{kOut, kIn};
    sources.push_back({"fused.weight", {"m.weight"}, shape, transposed, row});
  }
  sources.push_back({"m.bias", {}, {kOut}, false, 40});
  return sources;
}

void check_values(TensorReader& reader, size_t part, int64_t first, int64_t row, int64_t count) {
  std::vector<float> out(static_cast<size_t>(count * kIn) + 1, -1);
  reader.read(part, row, count, out.data());
  CHECK_EQ(out.back(), -1.0f);
  for (int64_t i = 0; i < count * kIn; ++i)
    CHECK_EQ(out[static_cast<size_t>(i)],
             static_cast<float>(1000 * (first + row + i / kIn) + i % kIn));
}

}  // namespace

TEST_CASE("tensor reader: parts of a fused tensor, in either orientation on either side") {
  for (const bool columns_first : {false, true}) {
    for (const bool transposed : {false, true}) {
      const Stored stored(columns_first, columns_first != transposed);
      TensorReader reader(stored, parts(transposed));
      CHECK_EQ(stored.reads, 0);
      check_values(reader, 0, 0, 0, 40);
      check_values(reader, 1, 40, 0, 60);
      check_values(reader, 2, 100, 49, 1);
      check_values(reader, 2, 100, 7, 0);
      const int before = stored.reads;
      std::vector<float> bias(60);
      reader.read(3, 0, 60, bias.data());
      for (size_t i = 0; i < bias.size(); ++i) CHECK_EQ(bias[i], static_cast<float>(40 + i));
      // 70 stored rows by 64, once for all three parts; or one range per read.
      CHECK_EQ(before, columns_first ? 2 : 4);
      check_values(reader, 1, 40, 13, 30);
    }
  }
}

TEST_CASE("tensor reader: what is missing or of another shape is named") {
  const Stored stored(true, false);
  const auto refused = [&](const TensorSource& source, const Texts& texts) {
    Texts all = texts;
    all.push_back("memory.safetensors");
    CHECK_THROWS(ErrorCode::kInvalidModel, all, TensorReader(stored, {source}));
    CHECK_THROWS(ErrorCode::kInvalidModel, all, find_source(stored, source));
  };
  refused({"c.weight", {"d.weight"}, {70, 150}}, {"\"c.weight\" is missing", "[70, 150]"});
  refused({"m.weight", {}, {150, 70}}, {"\"m.weight\" has shape [70, 150]", "asks for [150, 70]"});
  refused({"x", {"m.bias"}, {149}}, {"\"m.bias\" has shape [150]", "asks for [149]"});
  const Stored turned(true, true);
  CHECK_THROWS(ErrorCode::kInvalidModel, (Texts{"asks for [150, 70]"}),
               TensorReader(turned, {{"m.weight", {}, {70, 150}, true, 0}}));
  CHECK_EQ(find_source(stored, {"x", {"m.weight"}, {70, 150}, true, 0}).name, "m.weight");
}

}  // namespace zo2::test
