import path from 'node:path';
import { throwIfCancelled } from '../common/cancellation';
import { LoraError } from '../shared/errors';
import { CANCELLED } from './exec';
import { inTemporaryFolder, keepOnly, takeName } from './installFolder';
import { openInstalled, putBinding } from './installed';
import { thisMachine, type Machine } from './machine';
import { factsOf, writeManifest, type Manifest } from './manifest';
import type { LibrariesPin } from './pins';
import { sourcesFor, type Source } from './sources';
import type { InstallOptions, Runtime, RuntimeOptions } from './runtime';
import { noTensorflowFor } from './wasmRuntime';

/**
 * Installs a runtime from the first source that works: a local Python's TensorFlow, the pinned
 * wheel, tfjs-node's own download. WebAssembly where the platform has no libtensorflow; where it
 * has one, falling back to WebAssembly is the caller's choice, never silent. Errors: LoraError
 * 'runtime' with what each source said, 'disk', 'cancelled'. Nothing half-made is ever found.
 */
export async function installRuntime(
  runtime: RuntimeOptions,
  options: InstallOptions,
  machine = thisMachine(),
): Promise<Runtime> {
  const { pin, platform, env } = machine;
  if (!pin) return noTensorflowFor(platform);
  const failures: LoraError[] = [];
  for (const source of sourcesFor(pin, runtime.home, env)) {
    try {
      const installed = await installFrom(source, pin, runtime, options, machine);
      if (installed) return installed;
    } catch (error) {
      throwIfCancelled(options.signal, CANCELLED);
      const failure = LoraError.from(error, 'runtime');
      if (failure.area === 'disk') throw failure;
      options.log(`${source.name}: ${failure.message}`);
      failures.push(failure);
    }
  }
  throw new LoraError(
    'runtime',
    ['No runtime could be installed.', ...failures.map(({ message }) => message)].join(' '),
    {
      fix: [
        ...failures.flatMap(({ fix }) => fix ?? []),
        'WebAssembly needs no installation and trains at about a fifth of the speed.',
      ].join(' '),
    },
  );
}

/**
 * Fills a temporary folder, proves in a process of its own that it works, then gives it its name.
 * Null: the source is not open here.
 */
export async function installFrom(
  source: Source,
  pin: LibrariesPin,
  runtime: RuntimeOptions,
  options: InstallOptions,
  machine: Machine,
): Promise<Runtime | null> {
  const { platform, probe } = machine;
  const folder = path.join(runtime.home, `${source.id}-${platform}`);
  const filled = await inTemporaryFolder(runtime.home, async (temp) => {
    const why = await source.fill(temp, options);
    if (why === null) return false;
    const libraries = Object.values(pin.libraries);
    await keepOnly(libraries, temp); // not the wheel or archive that they came in
    options.onProgress({ message: 'Checking libtensorflow', fraction: null });
    const facts = await probe(
      await putBinding(temp, runtime.dist, platform),
      runtime.dist,
      options.signal,
    );
    const files: Manifest['files'] = [];
    // gigabytes: one after the other
    for (const name of libraries) files.push(await factsOf(temp, name, options.signal));
    const manifest = { source: source.name, ...facts, why, files };
    await writeManifest(temp, manifest);
    throwIfCancelled(options.signal, CANCELLED);
    await takeName(temp, folder, manifest);
    return true;
  });
  return filled ? openInstalled(folder, runtime, platform) : null;
}
