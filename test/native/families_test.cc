#include "model/families.h"

#include <cmath>
#include <string>
#include <vector>

#include "check.h"
#include "core/error.h"

namespace zo2::test {

namespace {

ModelSpec describe(const std::string& json) {
  return describe_model(Json::parse(json, "config.json"), "config.json");
}

// A small config of a family, with `more` in front of what every one has.
std::string decoder(const std::string& name, const std::string& more) {
  return R"({"architectures":[")" + name + R"("],)" + more +
         R"("vocab_size":7,"hidden_size":8,"num_attention_heads":2,"num_hidden_layers":2,)"
         R"("intermediate_size":9,"max_position_embeddings":5000,"num_key_value_heads":1,)"
         R"("head_dim":4})";
}
std::string gpt2(const std::string& more) {
  return R"({"architectures":["GPT2LMHeadModel"],)" + more +
         R"("vocab_size":7,"n_embd":8,"n_head":2,"n_layer":2,"n_positions":16})";
}

void check_limit(const std::string& config, int64_t positions, const std::string& field) {
  const ModelSpec spec = describe(config);
  CHECK_EQ(spec.max_positions, positions);
  CHECK_EQ(spec.max_positions_field, field);
}

void check_refused(const std::string& config, const Texts& texts,
                   ErrorCode code = ErrorCode::kUnsupportedModel) {
  Texts all = texts;
  all.push_back("config.json");
  CHECK_THROWS(code, all, describe(config));
}

}  // namespace

TEST_CASE("families: GPT-2's parts are described by where they are stored") {
  const ModelSpec spec = describe(gpt2(R"("scale_attn_by_inverse_layer_idx":true,)"));
  const AttentionSpec& attention = spec.blocks[1].attention;
  const auto tensor = [&](TensorId id) { return spec.tensors[static_cast<size_t>(id)]; };
  const TensorSpec k = tensor(attention.k.weight), bias = tensor(attention.v.bias);
  CHECK_EQ(k.name, "transformer.h.1.attn.c_attn.k.weight");
  CHECK(k.shape == (std::vector<int64_t>{8, 8}) && k.source.transposed);
  CHECK_EQ(k.source.name, "transformer.h.1.attn.c_attn.weight");
  CHECK_EQ(k.source.aliases.at(0), "h.1.attn.c_attn.weight");
  CHECK(k.source.shape == (std::vector<int64_t>{8, 24}) && k.source.first_row == 8);
  CHECK(bias.source.shape == (std::vector<int64_t>{24}) && bias.source.first_row == 16);
  CHECK(!bias.source.transposed);
  const TensorSpec up = tensor(spec.blocks[0].mlp.up.weight);
  CHECK_EQ(up.name, up.source.name);
  CHECK(up.source.shape == (std::vector<int64_t>{8, 32}) && up.source.transposed);
  CHECK_EQ(spec.blocks[0].attention.scale, 0.5f);
  CHECK_EQ(attention.scale, 0.25f);
  CHECK_EQ(describe(gpt2(R"("scale_attn_weights":false,)")).blocks[0].attention.scale, 1.0f);
}

TEST_CASE("families: a window that attention never leaves limits the length instead") {
  const std::string field = "max_position_embeddings", window = "sliding_window";
  check_limit(decoder("MistralForCausalLM", ""), 4096, window);
  check_limit(decoder("MistralForCausalLM", R"("sliding_window":null,)"), 5000, field);
  check_limit(decoder("MistralForCausalLM", R"("sliding_window":5000,)"), 5000, field);
  check_limit(decoder("MistralForCausalLM", R"("sliding_window":12,)"), 12, window);
  for (const char* qwen : {"Qwen2ForCausalLM", "Qwen3ForCausalLM"}) {
    const std::string used = R"("use_sliding_window":true,"sliding_window":12,)";
    check_limit(decoder(qwen, R"("sliding_window":12,)"), 5000, field);
    check_limit(decoder(qwen, used), 5000, field);  // no layer above max_window_layers
    check_limit(decoder(qwen, used + R"("max_window_layers":1,)"), 12, window);
    check_limit(decoder(qwen, used + R"("max_window_layers":2,)"), 5000, field);
    check_limit(decoder(qwen, used + R"("layer_types":["full_attention","full_attention"],)"), 5000,
                field);
    check_limit(decoder(qwen, used + R"("layer_types":["full_attention","sliding_attention"],)"),
                12, window);
  }
}

TEST_CASE("families: the same model, said in other ways") {
  const auto same = [](const std::string& a, const std::string& b) {
    const ModelSpec left = describe(a), right = describe(b);
    CHECK(left.rope.inverse_frequencies == right.rope.inverse_frequencies);
    CHECK_EQ(left.tensors.size(), right.tensors.size());
    for (size_t i = 0; i < left.tensors.size(); ++i)
      CHECK_EQ(left.tensors[i].name, right.tensors[i].name);
  };
  const auto llama = [](const std::string& more) { return decoder("LlamaForCausalLM", more); };
  same(decoder("LlamaModel", ""), llama(""));
  same(llama(R"("rope_scaling":{"type":"dynamic","factor":2},)"), llama(""));
  same(llama(R"("rope_parameters":{},"rope_scaling":{"type":"linear","factor":4},)"),
       llama(R"("rope_scaling":{"rope_type":"linear","factor":4},)"));
  same(llama(R"("rope_theta":5.0,"rope_scaling":{"type":"linear","factor":4},)"
             R"("rope_parameters":{"rope_theta":5.0,"rope_type":"linear","factor":4},)"),
       llama(R"("rope_parameters":{"rope_theta":5.0,"rope_type":"linear","factor":4},)"));
  same(llama(R"("rope_scaling":{"rope_type":"llama3","original_max_position_embeddings":9},)"),
       llama(R"("original_max_position_embeddings":9,"rope_scaling":{"rope_type":"llama3",)"
             R"("original_max_position_embeddings":70},)"));
  same(llama(R"("rope_scaling":{"rope_type":"llama3","original_max_position_embeddings":5000},)"),
       llama(R"("rope_scaling":{"rope_type":"llama3"},)"));
  const auto amplitude = [&](const std::string& more) {
    return describe(llama(R"("rope_scaling":{"type":"yarn","factor":4)" + more + "},"))
        .rope.amplitude;
  };
  CHECK_EQ(amplitude(""), 0.1f * std::log(4.0f) + 1);
  CHECK_EQ(amplitude(R"(,"attention_factor":0.5)"), 0.5f);
  CHECK_EQ(amplitude(R"(,"mscale":0.7,"mscale_all_dim":0.7)"), 1.0f);
  same(gpt2(R"("num_attention_heads":2,)"), gpt2(""));
  same(R"({"model_type":"gpt2","vocab_size":7,"hidden_size":8,"num_attention_heads":2,)"
       R"("num_hidden_layers":2,"max_position_embeddings":16})",
       gpt2(""));
}

TEST_CASE("families: what is not supported is refused by the name of its field") {
  const auto invalid = ErrorCode::kInvalidModel;
  for (const char* name :
       {"LlamaForCausalLM", "MistralForCausalLM", "Qwen2ForCausalLM", "Qwen3ForCausalLM"}) {
    const auto refused = [&](const std::string& more, const Texts& texts,
                             ErrorCode code = ErrorCode::kUnsupportedModel) {
      check_refused(decoder(name, more), texts, code);
    };
    refused(R"("rope_scaling":{"type":"yarn","factor":-4},)", {"rope_scaling", "factor"}, invalid);
    refused(R"("rope_parameters":{"rope_type":"longrope"},)", {"rope_parameters", "longrope"});
    refused(R"("partial_rotary_factor":0.5,)", {"partial_rotary_factor"});
    refused(R"("rope_parameters":{"partial_rotary_factor":0.5},)",
            {"rope_parameters", "partial_rotary_factor"});
    refused(R"("hidden_act":"relu6",)", {"hidden_act", "relu6"});
    refused(R"("quantization_config":{"quant_method":"gptq"},)", {"quantization_config"});
    refused(R"("is_causal":false,)", {"is_causal"});
    refused(R"("rope_parameters":{"rope_type":"default"},"rope_scaling":{"type":"yarn"},)",
            {"rope_scaling", "rope_parameters"});
    refused(R"("rope_parameters":{"rope_theta":5.0,"rope_type":"linear","factor":4},)"
            R"("rope_scaling":{"type":"linear","factor":4},)",
            {"rope_scaling", "rope_parameters"});
    refused(R"("rope_scaling":{"type":"dynamic","original_max_position_embeddings":9},)",
            {"rope_type", "dynamic"});
    refused(R"("model_type":"gpt2",)", {"model_type", "gpt2", name});
  }
  for (const char* qwen : {"Qwen2ForCausalLM", "Qwen3ForCausalLM"}) {
    check_refused(decoder(qwen, R"("layer_types":["full_attention","chunked_attention"],)"),
                  {"layer_types", "chunked_attention"});
    check_refused(decoder(qwen, R"("layer_types":["full_attention"],)"), {"layer_types"}, invalid);
    check_refused(decoder(qwen, R"("layer_types":["full_attention","sliding_attention"],)"),
                  {"layer_types", "use_sliding_window"}, invalid);
  }
  check_refused(decoder("MistralForCausalLM", R"("sliding_window":0,)"), {"sliding_window", "0"},
                invalid);
  check_refused(R"({"architectures":["GPT2LMHeadModel"],"vocab_size":7,"n_embd":8,"n_head":2,)"
                R"("n_layer":1000000000,"n_positions":16})",
                {"n_layer", "no model has so many"}, invalid);
  check_refused(decoder("Qwen3MoeForCausalLM", ""),
                {"architectures", "Qwen3MoeForCausalLM", "Qwen3ForCausalLM", "GPT2LMHeadModel"});
  check_refused(decoder("MixtralForCausalLM", ""), {"architectures", "MixtralForCausalLM"});
  check_refused(gpt2(R"("add_cross_attention":true,)"), {"add_cross_attention"});
  check_refused(gpt2(R"("activation_function":"mish",)"), {"activation_function", "mish"});
  check_refused(gpt2(R"("scale_attn_weights":1,)"), {"scale_attn_weights"}, invalid);
  check_refused(gpt2(R"("num_attention_heads":4,)"), {"num_attention_heads", "n_head"}, invalid);
  check_refused(R"({"model_type":"gpt2","vocab_size":7,"n_embd":9,"n_head":2,"n_layer":1,)"
                R"("n_positions":16})",
                {"n_embd", "n_head"}, invalid);
}

}  // namespace zo2::test
