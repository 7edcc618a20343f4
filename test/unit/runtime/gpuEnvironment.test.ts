import { afterEach, describe, expect, it, vi } from 'vitest';
import { setTensorflowEnvironment } from '../../../src/runtime/loadTfjs';
import { bf16OfGpu } from '../../../src/runtime/speed';

afterEach(() => vi.unstubAllEnvs());

describe('the environment of libtensorflow', () => {
  /** What CUDA is told, given what the user has set. */
  function cudaOf(visible: string | undefined, order?: string): unknown[] {
    vi.stubEnv('CUDA_VISIBLE_DEVICES', visible);
    vi.stubEnv('CUDA_DEVICE_ORDER', order);
    setTensorflowEnvironment();
    return [process.env['CUDA_VISIBLE_DEVICES'], process.env['CUDA_DEVICE_ORDER']];
  }

  it('shows it one GPU, by the numbers of nvidia-smi where the user has set none', () => {
    expect(cudaOf(undefined)).toEqual(['0', 'PCI_BUS_ID']);
    expect(cudaOf('2,0')).toEqual(['2', undefined]);
    expect(cudaOf('1', 'FASTEST_FIRST')).toEqual(['1', 'FASTEST_FIRST']);
    expect(cudaOf('-1')).toEqual(['', undefined]);
  });

  it('has memory as needed and exact products, unless the user has set these', () => {
    vi.stubEnv('TF_FORCE_GPU_ALLOW_GROWTH', undefined);
    vi.stubEnv('NVIDIA_TF32_OVERRIDE', '1');
    setTensorflowEnvironment();
    expect(process.env['TF_FORCE_GPU_ALLOW_GROWTH']).toBe('true');
    expect(process.env['NVIDIA_TF32_OVERRIDE']).toBe('1');
  });
});

describe('products of bf16 on a GPU', () => {
  const binding = {
    TF_ATTR_TYPE: 4,
    TF_ATTR_BOOL: 3,
    createTensor: () => 1,
    deleteTensor: () => undefined,
    tensorDataSync: () => [],
    isUsingGpuDevice: () => true,
  };

  it('are there if it computes one, and not if it refuses', () => {
    expect(bf16OfGpu({ ...binding, executeOp: () => [{ id: 2 }] })).toBe('slow');
    const executeOp = (name: string) => {
      if (name === 'MatMul') throw new Error('CUBLAS_STATUS_NOT_SUPPORTED');
      return [{ id: 2 }];
    };
    expect(bf16OfGpu({ ...binding, executeOp })).toBe('none');
  });
});
