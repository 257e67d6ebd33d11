#include "engine/data/glyphs.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <span>

#include "engine/error.h"

namespace duel {
namespace {

constexpr int side = 28;
constexpr int digits = 10;

struct Point {
  float x, y;
};

// How a stroke goes through a control point: smoothly, with a corner, or as the first point of a new stroke.
enum class Join : std::uint8_t { smooth, corner, start };
struct Control {
  float x, y;  // x to the right, y down, the digit fills about [0.2, 0.8] x [0, 1]
  Join join = Join::smooth;
};
constexpr Join corner = Join::corner, start = Join::start;

constexpr Control zero_round[] = {{.62f, .03f, start}, {.40f, .04f}, {.22f, .28f}, {.20f, .66f}, {.36f, .95f},
                                  {.60f, .96f},        {.79f, .70f}, {.80f, .34f}, {.66f, .08f}, {.50f, .05f}};
constexpr Control zero_narrow[] = {{.50f, .00f, start}, {.32f, .20f}, {.27f, .58f}, {.38f, .95f}, {.56f, .98f},
                                   {.72f, .66f},        {.72f, .26f}, {.56f, .02f}, {.42f, .08f}};
constexpr Control one_plain[] = {{.52f, .00f, start}, {.50f, .50f}, {.49f, 1.0f}};
constexpr Control one_flag[] = {{.34f, .22f, start}, {.45f, .13f}, {.54f, .00f, corner}, {.53f, .50f}, {.52f, 1.0f}};
constexpr Control one_foot[] = {{.36f, .20f, start}, {.53f, .00f, corner}, {.53f, .50f},
                                {.52f, .98f},        {.30f, .99f, start},  {.76f, .97f}};
constexpr Control two_plain[] = {{.22f, .26f, start}, {.34f, .05f},         {.58f, .01f}, {.76f, .16f}, {.72f, .38f},
                                 {.50f, .66f},        {.20f, .97f, corner}, {.50f, .96f}, {.84f, .94f}};
constexpr Control two_loop[] = {{.24f, .20f, start}, {.42f, .02f}, {.66f, .05f}, {.75f, .24f},
                                {.64f, .54f},        {.42f, .86f}, {.24f, .96f}, {.20f, .84f},
                                {.34f, .78f},        {.56f, .92f}, {.86f, .92f}};
constexpr Control three_round[] = {{.24f, .12f, start}, {.48f, .00f}, {.72f, .12f}, {.68f, .34f}, {.42f, .46f, corner},
                                   {.70f, .54f},        {.79f, .76f}, {.58f, .97f}, {.34f, .97f}, {.18f, .86f}};
constexpr Control three_flat[] = {{.22f, .03f, start}, {.76f, .02f, corner}, {.46f, .40f, corner}, {.70f, .48f},
                                  {.80f, .70f},        {.62f, .95f},         {.38f, .98f},         {.20f, .88f}};
constexpr Control four_open[] = {{.28f, .02f, start}, {.22f, .30f},        {.22f, .52f, corner}, {.50f, .53f},
                                 {.82f, .50f},        {.72f, .06f, start}, {.68f, .50f},         {.66f, 1.0f}};
constexpr Control four_closed[] = {{.66f, 1.0f, start}, {.66f, .50f},         {.66f, .00f, corner},
                                   {.40f, .34f},        {.16f, .64f, corner}, {.88f, .63f}};
constexpr Control four_curved[] = {{.26f, .04f, start}, {.20f, .30f},        {.28f, .48f}, {.50f, .50f},
                                   {.72f, .38f},        {.76f, .02f, start}, {.72f, .45f}, {.66f, 1.0f}};
constexpr Control five_one_stroke[] = {{.78f, .03f, start}, {.34f, .04f, corner}, {.28f, .44f, corner},
                                       {.52f, .38f},        {.76f, .52f},         {.76f, .78f},
                                       {.56f, .97f},        {.34f, .98f},         {.18f, .88f}};
constexpr Control five_bar[] = {{.34f, .05f, start}, {.28f, .40f, corner}, {.56f, .40f}, {.75f, .58f},
                                {.70f, .84f},        {.48f, .99f},         {.20f, .94f}, {.32f, .06f, start},
                                {.58f, .03f},        {.84f, .02f}};
constexpr Control six_open[] = {{.70f, .02f, start}, {.46f, .14f}, {.28f, .42f}, {.22f, .72f}, {.36f, .96f},
                                {.60f, .97f},        {.77f, .80f}, {.70f, .60f}, {.50f, .54f}, {.28f, .70f}};
constexpr Control six_straight[] = {{.52f, .00f, start}, {.34f, .32f}, {.24f, .64f}, {.28f, .90f}, {.50f, 1.0f},
                                    {.72f, .88f},        {.74f, .66f}, {.56f, .56f}, {.34f, .64f}, {.26f, .80f}};
constexpr Control seven_plain[] = {{.18f, .05f, start}, {.50f, .05f}, {.80f, .03f, corner}, {.58f, .46f}, {.44f, 1.0f}};
constexpr Control seven_bar[] = {{.20f, .06f, start}, {.50f, .05f},        {.78f, .04f, corner}, {.58f, .46f},
                                 {.46f, 1.0f},        {.34f, .52f, start}, {.76f, .48f}};
constexpr Control seven_hook[] = {{.18f, .22f, start}, {.22f, .06f, corner}, {.50f, .08f}, {.80f, .03f, corner},
                                  {.64f, .30f},        {.54f, .60f},         {.52f, 1.0f}};
constexpr Control eight_one_stroke[] = {{.72f, .12f, start}, {.50f, .00f}, {.28f, .12f}, {.32f, .34f}, {.54f, .48f},
                                        {.75f, .66f},        {.72f, .90f}, {.50f, 1.0f}, {.27f, .90f}, {.26f, .68f},
                                        {.46f, .50f},        {.68f, .34f}, {.74f, .16f}};
constexpr Control eight_two_rings[] = {
    {.50f, .46f, start}, {.30f, .34f}, {.30f, .12f}, {.50f, .00f}, {.70f, .12f}, {.70f, .34f}, {.50f, .46f},
    {.50f, .46f, start}, {.26f, .60f}, {.24f, .86f}, {.50f, 1.0f}, {.76f, .86f}, {.74f, .60f}, {.50f, .46f}};
constexpr Control nine_straight[] = {{.72f, .14f, start},  {.52f, .00f}, {.30f, .12f},
                                     {.26f, .36f},         {.42f, .49f}, {.64f, .40f},
                                     {.74f, .10f, corner}, {.70f, .56f}, {.66f, 1.0f}};
constexpr Control nine_hook[] = {{.74f, .22f, start}, {.58f, .02f}, {.34f, .06f}, {.24f, .30f},
                                 {.40f, .48f},        {.64f, .40f}, {.75f, .16f}, {.77f, .50f},
                                 {.68f, .84f},        {.46f, 1.0f}, {.24f, .92f}};

using Variant = std::span<const Control>;
constexpr Variant variants[digits][3] = {{zero_round, zero_narrow, zero_round},
                                         {one_plain, one_flag, one_foot},
                                         {two_plain, two_loop, two_plain},
                                         {three_round, three_flat, three_round},
                                         {four_open, four_closed, four_curved},
                                         {five_one_stroke, five_bar, five_one_stroke},
                                         {six_open, six_straight, six_open},
                                         {seven_plain, seven_bar, seven_hook},
                                         {eight_one_stroke, eight_two_rings, eight_one_stroke},
                                         {nine_straight, nine_hook, nine_straight}};

constexpr std::size_t most_controls = 16, pieces = 5;

// A polyline; begins[i] tells that point i starts a stroke.
struct Path {
  std::array<Point, most_controls * pieces> points;
  std::array<bool, most_controls * pieces> begins;
  std::size_t size = 0;

