import { expect, it } from 'vitest';
import { BlockMemory } from '../../../src/models/blockMemory';
import { TfHandles } from '../../../src/models/ops/tfHandles';
import type { Ops } from '../../../src/models/ops/ops';
import type { TfBinding } from '../../../src/models/ops/tfBinding';

const handles = new TfHandles({} as TfBinding);
const ops = {
  allocateHostI32: (elements: number) => handles.allocateI32(elements),
} as Partial<Ops> as Ops;

it('uses the memory of one matrix for the blocks of the next, apart from weights that stay', () => {
  const memory = new BlockMemory(ops, false);
  const stays = handles.allocateF32(16);
  const [a, b] = [memory.allocate(100), memory.allocate(30)];
  expect(a.buffer).not.toBe(stays.buffer);
  expect(b.buffer).toBe(a.buffer);
  expect(b.byteOffset).toBeGreaterThanOrEqual(a.byteOffset + a.byteLength);
  expect([a.byteOffset % 64, b.byteOffset % 64]).toEqual([0, 0]);
  memory.reuse();
  const next = memory.allocate(50);
  expect([next.buffer, next.byteOffset]).toEqual([a.buffer, a.byteOffset]);
});

it('puts blocks that stay beside the other weights', () => {
  const memory = new BlockMemory(ops, true);
  const a = memory.allocate(100);
  memory.reuse();
  expect(a.buffer).toBe(handles.allocateF32(16).buffer);
  expect(memory.allocate(100).byteOffset).toBeGreaterThan(a.byteOffset);
});
