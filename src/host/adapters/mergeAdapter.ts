import path from 'node:path';
import * as vscode from 'vscode';
import type { MergeSizes, RoundedTensor } from '../../shared/mergeFacts';
import { mergeFinding } from '../../shared/mergeFacts';
import type { Quantize } from '../../shared/trainingSettings';
import { quantizeOfRun } from '../../formats/hub/baseOnDisk';
import { isObject } from '../../shared/values';
import { COMMANDS } from '../commands/commandTable';
import { VIEWS } from '../manifest/ids';
import { formatBytes, formatPercent } from '../text/format';
import { formatNumber, t } from '../text/l10n';
import { pickRow, type PickRow } from '../ui/inputs';
import { notify } from '../ui/messages';
import { revealPlace } from '../editor/openPlace';
import type { RunStore } from '../runs/runStore';
import { chooseAdapter } from './chooseAdapter';
import type { Jobs } from '../jobs/jobs';
import { chooseBaseOf } from './chooseModel';
import { askOutput } from './askOutput';
import { mergedStem } from './mergedName';

type Form = 'gguf' | 'folder' | 'safetensors';

const ENDINGS: Readonly<Record<Form, string>> = {
  gguf: '.gguf',
  folder: '',
  safetensors: '.safetensors',
};

/** A way to store the merged model, as `lora merge --sizes` lists it. */
interface Choice extends MergeSizes {
  readonly form: Form;
  readonly dtype: string;
}

interface Merged {
  readonly output: string;
  readonly sizes: MergeSizes;
  readonly tensors: readonly RoundedTensor[];
  readonly parity: { readonly largest_gap: number; readonly top1_agreement: number } | null;
  /** Of image models, which are not run. */
  readonly weights?: object | null;
}

/** A merge whose questions are answered, except for its output. */
interface Request {
  readonly adapter: string;
  readonly base: string;
  readonly form: Form;
  readonly dtype: string;
}

/**
 * Merges an adapter into its base model, W + s·BA, and shows the merge certificate. `argument`: as
 * for `chooseAdapter`, or a request.
 *
 * @throws LoraError as `Jobs.run` does.
 */
export async function mergeAdapterCommand(
  jobs: Jobs,
  store: RunStore,
  argument: unknown,
): Promise<void> {
  const asked = isRequest(argument) ? argument : await askInputs(store, argument);
  if (!asked) return;
  const found = await jobs.run<{ readonly choices: readonly Choice[] }>(
    t('Reading {0}', path.basename(asked.base)),
    ['merge', '--sizes', '--base', asked.base, '--adapter', asked.adapter],
    false,
  );
  const choice = found && (await choose(found.choices, asked));
  if (!choice) return;
  const { form, dtype } = choice;
  const request = { ...asked, form, dtype };
  const quantize = await askQuantize(request);
  if (quantize === undefined) return;
  const output = await askOutput({
    title: t('Merge Adapter: Output'),
    stem: mergedStem(store, request, form === 'gguf' ? typeOf(choice) : null),
    ending: ENDINGS[form],
    beside: request.adapter,
  });
  if (output === undefined) return;
  const { base, adapter } = request;
  const merged = await jobs.run<Merged>(
    t('Merging {0}', path.basename(output)),
    [
      ...['merge', '--base', base, '--adapter', adapter, '--output', output, '--dtype', dtype],
      ...(quantize === null ? [] : ['--quantize', quantize]),
    ],
    true,
  );
  if (!merged) return;
  await showCertificate(output);
  await showMerged(merged, request);
}

const isRequest = (argument: unknown): argument is Request =>
  isObject(argument) &&
  ['adapter', 'base', 'form', 'dtype'].every((key) => typeof argument[key] === 'string');

async function askInputs(
  store: RunStore,
  argument: unknown,
): Promise<Pick<Request, 'adapter' | 'base'> | undefined> {
  const adapter = await chooseAdapter(
    store,
    argument,
    t('Select an adapter to merge into its base model'),
  );
  const base = adapter === undefined ? undefined : await chooseBaseOf(adapter, 'all');
  return adapter === undefined || base === undefined ? undefined : { adapter, base };
}

/** Layers models of TensorFlow.js are run by pages and programs with tfjs. */
const isLayersModel = (base: string): boolean => /\.json$/i.test(base);

/** Opens the certificate of a merged model as a page. */
const showCertificate = (output: string): Thenable<unknown> =>
  vscode.commands.executeCommand(
    'vscode.openWith',
    vscode.Uri.file(
      /\.(?:gguf|safetensors)$/.test(output)
        ? `${output}.merge.json`
        : path.join(output, 'merge.json'),
    ),
    VIEWS.certificate,
  );

/** The type of most weights, by size. */
const typeOf = ({ stored }: MergeSizes): string => stored[0]?.to ?? '';

/**
 * The requested way to store the model, else one that the user chooses: a .gguf base model can
 * become a .gguf file or a folder. A base that is stored quantized becomes larger, which is said
 * before the merge also where there is only one way.
 */
