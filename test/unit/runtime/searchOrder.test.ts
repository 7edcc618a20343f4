import { describe, expect, it } from 'vitest';
import { wasmRuntime, type Runtime, type RuntimeSource } from '../../../src/runtime/runtime';
import { searchOrder } from '../../../src/runtime/searchOrder';

const found = (source: Exclude<RuntimeSource, 'wasm'>): Runtime => ({
  kind: 'tensorflow',
  source,
  folder: '',
  binding: '',
  tensorflow_version: '',
  device: 'cpu',
  bf16: 'slow',
  why: '',
});

describe('the order of the search', () => {
  it('ends at the runtime that is used', () => {
    expect(searchOrder(found('companion'), {})).toEqual([
      ['setting', 'absent'],
      ['cuda', 'absent'],
      ['companion', 'used'],
      ['installed', 'not asked'],
      ['mirror', 'absent'],
      ['python', 'not asked'],
      ['pip', 'not asked'],
    ]);
  });

  it.each(['python', 'mirror', 'wheel'] as const)('counts one from %s as installed', (source) => {
    const order = new Map(searchOrder(found(source), { url: '/share' }));
    expect([order.get('companion'), order.get('installed')]).toEqual(['absent', 'used']);
    expect(order.get('mirror')).toBe('chosen');
  });

  it('goes on with what can be installed where there is none', () => {
    const order = searchOrder(null, {});
    expect(order.map(([, state]) => state)).toEqual([
      ...['absent', 'absent', 'absent', 'absent', 'absent'],
      ...['not asked', 'not asked'],
    ]);
  });

  it('is empty on WebAssembly, which gives its own reason', () => {
    expect(searchOrder(wasmRuntime('of a test'), {})).toEqual([]);
  });
});
