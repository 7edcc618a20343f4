import type { Env } from './exec';
import { PLATFORM_PINS, platformKey, type PlatformPin } from './pins';
import { probe, type Probe } from './probe';

/** What the installer needs to know of the machine it is on; tests give it others. */
export interface Machine {
  readonly platform: string;
  /** Undefined: there is no libtensorflow for this platform. */
  readonly pin: PlatformPin | undefined;
  readonly env: Env;
  readonly probe: Probe;
}

export const thisMachine = (): Machine => ({
  platform: platformKey(),
  pin: PLATFORM_PINS[platformKey()],
  env: process.env,
  probe,
});
