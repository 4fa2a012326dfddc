// Rows of the embedding matrix, decoded from any format.
#include "ops/embedding/embedding.hpp"

#include "ops/parallel.hpp"

namespace ktx::ops {

void embedding(const EmbeddingArgs& args, hw::WorkerPool& pool) noexcept {
  const quant::FormatInfo& format = quant::info(args.format);
  const int64_t row_bytes = quant::row_bytes(args.format, args.cols);
  for_each(pool, args.tokens, 4 * args.cols, [&](int64_t t, int) noexcept {
    format.decode(args.weights + args.ids[t] * row_bytes, args.y + t * args.y_stride, args.cols);
  });
}

}  // namespace ktx::ops
