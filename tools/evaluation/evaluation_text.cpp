#include <fmt/format.h>

#include <cmath>
#include <nlohmann/json.hpp>

#include "tools/evaluation/evaluation.h"

namespace duel {
namespace {

using Json = nlohmann::ordered_json;

// What a terminal shows, in columns; "é" and "×" are two bytes.
std::size_t width_of(const std::string& text) {
  std::size_t n = 0;
  for (const char c : text) n += (static_cast<unsigned char>(c) & 0xc0) != 0x80;
  return n;
}
std::string left(const std::string& text, std::size_t width) {
  return text + std::string(width > width_of(text) ? width - width_of(text) : 0, ' ');
}
std::string right(const std::string& text, std::size_t width) {
  return std::string(width > width_of(text) ? width - width_of(text) : 1, ' ') + text;
}

}  // namespace

std::string Evaluation::class_name(int c) const {
  if (c < 0) return "no class";
  const auto i = static_cast<std::size_t>(c);
  return i < class_names.size() ? class_names[i] : std::to_string(c);
}

std::string shown(const Figure& f, const Estimate& v) { return fmt::format("{:.{}f}", v.value, f.digits); }
std::string shown_error(const Figure& f, const Estimate& v) {
  return v.error > 0 ? fmt::format(" ± {:.{}f}", v.error, f.digits) : "";
}

std::string to_text(const Evaluation& e) {
  std::string out = fmt::format("{} after {} steps: {} samples of seed {} against as many {}\n", e.subject.model,
                                e.subject.step, e.count, e.seed, e.reference);
  out += e.accuracy > 0
             ? fmt::format("{}: right about {:.2f} % of {} held-out images\n", e.judge, 100 * e.accuracy, e.tested)
             : fmt::format("features: {}\n", e.judge);
  out += fmt::format("\n{}{}{}{}\n", left("", 24), right("samples", 20), right("real images", 18), right("naive", 18));
  for (const Figure& f : e.figures) {
    const auto cell = [&](const Estimate& v, std::size_t width) {
      return right(shown(f, v) + shown_error(f, v), width);
    };
    out += left(f.name, 24) + cell(f.samples, 20) + cell(f.real, 18) + cell(f.naive, 18) + "\n";
  }
  out += "real images: as many of the training set; naive: a Gaussian of 50 principal components\n";
  for (const CodeAgreement& c : e.codes) {
    out += fmt::format("\n{}: {:.2f} % of {} samples a value are of the class {}\n", c.name, 100 * c.accuracy, c.each,
                       c.is_class ? "asked for" : "that fits the value best, one to one");
    for (std::size_t v = 0; v < c.meant.size(); ++v)
      out += fmt::format("  {:<3} {:<14} {:6.2f} %\n", v, e.class_name(c.meant[v]), 100 * c.by_value[v]);
  }
  if (e.own)
    out += fmt::format(
        "\nits own answers: {:.2f} % of {} held-out images are wrong{}\n", 100 * e.own->error, e.own->tested,
        e.own->clusters
            ? fmt::format(" ({} clusters, named by the labels of {} training images)", e.own->answers, e.own->named_by)
            : "");
  out += fmt::format(
      "\nnearest training image: at {:.3f} in the median of {} samples, at {:.3f} for held-out images; ratio {:.2f}\n",
      e.copying.median, e.copying.samples, e.copying.held_out_median, e.copying.ratio());
  for (const std::string& line : e.left_out) out += fmt::format("left out: {}\n", line);
  return out;
}

std::string to_json(const Evaluation& e) {
  Json figures = Json::object();
  for (const Figure& f : e.figures) {
    figures[f.key] = {{"samples", f.samples.value}, {"real", f.real.value}, {"naive", f.naive.value}};
    if (f.samples.error > 0)
      figures[f.key]["standard_error"] = {
          {"samples", f.samples.error}, {"real", f.real.error}, {"naive", f.naive.error}};
  }
  Json json{
      {"model", e.subject.model}, {"data", e.subject.data},   {"step", e.subject.step},       {"count", e.count},
      {"seed", e.seed},           {"reference", e.reference}, {"judge", {{"name", e.judge}}}, {"figures", figures}};
  if (e.accuracy > 0) json["judge"].update({{"accuracy", e.accuracy}, {"tested", e.tested}});
  if (e.shares) json["class_shares"] = {{"samples", e.shares->samples}, {"real", e.shares->real}};
  if (!e.class_names.empty()) json["class_names"] = e.class_names;
  for (const CodeAgreement& c : e.codes)
    json["codes"][c.name] = {
        {"samples_a_value", c.each}, {"accuracy", c.accuracy}, {"meant", c.meant}, {"by_value", c.by_value}};
  if (e.own)
    json["own_answers"] = {{"clusters", e.own->clusters},
                           {"answers", e.own->answers},
                           {"named_by", e.own->named_by},
                           {"tested", e.own->tested},
                           {"error", e.own->error}};
  json["nearest_training_image"] = {{"samples", e.copying.samples},
                                    {"train", e.copying.train},
                                    {"median", e.copying.median},
                                    {"held_out_median", e.copying.held_out_median},
                                    {"ratio", e.copying.ratio()}};
  if (!e.left_out.empty()) json["left_out"] = e.left_out;
  return json.dump(2) + "\n";
}

}  // namespace duel