  void add(Point p, bool begin) {
    points[size] = p;
    begins[size++] = begin;
  }
};

// Catmull-Rom: the cubic between p1 and p2 whose tangents are (p2 - p0) / 2 and (p3 - p1) / 2.
float catmull_rom(float p0, float p1, float p2, float p3, float t) {
  return p1 + 0.5f * t * (p2 - p0 + t * (2 * p0 - 5 * p1 + 4 * p2 - p3 + t * (3 * (p1 - p2) + p3 - p0)));
}

Path trace(Variant variant, SplitMix64& random) {
  std::array<Point, most_controls> p;
  const std::size_t n = variant.size();
  for (std::size_t i = 0; i < n; ++i)
    p[i] = {variant[i].x + random.uniform(-.045f, .045f), variant[i].y + random.uniform(-.045f, .045f)};

  Path path;
  for (std::size_t i = 0; i < n; ++i) {
    const bool begin = variant[i].join == start;
    if (begin) path.add(p[i], true);
    if (i + 1 == n || variant[i + 1].join == start) continue;
    // Beyond a corner or an end the tangent is the chord's: the missing neighbour is the mirrored one.
    const bool sharp_before = variant[i].join != Join::smooth;
    const bool sharp_after = i + 2 == n || variant[i + 1].join == corner || variant[i + 2].join == start;
    const Point a = p[i], b = p[i + 1];
    const Point before = sharp_before ? Point{2 * a.x - b.x, 2 * a.y - b.y} : p[i - 1];
    const Point after = sharp_after ? Point{2 * b.x - a.x, 2 * b.y - a.y} : p[i + 2];
    const std::size_t cuts = sharp_before && sharp_after ? 1 : pieces;
    for (std::size_t k = 1; k <= cuts; ++k) {
      const float t = static_cast<float>(k) / static_cast<float>(cuts);
      path.add({catmull_rom(before.x, a.x, b.x, after.x, t), catmull_rom(before.y, a.y, b.y, after.y, t)}, false);
    }
  }
  return path;
}

// Bends, shears, stretches and turns the path, then fits it into the middle of the image, in pixels.
void place(Path& path, float pen, SplitMix64& random) {
  const float bend = random.uniform(-.18f, .18f), shear = random.uniform(-.12f, .40f);
  const float stretch = random.uniform(.86f, 1.40f);
  const float h = random.uniform(-.11f, .11f);  // tan of half the angle: up to 12.6 degrees either way
  const float cosine = (1 - h * h) / (1 + h * h), sine = 2 * h / (1 + h * h);
  Point low{1e9f, 1e9f}, high{-1e9f, -1e9f};
  for (std::size_t i = 0; i < path.size; ++i) {
    Point& p = path.points[i];
    const float y = p.y - .5f;
    const float x = stretch * (p.x - .5f) - shear * y + bend * y * y;
    p = {cosine * x - sine * y, sine * x + cosine * y};
    low = {std::min(low.x, p.x), std::min(low.y, p.y)};
    high = {std::max(high.x, p.x), std::max(high.y, p.y)};
  }
  const float size = random.uniform(18.0f, 20.5f) - 2 * pen;
  const float scale = size / std::max(high.x - low.x, high.y - low.y);
  const float shift_x = .5f * side + random.uniform(-1.2f, 1.2f) - scale * .5f * (low.x + high.x);
  const float shift_y = .5f * side + random.uniform(-1.2f, 1.2f) - scale * .5f * (low.y + high.y);
  for (std::size_t i = 0; i < path.size; ++i) {
    Point& p = path.points[i];
    p = {scale * p.x + shift_x, scale * p.y + shift_y};
  }
}

using Field = std::array<float, side * side>;  // signed distance to the ink's edge in pixels, negative inside

// Lowers the field to the distance from the segment a-b less the radius, as far as `reach` pixels around it.
void draw_segment(Field& field, Point a, Point b, float radius, float reach) {
  const int x0 = std::max(0, static_cast<int>(std::min(a.x, b.x) - reach));
  const int x1 = std::min(side - 1, static_cast<int>(std::max(a.x, b.x) + reach));
  const int y0 = std::max(0, static_cast<int>(std::min(a.y, b.y) - reach));
  const int y1 = std::min(side - 1, static_cast<int>(std::max(a.y, b.y) + reach));
  const float dx = b.x - a.x, dy = b.y - a.y;
  const float inverse = 1 / std::max(dx * dx + dy * dy, 1e-9f);
  for (int y = y0; y <= y1; ++y) {
    float* row = field.data() + y * side;
    const float py = static_cast<float>(y) + .5f - a.y;
    for (int x = x0; x <= x1; ++x) {
      const float px = static_cast<float>(x) + .5f - a.x;
      const float t = std::clamp((px * dx + py * dy) * inverse, 0.0f, 1.0f);
      const float ex = px - t * dx, ey = py - t * dy;
      row[x] = std::min(row[x], std::sqrt(ex * ex + ey * ey) - radius);
    }
  }
}

void draw_glyph(int digit, SplitMix64& random, std::uint8_t* out) {
  Path path = trace(variants[digit][random.below(3)], random);
  const float pen = random.uniform(.75f, 1.75f);
  const float soft = random.uniform(.5f, .95f);
  const float pressure = random.uniform(-.25f, .25f);  // the pen widens or narrows along the path
  place(path, pen, random);

  Field field;
  field.fill(1e9f);
  for (std::size_t i = 1; i < path.size; ++i) {
    if (path.begins[i]) continue;
    const float along = static_cast<float>(i) / static_cast<float>(path.size) - .5f;
    const float radius = pen * (1 + pressure * along);
    draw_segment(field, path.points[i - 1], path.points[i], radius, radius + soft + 1);
  }
  const float ink = random.uniform(235, 255), grain = random.uniform(0, .12f);
  for (std::size_t i = 0; i < field.size(); ++i) {
    if (field[i] >= soft) {
      out[i] = 0;
      continue;
    }
    const float t = std::clamp(.5f - .5f * field[i] / soft, 0.0f, 1.0f);
    const float cover = t * t * (3 - 2 * t);
    out[i] = static_cast<std::uint8_t>(ink * cover * (1 - grain * random.uniform(0, 1)) + .5f);
  }
}

// Position i % 10 of a permutation of the digits that belongs to the ten samples around i.
int label_of(std::int64_t i, std::uint64_t seed) {
  SplitMix64 random = SplitMix64::stream(~seed, static_cast<std::uint64_t>(i / digits));
  std::array<int, digits> order = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9};
  for (std::uint64_t k = digits - 1; k > 0; --k) std::swap(order[k], order[random.below(k + 1)]);
  return order[static_cast<std::size_t>(i % digits)];
}

}  // namespace

ImageSet make_glyphs(std::int64_t count, std::uint64_t seed) {
  require(count >= 1, "[make_glyphs] the count is {}, expected at least 1", count);
  ImageSet set;
  set.name = "glyphs";
  set.count = count;
  set.height = set.width = side;
  set.channels = 1;
  set.classes = digits;
  set.pixels.resize(static_cast<std::size_t>(count) * side * side);
  set.labels.resize(static_cast<std::size_t>(count));
#pragma omp parallel for schedule(static)
  for (std::int64_t i = 0; i < count; ++i) {
    const int label = label_of(i, seed);
    SplitMix64 random = SplitMix64::stream(seed, static_cast<std::uint64_t>(i));
    set.labels[static_cast<std::size_t>(i)] = label;
    draw_glyph(label, random, set.pixels.data() + i * side * side);
  }
  return set;
}

}  // namespace duel
