// The report and the charts in it, and what a training writes there.
#include <doctest/doctest.h>

#include <cmath>
#include <cstring>
#include <fstream>
#include <optional>

#include "engine/error.h"
#include "engine/files.h"
#include "engine/pictures/chart.h"
#include "engine/safetensors.h"
#include "tests/program.h"
#include "tools/report.h"
#include "tools/sample_meter.h"

using namespace duel;
using namespace duel::test;

namespace {

std::size_t count(const std::string& text, const std::string& part) {
  std::size_t n = 0;
  for (std::size_t at = 0; (at = text.find(part, at)) != text.npos; at += part.size()) ++n;
  return n;
}

// Whether every element that is opened is closed, in order.
bool balanced(const std::string& html) {
  std::vector<std::string> open;
  for (std::size_t at = 0; (at = html.find('<', at)) != html.npos;) {
    const std::size_t end = html.find('>', at);
    std::string tag = html.substr(at + 1, end - at - 1);
    at = end + 1;
    if (tag.starts_with("!") || tag.ends_with("/")) continue;
    const bool closing = tag.starts_with("/");
    const std::string name = tag.substr(closing, tag.find_first_of(" /", closing) - closing);
    if (name == "meta" || name == "img" || name == "input") continue;
    if (!closing) {
      open.push_back(name);
      if (name == "script" || name == "style") at = html.find("</" + name, at);  // text, whatever it holds
    } else if (open.empty() || open.back() != name) {
      return false;
    } else {
      open.pop_back();
    }
  }
  return open.empty();
}

}  // namespace

TEST_CASE("report: an SVG chart holds its axes, lines and marks, and is well formed") {
  Chart chart{.title = "a < b", .x_label = "step", .y_label = "loss & more", .series = {}, .log_y = false};
  chart.series.push_back({"one", {0, 100, 200}, {1, 3, 2}});
  chart.series.push_back({"real", {0, 200}, {2, 2}, true});
  const std::string svg = svg_chart(chart, 540, 280, "says \"this\"");
  CHECK(balanced(svg));
  CHECK(svg.find("aria-label=\"says &quot;this&quot;\"") != svg.npos);
  CHECK(svg.find("loss &amp; more") != svg.npos);
  CHECK(count(svg, "<circle") == 3);
  CHECK(svg.find("class=\"ref\"") != svg.npos);
  for (const char* tick : {">0<", ">100<", ">200<", ">1.0<", ">3.0<"}) CHECK_MESSAGE(svg.find(tick) != svg.npos, tick);
  chart.series = {{"gone", {}, {1, std::nan(""), 2, 1e300}}};
  for (int i = 0; i < 200; ++i) chart.series[0].y.push_back(i % 7);
  const std::string odd = svg_chart(chart, 340, 250, "");
  CHECK(odd.find("not finite") != odd.npos);
  CHECK(odd.find("outside") != odd.npos);
  CHECK(odd.find("nan") == odd.npos);
  CHECK(odd.find("inf") == odd.npos);
  chart.series.clear();
  CHECK(svg_chart(chart, 340, 250, "").find("no values yet") != std::string::npos);
  CHECK_THROWS_AS(svg_chart(chart, 10, 250, ""), Error);
}

TEST_CASE("report: one file without anything from outside; hostile texts stay texts") {
  const Scratch in;
  fs::create_directories(in.path / "samples");
  for (const int step : {0, 500, 1000, 1500})
    write_file_atomically(in.path / fmt::format("samples/{:06}.png", step), std::string("PNG\x01\xff", 5));
  History history;
  const std::vector<std::string> names{"loss_d", "swd", "extra<script>"};
  for (int s = 0; s < 900; ++s) history.add({s, names, std::vector<double>{std::sin(s), 100.0 - s / 10.0, 1}});
  Report r;
  r.model = "<script>alert(1)</script>";
  r.data = "a\"b&c";
  r.state = "done";
  r.step = 1200;
  r.steps = 1200;
  r.attainable = 8;
  r.history = &history;
  r.folder = in.path;
  r.options = {{"data", "/tmp/<b>"}};
  r.memory = {"2025-01-01 00:00 UTC", 61, 2, {{0}, {205.5}}, {{"loss", 7, "loss </script> explodes", "try less"}}};
  const std::string html = render(r);
  CHECK(balanced(html));
  CHECK(html.find("<script>alert") == html.npos);
  CHECK(html.find("&lt;script&gt;alert(1)&lt;/script&gt;") != html.npos);
  for (const char* outside : {"src=\"http", "href=", "url(", "@import", "<link", "<script src"})
    CHECK_MESSAGE(html.find(outside) == html.npos, outside);
  CHECK(count(html, "<img ") == 3);     // 1500 lies beyond; there is no real.png
  CHECK(count(html, " hidden>") == 3);  // two pictures and, until the script runs, the player
  CHECK(count(html, "<img src=\"data:image/png;base64,UE5HAf8=\" alt=\"Grid of samples after step ") == 3);
  CHECK(html.find("1m 01s") != html.npos);
  CHECK(html.find("in 2 parts") != html.npos);
  CHECK(html.find("Step 7: loss &lt;/script&gt; explodes") != html.npos);

  write_file_atomically(in.path / "report.html", html);
  const ReportMemory back = read_report_memory(in.path / "report.html");
  CHECK(back.begun == r.memory.begun);
  CHECK(back.seconds == 61);
  CHECK(back.calls == 2);
  CHECK(back.first.value == std::vector<double>{205.5});
  REQUIRE(back.warnings.size() == 1);
  CHECK(back.warnings[0].text == "loss </script> explodes");
  for (const std::string& damaged : {std::string("no report"), html.substr(0, html.size() - 5000)}) {
    write_file_atomically(in.path / "report.html", damaged);
    read_report_memory(in.path / "report.html");
  }
  CHECK(read_report_memory(in.path / "nothing.html").calls == 0);
}

