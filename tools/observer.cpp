#include "tools/observer.h"

#include <fmt/format.h>

#include <algorithm>

#include "engine/files.h"
#include "tools/commands.h"
#include "tools/machine.h"
#include "tools/trainer.h"

namespace duel {
namespace {

using Texts = std::map<std::string, std::string>;

// As a shell reads it back.
std::string shell_word(const std::string& word) {
  const bool plain = !word.empty() && word.find_first_not_of(
                                          "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
                                          "_./=:,+@%-") == word.npos;
  if (plain) return word;
  std::string out = "'";
  for (const char c : word) c == '\'' ? out += "'\\''" : out += c;
  return out + "'";
}

// " --name value" for each that is not the default.
std::string arguments(const std::vector<Setting>& known, const Texts& values) {
  std::string out;
  for (const Setting& s : known) {
    const auto it = values.find(s.name);
    if (it == values.end()) continue;
    std::string standard = s.standard;
    if (s.choices.empty() && !standard.empty()) standard = canonical({s}, {}).values().at(s.name);
    if (it->second == standard) continue;
    out += is_switch(s) ? " --" + s.name : fmt::format(" --{} {}", s.name, shell_word(it->second));
  }
  return out;
}

Facts facts(const Texts& texts) { return {texts.begin(), texts.end()}; }

Facts describe(const ImageSet& train, const RunIdentity& identity, const std::string& reference) {
  Facts out{{"name", identity.data_name},
            {"images", fmt::format("{}, {} x {} pixels, {}", train.count, train.height, train.width,
                                   train.channels == 1 ? "grey" : "RGB")}};
  if (train.classes > 0) out.emplace_back("classes", std::to_string(train.classes));
  if (train.skipped > 0) out.emplace_back("broken, left out", std::to_string(train.skipped));
  out.emplace_back("samples compared with", reference);
  out.emplace_back("digest", identity.data_digest);
  return out;
}

}  // namespace

Observer::Observer(const RunFolder& folder, const RunConfig& config, const RunIdentity& identity, const ImageSet& train,
                   const std::optional<ImageSet>& held_out, Progress& progress)
    : folder_(folder),
      config_(config),
      identity_(identity),
      progress_(progress),
      meter_(train, held_out),
      watch_(WatchRules::of(identity.model, identity.settings)),
      data_facts_(describe(train, identity, meter_.reference())),
      machine_(machine_facts()) {}

void Observer::begin(bool resumed, History& history) {
  if (resumed) memory_ = read_report_memory(folder_.report());
  if (memory_.begun.empty()) memory_.begun = date_now();
  ++memory_.calls;
  before_ = memory_.seconds;
  // What stopped the run before does not hold any more.
  std::erase_if(memory_.warnings, [](const Warning& w) { return w.id == "failed"; });
  for (const Warning& w : memory_.warnings) watch_.said(w.id);
  static const std::vector<std::string> names{"swd"};
  if (!memory_.first.value.empty()) history.add({0, names, memory_.first.value});
}

void Observer::look_back(const History& history) {
  const History::Points diversity = history.points("diversity");
  for (std::size_t i = 0; i < diversity.step.size(); ++i)
    if (const auto w = watch_.look(static_cast<std::int64_t>(diversity.step[i]), diversity.value[i])) say(*w);
}

void Observer::look(const Record& record) {
  for (const Warning& w : watch_.look(record)) say(w);
}
void Observer::look(std::int64_t step, const Quality& quality) {
  if (step == 0) memory_.first = {{0}, {quality.swd}};
  if (const auto w = watch_.look(step, quality.diversity)) say(*w);
}

void Observer::say(const Warning& warning) {
  memory_.warnings.push_back(warning);
  progress_.warn(warning.line());
}

std::string Observer::command(std::int64_t step) const {
  Texts options = config_.options;
  options.erase("minutes");
  options["steps"] = std::to_string(std::max<std::int64_t>(step, 1));
  std::string out = "duel train " + identity_.model;
  // Those that are no Setting, with their defaults.
  for (const auto& [name, standard] : {std::pair("data", "glyphs"), {"background", "#ffffff"}, {"init", ""}})
    if (const auto it = options.find(name); it != options.end() && it->second != standard)
      out += fmt::format(" --{} {}", name, shell_word(it->second));
  return out + arguments(train_options(find_model(identity_.model)), options) +
         arguments(find_model(identity_.model).settings, config_.settings) + " --out " +
         shell_word(folder_.path().string());
}

Report Observer::report(const std::string& state, std::int64_t step) const {
  const ModelInfo& info = find_model(identity_.model);
  Report r;
  r.model = identity_.model;
  r.summary = info.summary;
  r.paper = info.paper;
  r.data = identity_.data_name;
  r.state = state;
  r.seed = std::to_string(identity_.seed);
  r.attainable = meter_.attainable().swd;
  r.reference = meter_.reference();
  r.probabilities = WatchRules::of(identity_.model, identity_.settings).probabilities;
  const std::string out = shell_word(folder_.path().string());
  r.command = command(step);
  r.resume_command = fmt::format("duel train {} --out {} --resume --steps N", identity_.model, out);
  r.sample_command = fmt::format("duel sample {} --count 100 --seed 7 --out samples.png", out);
  r.settings = facts(config_.settings);
  r.options = facts(config_.options);
  r.data_facts = data_facts_;
  r.machine = machine_;
  r.memory = memory_;
  r.folder = folder_.path();
  return r;
}

void Observer::write(const Standing& now, double epochs, const std::string& state, const History& history) {
  const double begin = seconds_now();
  if (state == "training" && spent_ > 0.01 * now.seconds) return;
  memory_.seconds = before_ + now.seconds;
  Report r = report(state, now.step);
  r.step = now.step;
  r.steps = now.steps;
  r.images_per_s = now.images_per_s;
  r.epochs = epochs;
  r.history = &history;
  write_file_atomically(folder_.report(), render(r));
  spent_ += seconds_now() - begin;
}

void Observer::failed(std::int64_t step, const std::string& why) {
  memory_.warnings.push_back({"failed", step, why, "go on from the checkpoint, with a smaller --lr in a new run"});
}

}  // namespace duel
