// What of a model is trained, and what follows from that for a forward pass.
#pragma once

#include "model/name_pattern.h"
#include "model/spec.h"

namespace zo2 {

// Freezes every tensor the pattern does not mean; an empty pattern freezes nothing. A tensor is
// known by its name and by that of the stored tensor it is a part of; in a list also by its
// module's, the name without ".weight" or ".bias". Throws Error(kInvalidConfig) as match() does.
void train_only(ModelSpec& model, const NamePattern& pattern);

// Freezes all but the head's matrix. A tied head becomes a tensor of its own behind the others,
// "lm_head.weight", which begins as a copy of the embedding.
void train_head_only(ModelSpec& model);

// Freezes all that has no scales: 1-D parameters. Throws Error(kInvalidConfig) where nothing is
// left to train, or adapters are.
void train_scales_only(ModelSpec& model);

// The parts of a forward pass in their order: 0 the embedding, 1 ... layers the transformer layers,
// and three of the head: the final norm, the projection behind it, the vocabulary.
enum HeadPart : int { kFinalNorm = 1, kProjectOut, kVocabulary };

// The part with the first trained tensor. What is below it gives the same for all branches of a
// step, and is computed once.
int first_trained_part(const ModelSpec& model);

}  // namespace zo2
