import { formatPercent } from '../text/format';
import { t } from '../text/l10n';
import type { RunStore } from '../runs/runStore';
import { chooseAdapter } from './chooseAdapter';
import type { Jobs } from '../jobs/jobs';
import { askOutput } from './askOutput';
import { chooseSize } from './chooseSize';
import { adapterName } from './adapterNames';
import { showAdapterResult } from './showAdapterResult';

interface Resized {
  /** Null: the update is zero. */
  readonly error: number | null;
  readonly bytes_before: number;
  readonly bytes_after: number;
  readonly modules: readonly { readonly before: number; readonly after: number }[];
}

/**
 * Reduces the rank of an adapter and reports the error. `chosen`: options of the command line that
 * determine the rank; without them, the user is asked.
 *
 * @throws LoraError as `Jobs.run` does.
 */
export async function resizeAdapterCommand(
  jobs: Jobs,
  store: RunStore,
  argument: unknown,
  chosen?: readonly string[],
): Promise<void> {
  const adapter = await chooseAdapter(store, argument, t('Select an adapter to resize'));
  const title = t('Resize Adapter');
  const size = adapter === undefined ? undefined : (chosen ?? (await chooseSize(title)));
  if (adapter === undefined || !size) return;
  const output = await askOutput({
    title: t('Resize Adapter: Output'),
    stem: `${adapterName(adapter)}-resized`,
    ending: '',
    beside: adapter,
  });
  if (output === undefined) return;
  const resized = await jobs.run<Resized>(
    t('Resizing {0}', adapterName(adapter)),
    ['resize', '--adapter', adapter, ...size, '--output', output],
    false,
  );
  if (!resized) return;
  const { error, modules, bytes_before, bytes_after } = resized;
  const kib = (bytes: number) => Math.round(bytes / 1024).toLocaleString();
  const ranks = [
    rankRange(modules.map((m) => m.before)),
    rankRange(modules.map((m) => m.after)),
  ] as const;
  const sizes = [kib(bytes_after), kib(bytes_before)] as const;
  await showAdapterResult(
    error === null
      ? t(
          'The update is zero; changed the rank from {0} to {1}: {2} KiB instead of {3} KiB.',
          ...ranks,
          ...sizes,
        )
      : t(
          'Changed the rank from {0} to {1} with an error of {2}: {3} KiB instead of {4} KiB.',
          ...ranks,
          formatPercent(error),
          ...sizes,
        ),
    output,
    adapter,
  );
}

/** The range of ranks as text: 4, or 2–8. */
export function rankRange(values: readonly number[]): string {
  const [min, max] = [Math.min(...values), Math.max(...values)];
  return min === max ? String(min) : `${min}–${max}`;
}
