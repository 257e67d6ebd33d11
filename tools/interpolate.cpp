// Walks through the space of noise, as a grid (one walk a row) or as an animation.
#include <fmt/format.h>

#include <cmath>
#include <filesystem>
#include <numbers>

#include "engine/error.h"
#include "engine/pictures/picture.h"
#include "tools/codes.h"
#include "tools/commands.h"
#include "tools/loaded_run.h"
#include "tools/sampler.h"
#include "tools/threads.h"

namespace duel {
namespace {

namespace fs = std::filesystem;
using Row = std::vector<float>;
constexpr double sweep_reach = 3;  // standard deviations: 99.7 % of what the generator was trained with

std::vector<Row> rows_of(const Tensor& z) {
  const std::vector<float> values = z.to_vector<float>();
  const auto n = static_cast<std::size_t>(z.dim(0)), d = values.size() / n;
  std::vector<Row> rows;
  for (std::size_t i = 0; i < n; ++i)
    rows.emplace_back(values.begin() + static_cast<std::ptrdiff_t>(i * d),
                      values.begin() + static_cast<std::ptrdiff_t>((i + 1) * d));
  return rows;
}

// The weights of both ends at t in [0, 1].
//   linear     1 - t, t
//   spherical  sin((1-t) w) / sin w, sin(t w) / sin w with the angle w between the ends: so the walk keeps the length
//              that Gaussian noise has, where a line would come too close to the origin (White 2016, section 2.1)
std::pair<double, double> weights(bool spherical, const Row& a, const Row& b, double t) {
  double aa = 0, bb = 0, ab = 0;
  for (std::size_t i = 0; i < a.size(); ++i) {
    aa += double(a[i]) * a[i];
    bb += double(b[i]) * b[i];
    ab += double(a[i]) * b[i];
  }
  const double angle = aa > 0 && bb > 0 ? std::acos(std::clamp(ab / std::sqrt(aa * bb), -1.0, 1.0)) : 0;
  if (!spherical || std::sin(angle) < 1e-6) return {1 - t, t};
  return {std::sin((1 - t) * angle) / std::sin(angle), std::sin(t * angle) / std::sin(angle)};
}

struct Walk {
  std::string mode;
  std::size_t coordinate;
  std::vector<Row> from, to;

