// Noise of matrix rows, design rules 2 and 3: a pure function of (seed, tensor, row, column,
// direction).
#include "backends/cpu/kernels/rows.h"
#include "core/lanes.h"
#include "core/normal.h"

namespace zo2::ISA_NS {
namespace {

// Interleaves four vectors: out[4 j + i] = z_i[j].
ZO2_INLINE void store_interleaved(const F z[4], float* out) {
  float lanes[4][kWidth];
  for (int i = 0; i < 4; ++i) store(lanes[i], z[i]);
#if defined(__x86_64__)
  for (int j = 0; j < kWidth; j += 4) {
    __m128 a = _mm_loadu_ps(lanes[0] + j), b = _mm_loadu_ps(lanes[1] + j);
    __m128 c = _mm_loadu_ps(lanes[2] + j), d = _mm_loadu_ps(lanes[3] + j);
    _MM_TRANSPOSE4_PS(a, b, c, d);
    _mm_storeu_ps(out + 4 * j, a);
    _mm_storeu_ps(out + 4 * j + 4, b);
    _mm_storeu_ps(out + 4 * j + 8, c);
    _mm_storeu_ps(out + 4 * j + 12, d);
  }
#else
  for (int j = 0; j < kWidth; ++j)
    for (int i = 0; i < 4; ++i) out[4 * j + i] = lanes[i][j];
#endif
}

void gaussian_block(const NoiseRow& row, int64_t column, int64_t n, float* out) {
  const uint32_t k0 = static_cast<uint32_t>(row.seed), k1 = static_cast<uint32_t>(row.seed >> 32);
  const uint32_t word3 = counter_word3(Purpose::kPerturbation, row.direction);
  const U lanes = lane_index();
  for (int64_t i = 0; i < n; i += 4 * kWidth) {
    U c[4] = {lanes + static_cast<uint32_t>((column + i) / 4), splat(row.row), splat(row.tensor),
              splat(word3)};
    philox4x32_10<Lanes>(c, k0, k1);
    F z[4];
    box_muller<Lanes>(c[0], c[1], &z[0], &z[1]);
    box_muller<Lanes>(c[2], c[3], &z[2], &z[3]);
    store_interleaved(z, out + i);
  }
}

// One bit per element: set is +1, clear is -1.
void rademacher_block(const NoiseRow& row, int64_t column, int64_t n, float* out) {
  const uint32_t word3 = counter_word3(Purpose::kPerturbation, row.direction);
  const U lanes = lane_index();
  for (int64_t i = 0; i < n; i += 128) {
    const Words words =
        philox(row.seed, static_cast<uint32_t>((column + i) / 128), row.row, row.tensor, word3);
    for (int word = 0; word < 4; ++word) {
      for (int bit = 0; bit < 32; bit += kWidth) {
        const U one = (splat(words.x[word]) >> (lanes + static_cast<uint32_t>(bit))) & 1u;
        store(out + i + 32 * word + bit, (F)(((one ^ 1u) << 31) | 0x3f800000u));
      }
    }
  }
}

}  // namespace

void noise_block(const NoiseRow& row, int64_t column, int64_t n, float* out) {
  if (row.distribution == Distribution::kGaussian) {
    gaussian_block(row, column, n, out);
  } else {
    rademacher_block(row, column, n, out);
  }
}

void noise_columns(const NoiseRow& row, int64_t column, int64_t n, float* out) {
  float block[kColumnBlock];
  for (int64_t done = 0; done < n;) {
    const int64_t start = (column + done) / 128 * 128;
    const int64_t skip = column + done - start;
    const int64_t take = n - done < kColumnBlock - skip ? n - done : kColumnBlock - skip;
    noise_block(row, start, skip + take, block);
    std::memcpy(out + done, block + skip, sizeof(float) * static_cast<size_t>(take));
    done += take;
  }
}

}  // namespace zo2::ISA_NS
