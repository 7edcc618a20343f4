import type { TensorInfo } from './baseModel';

export const elementsOf = (shape: readonly number[]): number => shape.reduce((a, b) => a * b, 1);

export function countParameters(tensors: ReadonlyMap<string, TensorInfo>): number {
  return [...tensors.values()].reduce((sum, { shape }) => sum + elementsOf(shape), 0);
}
