#include "tools/profile.h"

#include <algorithm>
#include <map>
#include <nlohmann/json.hpp>

#include "tools/median.h"

namespace duel {
namespace {

std::vector<ProfileRow> rows_of(const std::vector<Launch>& launches, const Profile& p) {
  std::map<std::pair<std::string, std::string>, ProfileRow> rows;
  for (std::size_t i = 0; i < launches.size(); ++i) {
    const Launch& l = launches[i];
    ProfileRow& row = rows[{l.op, l.kernel}];
    row.op = l.op;
    row.kernel = l.kernel;
    ++row.calls;
    row.seconds += p.launches[i];
    row.bytes += l.bytes;
    row.flops += l.flops;
  }
  std::vector<ProfileRow> out;
  for (auto& [key, row] : rows) {
    row.share = p.sum > 0 ? row.seconds / p.sum : 0;
    out.push_back(row);
  }
  std::stable_sort(out.begin(), out.end(),
                   [](const ProfileRow& a, const ProfileRow& b) { return a.seconds > b.seconds; });
  return out;
}

}  // namespace

Profile profile_step(Step& step, Device device, const std::function<void()>& iterate, int times) {
  Profile p;
  DeviceDriver& d = driver(device);
  iterate();
  d.synchronize();
  std::vector<double> samples;
  for (int i = 0; i < times; ++i)
    samples.push_back(driver(Device::cpu).seconds([&] {  // the host's clock
      iterate();
      d.synchronize();
    }));
  p.iteration = median(samples);

  const std::vector<Launch>& launches = step.launches();
  std::vector<std::vector<double>> of_launch(launches.size());
  for (int i = 0; i < times; ++i)
    for (std::size_t k = 0; k < launches.size(); ++k) of_launch[k].push_back(d.seconds(launches[k].run));
  for (std::vector<double>& s : of_launch) {
    p.launches.push_back(median(s));
    p.sum += p.launches.back();
  }
  p.rows = rows_of(launches, p);
  return p;
}

std::string chrome_trace(const std::vector<Launch>& launches, const Profile& profile, const std::string& title) {
  using Json = nlohmann::ordered_json;
  Json events = Json::array();
  events.push_back({{"name", "process_name"}, {"ph", "M"}, {"pid", 1}, {"tid", 1}, {"args", {{"name", title}}}});
  double start = 0;  // microseconds
  for (std::size_t i = 0; i < launches.size(); ++i) {
    const Launch& l = launches[i];
    Json shapes = Json::array();
    for (const auto& v : l.views)
      shapes.push_back(fmt::format("{} {}", Shape(v.dim, static_cast<std::size_t>(v.rank)), v.dtype));
    const double duration = profile.launches[i] * 1e6;
    events.push_back({{"name", l.op},
                      {"cat", l.kernel},
                      {"ph", "X"},
                      {"ts", start},
                      {"dur", duration},
                      {"pid", 1},
                      {"tid", 1},
                      {"args", {{"kernel", l.kernel}, {"shapes", shapes}, {"bytes", l.bytes}, {"flops", l.flops}}}});
    start += duration;
  }
  return Json{{"traceEvents", events}, {"displayTimeUnit", "ms"}}.dump(1) + "\n";
}

}  // namespace duel