TEST_CASE("report: frames are thinned out evenly, by number and by size") {
  const Scratch in;
  const auto fill = [&](int n, std::size_t bytes) {
    fs::remove_all(in.path / "samples");
    fs::create_directories(in.path / "samples");
    for (int i = 0; i < n; ++i)
      std::ofstream(in.path / fmt::format("samples/{:06}.png", 10 * i)) << std::string(bytes, 'x');
    return choose_frames(in.path / "samples", 1 << 30);
  };
  CHECK(fill(0, 1).empty());
  CHECK(fill(1, 1).size() == 1);
  CHECK(fill(40, 1).size() == 40);
  const std::vector<Frame> many = fill(101, 1);
  REQUIRE(many.size() == 40);
  CHECK(many.front().step == 0);
  CHECK(many.back().step == 1000);
  for (std::size_t i = 1; i < many.size(); ++i) CHECK(std::abs(double(many[i].step - many[i - 1].step) - 25) <= 5);
  const std::vector<Frame> large = fill(12, 1 << 20);
  CHECK(large.size() == 5);
  CHECK(large.back().step == 110);
  CHECK(fill(1, 6 << 20).size() == 1);
}

TEST_CASE("report: samples are judged beside held-out images, or training images where there are none") {
  const ImageSet train = make_glyphs(300, 1), held_out = make_glyphs(200, 2);
  const std::optional<ImageSet> others = held_out, small = ImageSet{"x", 1, 5, 5, 1, std::vector<std::uint8_t>(25), {}};
  const SampleMeter with(train, others), without(train, std::nullopt), odd(train, small);
  CHECK(with.images() == 200);
  CHECK(without.images() == 150);
  CHECK(odd.images() == 150);
  CHECK(with.reference() == "200 held-out images");
  CHECK(without.reference().starts_with("150 training images"));
  CHECK(with.attainable().diversity == doctest::Approx(1).epsilon(0.1));
  CHECK(without.attainable().swd > 0);  // the two halves, not the same images twice
  ImageSet same = make_glyphs(250, 3);
  for (std::size_t i = 784; i < same.pixels.size(); ++i) same.pixels[i] = same.pixels[i % 784];
  CHECK(with.measure(same).diversity == 0);
  CHECK(with.measure(same).swd > with.attainable().swd);
  const SampleMeter one(make_glyphs(1, 1), std::nullopt);
  CHECK(one.attainable().swd == 0);
  CHECK_THROWS_AS(with.measure(make_glyphs(5, 1)), Error);
}

TEST_CASE("report: a training writes it, with the distance in the log, and goes on with it") {
  const Scratch in;
  train_well(in, training("gan", "a", {"--steps", "5", "--snapshot-every", "2"}));
  const auto log = log_of(in, "a");
  for (std::size_t i = 0; i < log.size(); ++i) {
    CHECK(log[i].contains("swd") == (i == 1 || i == 3 || i == 4));
    CHECK(log[i].contains("diversity") == log[i].contains("swd"));
  }
  const std::string before = read_text(in.path / "a/report.html");
  CHECK(balanced(before));
  CHECK(count(before, "alt=\"Grid of samples") == 4);
  CHECK(before.find("<b>Done</b> at step 5 of 5") != before.npos);
  const ReportMemory memory = read_report_memory(in.path / "a/report.html");
  CHECK(memory.calls == 1);
  CHECK(memory.first.value.size() == 1);

  train_well(in, {"train", "gan", "--out", "a", "--resume", "--steps", "7"});
  const ReportMemory later = read_report_memory(in.path / "a/report.html");
  CHECK(later.calls == 2);
  CHECK(later.begun == memory.begun);
  CHECK(later.seconds > memory.seconds);
  CHECK(later.first.value == memory.first.value);
  CHECK(read_text(in.path / "a/report.html").find("step 4, distance ") != std::string::npos);
}

TEST_CASE("report: the first bad value is named, and the checkpoint stays") {
  const Scratch in;
  train_well(in, training("gan", "a", {"--steps", "2"}));
  TensorFile file = read_safetensors(in.path / "a/checkpoint.safetensors");
  std::vector<std::byte>& weights = file.tensors.at("D.1.weight").data;
  const float large = 3e38f;
  for (std::size_t i = 0; i < weights.size(); i += 4) std::memcpy(weights.data() + i, &large, 4);
  write_safetensors(in.path / "a/checkpoint.safetensors", file);
  const std::string before = checkpoint(in, "a");
  const Outcome o = duel_run(in, {"train", "gan", "--out", "a", "--resume", "--steps", "9"});
  CHECK(o.status == 1);
  INFO(o.err);
  CHECK(o.err.find("the gradients of step 3 are not finite: op matmul (kernel matmul) made ") != o.err.npos);
  CHECK(count(o.err, "\n") == 1);
  CHECK((checkpoint(in, "a") == before));
  CHECK(read_text(in.path / "a/report.html").find("Ended by an error") != std::string::npos);
}
