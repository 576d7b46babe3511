#include "store/gguf.h"

#include <limits>
#include <random>
#include <string>
#include <vector>

#include "allocation_limit.h"
#include "check.h"
#include "gguf_builder.h"
#include "store/gguf_quants.h"

namespace zo2::test {

namespace {

std::string typed(uint32_t type, const std::string& value) { return raw(type) + value; }

GgufBuilder every_type() {
  GgufBuilder builder;
  builder.metadata("u8", typed(0, raw(uint8_t{200})))
      .metadata("i8", typed(1, raw(int8_t{-3})))
      .metadata("u16", typed(2, raw(uint16_t{60000})))
      .metadata("i16", typed(3, raw(int16_t{-300})))
      .u32("u32", 4000000000u)
      .metadata("i32", typed(5, raw(int32_t{-70000})))
      .f32("f32", 1e-5f)
      .metadata("bool", typed(7, raw(uint8_t{1})))
      .text("string", "caf\xc3\xa9")
      .metadata("u64", typed(10, raw(uint64_t{1} << 62)))
      .metadata("i64", typed(11, raw(int64_t{-5})))
      .metadata("f64", typed(12, raw(0.1)))
      .texts("strings", {"a", "", "b c"})
      .metadata("ints", typed(9, raw(uint32_t{5}) + raw(uint64_t{2}) + raw(int32_t{1}) +  //
                                     raw(int32_t{-1})))
      .metadata("nested", typed(9, raw(uint32_t{9}) + raw(uint64_t{2}) +               //
                                       raw(uint32_t{0}) + raw(uint64_t{2}) + "\1\2" +  //
                                       raw(uint32_t{8}) + raw(uint64_t{1}) + gguf_text("x")));
  return builder;
}

Json metadata_of(const GgufBuilder& builder, uint32_t version = 3) {
  const TempDir dir;
  return gguf_metadata(Env::posix(), dir.write("m.gguf", builder.bytes(version)));
}

void check_refused(const std::string& bytes, const std::string& reason,
                   ErrorCode code = ErrorCode::kInvalidModel) {
  const TempDir dir;
  const std::string path = dir.write("m.gguf", bytes);
  const AllocationLimit limit(size_t{1} << 20);
  CHECK_THROWS(code, (Texts{path, reason}), GgufFile(Env::posix(), path));
}

std::vector<float> decode(uint32_t type, const std::string& block) {
  const BlockCodec* codec = gguf_codec(type);
  CHECK_EQ(block.size(), codec->block_bytes);
  std::vector<float> out(codec->block_elements);
  codec->decode(reinterpret_cast<const uint8_t*>(block.data()), 1, out.data());
  return out;
}

}  // namespace

TEST_CASE("gguf: metadata of every type, versions 2 and 3") {
  for (const uint32_t version : {2u, 3u}) {
    CHECK_EQ(metadata_of(every_type(), version).dump(),
             "{\"u8\":200,\"i8\":-3,\"u16\":60000,\"i16\":-300,\"u32\":4000000000,\"i32\":-70000,"
             "\"f32\":1e-05,\"bool\":true,\"string\":\"caf\xc3\xa9\",\"u64\":4611686018427387904,"
             "\"i64\":-5,\"f64\":0.1,\"strings\":[\"a\",\"\",\"b c\"],\"ints\":[1,-1],"
             "\"nested\":[[1,2],[\"x\"]]}");
  }
}

TEST_CASE("gguf: what stands in front is checked") {
  check_refused("", "too short");
  check_refused("GGUX" + std::string(20, '\0'), "not a GGUF file");
  check_refused("version https://git-lfs.github.com/spec/v1\n", "git lfs pull");
  const auto unsupported = ErrorCode::kUnsupportedModel;
  check_refused(GgufBuilder().bytes(1), "version 1", unsupported);
  check_refused(GgufBuilder().bytes(4), "version 4", unsupported);
  check_refused("GGUF" + std::string("\0\0\0\3", 4) + std::string(16, '\0'), "big-endian",
                unsupported);
  const std::string start = "GGUF" + raw(uint32_t{3});
  check_refused(start + raw(UINT64_MAX) + raw(uint64_t{0}), "not plausible");
  check_refused(start + raw(uint64_t{0}) + raw(UINT64_MAX), "not plausible");
  check_refused(start + raw(uint64_t{0}) + raw(uint64_t{1000}), "truncated");
  check_refused(start + raw(uint64_t{1000}) + raw(uint64_t{0}), "truncated");
}

TEST_CASE("gguf: hostile metadata") {
  const auto refused = [](const std::string& value, const std::string& reason) {
    check_refused(GgufBuilder().metadata("key", value).bytes(), reason);
  };
  refused(typed(13, ""), "unknown value type 13");
  refused(typed(8, raw(UINT64_MAX)), "does not fit");
  refused(typed(8, raw(uint64_t{1} << 40)), "does not fit");
  refused(typed(7, raw(uint8_t{2})), "boolean");
  for (const uint32_t type : {0u, 5u, 8u, 9u, 12u}) {
    for (const uint64_t count : {uint64_t{1000}, uint64_t{1} << 61, UINT64_MAX}) {
      refused(typed(9, raw(type) + raw(count)), "does not fit");
    }
  }
  refused(typed(9, raw(uint32_t{77}) + raw(uint64_t{0})), "unknown value type 77");
  std::string nested;
  for (int i = 0; i < 1000; ++i) nested += raw(uint32_t{9}) + raw(uint64_t{1});
  refused(typed(9, nested + raw(uint32_t{0}) + raw(uint64_t{0})), "too deeply");
  check_refused(GgufBuilder().u32("a", 1).u32("a", 2).bytes(), "\"a\" appears twice");
  check_refused(GgufBuilder().u32("", 1).bytes(), "empty or not UTF-8");
  check_refused(GgufBuilder().u32("\xff", 1).bytes(), "empty or not UTF-8");
  check_refused(GgufBuilder().u32(std::string(70000, 'k'), 1).bytes(), "at most 65535");
  check_refused(GgufBuilder().u32("general.alignment", 0).bytes(), "power of two");
  check_refused(GgufBuilder().u32("general.alignment", 24).bytes(), "power of two");
  check_refused(GgufBuilder().text("general.alignment", "32").bytes(), "uint32");
  CHECK_THROWS(ErrorCode::kInvalidModel, (Texts{"\"tokens\"", "element 1 is not UTF-8"}),
               metadata_of(GgufBuilder().texts("tokens", {"a", "\xff"})));
}

TEST_CASE("gguf: an array too large for Json is refused, not allocated") {
  const TempDir dir;
  const uint64_t count = uint64_t{1} << 23;
  const std::string array = raw(uint32_t{0}) + raw(count) + std::string(count, 'x');
  const std::string path =
      dir.write("m.gguf", GgufBuilder().metadata("bytes", typed(9, array)).bytes());
  const AllocationLimit limit(size_t{1} << 20);
  CHECK_THROWS(ErrorCode::kInvalidModel, (Texts{"\"bytes\"", "too many elements"}),
               gguf_metadata(Env::posix(), path));
}

TEST_CASE("gguf: tensor infos and alignment") {
  const TempDir dir;
  GgufBuilder builder;
  builder.alignment(128)
      .tensor("m", {3, 2}, 0, floats({1, 2, 3, 4, 5, 6}))
      .tensor("v", {2}, 0, floats({7, 8}));
  const std::string path = dir.write("m.gguf", builder.bytes());
  const GgufFile file(Env::posix(), path);
  const GgufTensor* matrix = file.find_tensor("m");
  CHECK(matrix != nullptr && matrix->shape == (std::vector<int64_t>{2, 3}));
  const GgufTensor* vector = file.find_tensor("v");
  CHECK(vector != nullptr && vector->offset % 128 == 0 && vector->bytes == 8);
  float row[3];
  read_matrix_rows({&file.file(), matrix->offset, 2, 3, matrix->codec}, 1, 1, row);
  CHECK(row[0] == 4 && row[2] == 6);
}

TEST_CASE("gguf: hostile tensor infos") {
  const auto refused = [](const std::vector<uint64_t>& dims, uint32_t type, uint64_t offset,
                          const std::string& reason) {
    const std::string data(64, '\0');
    check_refused(GgufBuilder().tensor_at("t", dims, type, offset, data).bytes(), reason);
  };
  refused({}, 0, 0, "0 dimensions");
  refused({1, 1, 1, 1, 1}, 0, 0, "5 dimensions");
  refused({0}, 0, 0, "empty");
  refused({UINT64_MAX}, 0, 0, "too large");
  refused({uint64_t{1} << 32, uint64_t{1} << 32}, 0, 0, "too large");
  refused({uint64_t{1} << 62}, 0, 0, "too large");
  refused({uint64_t{1} << 60}, 0, 0, "ends outside");
  refused({33}, 2, 0, "whole blocks");
  refused({4}, 0, 4, "unaligned");
  refused({4}, 0, 64, "ends outside");
  refused({4}, 0, uint64_t{1} << 63, "ends outside");
  refused({4}, 0, UINT64_MAX - 31, "ends outside");
  check_refused(GgufBuilder().tensor("t", {4}, 1234, "").bytes(), "unknown type 1234",
                ErrorCode::kUnsupportedModel);
  const std::string data(32, 'x');
  check_refused(GgufBuilder().tensor("t", {8}, 0, data).tensor("t", {8}, 0, data).bytes(),
                "\"t\" appears twice");
  check_refused(
      GgufBuilder().tensor("t", {16}, 0, data + data).tensor_at("u", {8}, 0, 32, "").bytes(),
      "\"t\" and \"u\" overlap");
  const std::string whole = GgufBuilder().tensor("t", {8}, 0, data).bytes();
  for (size_t n = 0; n < whole.size(); ++n) check_refused(whole.substr(0, n), "");
}

TEST_CASE("gguf: blocks decode to the formula of their type") {
  const std::string half = raw(uint16_t{0x3800});  // 0.5
  const std::string minus_two = raw(uint16_t{0xc000});
  std::string nibbles, bytes;
  for (int i = 0; i < 16; ++i) nibbles += static_cast<char>(i | (15 - i) << 4);
  for (int i = 0; i < 32; ++i) bytes += static_cast<char>(i * 8 - 128);
  const std::vector<float> q8 = decode(8, half + bytes);
  const std::vector<float> q4_0 = decode(2, half + nibbles);
  const std::vector<float> q4_1 = decode(3, half + minus_two + nibbles);
  for (int i = 0; i < 32; ++i) {
    const auto at = static_cast<size_t>(i);
    const int q = i < 16 ? i : 31 - i;
    CHECK_EQ(q8[at], 0.5f * static_cast<float>(i * 8 - 128));
    CHECK_EQ(q4_0[at], 0.5f * static_cast<float>(q - 8));
    CHECK_EQ(q4_1[at], 0.5f * static_cast<float>(q) - 2.0f);
  }
  CHECK_EQ(decode(0, raw(1.25f))[0], 1.25f);
  CHECK_EQ(decode(1, raw(uint16_t{0x0001}))[0], 0x1p-24f);
  CHECK_EQ(decode(1, raw(uint16_t{0xfc00}))[0], -std::numeric_limits<float>::infinity());
  CHECK_EQ(decode(30, raw(uint16_t{0x3fc0}))[0], 1.5f);
  CHECK(gguf_codec(13)->decode == nullptr);
  CHECK(gguf_codec(4) == nullptr);
}

TEST_CASE("gguf: five-bit blocks decode to the formula of their type") {
  std::string bits, nibbles;
  for (int i = 0; i < 4; ++i) bits += static_cast<char>(0x35 + 40 * i);
  for (int i = 0; i < 16; ++i) nibbles += static_cast<char>(i | (15 - i) << 4);
  const std::string half = raw(uint16_t{0x3800});       // 0.5
  const std::string minus_two = raw(uint16_t{0xc000});  // -2
  const std::vector<float> q5_0 = decode(6, half + bits + nibbles);
  const std::vector<float> q5_1 = decode(7, half + minus_two + bits + nibbles);
  for (size_t i = 0; i < 32; ++i) {
    const int low = static_cast<int>(i < 16 ? i : 31 - i);
    const int high = static_cast<uint8_t>(bits[i / 8]) >> i % 8 & 1;
    const auto q = static_cast<float>(low + 16 * high);
    CHECK_EQ(q5_0[i], 0.5f * (q - 16));
    CHECK_EQ(q5_1[i], 0.5f * q - 2.0f);
  }
}

TEST_CASE("gguf: blocks of 256 decode to the formula of their type") {
  std::mt19937 random(7);
  const auto below = [&random](int n) { return static_cast<int>(random() % n); };
  const std::string third = raw(uint16_t{0x3555});  // 0x555p-12
  const std::string tenth = raw(uint16_t{0x2e66});  // 0x666p-14
  std::vector<int> scale(16), minimum(8), q(256);
  for (int round = 0; round < 20; ++round) {
    for (int& s : scale) s = below(64);
    for (int& m : minimum) m = below(64);
    for (int& x : q) x = below(16);
    std::string packed(12, '\0'), nibbles(128, '\0');
    for (size_t j = 0; j < 4; ++j) {
      packed[j] = static_cast<char>(scale[j] | scale[j + 4] >> 4 << 6);
      packed[j + 4] = static_cast<char>(minimum[j] | minimum[j + 4] >> 4 << 6);
      packed[j + 8] = static_cast<char>((scale[j + 4] & 15) | (minimum[j + 4] & 15) << 4);
    }
    for (size_t i = 0; i < 256; ++i)
      nibbles[i / 64 * 32 + i % 32] |= static_cast<char>(q[i] << (i / 32 % 2 * 4));
    const std::vector<float> q4_k = decode(12, third + tenth + packed + nibbles);
    for (size_t i = 0; i < 256; ++i) {
      const auto product = static_cast<float>(scale[i / 32] * q[i]);
      CHECK_EQ(q4_k[i], 0x1.554p-2f * product - 0x1.998p-4f * static_cast<float>(minimum[i / 32]));
    }

    for (int& s : scale) s = below(256) - 128;
    for (int& x : q) x = below(64);
    std::string low(128, '\0'), high(64, '\0'), scales;
    for (size_t i = 0; i < 256; ++i) {
      low[i / 128 * 64 + i % 64] |= static_cast<char>((q[i] & 15) << (i / 64 % 2 * 4));
      high[i / 128 * 32 + i % 32] |= static_cast<char>(q[i] >> 4 << (i / 32 % 4 * 2));
    }
    for (const int s : scale) scales += static_cast<char>(s);
    const std::vector<float> q6_k = decode(14, low + high + scales + third);
    for (size_t i = 0; i < 256; ++i)
      CHECK_EQ(q6_k[i], 0x1.554p-2f * static_cast<float>(scale[i / 16] * (q[i] - 32)));
  }
}

TEST_CASE("gguf: damaged headers throw or give a consistent file") {
  const TempDir dir;
  GgufBuilder builder = every_type();
  builder.tensor("m", {32, 2}, 8, std::string(68, '\1')).tensor("v", {8}, 0, std::string(32, '\1'));
  const std::string whole = builder.bytes();
  const size_t header_bytes = builder.header().size();
  std::mt19937 random(5);
  int opened = 0;
  const AllocationLimit limit(size_t{1} << 20);
  for (int i = 0; i < 6000; ++i) {
    const std::string path = dir.write("m.gguf", damaged(whole, header_bytes, random));
    try {
      const GgufFile file(Env::posix(), path);
      ++opened;
      for (const GgufTensor& tensor : file.tensors()) {
        if (tensor.codec->decode == nullptr) continue;
        StoredMatrix matrix{&file.file(), tensor.offset, 0, 0, tensor.codec};
        set_matrix_shape(tensor.shape, &matrix);
        std::vector<float> out(static_cast<size_t>(matrix.rows * matrix.columns));
        read_matrix_rows(matrix, 0, matrix.rows, out.data());
      }
      const std::string dumped = gguf_metadata(Env::posix(), path).dump();
      CHECK_EQ(Json::parse(dumped, "dump").dump(), dumped);
    } catch (const Error& error) {
      CHECK(error.code() == ErrorCode::kInvalidModel ||
            error.code() == ErrorCode::kUnsupportedModel);
    }
  }
  CHECK(opened > 0);
}

}  // namespace zo2::test
