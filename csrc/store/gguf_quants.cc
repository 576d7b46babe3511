#include "store/gguf_quants.h"

#include <array>
#include <cstring>

#include "core/dtype.h"

namespace zo2 {

namespace {

// Every product below is of a half (11 significant bits) and a small integer, so it is exact in
// fp32: a compiler that fuses it into the following addition gets the same bits.

float load_half(const uint8_t* bytes) {
  uint16_t half;
  std::memcpy(&half, bytes, sizeof half);
  return f16_to_f32(half);
}

// half scale, 32 int8: w = d * q
void decode_q8_0(const uint8_t* blocks, int64_t n, float* out) {
  for (int64_t b = 0; b < n; ++b, blocks += 34, out += 32) {
    const float d = load_half(blocks);
    for (int i = 0; i < 32; ++i) {
      out[i] = d * static_cast<float>(static_cast<int8_t>(blocks[2 + i]));
    }
  }
}

// half scale, 16 bytes of two nibbles (elements i and i + 16): w = d * (q - 8)
void decode_q4_0(const uint8_t* blocks, int64_t n, float* out) {
  for (int64_t b = 0; b < n; ++b, blocks += 18, out += 32) {
    const float d = load_half(blocks);
    for (int i = 0; i < 16; ++i) {
      const int byte = blocks[2 + i];
      out[i] = d * static_cast<float>((byte & 15) - 8);
      out[i + 16] = d * static_cast<float>((byte >> 4) - 8);
    }
  }
}

// half scale, half minimum, 16 bytes of two nibbles: w = d * q + m
void decode_q4_1(const uint8_t* blocks, int64_t n, float* out) {
  for (int64_t b = 0; b < n; ++b, blocks += 20, out += 32) {
    const float d = load_half(blocks);
    const float m = load_half(blocks + 2);
    for (int i = 0; i < 16; ++i) {
      const int byte = blocks[4 + i];
      out[i] = d * static_cast<float>(byte & 15) + m;
      out[i + 16] = d * static_cast<float>(byte >> 4) + m;
    }
  }
}

struct TypeEntry {
  uint32_t type;
  BlockCodec codec;
};

constexpr std::array kTypes = {
    TypeEntry{0, {"F32", 1, 4, decode_f32}},      TypeEntry{1, {"F16", 1, 2, decode_f16}},
    TypeEntry{2, {"Q4_0", 32, 18, decode_q4_0}},  TypeEntry{3, {"Q4_1", 32, 20, decode_q4_1}},
    TypeEntry{6, {"Q5_0", 32, 22, nullptr}},      TypeEntry{7, {"Q5_1", 32, 24, nullptr}},
    TypeEntry{8, {"Q8_0", 32, 34, decode_q8_0}},  TypeEntry{10, {"Q2_K", 256, 84, nullptr}},
    TypeEntry{11, {"Q3_K", 256, 110, nullptr}},   TypeEntry{12, {"Q4_K", 256, 144, nullptr}},
    TypeEntry{13, {"Q5_K", 256, 176, nullptr}},   TypeEntry{14, {"Q6_K", 256, 210, nullptr}},
    TypeEntry{15, {"Q8_K", 256, 292, nullptr}},   TypeEntry{16, {"IQ2_XXS", 256, 66, nullptr}},
    TypeEntry{17, {"IQ2_XS", 256, 74, nullptr}},  TypeEntry{18, {"IQ3_XXS", 256, 98, nullptr}},
    TypeEntry{19, {"IQ1_S", 256, 50, nullptr}},   TypeEntry{20, {"IQ4_NL", 32, 18, nullptr}},
    TypeEntry{21, {"IQ3_S", 256, 110, nullptr}},  TypeEntry{22, {"IQ2_S", 256, 82, nullptr}},
    TypeEntry{23, {"IQ4_XS", 256, 136, nullptr}}, TypeEntry{24, {"I8", 1, 1, nullptr}},
    TypeEntry{25, {"I16", 1, 2, nullptr}},        TypeEntry{26, {"I32", 1, 4, nullptr}},
    TypeEntry{27, {"I64", 1, 8, nullptr}},        TypeEntry{28, {"F64", 1, 8, nullptr}},
    TypeEntry{29, {"IQ1_M", 256, 56, nullptr}},   TypeEntry{30, {"BF16", 1, 2, decode_bf16}},
    TypeEntry{34, {"TQ1_0", 256, 54, nullptr}},   TypeEntry{35, {"TQ2_0", 256, 66, nullptr}},
    TypeEntry{39, {"MXFP4", 32, 17, nullptr}},    TypeEntry{40, {"NVFP4", 64, 36, nullptr}},
    TypeEntry{41, {"Q1_0", 128, 18, nullptr}},
};

}  // namespace

const BlockCodec* gguf_codec(uint32_t type) {
  for (const TypeEntry& entry : kTypes) {
    if (entry.type == type) return &entry.codec;
  }
  return nullptr;
}

std::string gguf_decodable_types() {
  std::string names;
  for (const TypeEntry& entry : kTypes) {
    if (entry.codec.decode == nullptr) continue;
    if (!names.empty()) names += ", ";
    names += entry.codec.name;
  }
  return names;
}

}  // namespace zo2
