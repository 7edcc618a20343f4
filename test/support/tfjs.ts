import path from 'node:path';
import { defaultRuntimeHome, findRuntime } from '../../src/runtime/findRuntime';
import { loadTensorflow, type TfjsNode } from '../../src/runtime/loadTfjs';

export const dist = path.resolve(import.meta.dirname, '../../dist');

/** tfjs on the installed libtensorflow, as the engine's worker loads it. */
export async function testTfjs(): Promise<TfjsNode> {
  const runtime = await findRuntime({ dist, home: defaultRuntimeHome() });
  if (runtime?.kind !== 'tensorflow')
    throw new Error('No runtime is installed: run npm run build.');
  return loadTensorflow(runtime.binding, dist);
}
