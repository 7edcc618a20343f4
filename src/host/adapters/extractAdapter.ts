import path from 'node:path';
import { isFile } from '../../common/fileStatus';
import { formatPercent } from '../text/format';
import { t } from '../text/l10n';
import type { Jobs } from '../jobs/jobs';
import { browseModel } from './chooseModel';
import { askOutput } from './askOutput';
import { rankRange } from './resizeAdapter';
import { chooseSize } from './chooseSize';
import { showAdapterResult } from './showAdapterResult';

/** A .safetensors file, or a folder of Diffusers. */
const isImageModel = async (model: string): Promise<boolean> =>
  model.endsWith('.safetensors') || (await isFile(path.join(model, 'model_index.json')));

interface Extracted {
  readonly error: number;
  readonly modules: readonly { readonly r: number }[];
  readonly left_out: readonly { readonly name: string }[];
}

/**
 * Extracts an adapter from a fully fine-tuned model: asks for the model and for its base.
 *
 * @throws LoraError as `Jobs.run` does.
 */
export async function extractAdapterCommand(jobs: Jobs): Promise<void> {
  const tuned = await browseModel(t('Select the fine-tuned model'), t('Fine-Tuned Model'), 'all');
  const base =
    tuned === undefined
      ? undefined
      : await browseModel(
          t('Select the model that it was fine-tuned from'),
          t('Base Model'),
          'all',
        );
  const size = base === undefined ? undefined : await chooseSize(t('Extract Adapter'));
  if (tuned === undefined || base === undefined || !size) return;
  const output = await askOutput({
    title: t('Extract Adapter: Output'),
    stem: `${path.basename(tuned).replace(/\.(?:gguf|safetensors)$/, '')}-adapter`,
    ending: (await isImageModel(tuned)) ? '.safetensors' : '',
    beside: tuned,
  });
  if (output === undefined) return;
  const extracted = await jobs.run<Extracted>(
    t('Extracting an adapter from {0}', path.basename(tuned)),
    ['extract', '--base', base, '--tuned', tuned, ...size, '--output', output],
    false,
  );
  if (!extracted) return;
  const { error, modules, left_out } = extracted;
  const summary = t(
    'Extracted {0} {0|layer|layers} of rank {1} with an error of {2}.',
    String(modules.length),
    rankRange(modules.map((m) => m.r)),
    formatPercent(error),
  );
  await showAdapterResult(
    left_out.length === 0
      ? summary
      : `${summary} ${t(
          'Left out because an adapter cannot change them: {0}.',
          left_out
            .slice(0, 3)
            .map(({ name }) => name)
            .join(', '),
        )}`,
    output,
    null,
  );
}
