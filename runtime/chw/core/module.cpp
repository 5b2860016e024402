// The Python module `_core`: programs are built step by step from Python and run without the GIL.

#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/tuple.h>
#include <nanobind/stl/vector.h>

#include <map>

#include "program.h"

namespace nb = nanobind;
using namespace nb::literals;
using chw::Finish;
using chw::Packing;
using chw::Planes;
using chw::Program;
using chw::View;
using chw::Weights;
using chw::Window;

namespace {

using Matrix = nb::ndarray<const float, nb::ndim<2>, nb::c_contig, nb::device::cpu>;
using Vector = nb::ndarray<const float, nb::ndim<1>, nb::c_contig, nb::device::cpu>;
using Buffer = nb::ndarray<float, nb::c_contig, nb::device::cpu>;
using Shown = nb::ndarray<nb::numpy, const float, nb::ndim<2>>;
using Input = nb::ndarray<const float, nb::c_contig, nb::device::cpu>;

Weights weights_of(const Matrix& m) {
  return {m.data(), static_cast<int64_t>(m.shape(0)), static_cast<int64_t>(m.shape(1))};
}

std::vector<float> floats_of(const Vector& v) { return {v.data(), v.data() + v.shape(0)}; }

// Keeps the arrays that a program borrows alive for as long as it may read them.
struct Holder {
  Program program;
  std::vector<int64_t> sizes;
  std::map<const float*, nb::object> borrowed;
  Holder(int64_t arena, std::vector<int64_t> externals, int threads, const std::string& isa)
      : program(arena, externals, threads, isa), sizes(externals) {}
};

std::vector<float*> pointers(const Holder& h, const std::vector<Input>& inputs, const std::vector<Buffer>& outputs) {
  std::vector<float*> found;
  size_t i = 0;
  const auto take = [&](float* data, size_t size, bool reads_only) {
    if (i >= h.sizes.size() || static_cast<int64_t>(size) != h.sizes[i])
      throw std::invalid_argument("buffer " + std::to_string(i) + " has " + std::to_string(size) + " values");
    if (reads_only && h.program.writes(i)) throw std::invalid_argument("a step writes input " + std::to_string(i));
    found.push_back(data);
    ++i;
  };
  for (const Input& a : inputs) take(const_cast<float*>(a.data()), a.size(), true);
  for (const Buffer& a : outputs) take(a.data(), a.size(), false);
  if (i != h.sizes.size()) throw std::invalid_argument("too few buffers");
  return found;
}

}  // namespace

