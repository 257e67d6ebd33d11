#include "tools/warnings.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <limits>

#include "tools/median.h"

namespace duel {
namespace {

// The discriminator's saturation. G's gradient through log(1 - D) is proportional to D(G(z)), so at 0.01 it has lost 98
// % of what it has at one half. Healthy runs come close for some batches: of 3000 steps of `gan` on MNIST the lowest
// D(G(z)) is 0.018, and no window's mean is below 0.29. So the means over about 50 steps have to stay there for 500.
constexpr double sure_real = 0.99, sure_fake = 0.01, mean_rate = 1.0 / 50;
constexpr std::int64_t sure_steps = 500;

// An explosion. Losses of healthy runs move by a factor of ten (wgan-gp on MNIST: from 30 to 3); one that diverges
// doubles every few steps and is past a hundred soon. The median of 50 steps, since single batches may do anything; and
// not below 1, which is the size of a loss whose targets are 1 (an almost perfect start is no reason). What explodes in
// the first steps has no start to compare with: 1e5 is more than any loss may be. A critic of slope 1 tells images in
// [-1, 1] apart by no more than their distance, 56 for 28x28 and 887 for 256x256 in RGB.
constexpr std::size_t window_steps = 50;
constexpr double growth = 100, limit = 1e5;

// Collapse. On MNIST samples are 0.55 times as far apart as real images after 1500 steps of gan and 0.99 times after
// 900 of wgan-gp, but 0.07 to 0.2 times before the first hundred. So what counts is a fall below a tenth, twice in a
// row, after there was more; or that there never was any after 5000 steps.
constexpr double poor = 0.1, rich = 0.3;
constexpr std::int64_t patience = 5000;

// On 2500 sprites of 64 pixels dcgan comes to a distance of 64 in 2100 steps, and with this to 18 in 1800.
constexpr const char* penalise = "try --penalty r1 --norm none";

const double* value_of(const Record& r, const char* name) {
  for (std::size_t i = 0; i < r.names.size(); ++i)
    if (r.names[i] == name) return &r.values[i];
  return nullptr;
}

}  // namespace

std::string Warning::line() const { return fmt::format("step {}: {}; {}", step, text, advice); }

WatchRules WatchRules::of(const std::string& model, const std::map<std::string, std::string>& settings) {
  const auto it = settings.find("loss");
  const std::string loss = it == settings.end() ? "" : it->second;
  const bool entropy = loss == "non-saturating" || loss == "minimax";
  const auto lambda = settings.find("lambda");
  const double weight = lambda == settings.end() ? 0 : std::strtod(lambda->second.c_str(), nullptr);
  const auto penalty = settings.find("penalty");
  return {model, entropy, entropy || loss == "least-squares", std::max(1.0, weight / 10),
          penalty != settings.end() && penalty->second == "none"};
}

std::vector<Warning> Watch::look(const Record& record) {
  std::vector<Warning> news;
  auto add = [&](std::optional<Warning> w) {
    if (w && said_.insert(w->id).second) news.push_back(*std::move(w));
  };
  add(saturation(record));
  for (std::size_t i = 0; i < record.names.size(); ++i) {
    const std::string& name = record.names[i];
    if (name.starts_with("loss_") && (name != "loss_g" || rules_.bounded_loss_g))
      add(explosion(record.step, name, record.values[i]));
  }
  return news;
}

std::optional<Warning> Watch::saturation(const Record& record) {
  const double *real = value_of(record, "d_real"), *fake = value_of(record, "d_fake");
  if (!rules_.probabilities || !real || !fake) return {};
  d_real_ += mean_rate * (*real - d_real_);
  d_fake_ += mean_rate * (*fake - d_fake_);
  saturated_ = d_real_ > sure_real && d_fake_ < sure_fake ? saturated_ + 1 : 0;
  if (saturated_ < sure_steps) return {};
  return Warning{"saturated", record.step,
                 fmt::format("D is always right (D(x) {:.4f}, D(G(z)) {:.4f} for {} steps), so G learns little",
                             d_real_, d_fake_, sure_steps),
                 (rules_.may_penalise ? std::string(penalise) + ", " : "try ") +
                     "a smaller --lr, or the model wgan-gp, whose critic may be as good as it gets"};
}

std::optional<Warning> Watch::explosion(std::int64_t step, const std::string& loss, double value) {
  Loss& l = losses_[loss];
  const double size = std::isfinite(value) ? std::abs(value) : std::numeric_limits<double>::infinity();
  if (l.window.size() < window_steps)
    l.window.push_back(size);
  else
    l.window[l.next] = size;
  l.next = (l.next + 1) % window_steps;
  if (l.window.size() < window_steps || l.next != 0) return {};
  const double now = median(l.window);
  if (l.start < 0) l.start = now;
  if (!(now > std::min(growth * std::max(l.start, 1.0), limit * rules_.scale))) return {};
  return Warning{"loss", step, fmt::format("{} explodes: {:.3g} after {:.3g} in the first steps", loss, now, l.start),
                 rules_.model == "wgan" ? "try a smaller --lr or --clip" : "try a smaller --lr"};
}

std::optional<Warning> Watch::look(std::int64_t step, double diversity) {
  const bool is_poor = diversity < poor, before = was_poor_;
  was_poor_ = is_poor;
  most_diverse_ = std::max(most_diverse_, diversity);
  if (!is_poor || !before || (most_diverse_ < rich && step < patience)) return {};
  if (!said_.insert("diversity").second) return {};
  std::string advice =
      (rules_.may_penalise ? std::string(penalise) + ", " : "try ") + "another --seed or a smaller --lr";
  if (rules_.model != "wgan-gp") advice += ", or the model wgan-gp";
  return Warning{
      "diversity", step,
      fmt::format("the samples are nearly all the same: {:.1f} % as far apart as real images are", 100 * diversity),
      advice};
}

}  // namespace duel
