import path from 'node:path';
import * as vscode from 'vscode';
import { t } from '../text/l10n';
import { notify } from '../ui/messages';
import { revealPlace } from '../editor/openPlace';
import type { Jobs } from '../jobs/jobs';
import { browseModel } from './chooseModel';
import { askOutput } from './askOutput';

interface Unmerged {
  readonly largest_difference: number | null;
  readonly tensors: readonly { readonly bound: number }[];
}

/**
 * Restores the base model from a merged one.
 *
 * @throws LoraError as `Jobs.run` does.
 */
export async function unmergeModelCommand(jobs: Jobs, argument: unknown): Promise<void> {
  const merged =
    argument instanceof vscode.Uri
      ? modelOf(argument.fsPath)
      : await browseModel(t('Select the merged model'), t('Merged Model'));
  if (merged === undefined) return;
  const isFile = merged.endsWith('.gguf');
  const output = await askOutput({
    title: t('Unmerge Model: Output'),
    stem: `${path.basename(merged, '.gguf')}-base`,
    ending: isFile ? '.gguf' : '',
    beside: merged,
  });
  if (output === undefined) return;
  const unmerged = await jobs.run<Unmerged>(
    t('Removing the adapter from {0}', path.basename(merged)),
    ['unmerge', '--merged', merged, '--output', output],
    false,
  );
  if (!unmerged) return;
  const { largest_difference, tensors } = unmerged;
  const show = t('Reveal in Explorer');
  const bound = Math.max(0, ...tensors.map((tensor) => tensor.bound)).toExponential(1);
  const summary =
    largest_difference === null
      ? t('The base model was restored. Rounding may have changed a value by up to {0}.', bound)
      : t(
          'The base model was restored. Its values differ from the original by at most {0}.',
          largest_difference.toExponential(1),
        );
  if ((await notify('information', summary, [show])) === show) await revealPlace(output);
}

/** The certificate of a model folder is in that folder, that of a file beside the file. */
function modelOf(certificate: string): string {
  const name = path.basename(certificate);
  return name === 'merge.json'
    ? path.dirname(certificate)
    : certificate.replace(/\.merge\.json$/, '');
}
