#include "tools/evaluation/naive.h"

#include <Eigen/Dense>
#include <algorithm>
#include <cmath>

#include "engine/context.h"
#include "tools/run_data.h"

namespace duel {
namespace {

using Matrix = Eigen::MatrixXf;

constexpr std::int64_t components = 50, spare = 10, rounds = 8;
constexpr std::int64_t most_images = 5000, most_values = std::int64_t{1} << 25;

Matrix normals(std::int64_t rows, std::int64_t columns) {
  const std::vector<float> v = normal({rows, columns}, DType::f32).to_vector<float>();
  return Eigen::Map<const Matrix>(v.data(), rows, columns);
}
Matrix orthonormal(const Matrix& m) {
  return Eigen::HouseholderQR<Matrix>(m).householderQ() * Matrix::Identity(m.rows(), m.cols());
}

}  // namespace

ImageSet naive_images(const ImageSet& images, std::int64_t count, std::uint64_t seed) {
  const std::int64_t values = images.image_bytes();
  const std::int64_t n = std::clamp<std::int64_t>(most_values / values, std::min<std::int64_t>(2, images.held()),
                                                  std::min(most_images, images.held()));
  const ImageSet some = pick_images(images, seed, 0, n);
  // A column an image.
  Matrix x =
      Eigen::Map<const Eigen::Matrix<std::uint8_t, Eigen::Dynamic, Eigen::Dynamic>>(some.pixels.data(), values, n)
          .cast<float>();
  const Eigen::VectorXf mean = x.rowwise().mean();
  x.colwise() -= mean;
  set_seed(seed);
  Matrix u = orthonormal(normals(values, std::min({components + spare, n, values})));
  for (std::int64_t i = 0; i < rounds; ++i) u = orthonormal(x * (x.transpose() * u));
  const Matrix inside = u.transpose() * x;
  const Eigen::SelfAdjointEigenSolver<Matrix> solver(inside * inside.transpose() /
                                                     static_cast<float>(std::max<std::int64_t>(1, n - 1)));
  const std::int64_t kept = std::min<std::int64_t>(components, u.cols());
  Matrix axes =
      u * solver.eigenvectors().rightCols(kept) * solver.eigenvalues().tail(kept).cwiseMax(0).cwiseSqrt().asDiagonal();
  // Rounding chooses a component's sign: chosen here, the images are those of any number of threads.
  for (Matrix::Index k = 0, largest = 0; k < axes.cols(); ++k) {
    axes.col(k).cwiseAbs().maxCoeff(&largest);
    if (axes(largest, k) < 0) axes.col(k) *= -1;
  }
  ImageSet out{.name = "naive",
               .count = count,
               .height = images.height,
               .width = images.width,
               .channels = images.channels,
               .pixels = std::vector<std::uint8_t>(static_cast<std::size_t>(count * values)),
               .labels = {}};
  const Matrix noise = normals(kept, count);
  for (std::int64_t i = 0; i < count; ++i) {
    const Eigen::VectorXf v = mean + axes * noise.col(i);
    std::transform(v.data(), v.data() + values, out.pixels.data() + i * values,
                   [](float p) { return static_cast<std::uint8_t>(std::lround(std::clamp(p, 0.0f, 255.0f))); });
  }
  return out;
}

}  // namespace duel
