// How right a model's own answers are (Model::classify).
#pragma once
#include "engine/data/images.h"
#include "models/model.h"

namespace duel {

// The part of the labelled images whose class the model does not answer, in [0, 1]. Where the model's answers are
// clusters, each stands for the most frequent label among the images of `named_by` that it is the answer to; a cluster
// that none of them falls into is never right. Error: the model has no answers, or the images no labels.
double error_rate(Model& model, const ImageSet& named_by, const ImageSet& images);
// Clusters are named by the first half of the images, and the second half counts.
double error_rate(Model& model, const ImageSet& images);

}  // namespace duel
