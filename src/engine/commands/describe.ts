import path from 'node:path';
import type { BaseModel } from '../../formats/baseModel';
import type { Problem } from '../../shared/errors';

/** What adapter_config.json calls the base: the folder or file as it is on this machine. */
export const baseName = (base: BaseModel): string => base.path;

export function described(problem: Problem): string {
  const { place } = problem;
  if (!place) return problem.message;
  return `${path.basename(place.file)}${place.line === undefined ? '' : `:${place.line}`}: ${problem.message}`;
}

/** 4, or 2 to 8. */
export function rangeOf(values: readonly number[]): string {
  const [least, most] = [Math.min(...values), Math.max(...values)];
  return least === most ? String(least) : `${least} to ${most}`;
}
