import type { WheelsPin } from '../src/runtime/pins';

export function packageRuntime(request: {
  readonly platform: string;
  readonly pin: WheelsPin;
  /** The files of `pin.wheels`. */
  readonly wheels: readonly string[];
  /** Gets the .vsix. */
  readonly folder: string;
}): Promise<string>;
