// Calls of a kernel, and its registration, through TensorFlow's C API.
#pragma once

#include <vector>

#include "levels.h"
#include "pool.h"
#include "tensorflow/c/kernels.h"
#include "tensorflow/c/ops.h"
#include "tensorflow/c/tf_status.h"
#include "tensorflow/c/tf_tensor.h"

namespace lora {

// The inputs and outputs of one call of a kernel, which it releases at its end.
class Call {
 public:
  explicit Call(TF_OpKernelContext* context) : context_(context), status_(TF_NewStatus()) {}
  ~Call() {
    for (TF_Tensor* tensor : owned_) TF_DeleteTensor(tensor);
    TF_DeleteStatus(status_);
  }

  bool ok() {
    if (TF_GetCode(status_) == TF_OK) return true;
    TF_OpKernelContext_Failure(context_, status_);
    return false;
  }

  TF_Tensor* in(int i) {
    TF_Tensor* tensor = nullptr;
    TF_GetInput(context_, i, &tensor, status_);
    if (tensor) owned_.push_back(tensor);
    return tensor;
  }

  TF_Tensor* out(int i, const std::vector<int64_t>& shape) {
    const TF_DataType type = TF_ExpectedOutputDataType(context_, i);
    size_t bytes = TF_DataTypeSize(type);
    for (int64_t d : shape) bytes *= d;
    TF_Tensor* tensor =
        TF_AllocateOutput(context_, i, type, shape.data(), (int)shape.size(), bytes, status_);
    if (tensor) owned_.push_back(tensor);
    return tensor;
  }

  bool expect(bool holds, const char* what) {
    if (!holds) TF_SetStatus(status_, TF_INVALID_ARGUMENT, what);
    return ok();
  }

 private:
  TF_OpKernelContext* context_;
  TF_Status* status_;
  std::vector<TF_Tensor*> owned_;
};

inline std::vector<int64_t> shape_of(const TF_Tensor* x) {
  std::vector<int64_t> shape(TF_NumDims(x));
  for (size_t i = 0; i < shape.size(); i++) shape[i] = TF_Dim(x, (int)i);
  return shape;
}

inline int64_t last_of(const TF_Tensor* x) {
  return TF_NumDims(x) == 0 ? 1 : TF_Dim(x, TF_NumDims(x) - 1);
}
inline int64_t size_of(const TF_Tensor* x) { return TF_TensorElementCount(x); }
template <class T>
T* data(const TF_Tensor* x) {
  return static_cast<T*>(TF_TensorData(x));
}
template <class T>
T* data_or_null(const TF_Tensor* x) {
  return size_of(x) == 0 ? nullptr : data<T>(x);
}

// Calls f with a null pointer of the tensor's element type.
template <class F>
void typed(TF_DataType type, F f) {
  if (type == TF_BFLOAT16)
    f((bf16*)nullptr);
  else
    f((float*)nullptr);
}
template <class F>
void typed(const TF_Tensor* x, F f) {
  typed(TF_TensorType(x), f);
}
template <class P>
using of = std::remove_pointer_t<P>;

// The attributes of an operation.
struct Settings {
  float eps = 0, softcap = 0;
  int64_t batch = 1, heads = 1, kv_heads = 1, wants = 1, type = 0, width = 0, causal = 0, window = 0,
          rounded = 0, transpose_a = 0, transpose_b = 0, exact = 0;
  // Lengths of lists.
  int64_t F = 0, H = 0, L = 0, Q = 0, N = 0;
  TF_DataType T = TF_FLOAT;
};

// Rows of blocks [rows, words]. Reports an error and returns false if they do not hold `width` values.
inline bool read_blocks(Call& call, int64_t type, int64_t width, const TF_Tensor* words,
                        BlockRows* blocks) {
  const RowsForm form = rows_form(type, width, 4 * last_of(words));
  if (!call.expect(TF_NumDims(words) == 2 && fits(form), "The rows of blocks do not fit their width."))
    return false;
  *blocks = {form, TF_Dim(words, 0), data<const uint8_t>(words)};
  return true;
}

template <class F>
void rows(int64_t n, int64_t width, F f) {
  Pool::shared().run(n, width, f);
}

// The same for the outputs of few rows, whose weights are read from memory.
template <class F>
void outputs(int64_t n, int64_t width, F f) {
  Pool::shared().run_in_order(n, width, f);
}

inline void* read_settings(TF_OpKernelConstruction* construction) {
  auto* settings = new Settings;
  TF_Status* status = TF_NewStatus();
  const auto read_int = [&](const char* name, int64_t* into) {
    if (!TF_OpKernelConstruction_HasAttr(construction, name, status)) return;
    TF_OpKernelConstruction_GetAttrInt64(construction, name, into, status);
  };
  read_int("batch", &settings->batch);
  read_int("heads", &settings->heads);
  read_int("kv_heads", &settings->kv_heads);
  read_int("wants", &settings->wants);
  read_int("type", &settings->type);
  read_int("width", &settings->width);
  read_int("causal", &settings->causal);
  read_int("window", &settings->window);
  read_int("rounded", &settings->rounded);
  read_int("transpose_a", &settings->transpose_a);
  read_int("transpose_b", &settings->transpose_b);
  read_int("exact", &settings->exact);
  read_int("F", &settings->F);
  read_int("H", &settings->H);
  read_int("L", &settings->L);
  read_int("Q", &settings->Q);
  read_int("N", &settings->N);
  if (TF_OpKernelConstruction_HasAttr(construction, "T", status))
    TF_OpKernelConstruction_GetAttrType(construction, "T", &settings->T, status);
  const auto read_float = [&](const char* name, float* into) {
    if (TF_OpKernelConstruction_HasAttr(construction, name, status))
      TF_OpKernelConstruction_GetAttrFloat(construction, name, into, status);
  };
  read_float("eps", &settings->eps);
  read_float("softcap", &settings->softcap);
  if (TF_GetCode(status) != TF_OK) TF_OpKernelConstruction_Failure(construction, status);
  TF_DeleteStatus(status);
  return settings;
}

struct Op {
  const char* name;
  void (*compute)(void*, TF_OpKernelContext*);
  std::vector<const char*> attrs, inputs, outputs;
};

#define FLOATS ": {float, bfloat16}"

inline bool register_op(const Op& op) {
  TF_OpDefinitionBuilder* definition = TF_NewOpDefinitionBuilder(op.name);
  for (const char* attr : op.attrs) TF_OpDefinitionBuilderAddAttr(definition, attr);
  for (const char* input : op.inputs) TF_OpDefinitionBuilderAddInput(definition, input);
  for (const char* output : op.outputs) TF_OpDefinitionBuilderAddOutput(definition, output);
  TF_Status* status = TF_NewStatus();
  TF_RegisterOpDefinition(definition, status);
  if (TF_GetCode(status) == TF_OK) {
    TF_KernelBuilder* kernel =
        TF_NewKernelBuilder(op.name, "CPU", read_settings, op.compute,
                            [](void* settings) { delete static_cast<Settings*>(settings); });
    TF_RegisterKernelBuilder(op.name, kernel, status);
  }
  const bool good = TF_GetCode(status) == TF_OK;
  TF_DeleteStatus(status);
  return good;
}

}  // namespace lora
