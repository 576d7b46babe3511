#include "store/safetensors.h"

#include <algorithm>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "allocation_limit.h"
#include "check.h"
#include "files.h"
#include "store/checkpoint.h"
#include "store/safetensors_writer.h"

namespace zo2::test {

namespace {

std::string with_header(const std::string& header, const std::string& data) {
  return raw(uint64_t{header.size()}) + header + data;
}

std::string entry(const std::string& name, const std::string& dtype, const std::string& shape,
                  uint64_t begin, uint64_t end) {
  return "\"" + name + "\":{\"dtype\":\"" + dtype + "\",\"shape\":" + shape +
         ",\"data_offsets\":[" + std::to_string(begin) + "," + std::to_string(end) + "]}";
}

// a: F32 [2, 3] = 0..5; b: BF16 [2] = 1, -2; c: F16 [] = 0.5; d: I64 [1]
std::string small_file() {
  std::string data;
  for (int i = 0; i < 6; ++i) data += raw(static_cast<float>(i));
  data += raw(uint16_t{0x3f80}) + raw(uint16_t{0xc000}) + raw(uint16_t{0x3800}) + raw(int64_t{7});
  return with_header("{\"__metadata__\":{\"format\":\"pt\"}," + entry("a", "F32", "[2,3]", 0, 24) +
                         "," + entry("b", "BF16", "[2]", 24, 28) + "," +
                         entry("c", "F16", "[]", 28, 30) + "," + entry("d", "I64", "[1]", 30, 38) +
                         "}  ",
                     data);
}

void check_header_refused(const std::string& entries, size_t data_bytes,
                          const std::string& reason) {
  const TempDir dir;
  const std::string data(data_bytes, '\0');
  const std::string path = dir.write("model.safetensors", with_header("{" + entries + "}", data));
  CHECK_THROWS(ErrorCode::kInvalidModel, (Texts{path, reason}),
               SafetensorsFile(Env::posix(), path));
}

// A directory with the given files, opened.
std::unique_ptr<Checkpoint> open(const TempDir& dir) {
  return open_checkpoint(Env::posix(), dir.path());
}

}  // namespace

TEST_CASE("safetensors: values of every type zo2 reads, by row ranges") {
  const TempDir dir;
  dir.write("config.json", "{\"model_type\":\"x\"}");
  dir.write("model.safetensors", small_file());
  dir.write("tokenizer.json", "{}");
  const auto checkpoint = open(dir);
  CHECK_EQ(std::string(checkpoint->format()), "safetensors");
  CHECK_EQ(checkpoint->tensors().size(), 4u);
  CHECK_EQ(checkpoint->config().find("model_type")->string(), "x");
  CHECK_EQ(checkpoint->companion_files().size(), 1u);
  std::vector<float> row(3);
  checkpoint->read_rows(checkpoint->find("a"), 1, 1, row.data());
  CHECK(row == (std::vector<float>{3, 4, 5}));
  checkpoint->read_rows(checkpoint->find("b"), 0, 1, row.data());
  CHECK_EQ(row[0], 1.0f);
  CHECK_EQ(row[1], -2.0f);
  checkpoint->read_rows(checkpoint->find("c"), 0, 1, row.data());
  CHECK_EQ(row[0], 0.5f);
  CHECK_EQ(checkpoint->find("e"), -1);
  const int integers = checkpoint->find("d");
  CHECK_EQ(checkpoint->tensors()[static_cast<size_t>(integers)].stored_type, "I64");
  CHECK_THROWS(ErrorCode::kUnsupportedModel, (Texts{"\"d\"", "I64", "F32, F16 and BF16"}),
               checkpoint->read_rows(integers, 0, 1, row.data()));
  CHECK_THROWS(ErrorCode::kInternal, (Texts{}), checkpoint->read_rows(0, 1, 2, row.data()));
  CHECK_THROWS(ErrorCode::kInternal, (Texts{}), checkpoint->read_rows(0, -1, 1, row.data()));
  CHECK_THROWS(ErrorCode::kInternal, (Texts{}), checkpoint->read_rows(9, 0, 1, row.data()));
}

TEST_CASE("safetensors: files that are none, or cut") {
  const TempDir dir;
  const auto refused = [&](const std::string& bytes, const std::string& reason) {
    const std::string path = dir.write("f.safetensors", bytes);
    CHECK_THROWS(ErrorCode::kInvalidModel, (Texts{path, reason}),
                 SafetensorsFile(Env::posix(), path));
  };
  refused("", "too few");
  refused("1234567", "too few");
  refused(raw(uint64_t{3}) + "{}", "truncated");
  refused(raw(UINT64_MAX) + "{}", "truncated");
  refused(raw(uint64_t{0}), "not an object");
  refused(with_header("[]", ""), "not an object");
  refused(with_header("{", ""), "not valid JSON");
  refused("version https://git-lfs.github.com/spec/v1\n", "git lfs pull");
  const std::string whole = small_file();
  for (size_t n = 0; n < whole.size(); ++n) refused(whole.substr(0, n), "");
  refused(whole + "x", "1 bytes after the last tensor");
}

TEST_CASE("safetensors: headers that lie") {
  const auto refused = check_header_refused;
  refused(entry("a", "F32", "[2]", 0, 4), 4, "does not take the 4 bytes");
  refused(entry("a", "F32", "[2]", 0, 12), 12, "does not take");
  refused(entry("a", "F32", "[2]", 8, 0), 8, "end before they begin");
  refused(entry("a", "F32", "[2]", 0, 8), 4, "ends outside the file");
  refused(entry("a", "F32", "[1]", 4, 8), 8, "gap");
  refused(entry("a", "F32", "[1]", 0, 4) + "," + entry("b", "F32", "[1]", 8, 12), 12, "gap");
  refused(entry("a", "F32", "[2]", 0, 8) + "," + entry("b", "F32", "[1]", 4, 8), 8, "overlaps");
  refused(entry("a", "F32", "[1]", 0, 4) + "," + entry("b", "F32", "[1]", 0, 4), 4, "overlaps");
  refused(entry("a", "F32", "[1]", 0, 4) + "," + entry("a", "F32", "[1]", 4, 8), 8, "twice");
  refused(entry("a", "F32", "[1]", 0, 4), 8, "after the last tensor");
  refused(entry("a", "F32", "[0]", 0, 0), 0, "empty");
  refused(entry("a", "F32", "[4294967296,4294967296]", 0, 0), 0, "too large");
  refused(entry("a", "F32", "[4611686018427387904]", 0, 0), 0, "does not take");
  refused(entry("a", "F32", "[-1]", 0, 4), 4, "dimension");
  refused(entry("a", "F32", "[1.5]", 0, 6), 6, "dimension");
  refused(entry("a", "F32", "7", 0, 4), 4, "no shape");
  refused("\"a\":{\"shape\":[1],\"data_offsets\":[0,4]}", 4, "no dtype");
  refused("\"a\":{\"dtype\":\"F32\",\"shape\":[1]}", 4, "data_offsets");
  refused("\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0]}", 4, "data_offsets");
  refused("\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[-4,0]}", 4, "data_offsets");
  refused("\"a\":[]", 0, "not an object");
  refused("\"__metadata__\":[]", 0, "__metadata__");
  refused("\"__metadata__\":{\"a\":1}", 0, "__metadata__");
}

TEST_CASE("safetensors: tensors at odd offsets and of newer types are no obstacle") {
  const TempDir dir;
  const std::string path =
      dir.write("f.safetensors", with_header("{" + entry("x", "F3_E9", "[5]", 0, 3) + "," +
                                                 entry("a", "F32", "[1]", 3, 7) + "}",
                                             "abc" + raw(2.5f)));
  const SafetensorsFile file(Env::posix(), path);
  float value = 0;
  file.read_rows(file.tensors()[1], 0, 1, &value);
  CHECK_EQ(value, 2.5f);
  CHECK_THROWS(ErrorCode::kUnsupportedModel, (Texts{"F3_E9"}),
               file.read_rows(file.tensors()[0], 0, 1, &value));
}

TEST_CASE("safetensors: shards by their index") {
  const TempDir dir;
  dir.write("config.json", "{}");
  const auto index = [&](const std::string& map) {
    dir.write("model.safetensors.index.json", "{\"metadata\":{},\"weight_map\":" + map + "}");
  };
  dir.write("one.safetensors", with_header("{" + entry("a", "F32", "[1]", 0, 4) + "}", raw(1.0f)));
  dir.write("two.safetensors", with_header("{" + entry("b", "F32", "[1]", 0, 4) + "," +
                                               entry("a", "F32", "[1]", 4, 8) + "}",
                                           raw(2.0f) + raw(9.0f)));
  index(R"({"b":"two.safetensors","a":"one.safetensors"})");
  const auto checkpoint = open(dir);
  CHECK_EQ(checkpoint->tensors().size(), 2u);
  float value = 0;
  checkpoint->read_rows(checkpoint->find("a"), 0, 1, &value);
  CHECK_EQ(value, 1.0f);

  const auto invalid = ErrorCode::kInvalidModel;
  index(R"({"a":"two.safetensors","c":"one.safetensors"})");
  CHECK_THROWS(invalid, (Texts{"\"c\" should be in one.safetensors"}), open(dir));
  index(R"({"a":"three.safetensors"})");
  CHECK_THROWS(invalid, (Texts{"three.safetensors is missing"}), open(dir));
  for (const char* name :
       {"../x/one.safetensors", "/etc/passwd", "..", "", "a\\\\b", "a\\u0000b"}) {
    index(std::string("{\"a\":\"") + name + "\"}");
    CHECK_THROWS(invalid, (Texts{"not the name of a file in the same directory"}), open(dir));
  }
  index(R"({"a":1})");
  CHECK_THROWS(invalid, (Texts{"not a string"}), open(dir));
  index("[]");
  CHECK_THROWS(invalid, (Texts{"no weight_map"}), open(dir));
  index("{}");
  CHECK_THROWS(invalid, (Texts{"no tensors"}), open(dir));
}

TEST_CASE("checkpoint: what is no model says what to do") {
  const TempDir dir;
  const auto invalid = ErrorCode::kInvalidModel;
  Env& env = Env::posix();
  CHECK_THROWS(invalid, (Texts{"no such file"}), open_checkpoint(env, dir.file("missing")));
  CHECK_THROWS(invalid, (Texts{dir.path(), "config.json"}), open(dir));
  CHECK_THROWS(invalid, (Texts{"give the directory"}),
               open_checkpoint(env, dir.write("w.safetensors", small_file())));
  dir.write("config.json", "{}");
  CHECK_THROWS(invalid, (Texts{"neither model.safetensors"}), open(dir));
  dir.write("pytorch_model.bin", "x");
  CHECK_THROWS(ErrorCode::kUnsupportedModel, (Texts{"pytorch_model.bin", "convert"}), open(dir));
  dir.write("config.json", "{\"a\":1,}");
  CHECK_THROWS(invalid, (Texts{"config.json", "not valid JSON"}), open(dir));
  dir.write("config.json", "[]");
  CHECK_THROWS(invalid, (Texts{"config.json", "object"}), open(dir));
}

TEST_CASE("checkpoint: the fingerprint sees every part and not the order of tensors") {
  const TempDir dir;
  const auto print = [&](const std::string& config, const std::string& bytes) {
    dir.write("config.json", config);
    dir.write("model.safetensors", bytes);
    return open(dir)->fingerprint();
  };
  const std::string a = entry("a", "F32", "[1]", 0, 4);
  const std::string b = entry("b", "F32", "[1]", 4, 8);
  const std::string data = raw(1.0f) + raw(2.0f);
  const std::string base = print("{}", with_header("{" + a + "," + b + "}", data));
  CHECK_EQ(base.size(), 16u);
  CHECK_EQ(print("{}", with_header("{" + b + "," + a + "} ", data)), base);
  CHECK(print("{\"x\":1}", with_header("{" + a + "," + b + "}", data)) != base);
  CHECK(print("{}", with_header("{" + a + "," + b + "}", raw(1.0f) + raw(2.5f))) != base);
  for (const std::string& other : {entry("c", "F32", "[1]", 4, 8), entry("b", "I32", "[1]", 4, 8),
                                   entry("b", "F32", "[1,1]", 4, 8)}) {
    CHECK(print("{}", with_header("{" + a + "," + other + "}", data)) != base);
  }
}

TEST_CASE("safetensors writer: what is written can be read, aligned and complete") {
  const TempDir dir;
  const std::string path = dir.file("out.safetensors");
  Env& env = Env::posix();
  SafetensorsWriter writer(env, path, {{"a", {2, 2}, "F32"}, {"n\xc3\xa9\"", {3}, "BF16"}});
  const float values[] = {1, 2, 3, 4};
  writer.append(values, 4);
  writer.append(values + 1, 12);
  CHECK_THROWS(ErrorCode::kInternal, (Texts{"2 bytes", "missing"}), {
    writer.append("\0\1\2\3", 4);
    writer.finish();
  });
  CHECK(!env.exists(path));
  CHECK_THROWS(ErrorCode::kInternal, (Texts{"3 bytes where 2"}), writer.append("abc", 3));
  writer.append("\x80\x3f", 2);
  CHECK_THROWS(ErrorCode::kInternal, (Texts{"after the last"}), writer.append("a", 1));
  writer.finish();
  CHECK(!env.exists(path + ".partial"));
  const SafetensorsFile file(env, path);
  CHECK_EQ(file.tensors()[0].offset % 8, 0u);
  CHECK_EQ(file.tensors()[1].name, "n\xc3\xa9\"");
  float back[4] = {};
  file.read_rows(file.tensors()[0], 0, 2, back);
  CHECK(std::equal(back, back + 4, values));
  file.read_rows(file.tensors()[1], 0, 1, back);
  CHECK_EQ(back[2], 1.0f);
  CHECK(env.read_all(path).find("\"__metadata__\":{\"format\":\"pt\"}") != std::string::npos);
}

TEST_CASE("safetensors writer: entries that cannot be") {
  const TempDir dir;
  const auto refused = [&](const std::vector<SafetensorsEntry>& entries,
                           const std::string& reason) {
    CHECK_THROWS(ErrorCode::kInternal, (Texts{reason}),
                 SafetensorsWriter(Env::posix(), dir.file("x"), entries));
  };
  refused({{"a", {1}, "I8"}}, "I8");
  refused({{"a", {0}, "F32"}}, "empty");
  refused({{"a", {int64_t{1} << 40, int64_t{1} << 40}, "F32"}}, "too large");
  refused({{"a", {1}, "F32"}, {"a", {1}, "F32"}}, "taken");
  refused({{"__metadata__", {1}, "F32"}}, "taken");
  refused({{"\xff", {1}, "F32"}}, "UTF-8");
  refused({{"a", {3}, "F16"}, {"b", {1}, "F32"}}, "unaligned");
}

TEST_CASE("safetensors: damaged headers throw or give tensors that can be read") {
  const TempDir dir;
  const std::string whole = small_file();
  std::mt19937 random(4);
  int opened = 0;
  const AllocationLimit limit(size_t{1} << 20);
  for (int i = 0; i < 4000; ++i) {
    const std::string path = dir.write("f.safetensors", damaged(whole, whole.size() - 38, random));
    try {
      const SafetensorsFile file(Env::posix(), path);
      ++opened;
      for (const SafetensorsTensor& tensor : file.tensors()) {
        if (safetensors_codec(tensor.dtype) == nullptr) continue;
        StoredMatrix matrix;
        set_matrix_shape(tensor.shape, &matrix);
        std::vector<float> out(static_cast<size_t>(matrix.rows * matrix.columns));
        file.read_rows(tensor, 0, matrix.rows, out.data());
      }
    } catch (const Error& error) {
      CHECK_EQ(error.code(), ErrorCode::kInvalidModel);
    }
  }
  CHECK(opened > 0);
}

}  // namespace zo2::test
