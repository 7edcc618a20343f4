import type { Env } from './exec';
import { PLATFORM_PINS, platformKey, type PlatformPin } from './pins';
import { probe, type Probe } from './probe';

/** The machine that a runtime is found or installed on; tests pass others than `thisMachine()`. */
export interface TargetMachine {
  /** As `platformKey()` gives it. */
  readonly platform: string;
  /** Undefined when there is no libtensorflow for the platform. */
  readonly pin: PlatformPin | undefined;
  readonly env: Env;
  readonly probe: Probe;
}

/** The machine of this process. */
export const thisMachine = (): TargetMachine => ({
  platform: platformKey(),
  pin: PLATFORM_PINS[platformKey()],
  env: process.env,
  probe,
});
