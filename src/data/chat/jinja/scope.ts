import type { Frame } from './frame';
import type { Body } from './nodes';
import type { Runtime } from './runtime';
import type { Symbols } from './symbols';

/** How a statement ended: undefined where the next one follows. */
export type Signal = 'break' | 'continue' | undefined;
export type Execute = (rt: Runtime, frame: Frame) => Signal;

/** Where statements stand. */
export interface Scope {
  readonly symbols: Symbols;
  /** Inside of conditions, see Surroundings. */
  readonly soft: boolean;
  /** The template itself, where assignments are seen by blocks. */
  readonly top: boolean;
  /** True where break and continue have a loop. */
  readonly inLoop: boolean;
}

/** Compiles statements; passed to those that have bodies. */
export type CompileBody = (body: Body, scope: Scope) => Execute;

export function innerScope(scope: Scope, symbols: Symbols, inLoop = scope.inLoop): Scope {
  return { symbols, soft: false, top: false, inLoop };
}
