/**
 * A process that installs a runtime, to be killed or run at the same time as another. Started by
 * interrupted.test.ts.
 */
import { installRuntime } from '../../src/runtime/installRuntime';
import type { PlatformPin } from '../../src/runtime/pins';
import type { RuntimeOptions } from '../../src/runtime/runtime';
import { machineOf } from './standInMachine';

const { runtime, pin, env } = JSON.parse(process.argv[2] ?? '') as {
  runtime: RuntimeOptions;
  pin: PlatformPin;
  env: Record<string, string>;
};
const options = {
  signal: new AbortController().signal,
  onProgress: () => undefined,
  log: (line: string) => console.log(line),
};
installRuntime(runtime, options, machineOf(pin, env)).then(
  (installed) => console.log(JSON.stringify(installed)),
  (error: unknown) => {
    console.error(error);
    process.exitCode = 1;
  },
);
