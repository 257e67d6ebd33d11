#include <fmt/format.h>

#include <algorithm>

#include "engine/files.h"
#include "engine/pictures/chart.h"
#include "tools/evaluation/evaluation.h"
#include "tools/report_page.h"
#include "tools/report_parts.h"

namespace duel {
namespace {

constexpr const char* style = R"(
.scores th, .scores td { padding: 9px 0 9px 18px; } .scores th:first-child { padding-left: 0; width: 49%; color: var(--ink); }
.scores thead th + th { width: 17%; } .scores thead th { color: var(--soft); font-size: 0.86rem; border: 0; vertical-align: bottom; }
.scores th span, .figures dt, .scores th small { display: block; } .scores th span::first-letter, .figures dt::first-letter, .scores th small::first-letter { text-transform: uppercase; }
.scores th small { color: var(--soft); font-size: 0.84rem; }
.figures div { display: flex; flex-direction: column; justify-content: space-between; }
.scores td, .scores thead th + th { text-align: right; white-space: nowrap; } .scores td:nth-child(2) { font-weight: 620; }
.scores td small { color: var(--soft); font-weight: 400; }
.note { color: var(--soft); font-size: 0.9rem; margin: 12px 0 0; max-width: 78ch; }
.pair > div, .beside > * { min-width: 0; }
.pair { display: grid; grid-template-columns: 1fr 1fr; gap: 28px 36px; align-items: start; }
.bars th, .bars td { padding: 5px 0; } .bars th { width: auto; white-space: nowrap; padding-right: 14px; color: var(--ink); }
.bars td:last-child { width: 62%; padding-left: 14px; vertical-align: middle; }
.bars td:nth-child(2) { text-align: right; white-space: nowrap; }
.bar { position: relative; height: 12px; background: var(--grid); border-radius: 3px; overflow: hidden; }
.bar i { position: absolute; left: 0; top: 0; bottom: 0; background: var(--s0); border-radius: 3px; }
.bar b { position: absolute; top: 0; bottom: 0; width: 2px; background: var(--ink); }
.beside { display: grid; grid-template-columns: minmax(0, 520px) 1fr; gap: 28px; align-items: start; }
@media (max-width: 760px) { .pair, .beside { grid-template-columns: 1fr; } .scores th small { display: none; }
  .scores th, .scores td { padding-left: 10px; font-size: 0.86rem; } .scores td small { display: block; } .figures .wide { order: 0; } }
)";

std::string percent(double part, int digits = 1) { return fmt::format("{:.{}f} %", 100 * part, digits); }

std::string judge_words(const Evaluation& e) {
  if (e.accuracy == 0) return "the features of " + escaped(e.judge);
  return fmt::format("{}, right about {} of {} held-out images", e.judge == "judge" ? "a judge" : escaped(e.judge),
                     percent(e.accuracy, 2), grouped(e.tested));
}

std::string heading(const Evaluation& e) {
  return fmt::format(
      "<header><h1>{} <span>on</span> {}</h1><p class=\"lead\">{} ({}), after {} steps.</p><p "
      "class=\"state\"><i></i>{} samples of seed {} against as many {}; measured by {}.</p></header>",
      escaped(e.subject.model), escaped(e.subject.data), escaped(e.subject.summary), escaped(e.subject.paper),
      grouped(e.subject.step), grouped(e.count), e.seed, escaped(e.reference), judge_words(e));
}

std::string key_figures(const Evaluation& e) {
  std::string out = "<dl class=\"figures\">";
  for (const Figure& f : e.figures) {
    // Six columns, the first figure taking two.
    if (f.key == "kernel_distance" || f.key == "class_divergence" || (f.key == "density" && e.shares)) continue;
    out += fmt::format("<div{}><dt>{}</dt><dd>{}<small>real images {}</small></dd></div>",
                       f.key == "judge_frechet_distance" ? " class=\"wide\"" : "", escaped(f.name), shown(f, f.samples),
                       shown(f, f.real));
  }
  return out + "</dl>";
}

std::string better(Figure::Better b) {
  return b == Figure::Better::lower    ? "lower is better"
         : b == Figure::Better::higher ? "higher is better"
                                       : "best near that of real images";
}

std::string figures(const Evaluation& e) {
  std::string rows;
  for (const Figure& f : e.figures) {
    rows += fmt::format("<tr><th scope=\"row\"><span>{}</span><small>{}; {}</small></th>", escaped(f.name),
                        escaped(f.meaning), better(f.better));
    for (const Estimate& v : {f.samples, f.real, f.naive})
      rows += fmt::format("<td>{}<small>{}</small></td>", shown(f, v), shown_error(f, v));
    rows += "</tr>";
  }
  return fmt::format(
      "<section aria-labelledby=\"h-figures\"><h2 id=\"h-figures\">Figures</h2><table "
      "class=\"scores\"><thead><tr><th></th><th scope=\"col\">Samples</th><th scope=\"col\">Real images</th><th "
      "scope=\"col\">Naive</th></tr></thead><tbody>{}</tbody></table><p class=\"note\">Each column is {} images "
      "against as many {}, the same ones for all. Real images are of the training set: what a perfect generator "
      "would attain. Naive images are drawn from a Gaussian fitted to the first 50 principal components of the "
      "pixels. The distances depend on the number of images and on the features; they are no FID and compare with "
      "nothing but evaluations of the same data and count.</p></section>",
      rows, grouped(e.count), escaped(e.reference));
}

// A row of bars: a part, and where the real one is (below 0: nowhere).
std::string bar_row(const std::string& name, const std::string& value, double part, double mark) {
  const std::string line = mark < 0 ? "" : fmt::format("<b style=\"left:{:.1f}%\"></b>", 100 * std::min(mark, 0.995));
  return fmt::format(
      "<tr><th scope=\"row\">{}</th><td>{}</td><td><div class=\"bar\"><i "
      "style=\"width:{:.1f}%\"></i>{}</div></td></tr>",
      name, value, 100 * part, line);
}

std::string shares(const Evaluation& e) {
  if (!e.shares) return "";
  double most = 1e-9;
  for (const auto* list : {&e.shares->samples, &e.shares->real})
    most = std::max(most, *std::max_element(list->begin(), list->end()));
  std::string rows;
  for (std::size_t c = 0; c < e.shares->samples.size(); ++c)
    rows += bar_row(escaped(e.class_name(static_cast<int>(c))), percent(e.shares->samples[c]),
                    e.shares->samples[c] / most, e.shares->real[c] / most);
  return fmt::format(
      "<div><h3>Classes of the samples</h3><table class=\"bars\">{}</table><p class=\"note\">As the judge sees "
      "them; the mark is the real part.</p></div>",
      rows);
}

std::string code_table(const Evaluation& e, const CodeAgreement& c) {
  std::string rows;
  for (std::size_t v = 0; v < c.meant.size(); ++v) {
    const std::string meant = escaped(e.class_name(c.meant[v]));
    rows += bar_row(c.is_class ? meant : fmt::format("{} → {}", v, meant), percent(c.by_value[v]), c.by_value[v], -1);
  }
  return fmt::format(
      "<div><h3>{} {}</h3><table class=\"bars\">{}</table><p class=\"note\">Part of {} samples a value that are of "
      "the class {}.</p></div>",
      escaped(c.is_class ? "Asked for a class: right" : fmt::format("Code {}:", c.name)), percent(c.accuracy, 2), rows,
      grouped(c.each), c.is_class ? "asked for" : "that fits the value best, one to one");
}

std::string classes(const Evaluation& e) {
  std::string parts = shares(e);
  for (const CodeAgreement& c : e.codes) parts += code_table(e, c);
  if (e.own)
    parts +=
        fmt::format("<div><h3>Its own answers</h3><p class=\"note\">{} of {} held-out images are wrong{}.</p></div>",
                    percent(e.own->error, 2), grouped(e.own->tested),
                    e.own->clusters ? fmt::format(": {} clusters, named by the labels of {} training images",
                                                  e.own->answers, grouped(e.own->named_by))
                                    : "");
  return parts.empty()
             ? ""
             : "<section aria-labelledby=\"h-classes\"><h2 id=\"h-classes\">Classes</h2><div class=\"pair\">" + parts +
                   "</div></section>";
}

std::string neighbours(const Evaluation& e, const std::filesystem::path& file) {
  const Copying& c = e.copying;
  return fmt::format(
      "<section aria-labelledby=\"h-near\"><h2 id=\"h-near\">Nearest training images</h2><div "
      "class=\"beside\"><figure><div class=\"frame\"><img src=\"data:image/png;base64,{}\" alt=\"Samples in the "
      "first column, each followed by the training images nearest to it\"></div></figure><div><p>A row a sample: "
      "the sample, a gap, and the training images nearest to it in the space of the features, the nearest "
      "first.</p><p class=\"note\">The nearest of {} training images is at {:.3f} in the median of {} samples, and "
      "at {:.3f} for held-out images. The ratio is <b>{:.2f}</b>; far below 1 it would hint at "
      "copies.</p></div></div></section>",
      base64(read_file(file)), grouped(c.train), c.median, grouped(c.samples), c.held_out_median, c.ratio());
}

std::string left_out(const Evaluation& e) {
  std::string out;
  for (const std::string& line : e.left_out)
    out += fmt::format("<div class=\"warning\" role=\"note\"><b>left out:</b> <span>{}.</span></div>", escaped(line));
  return out;
}

}  // namespace

std::string to_page(const Evaluation& e, const std::filesystem::path& file) {
  return fmt::format(
             "<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><meta name=\"viewport\" "
             "content=\"width=device-width, initial-scale=1\"><title>{} on {}, "
             "evaluated</title><style>{}{}</style></head>\n<body><main>",
             escaped(e.subject.model), escaped(e.subject.data), report_style, style) +
         heading(e) + key_figures(e) + left_out(e) + figures(e) + classes(e) + neighbours(e, file) +
         "<footer>Written by Duel " DUEL_VERSION
         ". Every number is in evaluation.json.</footer></main></body></html>\n";
}

}  // namespace duel
