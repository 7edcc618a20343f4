import { createHash } from 'node:crypto';
import { readdir, readFile } from 'node:fs/promises';
import path from 'node:path';
import { LoraError } from '../../shared/errors';
import { findRuntime } from '../findRuntime';
import { inTemporaryFolder } from '../installFolder';
import { installRuntime } from '../installRuntime';
import { bindingFiles, type PlatformPin, type WheelPin } from '../pins';
import type { InstallOptions, Runtime, RuntimeOptions } from '../runtime';
import { thisMachine, type TargetMachine } from '../targetMachine';
import { unzip } from '../zip';
import { compileBinding, COMPILED_PLATFORMS, type BindingSources } from './compile';
import { keepBinding, keptBinding, putBinding, type BindingPlace } from './keptBinding';
import { provideWheel } from './provideWheel';
import { provideZig, ZIG_PINS, type Zig } from './zig';

export { COMPILED_PLATFORMS, type BindingSources };

/** The entries of the wheel that are headers of the C API, or included by them. */
const HEADERS =
  /^tensorflow\/include\/(tensorflow\/(c|core\/platform|core\/common_runtime\/next_pluggable_device\/c)|tsl\/platform|xla\/tsl)\/.*\.h$/;

/** What a build from source needs. */
export interface BuildRequest {
  readonly runtime: RuntimeOptions;
  readonly sources: BindingSources;
  readonly options: InstallOptions;
  readonly machine?: TargetMachine;
  /** The compiler's wheel; by default that of the machine's platform. */
  readonly compiler?: WheelPin | undefined;
}

/**
 * For a build from source: compiles the binding of this platform and installs the runtime. Skips
 * what is already done.
 *
 * @throws LoraError('runtime') when it does not compile or there is no pip, 'disk' or 'cancelled'.
 */
export async function buildRuntime(request: BuildRequest): Promise<Runtime> {
  const { runtime, options, machine = thisMachine() } = request;
  if (machine.pin) await buildBindings(request, [machine.platform]);
  return (await findRuntime(runtime, machine)) ?? installRuntime(runtime, options, machine);
}

/**
 * Compiles the bindings of platforms into `dist`. The results are kept under home, by the hash of
 * what they were made from, for all checkouts.
 *
 * @throws as `buildRuntime`.
 */
export async function buildBindings(
  request: BuildRequest,
  platforms: readonly string[],
): Promise<void> {
  const { runtime, sources, options, machine = thisMachine() } = request;
  const { pin } = machine;
  const zigPin = request.compiler ?? ZIG_PINS[machine.platform];
  if (!pin || !zigPin)
    throw new LoraError('runtime', `No binding can be compiled on ${machine.platform}.`, {
      fix: `Compile it on one of ${Object.keys(ZIG_PINS).join(', ')}.`,
    });
  const build = { runtime, sources, options, machine, pin, zigPin };
  const missing: Missing[] = [];
  for (const platform of platforms) {
    const place = {
      folder: path.join(runtime.home, 'bindings'),
      sources: await hashOf(build, platform),
      names: bindingFiles(platform),
    };
    const kept = await keptBinding(place, options.log);
    if (kept) await putBinding(kept, bindingFolder(runtime, platform));
    else missing.push({ platform, place });
  }
  if (missing.length > 0) await compileAll(missing, build);
}

interface Missing {
  readonly platform: string;
  readonly place: BindingPlace;
}

interface Build {
  readonly runtime: RuntimeOptions;
  readonly sources: BindingSources;
  readonly options: InstallOptions;
  readonly machine: TargetMachine;
  readonly pin: PlatformPin;
  readonly zigPin: WheelPin;
}

const bindingFolder = ({ dist }: RuntimeOptions, platform: string) =>
  path.join(dist, 'binding', platform);

async function compileAll(missing: readonly Missing[], build: Build): Promise<void> {
  const {
    sources,
    options,
    runtime,
    machine: { env },
  } = build;
  const zig: Zig = await provideZig(build.zigPin, runtime.home, env, options);
  await inTemporaryFolder(runtime.home, async (temp) => {
    const headers = await unpackHeaders(temp, build);
    for (const { platform, place } of missing) {
      options.onProgress({ message: `Compiling the binding for ${platform}`, fraction: null });
      const output = path.join(temp, platform);
      await compileBinding({ platform, zig, sources, headers, output, env, options });
      await putBinding(await keepBinding(place, output), bindingFolder(runtime, platform));
    }
  });
}

/** Those of this platform's wheel, which is needed anyway: they are the same on every platform. */
async function unpackHeaders(temp: string, build: Build): Promise<string> {
  const { options, runtime, pin, machine } = build;
  const [tensorflow] = pin.wheels;
  const wheel = await provideWheel(tensorflow, { runtime, env: machine.env, options });
  await unzip(
    wheel,
    (name) => (HEADERS.test(name) ? path.join(temp, name) : null),
    options.signal,
    { isFlushed: false },
  );
  return path.join(temp, 'tensorflow', 'include');
}

async function hashOf({ pin, zigPin, sources }: Build, platform: string): Promise<string> {
  const [{ sha256 }] = pin.wheels; // of the headers
  const hash = createHash('sha256').update([platform, sha256, zigPin.version].join(' '));
  for (const folder of [sources.binding, sources.kernels, sources.nodeApi, sources.own]) {
    for (const name of (await readdir(folder)).filter((file) => SOURCE.test(file)).sort())
      hash.update(await readFile(path.join(folder, name)));
  }
  return hash.digest('hex');
}

/** Also the code of this folder, which has the compiler's options. */
const SOURCE = /\.(cc?|h|ts|txt)$/;
