#include "store/checkpoint.h"

#include <cmath>
#include <functional>
#include <memory>
#include <numbers>
#include <random>
#include <string>
#include <vector>

#include "allocation_limit.h"
#include "check.h"
#include "gguf_builder.h"

namespace zo2::test {

namespace {

constexpr int kHidden = 8, kHeads = 2, kKvHeads = 1, kHeadDim = 4, kWide = 12, kTokens = 5;
constexpr uint32_t kF32 = 0;

// Element [r, c] of every test matrix is 100 r + c in Hugging Face's order.
std::string matrix(int rows, int columns) {
  std::vector<float> values;
  for (int r = 0; r < rows; ++r) {
    for (int c = 0; c < columns; ++c) values.push_back(static_cast<float>(100 * r + c));
  }
  return floats(values);
}

// llama.cpp's permute: reshape(heads, 2, n / 2, columns).swapaxes(1, 2).
std::string permuted(int heads, int head_dim, int columns) {
  std::vector<float> values;
  for (int h = 0; h < heads; ++h) {
    for (int j = 0; j < head_dim / 2; ++j) {
      for (int half = 0; half < 2; ++half) {
        const int row = h * head_dim + half * head_dim / 2 + j;
        for (int c = 0; c < columns; ++c) values.push_back(static_cast<float>(100 * row + c));
      }
    }
  }
  return floats(values);
}

GgufBuilder llama_metadata() {
  GgufBuilder builder;
  builder.text("general.architecture", "llama")
      .u32("llama.embedding_length", kHidden)
      .u32("llama.feed_forward_length", kWide)
      .u32("llama.block_count", 2)
      .u32("llama.attention.head_count", kHeads)
      .u32("llama.attention.head_count_kv", kKvHeads)
      .u32("llama.context_length", 64)
      .f32("llama.attention.layer_norm_rms_epsilon", 1e-6f)
      .f32("llama.rope.freq_base", 500000.0f)
      .u32("tokenizer.ggml.bos_token_id", 1)
      .u32("tokenizer.ggml.eos_token_id", 2)
      .u32("tokenizer.ggml.padding_token_id", 0xffffffffu)
      .texts("tokenizer.ggml.tokens", {"a", "b", "c", "d"});
  return builder;
}

GgufBuilder& llama_tensors(GgufBuilder& builder) {
  builder.tensor("token_embd.weight", {kHidden, kTokens}, kF32, matrix(kTokens, kHidden))
      .tensor("output_norm.weight", {kHidden}, kF32, matrix(1, kHidden));
  for (const char* layer : {"blk.0.", "blk.1."}) {
    const std::string name = layer;
    const std::string query = permuted(kHeads, kHeadDim, kHidden);
    builder.tensor(name + "attn_norm.weight", {kHidden}, kF32, matrix(1, kHidden))
        .tensor(name + "attn_q.weight", {kHidden, kHeads * kHeadDim}, kF32, query)
        .tensor(name + "attn_q.bias", {kHeads * kHeadDim}, kF32, permuted(kHeads, kHeadDim, 1))
        .tensor(name + "attn_k.weight", {kHidden, kHeadDim}, kF32, permuted(1, kHeadDim, kHidden))
        .tensor(name + "attn_v.weight", {kHidden, kHeadDim}, kF32, matrix(kHeadDim, kHidden))
        .tensor(name + "ffn_down.weight", {kWide, kHidden}, kF32, matrix(kHidden, kWide));
  }
  return builder;
}

std::unique_ptr<Checkpoint> open(const TempDir& dir, const GgufBuilder& builder) {
  return open_checkpoint(Env::posix(), dir.write("m.gguf", builder.bytes()));
}

using Change = std::function<void(GgufBuilder&)>;

std::string config_text(const Change& change, const char* key) {
  const TempDir dir;
  GgufBuilder builder = llama_metadata();
  change(builder);
  const auto checkpoint = open(dir, llama_tensors(builder));
  return checkpoint->config().find(key)->dump();
}

void check_refused(const Change& change, const Texts& texts,
                   ErrorCode code = ErrorCode::kUnsupportedModel) {
  const TempDir dir;
  GgufBuilder builder = llama_metadata();
  change(builder);
  llama_tensors(builder);
  Texts all = texts;
  all.push_back("m.gguf");
  CHECK_THROWS(code, all, open(dir, builder));
}

// Llama 3.1's divisors as the converter writes them, for a head of 4.
std::string llama3_factors(double factor, double low, double high) {
  std::vector<float> factors;
  for (const double frequency : {1.0, 1 / std::sqrt(500000.0)}) {
    const double wavelength = 2 * std::numbers::pi / frequency;
    if (wavelength < 8192 / high) {
      factors.push_back(1);
    } else if (wavelength > 8192 / low) {
      factors.push_back(static_cast<float>(factor));
    } else {
      const double smooth = (8192 / wavelength - low) / (high - low);
      factors.push_back(static_cast<float>(1 / ((1 - smooth) / factor + smooth)));
    }
  }
  return floats(factors);
}

}  // namespace

TEST_CASE("gguf checkpoint: config by transformers' names") {
  const TempDir dir;
  GgufBuilder builder = llama_metadata();
  const auto checkpoint = open(dir, llama_tensors(builder));
  CHECK_EQ(std::string(checkpoint->format()), "gguf");
  CHECK_EQ(checkpoint->config().dump(),
           "{\"architectures\":[\"LlamaForCausalLM\"],\"model_type\":\"llama\",\"hidden_size\":8,"
           "\"intermediate_size\":12,\"num_hidden_layers\":2,\"num_attention_heads\":2,"
           "\"num_key_value_heads\":1,\"rms_norm_eps\":1e-06,\"max_position_embeddings\":64,"
           "\"hidden_act\":\"silu\",\"head_dim\":4,\"vocab_size\":5,\"rope_theta\":5e+05,"
           "\"rope_parameters\":{\"rope_type\":\"default\",\"rope_theta\":5e+05},"
           "\"attention_bias\":true,\"mlp_bias\":false,\"tie_word_embeddings\":true,"
           "\"bos_token_id\":1,\"eos_token_id\":2}");
  CHECK(checkpoint->companion_files().empty());
}

TEST_CASE("gguf checkpoint: Hugging Face names; an output matrix unties") {
  const TempDir dir;
  GgufBuilder builder = llama_metadata();
  llama_tensors(builder);
  builder.tensor("output.weight", {kHidden, kTokens}, kF32, matrix(kTokens, kHidden));
  const auto checkpoint = open(dir, builder);
  CHECK(!checkpoint->config().find("tie_word_embeddings")->boolean());
  CHECK_EQ(checkpoint->tensors().size(), 15u);
  for (const char* name :
       {"model.embed_tokens.weight", "model.norm.weight", "lm_head.weight",
        "model.layers.1.input_layernorm.weight", "model.layers.0.self_attn.q_proj.bias",
        "model.layers.1.self_attn.v_proj.weight", "model.layers.1.mlp.down_proj.weight"}) {
    CHECK(checkpoint->find(name) >= 0);
  }
  const int down = checkpoint->find("model.layers.1.mlp.down_proj.weight");
  CHECK(checkpoint->tensors()[static_cast<size_t>(down)].shape == (std::vector<int64_t>{8, 12}));
}

TEST_CASE("gguf checkpoint: rows of q and k come in Hugging Face's order for every range") {
  const TempDir dir;
  GgufBuilder builder = llama_metadata();
  const auto checkpoint = open(dir, llama_tensors(builder));
  for (const char* projection : {"q_proj", "k_proj", "v_proj"}) {
    const int index =
        checkpoint->find("model.layers.1.self_attn." + std::string(projection) + ".weight");
    const int64_t rows = checkpoint->tensors()[static_cast<size_t>(index)].shape[0];
    for (int64_t begin = 0; begin <= rows; ++begin) {
      for (int64_t end = begin; end <= rows; ++end) {
        std::vector<float> out(static_cast<size_t>((end - begin) * kHidden) + 1, -1.0f);
        checkpoint->read_rows(index, begin, end - begin, out.data());
        CHECK_EQ(out.back(), -1.0f);
        for (int64_t i = 0; i < (end - begin) * kHidden; ++i) {
          const auto expected = static_cast<float>(100 * (begin + i / kHidden) + i % kHidden);
          CHECK_EQ(out[static_cast<size_t>(i)], expected);
        }
      }
    }
    CHECK_THROWS(ErrorCode::kInternal, (Texts{"m.gguf"}),
                 checkpoint->read_rows(index, rows, 1, nullptr));
  }
  std::vector<float> bias(kHidden);
  const int index = checkpoint->find("model.layers.0.self_attn.q_proj.bias");
  checkpoint->read_rows(index, 0, 1, bias.data());
  for (size_t i = 0; i < bias.size(); ++i) CHECK_EQ(bias[i], static_cast<float>(100 * i));
}

TEST_CASE(
    "gguf checkpoint: Qwen's rows of q and k stay as they are, its norms of heads are known") {
  const TempDir dir;
  GgufBuilder builder;
  builder.text("general.architecture", "qwen3")
      .u32("qwen3.embedding_length", kHidden)
      .u32("qwen3.feed_forward_length", kWide)
      .u32("qwen3.block_count", 1)
      .u32("qwen3.attention.head_count", kHeads)
      .u32("qwen3.attention.key_length", kHeadDim)
      .u32("qwen3.context_length", 64)
      .f32("qwen3.attention.layer_norm_rms_epsilon", 1e-6f)
      .tensor("token_embd.weight", {kHidden, kTokens}, kF32, matrix(kTokens, kHidden))
      .tensor("blk.0.attn_q.weight", {kHidden, kHidden}, kF32, matrix(kHidden, kHidden))
      .tensor("blk.0.attn_q_norm.weight", {kHeadDim}, kF32, matrix(1, kHeadDim));
  const auto checkpoint = open(dir, builder);
  CHECK_EQ(checkpoint->config().find("architectures")->dump(), "[\"Qwen3ForCausalLM\"]");
  CHECK(!checkpoint->config().find("attention_bias")->boolean());
  std::vector<float> rows(3 * kHidden);
  checkpoint->read_rows(checkpoint->find("model.layers.0.self_attn.q_proj.weight"), 1, 3,
                        rows.data());
  for (int i = 0; i < 3 * kHidden; ++i)
    CHECK_EQ(rows[static_cast<size_t>(i)],
             static_cast<float>(100 * (1 + i / kHidden) + i % kHidden));
  CHECK(checkpoint->find("model.layers.0.self_attn.q_norm.weight") >= 0);
}

TEST_CASE("gguf checkpoint: GPT-2's matrices say that they are turned round") {
  const TempDir dir;
  GgufBuilder builder;
  builder.text("general.architecture", "gpt2")
      .u32("gpt2.embedding_length", kHidden)
      .u32("gpt2.feed_forward_length", kWide)
      .u32("gpt2.block_count", 1)
      .u32("gpt2.attention.head_count", kHeads)
      .u32("gpt2.context_length", 64)
      .f32("gpt2.attention.layer_norm_epsilon", 1e-5f)
      .tensor("token_embd.weight", {kHidden, kTokens}, kF32, matrix(kTokens, kHidden))
      .tensor("blk.0.ffn_up.weight", {kHidden, kWide}, kF32, matrix(kWide, kHidden));
  const auto checkpoint = open(dir, builder);
  CHECK_EQ(checkpoint->config().dump(),
           "{\"architectures\":[\"GPT2LMHeadModel\"],\"model_type\":\"gpt2\",\"n_embd\":8,"
           "\"n_inner\":12,\"n_layer\":1,\"n_head\":2,\"layer_norm_epsilon\":1e-05,"
           "\"n_positions\":64,\"activation_function\":\"gelu_new\",\"vocab_size\":5,"
           "\"tie_word_embeddings\":true}");
  const CheckpointTensor& embedding =
      checkpoint->tensors()[static_cast<size_t>(checkpoint->find("transformer.wte.weight"))];
  CHECK(!embedding.transposed);
  const CheckpointTensor& up =
      checkpoint
          ->tensors()[static_cast<size_t>(checkpoint->find("transformer.h.0.mlp.c_fc.weight"))];
  CHECK(up.transposed && up.shape == (std::vector<int64_t>{kWide, kHidden}));
}

TEST_CASE("gguf checkpoint: rows larger than the buffer keep their order") {
  constexpr int kColumns = 300000;  // 1.2 MB a row
  const TempDir dir;
  GgufBuilder builder;
  builder.text("general.architecture", "llama")
      .u32("llama.embedding_length", kColumns)
      .u32("llama.feed_forward_length", 1)
      .u32("llama.block_count", 1)
      .u32("llama.attention.head_count", 1)
      .u32("llama.attention.key_length", 4)
      .u32("llama.context_length", 1)
      .f32("llama.attention.layer_norm_rms_epsilon", 1e-6f)
      .tensor("token_embd.weight", {4, 1}, kF32, matrix(1, 4))
      .tensor("blk.0.attn_q.weight", {kColumns, 4}, kF32, permuted(1, 4, kColumns));
  const auto checkpoint = open(dir, builder);
  std::vector<float> out(2 * kColumns);
  checkpoint->read_rows(1, 1, 2, out.data());
  CHECK_EQ(out[5], 105.0f);
  CHECK_EQ(out[kColumns + 7], 207.0f);
}

TEST_CASE("gguf checkpoint: rotary scaling is mapped or refused, never ignored") {
  const char* key = "rope_parameters";
  CHECK_EQ(config_text([](GgufBuilder& b) { b.text("llama.rope.scaling.type", "none"); }, key),
           R"({"rope_type":"default","rope_theta":5e+05})");
  CHECK_EQ(config_text(
               [](GgufBuilder& b) {
                 b.text("llama.rope.scaling.type", "linear").f32("llama.rope.scaling.factor", 4);
               },
               key),
           R"({"rope_type":"linear","rope_theta":5e+05,"factor":4})");
  CHECK_EQ(config_text([](GgufBuilder& b) { b.f32("llama.rope.scale_linear", 2); }, key),
           R"({"rope_type":"linear","rope_theta":5e+05,"factor":2})");
  const auto factors = [](const std::string& bytes) {
    return [bytes](GgufBuilder& b) { b.tensor("rope_freqs.weight", {2}, kF32, bytes); };
  };
  const std::string llama3 =
      R"({"rope_type":"llama3","rope_theta":5e+05,"factor":32,"low_freq_factor":1,)"
      R"("high_freq_factor":4,"original_max_position_embeddings":8192})";
  CHECK_EQ(config_text(factors(llama3_factors(32, 1, 4)), key), llama3);
  CHECK_EQ(config_text(factors(floats({1, 1})), key),
           R"({"rope_type":"default","rope_theta":5e+05})");
  check_refused(factors(floats({2, 8})), {"rope_freqs.weight", "Llama 3.1"});
  check_refused(factors(floats({1, std::nanf("")})), {"rope_freqs.weight"});
  check_refused([](GgufBuilder& b) { b.tensor("rope_freqs.weight", {3}, kF32, floats({1, 1, 1})); },
                {"rope_freqs.weight", "expected 2 floats"});
  check_refused([](GgufBuilder& b) { b.text("llama.rope.scaling.type", "yarn"); },
                {"llama.rope.scaling.type", "yarn"});
  check_refused([](GgufBuilder& b) { b.text("llama.rope.scaling.type", "linear"); },
                {"llama.rope.scaling.factor", "missing"}, ErrorCode::kInvalidModel);
}

TEST_CASE("gguf checkpoint: what zo2 cannot train is refused by name") {
  const TempDir dir;
  CHECK_THROWS(ErrorCode::kUnsupportedModel,
               (Texts{"m.gguf", "\"mamba\"", "supported: llama, qwen2, qwen3, gpt2"}),
               open(dir, GgufBuilder().text("general.architecture", "mamba")));
  CHECK_THROWS(ErrorCode::kInvalidModel, (Texts{"no general.architecture"}),
               open(dir, GgufBuilder()));
  const std::string three = raw(uint32_t{2}) + raw(uint16_t{3});
  check_refused([&](GgufBuilder& b) { b.metadata("split.count", three); }, {"split", "--merge"});
  check_refused([](GgufBuilder& b) { b.u32("llama.expert_count", 8); }, {"mixture-of-experts"});
  const std::string no = raw(uint32_t{7}) + raw(uint8_t{0});
  check_refused([&](GgufBuilder& b) { b.metadata("llama.attention.causal", no); },
                {"attention.causal", "left to right"});
  check_refused([](GgufBuilder& b) { b.u32("llama.rope.dimension_count", 2); },
                {"rope.dimension_count"});
  check_refused([](GgufBuilder& b) { b.u32("llama.attention.value_length", 2); }, {"value_length"});
  check_refused([](GgufBuilder& b) { b.tensor("blk.2.ffn_up.weight", {1}, kF32, floats({1})); },
                {"blk.2.ffn_up.weight", "block_count"});
  for (const char* name :
       {"blk.00.ffn_up.weight", "blk.-0.ffn_up.weight", "blk..ffn_up.weight", "x"}) {
    check_refused([&](GgufBuilder& b) { b.tensor(name, {1}, kF32, floats({1})); }, {name});
  }
  const auto invalid = ErrorCode::kInvalidModel;
  check_refused([](GgufBuilder& b) { b.tensor("blk.1.attn_k.bias", {6}, kF32, matrix(1, 6)); },
                {"blk.1.attn_k.bias", "does not fit 1 heads"}, invalid);
  check_refused([](GgufBuilder& b) { b.text("llama.attention.key_length", "x"); },
                {"llama.attention.key_length", "positive integer"}, invalid);
  CHECK_THROWS(invalid, (Texts{"llama.embedding_length", "missing"}),
               open(dir, GgufBuilder().text("general.architecture", "llama")));
}

TEST_CASE("gguf checkpoint: a type without a decoder is listed, and an error when read") {
  const TempDir dir;
  GgufBuilder builder = llama_metadata();
  llama_tensors(builder).tensor("output.weight", {256, 1}, 13, std::string(176, '\0'));
  const auto checkpoint = open(dir, builder);
  const int index = checkpoint->find("lm_head.weight");
  CHECK_EQ(checkpoint->tensors()[static_cast<size_t>(index)].stored_type, "Q5_K");
  float out[256];
  CHECK_THROWS(ErrorCode::kUnsupportedModel, (Texts{"output.weight", "Q5_K", "Q4_1"}),
               checkpoint->read_rows(index, 0, 1, out));
  CHECK_EQ(checkpoint->fingerprint().size(), 16u);
}

TEST_CASE("gguf checkpoint: the fingerprint sees a flipped bit") {
  const TempDir dir;
  GgufBuilder builder = llama_metadata();
  std::string bytes = llama_tensors(builder).bytes();
  const auto print = [&] {
    return open_checkpoint(Env::posix(), dir.write("m.gguf", bytes))->fingerprint();
  };
  const std::string base = print();
  CHECK_EQ(print(), base);
  bytes[bytes.size() - 1] ^= 1;
  CHECK(print() != base);
}

TEST_CASE("gguf checkpoint: damaged headers throw or give tensors that can be read") {
  const TempDir dir;
  GgufBuilder builder = llama_metadata();
  const std::string whole = llama_tensors(builder).bytes();
  const size_t header_bytes = builder.header().size();
  std::mt19937 random(6);
  int opened = 0;
  const AllocationLimit limit(size_t{1} << 20);
  for (int i = 0; i < 4000; ++i) {
    const std::string path = dir.write("m.gguf", damaged(whole, header_bytes, random));
    try {
      const auto checkpoint = open_checkpoint(Env::posix(), path);
      ++opened;
      for (size_t t = 0; t < checkpoint->tensors().size(); ++t) {
        const std::vector<int64_t>& shape = checkpoint->tensors()[t].shape;
        int64_t elements = 1;
        for (const int64_t dimension : shape) elements *= dimension;
        std::vector<float> out(static_cast<size_t>(elements));
        checkpoint->read_rows(static_cast<int>(t), 0, shape.size() < 2 ? 1 : shape[0], out.data());
      }
    } catch (const Error& error) {
      CHECK(error.code() == ErrorCode::kInvalidModel ||
            error.code() == ErrorCode::kUnsupportedModel);
    }
  }
  CHECK(opened > 0);
}

}  // namespace zo2::test
