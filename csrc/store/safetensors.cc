#include "store/safetensors.h"

#include <algorithm>
#include <array>
#include <cstring>

#include "core/error.h"
#include "core/json.h"

namespace zo2 {

namespace {

// The official library's limit.
constexpr uint64_t kMaxHeaderBytes = 100'000'000;

constexpr BlockCodec kF32{"F32", 1, 4, decode_f32};
constexpr BlockCodec kF16{"F16", 1, 2, decode_f16};
constexpr BlockCodec kBf16{"BF16", 1, 2, decode_bf16};

struct DtypeBits {
  const char* name;
  uint64_t bits;  // of one element
};

constexpr std::array<DtypeBits, 18> kDtypes{{
    {"BOOL", 8},
    {"U8", 8},
    {"I8", 8},
    {"F8_E5M2", 8},
    {"F8_E4M3", 8},
    {"F8_E8M0", 8},
    {"I16", 16},
    {"U16", 16},
    {"F16", 16},
    {"BF16", 16},
    {"I32", 32},
    {"U32", 32},
    {"F32", 32},
    {"I64", 64},
    {"U64", 64},
    {"F64", 64},
    {"C64", 64},
    {"F4", 4},
}};

[[noreturn]] void fail(const std::string& path, const std::string& reason) {
  throw Error(ErrorCode::kInvalidModel, path + ": " + reason);
}

[[noreturn]] void fail(const std::string& path, const std::string& name,
                       const std::string& reason) {
  // Json's dump quotes what a hostile name may contain.
  fail(path, "tensor " + Json(name).dump() + ": " + reason);
}

Json read_header(const RandomAccessFile& file, uint64_t* data_offset) {
  const std::string& path = file.path();
  if (file.size() < 8) {
    fail(path, "not a safetensors file: " + std::to_string(file.size()) + " bytes are too few");
  }
  char raw[8];
  file.read(0, raw, sizeof raw);
  if (std::memcmp(raw, "version ", 8) == 0) {
    fail(path, "this is a Git LFS pointer, not the file itself; fetch it with 'git lfs pull'");
  }
  uint64_t header_bytes;
  std::memcpy(&header_bytes, raw, sizeof header_bytes);
  if (header_bytes > kMaxHeaderBytes || header_bytes > file.size() - 8) {
    fail(path, "not a safetensors file or truncated: a header of " + std::to_string(header_bytes) +
                   " bytes in a file of " + std::to_string(file.size()));
  }
  std::string text(header_bytes, '\0');
  file.read(8, text.data(), text.size());
  if (text.empty() || text[0] != '{') {
    fail(path, "not a safetensors file: the header is not an object");
  }
  *data_offset = 8 + header_bytes;
  return Json::parse(text, path + " (header)");
}

bool is_count(const Json& json) {
  return json.type() == Json::Type::kInteger && json.integer() >= 0;
}

// Offsets of the result are relative to the data.
SafetensorsTensor parse_tensor(const std::string& path, const std::string& name,
                               const Json& entry) {
  if (!entry.is_object()) fail(path, name, "its header entry is not an object");
  const Json* dtype = entry.find("dtype");
  const Json* shape = entry.find("shape");
  const Json* offsets = entry.find("data_offsets");
  if (dtype == nullptr || !dtype->is_string()) fail(path, name, "no dtype");
  if (shape == nullptr || !shape->is_array()) fail(path, name, "no shape");
  if (offsets == nullptr || !offsets->is_array() || offsets->items().size() != 2 ||
      !is_count(offsets->items()[0]) || !is_count(offsets->items()[1])) {
    fail(path, name, "data_offsets must be two integers");
  }
  SafetensorsTensor tensor;
  tensor.name = name;
  tensor.dtype = dtype->string();
  for (const Json& dimension : shape->items()) {
    if (!is_count(dimension)) fail(path, name, "a dimension is not an integer of at least 0");
    tensor.shape.push_back(dimension.integer());
  }
  const auto begin = static_cast<uint64_t>(offsets->items()[0].integer());
  const auto end = static_cast<uint64_t>(offsets->items()[1].integer());
  if (end < begin) fail(path, name, "data_offsets end before they begin");
  tensor.offset = begin;
  tensor.bytes = end - begin;
  return tensor;
}

void check_bytes(const std::string& path, const SafetensorsTensor& tensor) {
  int64_t elements = 0;
  if (!count_elements(tensor.shape, &elements)) {
    fail(path, tensor.name, "the shape " + shape_text(tensor.shape) + " is empty or too large");
  }
  for (const DtypeBits& dtype : kDtypes) {
    if (tensor.dtype != dtype.name) continue;
    uint64_t bits = 0;
    const bool overflow =
        __builtin_mul_overflow(static_cast<uint64_t>(elements), dtype.bits, &bits);
    if (overflow || bits % 8 != 0 || bits / 8 != tensor.bytes) {
      fail(path, tensor.name,
           "shape " + shape_text(tensor.shape) + " of " + tensor.dtype + " does not take the " +
               std::to_string(tensor.bytes) + " bytes of its data_offsets");
    }
  }
  // A dtype newer than zo2 has an unknown size; reading the tensor is an error anyway.
}

// The official library's rule. It also makes every byte of the file belong to something.
void check_layout(const std::string& path, const std::vector<SafetensorsTensor>& tensors,
                  uint64_t data_bytes) {
  std::vector<const SafetensorsTensor*> order;
  order.reserve(tensors.size());
  for (const SafetensorsTensor& tensor : tensors) order.push_back(&tensor);
  std::sort(order.begin(), order.end(), [](const SafetensorsTensor* a, const SafetensorsTensor* b) {
    return a->offset != b->offset ? a->offset < b->offset : a->bytes < b->bytes;
  });
  uint64_t expected = 0;
  for (const SafetensorsTensor* tensor : order) {
    if (tensor->offset != expected) {
      const std::string problem = tensor->offset < expected ? "overlaps" : "leaves a gap to";
      fail(path, tensor->name,
           problem + " the tensor before it: begins at byte " + std::to_string(tensor->offset) +
               " of the data, expected " + std::to_string(expected));
    }
    if (tensor->bytes > data_bytes - expected) {
      fail(path, tensor->name, "ends outside the file; the file is truncated or damaged");
    }
    expected += tensor->bytes;
  }
  if (expected != data_bytes) {
    fail(path, std::to_string(data_bytes - expected) + " bytes after the last tensor");
  }
}

}  // namespace

const BlockCodec* safetensors_codec(const std::string& dtype) {
  for (const BlockCodec* codec : {&kF32, &kF16, &kBf16}) {
    if (dtype == codec->name) return codec;
  }
  return nullptr;
}

SafetensorsFile::SafetensorsFile(Env& env, const std::string& path, PageCache cache)
    : file_(env.open_random_access(path, cache)) {
  uint64_t data_offset = 0;
  const Json header = read_header(*file_, &data_offset);
  for (const auto& [name, entry] : header.members()) {
    if (name == "__metadata__") {
      if (!entry.is_object()) fail(path, "__metadata__ is not an object");
      for (const auto& [key, value] : entry.members()) {
        if (!value.is_string()) fail(path, "__metadata__ " + Json(key).dump() + " is not a string");
      }
      continue;
    }
    tensors_.push_back(parse_tensor(path, name, entry));
    check_bytes(path, tensors_.back());
  }
  check_layout(path, tensors_, file_->size() - data_offset);
  for (SafetensorsTensor& tensor : tensors_) tensor.offset += data_offset;
}

void SafetensorsFile::read_rows(const SafetensorsTensor& tensor, int64_t row, int64_t count,
                                float* out) const {
  StoredMatrix matrix;
  matrix.file = file_.get();
  matrix.offset = tensor.offset;
  matrix.codec = safetensors_codec(tensor.dtype);
  if (matrix.codec == nullptr) {
    throw Error(ErrorCode::kUnsupportedModel, file_->path() + ": tensor \"" + tensor.name +
                                                  "\" has type " + tensor.dtype +
                                                  "; supported are F32, F16 and BF16");
  }
  set_matrix_shape(tensor.shape, &matrix);
  read_matrix_rows(matrix, row, count, out);
}

}  // namespace zo2
