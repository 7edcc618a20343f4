import path from 'node:path';
import { formatPercent } from '../text/format';
import { t } from '../text/l10n';
import { pickRow } from '../ui/inputs';
import { notify } from '../ui/messages';
import { openPlace, revealPlace } from '../editor/openPlace';
import type { RunStore } from '../runs/runStore';
import { chooseAdapter } from './chooseAdapter';
import type { Jobs } from '../jobs/jobs';
import { chooseBaseOf } from './chooseModel';
import { askOutput } from './askOutput';

interface Merged {
  readonly output: string;
  readonly warnings: readonly string[];
  readonly parity: { readonly largest_gap: number; readonly top1_agreement: number } | null;
}

/**
 * Merges an adapter into its base model, W + s·BA, and opens the merge certificate.
 *
 * @throws LoraError as `Jobs.run` does.
 */
export async function mergeAdapterCommand(
  jobs: Jobs,
  store: RunStore,
  argument: unknown,
): Promise<void> {
  const adapter = await chooseAdapter(
    store,
    argument,
    t('Select an adapter to merge into its base model'),
  );
  const base = adapter === undefined ? undefined : await chooseBaseOf(adapter);
  if (adapter === undefined || base === undefined) return;
  const ending = base.endsWith('.gguf') ? await chooseEnding() : '';
  const output =
    ending === undefined
      ? undefined
      : await askOutput({
          title: t('Merge Adapter: Output'),
          stem: 'merged',
          ending,
          beside: adapter,
        });
  if (output === undefined) return;
  const merged = await jobs.run<Merged>(
    t('Merging {0}', path.basename(output)),
    ['merge', '--base', base, '--adapter', adapter, '--output', output],
    true,
  );
  if (!merged) return;
  await openPlace({
    file: output.endsWith('.gguf') ? `${output}.merge.json` : path.join(output, 'merge.json'),
  });
  await showMerged(merged);
}

/** A .gguf base model can be merged into a .gguf file or a Hugging Face folder. */
async function chooseEnding(): Promise<string | undefined> {
  const file = {
    label: t('A .gguf file'),
    detail: t('For llama.cpp and Ollama, like the base model.'),
    ending: '.gguf',
  };
  const folder = {
    label: t('A Hugging Face model folder'),
    detail: t('For transformers, vLLM and mlx-lm, in float16.'),
    ending: '',
  };
  return (
    await pickRow([file, folder], {
      title: t('Merge Adapter'),
      placeHolder: t('Select the format of the merged model'),
    })
  )?.ending;
}

async function showMerged({ output, parity, warnings }: Merged): Promise<void> {
  const summary =
    parity === null
      ? t('The merged model is in {0}.', output)
      : t(
          'The merged model is in {0}. Its most likely token matches base and adapter at {1} of the positions.',
          output,
          formatPercent(parity.top1_agreement),
        );
  const show = t('Reveal in Explorer');
  const level = warnings.length > 0 ? 'warning' : 'information';
  const chosen = await notify(level, [summary, ...warnings].join(' '), [show]);
  if (chosen === show) await revealPlace(output);
}
