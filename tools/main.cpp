// The command line: what may be asked for, and one line for what may not.
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cstdio>
#include <map>
#include <memory>
#include <new>

#include "engine/error.h"
#include "tools/commands.h"
#include "tools/threads.h"

namespace duel {
namespace {

using Texts = std::map<std::string, std::string>;

std::string described(const Setting& s) {
  std::string text = s.help;
  if (!s.choices.empty()) return fmt::format("{}: {} (default {})", text, fmt::join(s.choices, " or "), s.standard);
  text += s.low >= 0 && s.high >= 9e15 ? fmt::format(" ({} or more", s.low) : fmt::format(" ({} to {}", s.low, s.high);
  return text + (s.standard.empty() ? ", default: no limit)" : fmt::format(", default {})", s.standard));
}

// Takes the text as it is: the settings check it and say what they expected.
CLI::Option* add_text(CLI::App& app, const std::string& name, const std::string& help, const char* type,
                      const std::string& group, Texts& into) {
  return app
      .add_option_function<std::string>(
          "--" + name, [&into, name](const std::string& text) { into[name] = text; }, help)
      ->option_text(type)
      ->multi_option_policy(CLI::MultiOptionPolicy::TakeLast)
      ->group(group);
}
void add_settings(CLI::App& app, const std::vector<Setting>& settings, const std::string& group, Texts& into) {
  for (const Setting& s : settings) {
    if (is_switch(s))
      app.add_flag_callback(
             "--" + s.name, [&into, name = s.name] { into[name] = "yes"; }, s.help)
          ->group(group);
    else
      add_text(app, s.name, described(s), s.choices.empty() ? "N" : "WORD", group, into);
  }
}

// Unknown words are reported by refuse_rest; `what` is the kind of word that follows the command.
void set_up(CLI::App& app, const char* what) {
  const auto formatter = std::make_shared<CLI::Formatter>();
  formatter->column_width(26);
  formatter->label("SUBCOMMAND", what);
  formatter->label("OPTIONS", "options");
  app.formatter(formatter);
  app.set_help_flag("-h,--help", "this page");
  app.allow_extras();
}
CLI::App* add_command(CLI::App& above, const std::string& name, const std::string& help, const char* what = "",
                      const char* group = "Commands") {
  CLI::App* app = above.add_subcommand(name, help)->group(group);
  set_up(*app, what);
  return app;
}

std::string names_of(const CLI::App& app, bool options) {
  std::vector<std::string> names;
  if (options) {
    for (const CLI::Option* o : app.get_options())
      if (o->nonpositional()) names.push_back("--" + o->get_lnames().at(0));
  } else {
    for (const CLI::App* sub : app.get_subcommands([](const CLI::App*) { return true; }))
      names.push_back(sub->get_name());
  }
  return fmt::format("{}", fmt::join(names, ", "));
}

// "train gan: ", "" for the program itself.
std::string prefix(const CLI::App& app) {
  if (!app.get_parent()) return "";
  const CLI::App& above = *app.get_parent();
  return (above.get_parent() ? above.get_name() + " " : "") + app.get_name() + ": ";
}

// Error: words are left over, or a command is missing.
void refuse_rest(const CLI::App& app, const char* what) {
  const std::string where = prefix(app), known = names_of(app, false);
  for (const std::string& word : app.remaining()) {
    if (word.starts_with("-") && word.size() > 1)
      fail("{}option '{}' is unknown, expected one of: {}", where, word.substr(0, word.find('=')),
           known.empty() ? names_of(app, true) : fmt::format("--help, or a {} first ({})", what, known));
    require(known.empty(), "{}{} '{}' is unknown, expected one of: {}", where, what, word, known);
    fail("{}'{}' is one word too many", where, word);
  }
  require(known.empty() || !app.get_subcommands().empty(), "{}expected a {}: {}", where, what, known);
}

struct Arguments {
  std::map<std::string, TrainRequest> train;  // by model
  std::map<std::string, VerifyRequest> verify;
  std::string run;  // or the file that a command is about
  Texts options;    // of a command that is not train
  EvaluateRequest evaluate;
};

void add_train(CLI::App& root, Arguments& arguments) {
  CLI::App* train = add_command(root, "train", "train a model", "MODEL");
  for (const ModelInfo& info : models()) {
    TrainRequest& request = arguments.train[info.name];
    CLI::App* app = add_command(*train, info.name, fmt::format("{} ({})", info.summary, info.paper), "",
                                "Models, each with options of its own");
    add_text(*app, "data", "the images: glyphs, a folder or a file; see duel list data (default glyphs)", "PATH",
             "Training", request.options);
    add_text(*app, "background", "behind images with alpha: white, black, grey or #rrggbb (default white)", "COLOUR",
             "Training", request.options);
    add_text(*app, "out", "the run's folder (default runs/MODEL-DATA-SEED)", "RUN", "Training", request.options);
    add_text(*app, "init", "begin with the weights of another run, or of a PyTorch state dict as safetensors", "RUN",
             "Training", request.options);
    add_settings(*app, train_options(info), "Training", request.options);
    add_text(*app, "profile",
             "time N iterations kernel by kernel, write trace.json into --out (default .); train nothing", "N",
             "Training", request.options);
    app->add_flag("--resume", request.resume, "go on with the run in --out, with its options")->group("Training");
    app->add_flag("--dry-run", request.dry_run, "show layers, memory and time; train nothing and write nothing")
        ->group("Training");
    add_settings(*app, info.settings, "Settings of " + info.name, request.settings);
  }
}

void add_verify(CLI::App& root, Arguments& arguments) {
  CLI::App* verify =
      add_command(root, "verify", "compare an iteration of a model on every device with plain loops in f64", "MODEL");
  for (const ModelInfo& info : models()) {
    VerifyRequest& request = arguments.verify[info.name];
    CLI::App* app = add_command(*verify, info.name, fmt::format("{} ({})", info.summary, info.paper), "",
                                "Models, each with options of its own");
    add_text(*app, "data", "the images, as for duel train (default glyphs)", "PATH", "Verifying", request.options);
    add_settings(*app, verify_options(), "Verifying", request.options);
    app->add_flag("--all", request.all, "every row of the tables")->group("Verifying");
    add_settings(*app, info.settings, "Settings of " + info.name, request.settings);
  }
}

void add_sample(CLI::App& root, Arguments& arguments) {
  CLI::App* app = add_command(root, "sample", "draw images from a run");
  app->add_option("RUN", arguments.run, "the run's folder")->option_text(" ");
  add_settings(*app, sample_options(), "Options", arguments.options);
  add_text(*app, "out", "F.png: a grid; F.npy: (N,H,W,C) bytes; else a folder of PNG files (default RUN/sampled.png)",
           "F", "Options", arguments.options);
  add_text(*app, "class", "of a conditional model: which class, from 0 (default: all in turn)", "K", "Options",
           arguments.options);
  add_text(*app, "code", "sets codes, c1=3,c2=0.5 (default: categories in turn, numbers at random)", "NAME=VALUE",
           "Options", arguments.options);
  add_text(*app, "save-latents", "also write their noise, for duel arithmetic", "F.safetensors", "Options",
           arguments.options);
}

void add_walks(CLI::App& root, Arguments& arguments) {
  CLI::App* app = add_command(root, "interpolate", "walk from noise to noise: a grid or an animation");
  app->add_option("RUN", arguments.run, "the run's folder")->option_text(" ");
  add_settings(*app, interpolate_options(), "Options", arguments.options);
  add_text(*app, "out", "F.png: a walk a row; F.apng: an animation (default RUN/interpolated.png)", "F", "Options",
           arguments.options);

  app = add_command(root, "arithmetic", "add and subtract the noise of samples");
  app->add_option("RUN", arguments.run, "the run's folder")->option_text(" ");
  add_text(*app, "latents", "what duel sample --save-latents wrote", "F.safetensors", "Options", arguments.options);
  add_text(*app, "expression", "of indices from 0: \"mean(0,3,7) - mean(1,2) + 0.5*8\"", "SUM", "Options",
           arguments.options);
  add_settings(*app, arithmetic_options(), "Options", arguments.options);
  add_text(*app, "out", "the picture (default RUN/arithmetic.png)", "F.png", "Options", arguments.options);
  add_text(*app, "save-latents", "also write the result's noise", "F.safetensors", "Options", arguments.options);
}

void add_evaluate(CLI::App& root, Arguments& arguments) {
  CLI::App* app = add_command(root, "evaluate", "measure a run's samples against real images");
  EvaluateRequest& request = arguments.evaluate;
  app->add_option("RUN", arguments.run, "the run's folder")->option_text(" ");
  add_settings(*app, evaluate_options(), "Options", request.options);
  add_text(*app, "features", "a network of your own in the place of the judge", "F.safetensors", "Options",
           request.options);
  add_text(*app, "out", "the folder of evaluation.json, evaluation.html and neighbours.png (default RUN)", "FOLDER",
           "Options", request.options);
  app->add_flag("--probe", request.probe, "measure what D's features are worth to a linear classifier instead")
      ->group("Options");
}

void add_inspect(CLI::App& root, Arguments& arguments) {
  CLI::App* app = add_command(root, "inspect", "list the tensors of a safetensors file");
  app->add_option("FILE", arguments.run, "the file, or a run's folder")->option_text(" ");
}

void add_list(CLI::App& root) {
  CLI::App* list = add_command(root, "list", "what there is: models, data, devices, ops", "SUBJECT");
  add_command(*list, "models", "models and their papers");
  add_command(*list, "data", "built-in data and file formats");
  add_command(*list, "devices", "where it can compute here");
  add_command(*list, "ops", "ops of the engine with their formulas");
}

int dispatch(const CLI::App& root, const Arguments& arguments) {
  refuse_rest(root, "command");
  const CLI::App& command = *root.get_subcommands().at(0);
  const std::string name = command.get_name();
  refuse_rest(command, name == "list" ? "subject" : "model");
  if (name == "inspect") {
    require(!arguments.run.empty(), "inspect: expected a file");
    return inspect(arguments.run);
  }
  if (name == "evaluate") {
    require(!arguments.run.empty(), "evaluate: expected the folder of a run");
    return evaluate(arguments.run, arguments.evaluate);
  }
  if (name == "sample" || name == "interpolate" || name == "arithmetic") {
    require(!arguments.run.empty(), "{}: expected the folder of a run", name);
    return (name == "sample"        ? sample
            : name == "interpolate" ? interpolate
                                    : arithmetic)(arguments.run, arguments.options);
  }
  const CLI::App& leaf = *command.get_subcommands().at(0);
  refuse_rest(leaf, "word");
  if (name == "train") return train(find_model(leaf.get_name()), arguments.train.at(leaf.get_name()));
  if (name == "verify") return verify(find_model(leaf.get_name()), arguments.verify.at(leaf.get_name()));
  const std::map<std::string, int (*)()> lists{
      {"models", list_models}, {"data", list_data}, {"devices", list_devices}, {"ops", list_ops}};
  return lists.at(leaf.get_name())();
}

// One line, whatever the text.
int report(std::string text, int status) {
  std::replace(text.begin(), text.end(), '\n', ' ');
  std::fflush(stdout);
  std::fputs(("duel: " + text + "\n").c_str(), stderr);
  return status;
}

std::string word_before_colon(const std::string& text) { return text.substr(0, text.find(':')); }

// CLI11 parts groups of options by two empty lines.
int show(std::string text) {
  for (std::size_t at; (at = text.find("\n\n\n")) != text.npos;) text.erase(at, 1);
  std::fputs(text.c_str(), stdout);
  return 0;
}

int run(int argc, char** argv) {
  Arguments arguments;
  CLI::App root("Duel trains generative adversarial networks.", "duel");
  set_up(root, "COMMAND");
  root.set_version_flag("--version", std::string("duel ") + DUEL_VERSION, "the version");
  root.footer("duel COMMAND --help says more, and duel train MODEL --help most.");
  add_train(root, arguments);
  add_verify(root, arguments);
  add_sample(root, arguments);
  add_walks(root, arguments);
  add_evaluate(root, arguments);
  add_inspect(root, arguments);
  add_list(root);
  try {
    root.parse(argc, argv);
  } catch (const CLI::ParseError& e) {
    if (e.get_exit_code() == 0)
      return show(e.get_name() == "CallForVersion" ? std::string(e.what()) + "\n" : root.help());
    // "--steps: 1 required TEXT missing"
    if (dynamic_cast<const CLI::ArgumentMismatch*>(&e)) fail("{}: expected a value", word_before_colon(e.what()));
    fail("{}", e.what());
  }
  return dispatch(root, arguments);
}

}  // namespace
}  // namespace duel

#ifdef __SANITIZE_ADDRESS__
// Fonts that fontconfig keeps for good, and the report that it does.
extern "C" const char* __lsan_default_suppressions() { return "leak:libfontconfig"; }
extern "C" const char* __lsan_default_options() { return "print_suppressions=0"; }
#endif

int main(int argc, char** argv) {
  duel::bound_spinning(argv);
  try {
    return duel::run(argc, argv);
  } catch (const duel::Error& e) {
    return duel::report(e.what(), 2);
  } catch (const duel::TrainingFailed& e) {
    return duel::report(e.what(), 1);
  } catch (const std::bad_alloc&) {
    return duel::report("out of memory", 1);
  } catch (const std::exception& e) {
    return duel::report(e.what(), 1);
  }
}
