#include <fmt/format.h>

#include <algorithm>

#include "tools/verification.h"

namespace duel {
namespace {

std::string title_of(Device device) { return fmt::format("{} f32", name_of(device)); }
std::string number(double error) { return error == 0 ? "0" : fmt::format("{:.1e}", error); }

struct Columns {
  const Verification& v;
  std::size_t width;  // of the names

  void head(const std::string& what, const char* count) const {
    fmt::print("{:<{}}{:>12}", what, width + 4, count);
    for (Device d : v.devices) fmt::print("{:>16}", title_of(d));
    fmt::print("\n");
  }
  void row(const VerifiedRow& r, const std::string& count, double tolerance) const {
    fmt::print("  {:<{}}{:>12}", r.name, width + 2, count);
    for (double e : r.errors) fmt::print("{:>16}", number(e) + (e <= tolerance ? "" : " WRONG"));
    fmt::print("\n");
  }
  void table(const std::string& what, const char* count, const std::vector<VerifiedRow>& rows, double tolerance,
             std::size_t most) const {
    head(what, count);
    for (std::size_t i = 0; i < std::min(most, rows.size()); ++i)
      row(rows[i], fmt::format("{}", rows[i].count), tolerance);
    if (rows.size() > most) fmt::print("  {} more are closer; --all shows them\n", rows.size() - most);
    fmt::print("\n");
  }
};

}  // namespace

std::string what_is_wrong(const Verification& v) {
  std::string what;
  double worst = 1;  // in tolerances
  const auto look = [&](const char* kind, const std::vector<VerifiedRow>& rows, double tolerance) {
    for (const VerifiedRow& r : rows)
      for (std::size_t i = 0; i < r.errors.size(); ++i) {
        if (r.errors[i] / tolerance <= worst) continue;
        worst = r.errors[i] / tolerance;
        what = fmt::format("{} {} on {}: error {:.2g}, expected at most {}", kind, r.name, name_of(v.devices[i]),
                           r.errors[i], tolerance);
      }
  };
  look("op", v.ops, op_tolerance);
  look("gradient of", v.gradients, whole_tolerance);
  look("loss", v.losses, whole_tolerance);
  look("state", v.state, whole_tolerance);
  return what;
}

void show_verification(const Verification& v, std::size_t most) {
  Columns columns{v, 20};
  for (const auto* rows : {&v.ops, &v.gradients, &v.losses, &v.state})
    for (const VerifiedRow& r : *rows) columns.width = std::max(columns.width, r.name.size());
  columns.table("op, by itself", "results", v.ops, op_tolerance, most);
  columns.table("gradient, of the whole", "updates", v.gradients, whole_tolerance, most);
  columns.head("loss", "reference");
  for (const VerifiedRow& r : v.losses) columns.row(r, fmt::format("{:.6g}", r.reference), whole_tolerance);
  fmt::print("\n");
  columns.table("state afterwards", "tensors", v.state, whole_tolerance, v.state.size());
}

}  // namespace duel
