import { t } from '../l10n';
import type { RunStore } from '../runs/runStore';
import { chooseAdapter } from './adapterChoice';
import type { Jobs } from './jobs';
import { askOutput } from './output';
import { chooseSize } from './sizeChoice';
import { nameOf, percent, tellAdapter } from './tellAdapter';

interface Resized {
  readonly error: number;
  readonly bytes_before: number;
  readonly bytes_after: number;
  readonly modules: readonly { readonly before: number; readonly after: number }[];
}

/**
 * The rank that was needed: asks how it is chosen (options of the command, where that is known),
 * and tells what was lost. Errors: LoraError.
 */
export async function resizeAdapter(
  jobs: Jobs,
  store: RunStore,
  argument: unknown,
  chosen?: readonly string[],
): Promise<void> {
  const adapter = await chooseAdapter(
    store,
    argument,
    t('Which adapter to bring to a smaller rank?'),
  );
  const title = t('Resize Adapter');
  const size = adapter === undefined ? undefined : (chosen ?? (await chooseSize(title)));
  if (adapter === undefined || !size) return;
  const output = await askOutput({
    title: t('Resize Adapter: Output'),
    stem: `${nameOf(adapter)}-resized`,
    ending: '',
    beside: adapter,
  });
  if (output === undefined) return;
  const resized = await jobs.run<Resized>(
    t('Resizing {0}', nameOf(adapter)),
    ['resize', '--adapter', adapter, ...size, '--output', output],
    false,
  );
  if (!resized) return;
  const { error, modules, bytes_before, bytes_after } = resized;
  const kib = (bytes: number) => Math.round(bytes / 1024).toLocaleString();
  await tellAdapter(
    t(
      'Rank {0} became {1}, with an error of {2}: {3} KiB instead of {4} KiB.',
      range(modules.map((m) => m.before)),
      range(modules.map((m) => m.after)),
      percent(error),
      kib(bytes_after),
      kib(bytes_before),
    ),
    output,
    adapter,
  );
}

/** 4, or 2–8. */
export function range(values: readonly number[]): string {
  const [least, most] = [Math.min(...values), Math.max(...values)];
  return least === most ? String(least) : `${least}–${most}`;
}
