#include "store/gguf.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <cstring>
#include <string_view>

#include "core/error.h"
#include "core/utf8.h"
#include "store/gguf_cursor.h"
#include "store/gguf_quants.h"

namespace zo2 {

namespace {

constexpr uint64_t kMaxEntries = uint64_t{1} << 20;    // of metadata, and tensors; each
constexpr uint64_t kMaxKeyBytes = 65535;               // the format's own limit
constexpr uint64_t kMaxTextBytes = uint64_t{1} << 26;  // of one string value
constexpr int kMaxArrayDepth = 4;
constexpr uint32_t kMaxDimensions = 4;  // GGML_MAX_DIMS

// Bytes of a scalar; 0 for strings, arrays and unknown types.
uint64_t scalar_bytes(GgufType type) {
  switch (type) {
    case GgufType::kUint8:
    case GgufType::kInt8:
    case GgufType::kBool: return 1;
    case GgufType::kUint16:
    case GgufType::kInt16: return 2;
    case GgufType::kUint32:
    case GgufType::kInt32:
    case GgufType::kFloat32: return 4;
    case GgufType::kUint64:
    case GgufType::kInt64:
    case GgufType::kFloat64: return 8;
    case GgufType::kString:
    case GgufType::kArray: return 0;
  }
  return 0;
}

double shortest_double(float value) {
  if (!std::isfinite(value)) return value;
  char digits[32];
  const auto text = std::to_chars(digits, digits + sizeof digits, value);
  double wide = 0;
  std::from_chars(digits, text.ptr, wide);
  return wide;
}

GgufType read_type(GgufCursor& cursor) {
  const auto type = cursor.read<uint32_t>();
  if (type > static_cast<uint32_t>(GgufType::kFloat64)) {
    cursor.fail("unknown value type " + std::to_string(type));
  }
  return static_cast<GgufType>(type);
}

Json read_scalar(GgufCursor& cursor, GgufType type) {
  switch (type) {
    case GgufType::kUint8: return Json(int64_t{cursor.read<uint8_t>()});
    case GgufType::kInt8: return Json(int64_t{cursor.read<int8_t>()});
    case GgufType::kUint16: return Json(int64_t{cursor.read<uint16_t>()});
    case GgufType::kInt16: return Json(int64_t{cursor.read<int16_t>()});
    case GgufType::kUint32: return Json(int64_t{cursor.read<uint32_t>()});
    case GgufType::kInt32: return Json(int64_t{cursor.read<int32_t>()});
    case GgufType::kUint64: return Json(cursor.read<uint64_t>());
    case GgufType::kInt64: return Json(cursor.read<int64_t>());
    case GgufType::kFloat32: return Json(shortest_double(cursor.read<float>()));
    case GgufType::kFloat64: return Json(cursor.read<double>());
    case GgufType::kString: return Json(cursor.read_string(kMaxTextBytes));
    case GgufType::kBool: {
      const auto value = cursor.read<uint8_t>();
      if (value > 1) cursor.fail("a boolean is neither 0 nor 1");
      return Json(value == 1);
    }
    case GgufType::kArray: break;
  }
  cursor.fail("a scalar is expected");
}

// The cursor stands behind the array's type and count; leaves it behind the elements.
void skip_elements(GgufCursor& cursor, GgufType type, uint64_t count, int depth) {
  const uint64_t bytes = scalar_bytes(type);
  // 8: a string is at least its length. 12: an array is at least its type and count.
  const uint64_t least = bytes != 0 ? bytes : type == GgufType::kString ? 8 : 12;
  if (count > cursor.remaining() / least) {
    cursor.fail("an array of " + std::to_string(count) + " elements does not fit in the file");
  }
  if (bytes != 0) {
    cursor.skip(count * bytes);
    return;
  }
  if (depth > kMaxArrayDepth) cursor.fail("arrays are nested too deeply");
  for (uint64_t i = 0; i < count; ++i) {
    if (type == GgufType::kString) {
      cursor.skip(cursor.read_length());
    } else {
      const GgufType inner = read_type(cursor);
      const auto inner_count = cursor.read<uint64_t>();
      skip_elements(cursor, inner, inner_count, depth + 1);
    }
  }
}

GgufValue read_value(GgufCursor& cursor) {
  GgufValue value;
  value.type = read_type(cursor);
  if (value.type != GgufType::kArray) {
    value.scalar = read_scalar(cursor, value.type);
    return value;
  }
  value.element_type = read_type(cursor);
  value.count = cursor.read<uint64_t>();
  value.offset = cursor.at();
  skip_elements(cursor, value.element_type, value.count, 1);
  return value;
}

// The skip at opening has checked counts and depth; the file may have changed since, so lengths are
// checked again.
Json read_elements(GgufCursor& cursor, const std::string& key, GgufType type, uint64_t count,
                   int depth, GgufArrayBudget& budget) {
  if (count > budget.elements) {
    cursor.fail("metadata \"" + key + "\" has too many elements to be read");
  }
  budget.elements -= count;
  if (depth > kMaxArrayDepth) cursor.fail("arrays are nested too deeply");
  Json::Array items;
  items.reserve(count);
  for (uint64_t i = 0; i < count; ++i) {
    if (type == GgufType::kArray) {
      const GgufType inner = read_type(cursor);
      const auto inner_count = cursor.read<uint64_t>();
      items.push_back(read_elements(cursor, key, inner, inner_count, depth + 1, budget));
      continue;
    }
    items.push_back(read_scalar(cursor, type));
    if (type != GgufType::kString) continue;
    const std::string& text = items.back().string();
    // Replaced characters would make different tokens equal.
    if (!is_valid_utf8(text)) {
      cursor.fail("metadata \"" + key + "\": element " + std::to_string(i) + " is not UTF-8");
    }
    if (text.size() > budget.text_bytes) cursor.fail("metadata \"" + key + "\" is too long");
    budget.text_bytes -= text.size();
  }
  return Json(std::move(items));
}

std::string read_name(GgufCursor& cursor, const char* what) {
  std::string name = cursor.read_string(kMaxKeyBytes);
  const bool printable =
      std::none_of(name.begin(), name.end(), [](char c) { return c >= 0 && c < 0x20; });
  if (name.empty() || !printable || !is_valid_utf8(name)) {
    cursor.fail(std::string(what) + " is empty or not UTF-8 text");
  }
  return name;
}

// Bytes of the shape in the codec's blocks; false where they do not fit 63 bits or a row is not
// whole blocks.
bool count_bytes(const std::vector<int64_t>& shape, const BlockCodec& codec, uint64_t* bytes) {
  int64_t elements = 0;
  if (!count_elements(shape, &elements) || shape.back() % codec.block_elements != 0) return false;
  int64_t product = 0;
  const int64_t blocks = elements / codec.block_elements;
  if (__builtin_mul_overflow(blocks, int64_t{codec.block_bytes}, &product)) return false;
  *bytes = static_cast<uint64_t>(product);
  return true;
}

// The offset of the result is relative to the data.
GgufTensor read_tensor_info(GgufCursor& cursor, const std::string& path) {
  GgufTensor tensor;
  tensor.name = read_name(cursor, "a tensor name");
  const std::string quoted = "tensor \"" + tensor.name + "\"";
  const auto dimensions = cursor.read<uint32_t>();
  if (dimensions < 1 || dimensions > kMaxDimensions) {
    cursor.fail(quoted + " has " + std::to_string(dimensions) + " dimensions");
  }
  for (uint32_t i = 0; i < dimensions; ++i) {
    // A dimension above 2^63 turns negative, which count_elements refuses.
    tensor.shape.push_back(static_cast<int64_t>(cursor.read<uint64_t>()));
  }
  std::reverse(tensor.shape.begin(), tensor.shape.end());
  const auto type = cursor.read<uint32_t>();
  tensor.codec = gguf_codec(type);
  if (tensor.codec == nullptr) {
    throw Error(ErrorCode::kUnsupportedModel, path + ": " + quoted + " has the unknown type " +
                                                  std::to_string(type) + "; supported are " +
                                                  gguf_decodable_types());
  }
  tensor.offset = cursor.read<uint64_t>();
  if (!count_bytes(tensor.shape, *tensor.codec, &tensor.bytes)) {
    cursor.fail(quoted + ": the shape " + shape_text(tensor.shape) +
                " is empty, too large or not in whole blocks of " + tensor.codec->name);
  }
  return tensor;
}

uint64_t read_prologue(GgufCursor& cursor, const std::string& path, uint64_t* metadata_count) {
  char magic[4];
  if (cursor.remaining() < sizeof magic) cursor.fail("not a GGUF file: too short");
  cursor.read(magic, sizeof magic);
  if (std::memcmp(magic, "GGUF", 4) != 0) {
    if (std::memcmp(magic, "vers", 4) == 0) {
      cursor.fail("this is a Git LFS pointer, not the file itself; fetch it with 'git lfs pull'");
    }
    cursor.fail("not a GGUF file");
  }
  const auto version = cursor.read<uint32_t>();
  if (version != 2 && version != 3) {
    const bool swapped = version != 0 && (version & 0xffff) == 0;
    throw Error(
        ErrorCode::kUnsupportedModel,
        path + ": " +
            (swapped ? "a big-endian GGUF file" : "GGUF version " + std::to_string(version)) +
            "; supported are versions 2 and 3, little-endian");
  }
  const auto tensor_count = cursor.read<uint64_t>();
  *metadata_count = cursor.read<uint64_t>();
  if (tensor_count > kMaxEntries || *metadata_count > kMaxEntries) {
    cursor.fail(std::to_string(tensor_count) + " tensors and " + std::to_string(*metadata_count) +
                " metadata keys are not plausible");
  }
  return tensor_count;
}

void check_overlaps(const std::string& path, const std::vector<GgufTensor>& tensors) {
  std::vector<const GgufTensor*> order;
  order.reserve(tensors.size());
  for (const GgufTensor& tensor : tensors) order.push_back(&tensor);
  std::sort(order.begin(), order.end(),
            [](const GgufTensor* a, const GgufTensor* b) { return a->offset < b->offset; });
  for (size_t i = 1; i < order.size(); ++i) {
    if (order[i]->offset - order[i - 1]->offset >= order[i - 1]->bytes) continue;
    throw Error(ErrorCode::kInvalidModel, path + ": the tensors \"" + order[i - 1]->name +
                                              "\" and \"" + order[i]->name + "\" overlap");
  }
}

}  // namespace

GgufFile::GgufFile(Env& env, const std::string& path, PageCache cache)
    : file_(env.open_random_access(path, cache)) {
  GgufCursor cursor(*file_);
  uint64_t metadata_count = 0;
  const uint64_t tensor_count = read_prologue(cursor, path, &metadata_count);
  for (uint64_t i = 0; i < metadata_count; ++i) {
    std::string key = read_name(cursor, "a metadata key");
    if (!metadata_index_.emplace(key, metadata_.size()).second) {
      cursor.fail("the metadata key \"" + key + "\" appears twice");
    }
    metadata_.emplace_back(std::move(key), read_value(cursor));
  }
  for (uint64_t i = 0; i < tensor_count; ++i) {
    tensors_.push_back(read_tensor_info(cursor, path));
    if (!tensor_index_.emplace(tensors_.back().name, i).second) {
      cursor.fail("the tensor \"" + tensors_.back().name + "\" appears twice");
    }
  }
  uint64_t alignment = 32;
  if (const GgufValue* given = find("general.alignment")) {
    if (given->type != GgufType::kUint32) cursor.fail("general.alignment is not a uint32");
    alignment = static_cast<uint64_t>(given->scalar.integer());
    if (alignment == 0 || (alignment & (alignment - 1)) != 0) {
      cursor.fail("general.alignment is " + std::to_string(alignment) + ", not a power of two");
    }
  }
  const uint64_t data_offset = (cursor.at() + alignment - 1) / alignment * alignment;
  for (GgufTensor& tensor : tensors_) {
    const uint64_t data_bytes = file_->size() > data_offset ? file_->size() - data_offset : 0;
    if (tensor.offset % alignment != 0) {
      cursor.fail("tensor \"" + tensor.name + "\" begins at an unaligned offset");
    }
    if (tensor.offset > data_bytes || tensor.bytes > data_bytes - tensor.offset) {
      cursor.fail("tensor \"" + tensor.name +
                  "\" ends outside the file; the file is truncated or damaged");
    }
    tensor.offset += data_offset;
  }
  check_overlaps(path, tensors_);
}

const GgufValue* GgufFile::find(const std::string& key) const {
  const auto found = metadata_index_.find(key);
  return found == metadata_index_.end() ? nullptr : &metadata_[found->second].second;
}

const GgufTensor* GgufFile::find_tensor(const std::string& name) const {
  const auto found = tensor_index_.find(name);
  return found == tensor_index_.end() ? nullptr : &tensors_[found->second];
}

Json GgufFile::value(const std::string& key, const GgufValue& value,
                     GgufArrayBudget& budget) const {
  if (value.type != GgufType::kArray) return value.scalar;
  GgufCursor cursor(*file_, value.offset);
  return read_elements(cursor, key, value.element_type, value.count, 1, budget);
}

Json gguf_metadata(Env& env, const std::string& path) {
  const GgufFile file(env, path);
  GgufArrayBudget budget;
  Json::Object object;
  for (const auto& [key, value] : file.metadata()) {
    object.emplace_back(key, file.value(key, value, budget));
  }
  return Json(std::move(object));
}

}  // namespace zo2
