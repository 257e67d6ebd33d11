#include "tools/report.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "engine/error.h"
#include "engine/files.h"
#include "engine/pictures/chart.h"
#include "tools/machine.h"
#include "tools/progress.h"
#include "tools/report_page.h"
#include "tools/report_parts.h"

namespace duel {
namespace {

namespace fs = std::filesystem;

std::string distance_text(double v) { return fmt::format("{:.{}f}", v, v < 100 ? 1 : 0); }

// The first and the last distance that were measured; fewer than two: none yet.
History::Points distances(const Report& r) {
  History::Points p = r.history->points("swd");
  if (!r.memory.first.value.empty() && (p.step.empty() || p.step.front() > 0)) {
    p.step.insert(p.step.begin(), 0);
    p.value.insert(p.value.begin(), r.memory.first.value.front());
  }
  return p;
}

std::string state_text(const Report& r) {
  const std::string of = r.steps > 0 ? fmt::format(" of {}", grouped(r.steps)) : "";
  const std::string at = fmt::format("step {}{}", grouped(r.step), of);
  if (r.state == "done") return fmt::format("<b>Done</b> at {}", at);
  if (r.state == "stopped") return fmt::format("<b>Stopped</b> at {}; it can go on", at);
  if (r.state == "failed") return fmt::format("<b>Ended by an error</b> at {}", at);
  return fmt::format("<b>In training</b>, {}; this page is written anew at every snapshot", at);
}

std::string heading(const Report& r) {
  return fmt::format(
      "<header><h1>{} <span>on</span> {}</h1><p class=\"lead\">{} ({}).</p>"
      "<p class=\"state {}\"><i></i>{}.</p></header>",
      escaped(r.model), escaped(r.data), escaped(r.summary), escaped(r.paper), r.state, state_text(r));
}

std::string warnings(const Report& r) {
  if (r.memory.warnings.empty()) return "";
  std::string out = "<section class=\"warnings\" aria-label=\"Warnings\">";
  for (const Warning& w : r.memory.warnings)
    out += fmt::format("<div class=\"warning\" role=\"note\"><b>Step {}: {}.</b> <span>{}.</span></div>",
                       grouped(w.step), escaped(w.text), escaped(w.advice));
  return out + "</section>";
}

std::string figure_box(const char* css, const std::string& name, const std::string& value, const std::string& note) {
  return fmt::format("<div{}><dt>{}</dt><dd>{}<small>{}</small></dd></div>", css, name, value, note);
}

std::string key_figures(const Report& r) {
  const History::Points d = distances(r);
  std::string distance = "–";
  if (!d.value.empty()) distance = distance_text(d.value.back());
  if (d.value.size() > 1) distance = distance_text(d.value.front()) + "<span class=\"arrow\">→</span>" + distance;
  std::string out = "<dl class=\"figures\">";
  out += figure_box("", "Steps", grouped(r.step), r.steps > 0 ? fmt::format("of {}", grouped(r.steps)) : "no limit");
  out += figure_box("", "Images a second",
                    r.images_per_s > 0 ? fmt::format("{}", grouped(std::llround(r.images_per_s))) : "–",
                    fmt::format("{:.{}f} epochs in all", r.epochs, r.epochs < 10 ? 1 : 0));
  out += figure_box("", "Time", duration(r.memory.seconds),
                    r.memory.calls > 1 ? fmt::format("in {} parts", r.memory.calls) : "in one go");
  out += figure_box(" class=\"wide\"", "Sliced Wasserstein distance × 1000", distance,
                    fmt::format("first → last, lower is better; real images {}", distance_text(r.attainable)));
  out += figure_box("", "Seed", escaped(r.seed), "for exact repetition");
  return out + "</dl>";
}

std::string image(const fs::path& file, const std::string& alt, const std::string& attributes) {
  return fmt::format("<img src=\"data:image/png;base64,{}\" alt=\"{}\" decoding=\"async\"{}>", base64(read_file(file)),
                     escaped(alt), attributes);
}

std::string samples(const Report& r) {
  const History::Points d = distances(r);
  const std::vector<Frame> frames = choose_frames(r.folder / "samples", r.step);
  std::string images;
  for (const Frame& f : frames) {
    std::string caption = fmt::format("step {}", grouped(f.step));
    const auto at = std::find(d.step.begin(), d.step.end(), static_cast<double>(f.step));
    if (at != d.step.end())
      caption += fmt::format(", distance {}", distance_text(d.value[static_cast<std::size_t>(at - d.step.begin())]));
    images += image(f.file, "Grid of samples after " + caption,
                    fmt::format(" data-step=\"{}\" data-caption=\"{}\"{}", f.step, caption,
                                f.step == frames.back().step ? "" : " hidden"));
  }
  const std::string last = frames.empty() ? "none yet" : fmt::format("step {}", grouped(frames.back().step));
  const std::size_t end = frames.empty() ? 0 : frames.size() - 1;
  std::string out = fmt::format(
      "<section aria-labelledby=\"h-samples\"><h2 id=\"h-samples\">Samples</h2><div class=\"samples\">"
      "<figure><figcaption><h3>Generated</h3><span id=\"caption\" aria-live=\"off\">{}</span></figcaption>"
      "<div class=\"frame\" id=\"frames\">{}</div><div class=\"player\" hidden>"
      "<button type=\"button\" id=\"play\">Play</button><input type=\"range\" id=\"step\" min=\"0\" max=\"{}\" "
      "value=\"{}\" aria-label=\"Step of the samples\"></div></figure>",
      last, images, end, end);
  std::error_code error;
  if (fs::exists(r.folder / "real.png", error))
    out += fmt::format(
        "<figure><figcaption><h3>Real</h3><span>{}</span></figcaption><div class=\"frame\">{}</div></figure>",
        escaped(r.data), image(r.folder / "real.png", "Grid of real images", ""));
  return out + "</div></section>";
}

std::string explanation(const Report& r, History::Panel panel) {
  using enum History::Panel;
  switch (panel) {
    case distance:
      return fmt::format(
          "How far patches of the samples are from those of {}; lower is better. Real training images are at {}.",
          r.reference, distance_text(r.attainable));
    case losses:
      return "What D and G minimise, and its parts. They show that training is stable, not how good the samples are.";
    case outputs:
      return r.probabilities
                 ? "How likely D takes real images x and samples G(z) for real. Where it cannot tell, both are ½."
                 : "What D answers to real images x and to samples G(z); only their difference has a meaning.";
    case diversity:
      return "How far apart two samples are, beside two real images. Near 0 G draws the same image again and again.";
    case speed:
      return "Training images a second, steps alone.";
    case others:
      return "";
  }
  return "";
}

std::string legend(const Chart& chart) {
  if (chart.series.size() < 2) return "";
  std::string out = "<ul class=\"legend\">";
  for (std::size_t i = 0; i < chart.series.size(); ++i)
    out += fmt::format(
        "<li><svg viewBox=\"0 0 22 8\" aria-hidden=\"true\"><path class=\"{}\" d=\"M1 4H21\"/></svg>{}</li>",
        chart.series[i].reference ? "ref" : fmt::format("s{}", i % 7), escaped(chart.series[i].name));
  return out + "</ul>";
}

std::string described(const Chart& chart) {
  std::string text = fmt::format("Line chart: {} over the steps.", chart.title);
  for (const Series& s : chart.series)
    if (!s.y.empty() && !s.reference)
      text += fmt::format(" {}: first {:.4g}, last {:.4g}.", s.name, s.y.front(), s.y.back());
  return text;
}

// A text that is scaled down with its chart cannot be read: each width of the screen gets a drawing of its own.
std::string drawing(const Chart& chart, const char* css, int width, int height) {
  std::string svg = svg_chart(chart, width, height, described(chart));
  return svg.insert(4, fmt::format(" class=\"{}\"", css));
}

std::string curves(const Report& r) {
  std::string out = "<section aria-labelledby=\"h-curves\"><h2 id=\"h-curves\">Curves</h2><div class=\"charts\">";
  const std::vector<History::PanelChart> charts = r.history->charts(r.attainable);
  for (std::size_t i = 0; i < charts.size(); ++i) {
    const Chart& chart = charts[i].chart;
    const bool alone = charts.size() % 2 == 1 && i + 1 == charts.size();  // in its row, which it then fills
    out += fmt::format("<figure class=\"chart{}\"><figcaption><h3>{}</h3><p>{}</p></figcaption>{}{}{}{}</figure>",
                       alone ? " alone" : "", escaped(chart.title), escaped(explanation(r, charts[i].panel)),
                       legend(chart), alone ? drawing(chart, "full", 1070, 230) : "", drawing(chart, "broad", 540, 280),
                       drawing(chart, "narrow", 340, 250));
  }
  return out + "</div></section>";
}

std::string table(const char* title, const Facts& facts) {
  std::string rows;
  for (const auto& [name, value] : facts)
    rows += fmt::format("<tr><th scope=\"row\">{}</th><td>{}</td></tr>", escaped(name), escaped(value));
  return facts.empty() ? "" : fmt::format("<div><h3>{}</h3><table>{}</table></div>", title, rows);
}

std::string tables(const Report& r) {
  return "<section aria-labelledby=\"h-setup\"><h2 id=\"h-setup\">Setup</h2><div class=\"tables\">" +
         table("Model", r.settings) + table("Training", r.options) + table("Data", r.data_facts) +
         table("Machine", r.machine) + "</div></section>";
}

std::string commands(const Report& r) {
  const auto block = [](const char* title, const std::string& line) {
    return fmt::format("<h3>{}</h3><pre tabindex=\"0\">{}</pre>", title, escaped(line));
  };
  return "<section aria-labelledby=\"h-commands\"><h2 id=\"h-commands\">Commands</h2>" +
         block("Repeat this run", r.command) + block("Go on with it", r.resume_command) +
         block("Draw more samples", r.sample_command) + "</section>";
}

}  // namespace

std::string grouped(std::int64_t n) {
  std::string text = std::to_string(n);
  for (std::size_t i = text.size(); i > 3; i -= 3) text.insert(i - 3, ",");
  return text;
}

std::string render(const Report& r) {
  std::string out = fmt::format(
      "<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">"
      "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\"><title>{} on {}, step {}</title>"
      "<style>{}</style></head>\n<body><main>",
      escaped(r.model), escaped(r.data), grouped(r.step), report_style);
  for (const auto& part : {heading, warnings, key_figures, samples, curves, tables, commands}) out += part(r) + "\n";
  out += fmt::format("<footer>{}Begun {}, written {} by Duel " DUEL_VERSION
                     ". Every number is in log.jsonl, every picture in "
                     "samples/.</footer></main>\n{}\n<script>{}</script></body></html>\n",
                     r.memory.warnings.empty() ? "No warnings. " : "", escaped(r.memory.begun), date_now(),
                     memory_element(r.memory), report_script);
  return out;
}

}  // namespace duel
