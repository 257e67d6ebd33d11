#include "tools/evaluation/evaluation.h"

#include <algorithm>

#include "tools/median.h"
#include "tools/run_data.h"

namespace duel {
namespace {

constexpr std::int64_t shown_samples = 10, shown_neighbours = 6;
constexpr std::int64_t most_compared = 1000;  // with every training image

using Better = Figure::Better;

std::vector<Figure> empty_figures(bool classes, std::int64_t of_classes) {
  std::vector<Figure> out{
      {"judge_frechet_distance", "judge Fréchet distance", "of the Gaussians fitted to the features", Better::lower, 2},
      {"kernel_distance", "kernel distance × 1000", "unbiased, cubic kernel, with its standard error", Better::lower,
       3},
      {"precision", "precision", "part of the samples among real images", Better::higher, 3},
      {"recall", "recall", "part of the real images among samples", Better::higher, 3},
      {"density", "density", "how densely real images surround samples", Better::near_real, 3},
      {"coverage", "coverage", "part of the real images with a sample beside them", Better::higher, 3}};
  if (!classes) return out;
  out.push_back({"classes_covered", fmt::format("classes covered of {}", of_classes),
                 "those with a tenth or more of their real share", Better::higher, 0});
  out.push_back({"class_divergence", "class divergence (nats)",
                 "KL divergence of the classes' shares from the real ones", Better::lower, 4});
  return out;
}

// In the order of empty_figures.
std::vector<Estimate> values_of(const Seen& real, const std::vector<std::vector<float>>& real_radii, const Seen& seen,
                                const std::optional<ClassShares>& shares) {
  const Estimate kernel = kernel_distance(seen.features, real.features);
  const Overlap o = overlap(real.features, real_radii, seen.features);
  std::vector<Estimate> out{{frechet_distance(seen.features, real.features)},
                            {1000 * kernel.value, 1000 * kernel.error},
                            {o.precision},
                            {o.recall},
                            {o.density},
                            {o.coverage}};
  if (shares) out.insert(out.end(), {{static_cast<double>(shares->covered)}, {shares->divergence}});
  return out;
}

Features first_rows(const Features& x, std::int64_t count) {
  const std::int64_t n = std::min(count, x.count);
  return {n, x.width, {x.values.begin(), x.values.begin() + n * x.width}};
}

// A row a sample: the sample, a gap, and the training images nearest to it.
Picture neighbour_rows(const Compared& images, const std::vector<std::vector<Neighbour>>& near) {
  const std::int64_t bytes = images.samples.image_bytes();
  std::vector<std::uint8_t> cells;
  const auto add = [&](const ImageSet& set, std::int64_t i) {
    cells.insert(cells.end(), set.pixels.begin() + i * bytes, set.pixels.begin() + (i + 1) * bytes);
  };
  const auto n = std::min<std::int64_t>(shown_samples, images.samples.count);
  for (std::int64_t i = 0; i < n; ++i) {
    const std::vector<Neighbour>& row = near[static_cast<std::size_t>(i)];
    add(images.samples, i);
    cells.insert(cells.end(), static_cast<std::size_t>(bytes), 0x20);
    for (const Neighbour& k : row) add(images.train, k.row);
  }
  const auto columns = static_cast<std::int64_t>(near[0].size()) + 2;
  const ImageSet& s = images.samples;
  return tile(cells, n * columns, s.height, s.width, s.channels, columns, 2, grid_scale(s.height, s.width));
}

void compare_with_training(Evaluation& e, const Compared& images, const ChainNet& net, const Features& samples,
                           const Features& held_out) {
  const Features all = see(net, images.train).features;
  const auto near = nearest(first_rows(samples, most_compared), all, std::min(shown_neighbours, all.count));
  const auto others = nearest(first_rows(held_out, most_compared), all, 1);
  std::vector<double> of_samples, of_others;
  for (const auto& row : near) of_samples.push_back(row[0].distance);
  for (const auto& row : others) of_others.push_back(row[0].distance);
  e.copying = {static_cast<std::int64_t>(near.size()), all.count, median(of_samples), median(of_others)};
  e.neighbours = neighbour_rows(images, near);
}

}  // namespace

void measure(Evaluation& e, const Compared& images, const ChainNet& net) {
  const bool classes = net.classes() > 0;
  const Seen real = see(net, images.held_out);
  const auto real_radii = radii(real.features, {precision_k, density_k});
  e.figures = empty_figures(classes, net.classes());
  Seen seen_samples;
  for (Estimate Figure::*column : {&Figure::samples, &Figure::real, &Figure::naive}) {
    const bool of_samples = column == &Figure::samples;
    Seen seen = see(net, of_samples ? images.samples : column == &Figure::real ? images.real : images.naive);
    std::optional<ClassShares> shares;
    if (classes) shares = class_shares(seen.answers, images.held_out.labels, net.classes());
    const std::vector<Estimate> v = values_of(real, real_radii, seen, shares);
    for (std::size_t i = 0; i < e.figures.size(); ++i) e.figures[i].*column = v[i];
    if (!of_samples) continue;
    e.shares = shares;
    seen_samples = std::move(seen);
  }
  compare_with_training(e, images, net, seen_samples.features, real.features);
}

}  // namespace duel
