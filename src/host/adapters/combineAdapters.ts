import { formatPercent } from '../text/format';
import { t } from '../text/l10n';
import { askText, pickRow } from '../ui/inputs';
import type { RunStore } from '../runs/runStore';
import { chooseAdapter } from './chooseAdapter';
import type { Jobs } from '../jobs/jobs';
import { askOutput } from './askOutput';
import { adapterName } from './adapterNames';
import { showAdapterResult } from './showAdapterResult';

interface Combined {
  /** Relative error; null when the weighted sum is zero. */
  readonly error: number | null;
}

/**
 * Combines adapters of one base model into one: asks for the adapters, their weights and the
 * method.
 *
 * @throws LoraError as `Jobs.run` does.
 */
export async function combineAdaptersCommand(
  jobs: Jobs,
  store: RunStore,
  argument: unknown,
): Promise<void> {
  const adapters = await chooseSome(store, argument);
  if (!adapters) return;
  const weights = await askWeights(adapters);
  const method = weights === undefined ? undefined : await chooseMethod();
  if (weights === undefined || !method) return;
  const output = await askOutput({
    title: t('Combine Adapters: Output'),
    stem: 'combined',
    ending: '',
    beside: adapters[0]!,
  });
  if (output === undefined) return;
  const combined = await jobs.run<Combined>(
    t('Combining {0}', adapters.map(adapterName).join(', ')),
    [
      'combine',
      ...adapters.flatMap((adapter) => ['--adapter', adapter]),
      `--weights=${weights}`,
      ...method,
      '--output',
      output,
    ],
    false,
  );
  if (!combined) return;
  const { error } = combined;
  await showAdapterResult(
    error !== null && error < 1e-6
      ? t('The combined adapter equals the weighted sum exactly.')
      : t('The combined adapter differs from the weighted sum by {0}.', formatPercent(error ?? 0)),
    output,
    adapters[0]!,
  );
}

/** At least two adapters, asked for one after the other. Undefined: cancelled. */
async function chooseSome(
  store: RunStore,
  argument: unknown,
): Promise<readonly string[] | undefined> {
  const first = await chooseAdapter(store, argument, t('Select the first adapter to combine'));
  const second =
    first === undefined
      ? undefined
      : await chooseAdapter(
          store,
          undefined,
          t('Select an adapter to combine {0} with', adapterName(first)),
          [first],
        );
  if (first === undefined || second === undefined) return undefined;
  const chosen = [first, second];
  for (;;) {
    const finish = {
      icon: 'check',
      label: t('Combine these {0} adapters', String(chosen.length)),
      detail: chosen.map(adapterName).join(', '),
      more: false,
    };
    const more = { icon: 'add', label: t('Add another adapter…'), detail: '', more: true };
    const answer = await pickRow([finish, more], {
      placeHolder: t('Combine these adapters, or add another one'),
    });
    if (!answer) return undefined;
    if (!answer.more) return chosen;
    const next = await chooseAdapter(store, undefined, t('Select another adapter'), chosen);
    if (next !== undefined) chosen.push(next);
  }
}

function askWeights(adapters: readonly string[]): Thenable<string | undefined> {
  const prompt = t(
    'One weight per adapter, separated by commas, in the order {0}',
    adapters.map(adapterName).join(', '),
  );
  return askText({
    title: t('Combine Adapters: Weights'),
    value: adapters.map(() => (1 / adapters.length).toPrecision(2)).join(', '),
    prompt,
    validate: (typed) => {
      const numbers = typed.split(',').map((part) => (part.trim() === '' ? NaN : Number(part)));
      return numbers.length === adapters.length && numbers.every(Number.isFinite)
        ? undefined
        : prompt;
    },
  }).then((typed) =>
    typed
      ?.split(',')
      .map((part) => part.trim())
      .join(','),
  );
}

/** The method as options of the command line. */
async function chooseMethod(): Promise<readonly string[] | undefined> {
  const methods = [
    {
      label: t('Exact sum'),
      detail: t('The ranks add up; nothing is lost.'),
      options: ['--type', 'cat'],
    },
    {
      label: t('Sum at the largest rank'),
      detail: t('The closest adapter of that rank (truncated SVD).'),
      options: ['--type', 'svd'],
    },
    {
      label: t('TIES'),
      detail: t('Drops values with conflicting signs (Yadav et al. 2023).'),
      options: ['--type', 'ties'],
    },
    {
      label: t('Largest values only'),
      detail: t('Keeps half of the values of each adapter, by magnitude.'),
      options: ['--type', 'magnitude_prune'],
    },
    {
      label: t('A and B summed separately, like "linear" in PEFT'),
      detail: t('Adds cross terms; the error is reported.'),
      options: ['--type', 'linear', '--peft'],
    },
  ];
  return (
    await pickRow(methods, {
      title: t('Combine Adapters'),
      placeHolder: t('Select how to combine them'),
      matchOnDetail: true,
    })
  )?.options;
}