NB_MODULE(_core, m) {
  nb::set_leak_warnings(false);  // a model that lives until the interpreter ends is no leak
  m.attr("UNPLACED") = chw::kUnplaced;
  m.def("lanes", &Program::lanes_of, "isa"_a = "");
  m.def("band_rows", &Program::band_rows, "window"_a, "out_rows"_a, "lanes"_a);
  nb::class_<View>(m, "View").def(
      "__init__",
      [](View* v, int base, int64_t offset, std::vector<int64_t> shape, std::vector<int64_t> strides) {
        new (v) View{base, offset, std::move(shape), std::move(strides)};
      },
      "base"_a, "offset"_a, "shape"_a, "strides"_a);
  nb::class_<Planes>(m, "Planes")
      .def(
          "__init__",
          [](Planes* p, int64_t offset, int64_t stride, int64_t channels, int64_t height, int64_t width, int64_t gap) {
            new (p) Planes{offset, stride, channels, height, width, gap};
          },
          "offset"_a, "stride"_a, "channels"_a, "height"_a, "width"_a, "gap"_a = 0);
  nb::class_<Window>(m, "Window")
      .def(
          "__init__",
          [](Window* w, std::vector<int64_t> in, std::vector<int64_t> out, std::vector<int64_t> kernel,
             std::vector<int64_t> stride, std::vector<int64_t> dilation, std::vector<int64_t> pad) {
            for (const auto* pair : {&in, &out, &kernel, &stride, &dilation, &pad})
              if (pair->size() != 2) throw std::invalid_argument("a window takes pairs (height, width)");
            new (w) Window{in[0],     in[1],     out[0],      out[1],      kernel[0], kernel[1],
                           stride[0], stride[1], dilation[0], dilation[1], pad[0],    pad[1]};
          },
          "in_size"_a, "out_size"_a, "kernel"_a, "stride"_a, "dilation"_a, "pad"_a);
  nb::class_<Finish>(m, "Finish")
      .def(nb::init<>())
      .def_rw("act", &Finish::act)
      .def_rw("low", &Finish::low)
      .def_rw("high", &Finish::high)
      .def_rw("slope", &Finish::slope)
      .def_rw("after", &Finish::after)
      .def_rw("after_low", &Finish::after_low)
      .def_rw("after_high", &Finish::after_high)
      .def_rw("after_slope", &Finish::after_slope)
      .def("add_residual", [](Finish& f, const Planes& p) {
        f.has_residual = true;
        f.residual = p;
      });
  nb::class_<Holder>(m, "Program")
      .def(nb::init<int64_t, std::vector<int64_t>, int, const std::string&>(), "arena"_a, "externals"_a, "threads"_a,
           "isa"_a = "")
      .def("write",
           [](Holder& h, int64_t offset, const Vector& v) {
             h.program.write(offset, v.data(), static_cast<int64_t>(v.shape(0)));
           })
      .def("fill", [](Holder& h, const View& y, float value) { h.program.fill(y, value); })
      .def("unary", [](Holder& h, int kind, const View& a, const View& y, float low,
                       float high) { h.program.unary(kind, a, y, low, high); })
      .def("binary", [](Holder& h, int kind, const View& a, const View& b, const View& y, float low,
                        float high) { h.program.binary(kind, a, b, y, low, high); })
      .def("reduce", [](Holder& h, int kind, const View& a, const View& y,
                        int reduced) { h.program.reduce(kind, a, y, reduced); })
      .def("softmax",
           [](Holder& h, const View& a, const View& y, float beta) { h.program.softmax(a, y, beta); })
      .def("resize",
           [](Holder& h, const Planes& a, const Planes& y, std::vector<int32_t> y0, std::vector<int32_t> y1,
              const Vector& ty, std::vector<int32_t> x0, std::vector<int32_t> x1, const Vector& tx) {
             h.program.resize(a, y, std::move(y0), std::move(y1), floats_of(ty), std::move(x0), std::move(x1),
                              floats_of(tx));
           })
      .def("depthwise",
           [](Holder& h, const Planes& a, const Planes& y, const Window& w, const Vector& weights, const Vector& bias,
              const Finish& finish, bool has_margins) {
             h.program.depthwise(a, y, w, floats_of(weights), floats_of(bias), finish, has_margins);
           })
      .def("pool", [](Holder& h, const Planes& a, const Planes& y, const Window& w, int kind, float low,
                      float high) { h.program.pool(a, y, w, kind, low, high); })
      .def("matvec",
           [](Holder& h, const View& a, const View& y, const Matrix& weights, const Vector& bias, float low,
              float high) {
             h.program.matvec(a, y, weights_of(weights), floats_of(bias), low, high);
           })
      .def("product",
           [](Holder& h, const Planes& a, const Planes& y, const Matrix& weights, const Vector& bias,
              const Finish& finish) {
             h.borrowed.insert_or_assign(weights.data(), nb::cast(weights));
             h.program.product(a, y, weights_of(weights), floats_of(bias), finish);
           })
      .def("convolution",
           [](Holder& h, const Planes& a, const Planes& y, const Window& w, const Matrix& weights, const Vector& bias,
              const Finish& finish) {
             h.borrowed.insert_or_assign(weights.data(), nb::cast(weights));
             h.program.convolution(a, y, w, weights_of(weights), floats_of(bias), finish);
           })
      .def("separable",
           [](Holder& h, const Planes& a, const Planes& y, int64_t kernel, const Vector& depthwise_weights,
              const Vector& depthwise_bias, const Finish& depthwise_finish, const Matrix& weights, const Vector& bias,
              const Finish& finish) {
             h.borrowed.insert_or_assign(weights.data(), nb::cast(weights));
             h.program.separable(a, y, kernel, floats_of(depthwise_weights), floats_of(depthwise_bias),
                                 depthwise_finish, weights_of(weights), floats_of(bias), finish);
           })
      .def("band",
           [](Holder& h, const Planes& middle, const Planes& y, const Window& w, const Vector& weights,
              const Vector& bias, const Finish& finish, int64_t out_rows) {
             h.program.band(middle, y, w, floats_of(weights), floats_of(bias), finish, out_rows);
           })
      .def_prop_ro("steps", [](const Holder& h) { return h.program.steps(); })
      .def_prop_ro("isa", [](const Holder& h) { return std::string(h.program.isa()); })
      .def_prop_ro("threads", [](const Holder& h) { return h.program.threads(); })
      .def_prop_ro("lanes", [](const Holder& h) { return h.program.lanes(); })
      .def_prop_ro("bytes", [](const Holder& h) { return h.program.bytes(); })
      .def("max_vectors", [](const Holder& h, int block, int lines) { return h.program.max_vectors(block, lines); })
      .def("packable", [](const Holder& h, int64_t step) { return h.program.packable(step); })
      .def("layer",
           [](Holder& h, int64_t step) {
             chw::Weights w;
             int64_t pixels = 0;
             std::string kind = h.program.layer(step, w, pixels);
             if (w.data == nullptr) throw std::invalid_argument("the weights have been let go of");
             const size_t shape[2] = {static_cast<size_t>(w.rows), static_cast<size_t>(w.columns)};
             return std::make_tuple(kind, Shown(w.data, 2, shape, h.borrowed.at(w.data)), pixels);
           })
      .def("pack",
           [](Holder& h, int64_t step, int block, int lines, int vectors, int64_t slice, int storage) {
             Packing packing;
             packing.block = block;
             packing.lines = lines;
             packing.vectors = vectors;
             packing.slice = slice;
             packing.storage = storage;
             h.program.pack(step, packing);
           },
           "step"_a, "block"_a, "lines"_a, "vectors"_a, "slice"_a = 0, "storage"_a = 0)
      .def("release",
           [](Holder& h, int64_t step) {
             chw::Weights w;
             int64_t pixels = 0;
             h.program.layer(step, w, pixels);
             h.program.release(step);
             if (!h.program.borrows(w.data)) h.borrowed.erase(w.data);
           })
      .def("seal",
           [](Holder& h) {
             h.program.seal();
             h.borrowed.clear();
           })
      .def("time_step",
           [](Holder& h, int64_t step, int repeats) {
             nb::gil_scoped_release free;
             return h.program.time_step(step, repeats);
           })
      .def("profile",
           [](Holder& h, const std::vector<Input>& inputs, const std::vector<Buffer>& outputs) {
             const auto found = pointers(h, inputs, outputs);
             nb::gil_scoped_release free;
             return h.program.profile(found);
           },
           "inputs"_a, "outputs"_a.noconvert())
      .def("run",
           [](Holder& h, const std::vector<Input>& inputs, const std::vector<Buffer>& outputs) {
             const auto found = pointers(h, inputs, outputs);
             nb::gil_scoped_release free;
             h.program.run(found);
           },
           "inputs"_a, "outputs"_a.noconvert());
}
