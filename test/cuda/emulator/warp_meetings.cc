#include "warp_meetings.h"

#include <bit>
#include <cstdint>
#include <limits>

namespace zo2::emulator {
namespace {

using Offers = void* const (&)[32];

bool contains(unsigned mask, int lane) { return mask >> lane & 1; }

void shuffle(unsigned mask, Offers offers) {
  uint64_t values[32];
  for (int lane = 0; lane < 32; ++lane) {
    // What a lane outside the mask would give is undefined.
    values[lane] = contains(mask, lane) ? static_cast<Shuffle*>(offers[lane])->value : ~uint64_t{0};
  }
  for (int lane = 0; lane < 32; ++lane) {
    if (!contains(mask, lane)) continue;
    Shuffle& offer = *static_cast<Shuffle*>(offers[lane]);
    offer.value = values[offer.source];
  }
}

void ballot(unsigned mask, Offers offers) {
  unsigned lanes = 0;
  for (int lane = 0; lane < 32; ++lane) {
    if (!contains(mask, lane)) continue;
    if (static_cast<Ballot*>(offers[lane])->predicate) lanes |= 1u << lane;
  }
  for (int lane = 0; lane < 32; ++lane) {
    if (contains(mask, lane)) static_cast<Ballot*>(offers[lane])->lanes = lanes;
  }
}

void exchange_rows(unsigned mask, Offers offers) {
  for (int lane = 0; lane < 32; ++lane) {
    if (!contains(mask, lane)) continue;
    for (int matrix = 0; matrix < 4; ++matrix) {
      const int giver = 8 * matrix + lane / 4;
      static_cast<Rows*>(offers[lane])->rows[matrix] =
          contains(mask, giver) ? static_cast<Rows*>(offers[giver])->given : nullptr;
    }
  }
}

float bf16_value(uint16_t bits) { return std::bit_cast<float>(uint32_t{bits} << 16); }

float f16_value(uint16_t bits) {
  const uint32_t sign = static_cast<uint32_t>(bits & 0x8000) << 16;
  const uint32_t exponent = bits >> 10 & 31;
  const uint32_t fraction = bits & 1023;
  if (exponent == 0) {  // zero, and subnormal numbers: fraction 2^-24
    const float magnitude = static_cast<float>(fraction) * 0x1p-24f;
    return std::bit_cast<float>(std::bit_cast<uint32_t>(magnitude) | sign);
  }
  if (exponent == 31) return std::bit_cast<float>(sign | 0x7F800000u | fraction << 13);
  return std::bit_cast<float>(sign | (exponent + 112) << 23 | fraction << 13);
}

// d += a b; every element is one sum in f32, k ascending, which is one of the orders that hardware
// may take. (Products of two 16-bit numbers are exact in f32.)
template <float (*kValue)(uint16_t)>
void multiply(Offers offers) {
  float a[16][16];  // [row][k]
  float b[16][8];   // [k][column]
  float d[16][8];
  const auto low = [](uint32_t pair) { return kValue(static_cast<uint16_t>(pair)); };
  const auto high = [](uint32_t pair) { return kValue(static_cast<uint16_t>(pair >> 16)); };
  for (int lane = 0; lane < 32; ++lane) {
    const Product& offer = *static_cast<const Product*>(offers[lane]);
    const int group = lane / 4;
    const int pair = 2 * (lane % 4);
    for (int i = 0; i < 4; ++i) {
      const int row = group + 8 * (i % 2);
      const int k = pair + 8 * (i / 2);
      a[row][k] = low(offer.a[i]);
      a[row][k + 1] = high(offer.a[i]);
      d[group + 8 * (i / 2)][pair + i % 2] = offer.d[i];
    }
    for (int i = 0; i < 2; ++i) {
      b[pair + 8 * i][group] = low(offer.b[i]);
      b[pair + 8 * i + 1][group] = high(offer.b[i]);
    }
  }
  for (int row = 0; row < 16; ++row) {
    for (int k = 0; k < 16; ++k) {
      for (int column = 0; column < 8; ++column) d[row][column] += a[row][k] * b[k][column];
    }
  }
  for (int lane = 0; lane < 32; ++lane) {
    Product& offer = *static_cast<Product*>(offers[lane]);
    for (int i = 0; i < 4; ++i) offer.d[i] = d[lane / 4 + 8 * (i / 2)][2 * (lane % 4) + i % 2];
  }
}

// Not all lanes of a warp: undefined, and seen as NaN.
void spoil(unsigned mask, Offers offers) {
  for (int lane = 0; lane < 32; ++lane) {
    if (!contains(mask, lane)) continue;
    for (float& sum : static_cast<Product*>(offers[lane])->d) {
      sum = std::numeric_limits<float>::quiet_NaN();
    }
  }
}

}  // namespace

const char* meeting_name(Meeting meeting) {
  switch (meeting) {
    case Meeting::kSync: return "__syncwarp";
    case Meeting::kShuffle: return "a shuffle";
    case Meeting::kBallot: return "__ballot_sync";
    case Meeting::kRows: return "load_matrices";
    case Meeting::kMmaBf16: return "mma_bf16";
    case Meeting::kMmaF16: return "mma_f16";
  }
  return "?";
}

void hold_meeting(Meeting meeting, unsigned mask, Offers offers) {
  switch (meeting) {
    case Meeting::kSync: return;
    case Meeting::kShuffle: return shuffle(mask, offers);
    case Meeting::kBallot: return ballot(mask, offers);
    case Meeting::kRows: return exchange_rows(mask, offers);
    case Meeting::kMmaBf16: return mask == ~0u ? multiply<bf16_value>(offers) : spoil(mask, offers);
    case Meeting::kMmaF16: return mask == ~0u ? multiply<f16_value>(offers) : spoil(mask, offers);
  }
}

}  // namespace zo2::emulator
