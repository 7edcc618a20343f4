import { expect, it } from 'vitest';
import { loadTfjs } from '../../src/runtime/loadTfjs';
import { dist } from '../support/tfjs';

it('multiplies matrices with WebAssembly if there is no libtensorflow', async () => {
  const tf = await loadTfjs({ kind: 'wasm', source: 'wasm', why: '' }, dist);
  expect(tf.getBackend()).toBe('wasm');
  expect([...tf.matMul(tf.tensor2d([[1, 2]]), tf.tensor2d([[3], [4]])).dataSync()]).toEqual([11]);
});
