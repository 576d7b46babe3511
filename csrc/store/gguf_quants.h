// The types GGUF stores tensors in. A new quantisation is one entry of the table and one decode
// function. Numbers and layouts: ggml's ggml_type enumeration and block structs.
#pragma once

#include <cstdint>
#include <string>

#include "store/row_reader.h"

namespace zo2 {

// nullptr for a number ggml has not given a type. A type zo2 cannot decode has a codec without
// `decode`, so that its tensors can be listed, checked and fingerprinted.
const BlockCodec* gguf_codec(uint32_t type);

// "F32, F16, ...": for messages.
std::string gguf_decodable_types();

}  // namespace zo2