async function choose(
  choices: readonly Choice[],
  asked: Partial<Request>,
): Promise<Choice | undefined> {
  const requested = choices.find(({ form, dtype }) => form === asked.form && dtype === asked.dtype);
  if (requested) return requested;
  const compact = choices.filter(({ dtype }) => dtype !== 'float32');
  const isLarger = compact.length === 1 && changedTypes(compact[0]!).length > 0;
  const usual = isLarger ? choices : compact;
  const different = usual.filter(
    (choice, i) =>
      usual.findIndex(({ form, bytes }) => form === choice.form && bytes === choice.bytes) === i,
  );
  if (different.length < 2 && !isLarger) return different[0];
  const rows = different.map((choice): PickRow & { readonly choice: Choice } => ({
    label: labelOf(choice),
    description: formatBytes(choice.bytes),
    detail: detailOf(choice),
    choice,
  }));
  const picked = await pickRow(rows, {
    title: t('Merge Adapter'),
    placeHolder: t('Select the format of the merged model'),
  });
  return picked?.choice;
}

function labelOf(choice: Choice): string {
  switch (choice.form) {
    case 'gguf':
      return t('GGUF file, {0}', typeOf(choice));
    case 'safetensors':
      return t('Safetensors file, {0}', typeOf(choice));
    case 'folder':
      return t('Hugging Face model folder, {0}', typeOf(choice));
  }
}

/** What the model is for, and which weights change their type. */
function detailOf(choice: Choice): string {
  const purposes: Readonly<Record<Form, string>> = {
    gguf: t('For llama.cpp, Ollama and LM Studio.'),
    safetensors: t('For image generation programs.'),
    folder: t('For transformers, vLLM and mlx-lm.'),
  };
  return `${purposes[choice.form]} ${storedText(choice)}`;
}

const changedTypes = ({ stored }: MergeSizes): MergeSizes['stored'] =>
  stored.filter(({ from, to }) => from !== null && from !== to);

/** "Stored as F16 (base Q4_1): 2.5 times the size. Merged weights are rounded to Q8_0 again." */
function storedText(sizes: MergeSizes): string {
  const { bytes, base_bytes, stored } = sizes;
  const changed = changedTypes(sizes);
  const from = [...new Set(changed.map((own) => own.from!))].join(', ');
  const to = [...new Set(changed.map((own) => own.to))].join(', ');
  const times = formatNumber(bytes / base_bytes, { maximumSignificantDigits: 2 });
  const isRoundedAgain = stored.some(
    (own) => own.from === 'Q8_0' && own.to === 'Q8_0' && own.updated > 0,
  );
  const sentences = [
    ...(changed.length > 0
      ? [t('Stored as {0} (base {1}): {2} times the size.', to, from, times)]
      : []),
    ...(isRoundedAgain ? [t('Merged weights are rounded to {0} again.', 'Q8_0')] : []),
  ];
  return sentences.length > 0 ? sentences.join(' ') : t('Weights are stored as in the base model.');
}

interface QuantizeRow extends PickRow {
  readonly quantize: Quantize | null;
}

/**
 * Which weights the update is added to, where the adapter was trained on a base that was quantized
 * while it was loaded. Null: those of the base as it is stored. Undefined: cancelled.
 */
async function askQuantize({
  adapter,
  form,
}: Pick<Request, 'adapter' | 'form'>): Promise<Quantize | null | undefined> {
  const kind = form === 'folder' ? await quantizeOfRun(adapter) : null;
  if (kind === null) return null;
  const rows: readonly QuantizeRow[] = [
    {
      label: t('Into the base as it is stored'),
      detail: t('Full precision. Answers differ slightly from those in training.'),
      quantize: null,
    },
    {
      label: t('Into the {0} values used in training', kind),
      detail: t('Answers as in training. Linear layers keep the rounding to {0}.', kind),
      quantize: kind,
    },
  ];
  const picked = await pickRow(rows, {
    title: t('Merge Adapter'),
    placeHolder: t('The base was quantized to {0} for training. Select what to merge into', kind),
  });
  return picked?.quantize;
}

async function showMerged(merged: Merged, request: Request): Promise<void> {
  const { output, sizes, parity, tensors } = merged;
  const finding = mergeFinding(tensors);
  const lines = [
    t('Merged: {0}, {1}.', path.basename(output), formatBytes(sizes.bytes)),
    storedText(sizes),
    ...(parity === null
      ? []
      : [
          t(
            'Same top token as base + adapter at {0} of the positions.',
            formatPercent(parity.top1_agreement),
          ),
        ]),
    ...findingText(finding),
  ];
  const [attempt, show] = [t('Try Model'), t('Reveal in Explorer')];
  const exactly = t('Merge Again in float32');
  const isRounded = finding?.kind === 'rounded' && request.dtype !== 'float32';
  const canTry = !merged.weights && !isLayersModel(request.base);
  const buttons = [...(isRounded ? [exactly] : []), ...(canTry ? [attempt] : []), show];
  const chosen = await notify(finding ? 'warning' : 'information', lines.join(' '), buttons);
  if (chosen === show) await revealPlace(output);
  if (chosen === attempt)
    await vscode.commands.executeCommand(COMMANDS.tryModel.id, vscode.Uri.file(output));
  if (chosen === exactly)
    await vscode.commands.executeCommand(COMMANDS.mergeAdapter.id, {
      ...request,
      dtype: 'float32',
    });
}

function findingText(finding: ReturnType<typeof mergeFinding>): string[] {
  switch (finding?.kind) {
    case 'noUpdate':
      return [t('The adapter changes nothing: its update is zero.')];
    case 'rounded':
      return [
        t(
          '{0} of the updated values are the same after rounding: their updates are too small for this data type.',
          formatPercent(finding.share),
        ),
      ];
    case undefined:
      return [];
  }
}