  Row at(std::size_t row, double t) const {
    Row z = from[row];
    if (mode == "sweep") {
      z[coordinate] = static_cast<float>(sweep_reach * (2 * t - 1));
      return z;
    }
    const auto [a, b] = weights(mode == "spherical", from[row], to[row], t);
    for (std::size_t i = 0; i < z.size(); ++i) z[i] = static_cast<float>(a * z[i] + b * to[row][i]);
    return z;
  }
};

// Images along the walks at the given places: (rows, places) or, for an animation, (places, rows).
ImageSet draw_walk(const LoadedRun& run, const Walk& walk, const std::vector<double>& places, bool by_place) {
  const std::size_t rows = walk.from.size();
  std::vector<float> values;
  for (std::size_t i = 0; i < rows * places.size(); ++i) {
    const Row z =
        by_place ? walk.at(i % rows, places[i / rows]) : walk.at(i / places.size(), places[i % places.size()]);
    values.insert(values.end(), z.begin(), z.end());
  }
  Shape shape = run.model->noise(1).shape();
  shape[0] = static_cast<std::int64_t>(rows * places.size());
  return draw_images(*run.model, run.identity.image, from_vector(shape, values));
}

void write_grid(const fs::path& out, const LoadedRun& run, const Walk& walk, std::int64_t steps) {
  std::vector<double> places;
  for (std::int64_t k = 0; k < steps; ++k) places.push_back(static_cast<double>(k) / static_cast<double>(steps - 1));
  const ImageSet x = draw_walk(run, walk, places, false);
  save_png(out, tile(x.pixels, x.count, x.height, x.width, x.channels, steps, 2, grid_scale(x.height, x.width)));
}

// There and back again, slowly at both ends: (1 - cos) / 2 has no jerk where the animation starts anew.
void write_animation(const fs::path& out, const LoadedRun& run, const Walk& walk, std::int64_t steps, int delay) {
  std::vector<double> places;
  const std::int64_t frames = 2 * (steps - 1);
  for (std::int64_t k = 0; k < frames; ++k)
    places.push_back((1 - std::cos(2 * std::numbers::pi * static_cast<double>(k) / static_cast<double>(frames))) / 2);
  const ImageSet x = draw_walk(run, walk, places, true);
  const auto rows = static_cast<std::int64_t>(walk.from.size());
  const auto bytes = static_cast<std::size_t>(rows * x.height * x.width * x.channels);
  std::vector<Picture> pictures;
  for (std::size_t k = 0; k < places.size(); ++k)
    pictures.push_back(tile(std::span(x.pixels).subspan(k * bytes, bytes), rows, x.height, x.width, x.channels, 0, 2,
                            grid_scale(x.height, x.width)));
  save_apng(out, pictures, delay);
}

}  // namespace

std::vector<Setting> interpolate_options() {
  return {{"mode",
           "along a line, along a great circle, one coordinate from -3 to 3, or a block for each code of the model",
           "spherical",
           0,
           0,
           false,
           {"linear", "spherical", "sweep", "codes"}},
          {"from", "the seed of the noise where the walks begin", "1", 0, 9007199254740992, true, {}},
          {"to", "the seed of the noise where they end", "2", 0, 9007199254740992, true, {}},
          {"steps", "images along a walk, both ends included", "16", 2, 1000, true, {}},
          {"rows", "walks, each with ends of its own", "6", 1, 1000, true, {}},
          {"coordinate", "of a sweep: which number of the noise", "0", 0, 1e6, true, {}},
          {"animate", "an animation, whatever --out ends in", "no", 0, 0, false, {"no", "yes"}},
          {"delay", "of an animation: milliseconds a frame", "80", 10, 10000, true, {}},
          threads_option(),
          device_option(),
          drawing_precision_option()};
}

int interpolate(const std::string& run, const std::map<std::string, std::string>& given) {
  std::map<std::string, std::string> numbers = given;
  numbers.erase("out");
  const Settings options(interpolate_options(), numbers);
  const std::string mode = options.word("mode");
  require((mode != "sweep" && mode != "codes") || !given.count("to"),
          "--to: a sweep has no end of its own, only --from");
  require(mode == "sweep" || !given.count("coordinate"), "--coordinate: is for --mode sweep, found --mode {}", mode);
  const auto it = given.find("out");
  bool animate = options.word("animate") == "yes";
  const fs::path out =
      it != given.end() ? fs::path(it->second) : fs::path(run) / (animate ? "interpolated.apng" : "interpolated.png");

  const LoadedRun loaded = load_run(run, options);
  check_output("out", out, {".png", ".apng"});
  animate = animate || out.extension() == ".apng";
  const std::int64_t rows = options.integer("rows"), steps = options.integer("steps");
  if (mode == "codes") {
    require(!animate, "--out {}: the codes are a picture, expected a name that ends in .png", out.string());
    const auto from = static_cast<std::uint64_t>(options.integer("from"));
    save_png(out, sweep_codes(*loaded.model, loaded.identity.image, from, rows, steps));
    fmt::print("{}: each code of {} in {} steps, {} rows, after {} steps of training\n", out.string(),
               loaded.identity.model, steps, rows, loaded.at.iteration);
    return 0;
  }
  Walk walk{mode, static_cast<std::size_t>(options.integer("coordinate")), {}, {}};
  walk.from = rows_of(draw_noise(*loaded.model, static_cast<std::uint64_t>(options.integer("from")), rows));
  walk.to = rows_of(draw_noise(*loaded.model, static_cast<std::uint64_t>(options.integer("to")), rows));
  require(walk.coordinate < walk.from[0].size(), "--coordinate: found {}, expected 0 to {}: the noise has {} numbers",
          walk.coordinate, walk.from[0].size() - 1, walk.from[0].size());
  if (animate)
    write_animation(out, loaded, walk, steps, static_cast<int>(options.integer("delay")));
  else
    write_grid(out, loaded, walk, steps);
  fmt::print("{}: {} {} walks of {} {} after {} steps\n", out.string(), rows, mode, steps,
             animate ? "images, there and back," : "images", loaded.at.iteration);
  return 0;
}

}  // namespace duel
