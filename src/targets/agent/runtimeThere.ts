import { messageSplitter } from '../../common/lineSplitter';
import { startProcess } from '../../common/startProcess';
import { LoraError } from '../../shared/errors';
import { isObject } from '../../shared/values';

/**
 * Installs the runtime of an engine of this machine, unless it is there: `lora runtime --install`.
 *
 * @throws LoraError('runtime') with what the engine says
 */
export function installRuntimeOf(
  cli: string,
  onStep: (text: string) => void,
): Promise<string | null> {
  return new Promise((resolve, reject) => {
    const child = startProcess(process.execPath, [cli, 'runtime', '--install', '--json'], {
      env: process.env,
      stdio: ['ignore', 'pipe', 'ignore'],
    });
    let runtime: string | null = null;
    let failure: LoraError | null = null;
    let shown = '';
    const lines = messageSplitter((line) => {
      const message = parsed(line);
      if (message['kind'] === 'progress') {
        const step = stepOf(message);
        if (step !== shown) onStep((shown = step));
      }
      if (message['kind'] === 'result') runtime = nameOf(message['runtime']);
      if (message['kind'] === 'error')
        failure = LoraError.deserialize(message['error'] as ReturnType<LoraError['serialize']>);
    });
    child.stdout!.on('data', (chunk: Buffer) => lines.push(chunk));
    child.once('error', reject);
    child.once('close', (code) => {
      if (code === 0) resolve(runtime);
      else reject(failure ?? new LoraError('runtime', 'The runtime could not be installed.'));
    });
  });
}

function parsed(line: string): Record<string, unknown> {
  try {
    const value: unknown = JSON.parse(line);
    return isObject(value) ? value : {};
  } catch {
    return {};
  }
}

function stepOf({ phase, fraction }: Record<string, unknown>): string {
  const share = typeof fraction === 'number' ? ` ${10 * Math.floor(10 * fraction)}%` : '';
  return `${String(phase)}${share}`;
}

function nameOf(runtime: unknown): string | null {
  if (!isObject(runtime)) return null;
  return runtime['kind'] === 'wasm'
    ? 'WebAssembly'
    : `libtensorflow ${String(runtime['tensorflow_version'])} on ${String(runtime['device'])}`;
}
