#include "store/gguf_quants.h"

#include <array>
#include <cstring>

#include "core/dtype.h"

namespace zo2 {

namespace {

// Every product below is of a half (11 significant bits) and small integers of at most 13 bits
// together, so it is exact in fp32: a compiler that fuses it into the following addition gets the
// same bits.

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

// Bit 4 of element i, from the 32 bits of a Q5 block.
int fifth_bit(const uint8_t* bits, int i) { return (bits[i / 8] >> i % 8 & 1) << 4; }

// half scale, 32 high bits, 16 bytes of two nibbles (elements i and i + 16): w = d * (q - 16)
void decode_q5_0(const uint8_t* blocks, int64_t n, float* out) {
  for (int64_t b = 0; b < n; ++b, blocks += 22, out += 32) {
    const float d = load_half(blocks);
    for (int i = 0; i < 16; ++i) {
      const int byte = blocks[6 + i];
      const int low = (byte & 15) | fifth_bit(blocks + 2, i);
      const int high = byte >> 4 | fifth_bit(blocks + 2, i + 16);
      out[i] = d * static_cast<float>(low - 16);
      out[i + 16] = d * static_cast<float>(high - 16);
    }
  }
}

// half scale, half minimum, 32 high bits, 16 bytes of two nibbles: w = d * q + m
void decode_q5_1(const uint8_t* blocks, int64_t n, float* out) {
  for (int64_t b = 0; b < n; ++b, blocks += 24, out += 32) {
    const float d = load_half(blocks);
    const float m = load_half(blocks + 2);
    for (int i = 0; i < 16; ++i) {
      const int byte = blocks[8 + i];
      const int low = (byte & 15) | fifth_bit(blocks + 4, i);
      const int high = byte >> 4 | fifth_bit(blocks + 4, i + 16);
      out[i] = d * static_cast<float>(low) + m;
      out[i + 16] = d * static_cast<float>(high) + m;
    }
  }
}

// Scale and minimum, 6 bits each, of part j of 8, from the 12 bytes of a Q4_K block: whole in the
// low bits of bytes j and j + 4 for the first four parts; for the others four bits in byte j + 4
// and the two above them at the top of bytes j - 4 and j.
struct ScaleMin {
  int scale, minimum;
};
ScaleMin scale_min(const uint8_t* packed, int j) {
  if (j < 4) return {packed[j] & 63, packed[j + 4] & 63};
  return {(packed[j + 4] & 15) | (packed[j - 4] >> 6) << 4, packed[j + 4] >> 4 | (packed[j] >> 6)
                                                                                     << 4};
}

// half scale, half scale of the minima, 12 bytes of scales and minima of 8 parts, 4 times 32 bytes
// of two nibbles (element i of the parts 2k and 2k + 1): w = d * scale * q - dmin * minimum
void decode_q4_k(const uint8_t* blocks, int64_t n, float* out) {
  for (int64_t b = 0; b < n; ++b, blocks += 144) {
    const float d = load_half(blocks);
    const float dmin = load_half(blocks + 2);
    for (int j = 0; j < 8; ++j, out += 32) {
      const ScaleMin part = scale_min(blocks + 4, j);
      const float scale = d * static_cast<float>(part.scale);
      const float minimum = dmin * static_cast<float>(part.minimum);
      const uint8_t* nibbles = blocks + 16 + j / 2 * 32;
      for (int i = 0; i < 32; ++i) {
        const int q = nibbles[i] >> (j % 2 * 4) & 15;
        out[i] = scale * static_cast<float>(q) - minimum;
      }
    }
  }
}

// Two halves of 128 elements, each 64 bytes of low nibbles and 32 bytes of two high bits (element i
// of the parts 0 ... 3 of 32); then 16 int8 scales of 16 elements, and the half scale:
// w = d * scale * (q - 32)
void decode_q6_k(const uint8_t* blocks, int64_t n, float* out) {
  for (int64_t b = 0; b < n; ++b, blocks += 210, out += 256) {
    const uint8_t* scales = blocks + 192;
    const float d = load_half(blocks + 208);
    for (int at = 0; at < 256; ++at) {
      const int half = at / 128, part = at / 32 % 4, i = at % 32;
      const int low = blocks[half * 64 + part % 2 * 32 + i] >> (part / 2 * 4) & 15;
      const int high = blocks[128 + half * 32 + i] >> (part * 2) & 3;
      const float scale = d * static_cast<float>(static_cast<int8_t>(scales[at / 16]));
      out[at] = scale * static_cast<float>((low | high << 4) - 32);
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
    TypeEntry{6, {"Q5_0", 32, 22, decode_q5_0}},  TypeEntry{7, {"Q5_1", 32, 24, decode_q5_1}},
    TypeEntry{8, {"Q8_0", 32, 34, decode_q8_0}},  TypeEntry{10, {"Q2_K", 256, 84, nullptr}},
    TypeEntry{11, {"Q3_K", 256, 110, nullptr}},   TypeEntry{12, {"Q4_K", 256, 144, decode_q4_k}},
    TypeEntry{13, {"Q5_K", 256, 176, nullptr}},   TypeEntry{14, {"Q6_K", 256, 210, decode_q6_k}},
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
