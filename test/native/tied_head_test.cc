// Files that hold a head which the config ties to the token table: as a copy, alone, or another
// one.
#include <string>
#include <vector>

#include "check.h"
#include "fault_env.h"
#include "store/checkpoint.h"
#include "store/safetensors_writer.h"
#include "tiny_run.h"

namespace zo2::test {
namespace {

constexpr const char* kModel = "/base/model";
constexpr const char* kTable = "model.embed_tokens.weight";
constexpr const char* kHead = "lm_head.weight";

std::vector<float> values_of(const Checkpoint& checkpoint, const std::string& name) {
  const int index = checkpoint.find(name);
  const std::vector<int64_t>& shape = checkpoint.tensors()[static_cast<size_t>(index)].shape;
  const int64_t rows = shape.size() == 2 ? shape[0] : 1;
  std::vector<float> values(static_cast<size_t>(rows * shape.back()));
  checkpoint.read_rows(index, 0, rows, values.data());
  return values;
}

// The tiny model again, its table under these names; `change` is added to the last value of the
// head.
std::string write_with(Env& env, const std::vector<std::string>& names, float change) {
  const auto base = open_checkpoint(env, kModel);
  const std::string directory = "/base/other";
  env.create_directories(directory);
  const std::string config = base->config().dump();
  env.create(directory + "/config.json")->append(config.data(), config.size());
  std::vector<SafetensorsEntry> entries;
  std::vector<std::vector<float>> values;
  for (const CheckpointTensor& tensor : base->tensors()) {
    if (tensor.name != kTable) {
      entries.push_back({tensor.name, tensor.shape, "F32"});
      values.push_back(values_of(*base, tensor.name));
      continue;
    }
    for (const std::string& name : names) {
      entries.push_back({name, tensor.shape, "F32"});
      values.push_back(values_of(*base, kTable));
      if (name == kHead) values.back().back() += change;
    }
  }
  SafetensorsWriter writer(env, directory + "/model.safetensors", entries);
  for (const std::vector<float>& each : values)
    writer.append(each.data(), each.size() * sizeof(float));
  writer.finish();
  return directory;
}

std::vector<float> logits_of(Env& env, const std::string& model) {
  return load_tiny(env, model, {})->logits({1, 2, 3, 4});
}

}  // namespace

TEST_CASE("tied head: a copy of the table, or the head alone, is the same model") {
  for (const std::vector<std::string>& names : {std::vector<std::string>{kTable, kHead}, {kHead}}) {
    FaultEnv env(1);
    write_tiny_model(env, kModel, 1);
    CHECK(logits_of(env, write_with(env, names, 0)) == logits_of(env, kModel));
  }
}

TEST_CASE("tied head: another matrix is refused, as transformers would not tie it") {
  FaultEnv env(1);
  write_tiny_model(env, kModel, 1);
  const std::string other = write_with(env, {kTable, kHead}, 1);
  CHECK_THROWS(ErrorCode::kInvalidModel, (Texts{other, kHead, kTable, "tie_word_embeddings"}),
               logits_of(env, other));
}

TEST_CASE("tied head: an export has the name that the base has") {
  FaultEnv env(1);
  write_tiny_model(env, kModel, 1);
  const std::string alone = write_with(env, {kHead}, 0);
  load_tiny(env, alone, {})->export_to("/exported");
  CHECK(logits_of(env, "/exported") == logits_of(env, kModel));
  CHECK_EQ(open_checkpoint(env, "/exported")->find(kTable), -1);
}

}  // namespace zo2::test
