import path from 'node:path';
import * as vscode from 'vscode';
import { listFolder } from '../../common/regularFile';
import { formatBytes } from '../text/format';
import { formatNumber, t } from '../text/l10n';
import type { DatasetCandidate } from '../../inspect/questions';
import type { AskInspections } from '../inspection/inspections';
import type { Task } from '../../shared/task';
import { methodOfKeys } from '../../shared/objective';
import type { ErrorReporter } from '../errors/reporter';
import { browseDataset } from '../hub/browseDataset';
import type { HubDataset } from '../hub/hubSplit';
import type { BaseFacts } from '../setup/costs';
import { notify } from '../ui/messages';
import { pick, type Picked, type PickItem, type PickOptions } from '../ui/picker';
import type { Outcome } from '../setup/steps';
import { STEPS, type ChosenDataset, type TrainState } from '../setup/trainState';
import { fitted, ofDataset } from './ofDataset';

/** What the question for a dataset needs. */
export interface DatasetQuestion {
  readonly errors: ErrorReporter;
  readonly inspections: AskInspections;
  /** Downloads a dataset on the Hub. Undefined: cancelled. */
  readonly download: () => Promise<HubDataset | undefined>;
}

/** A dataset that the wizard was invoked on: its path, or one of the Hub with its files. */
export type GivenDataset = string | HubDataset;

type DatasetChoice = ChosenDataset | 'file' | 'folder' | 'hub';

/**
 * Asks for the dataset: one of the workspace, one that the user browses for, or one of the Hub.
 * `given`: used without asking if it fits the base.
 */
export async function askDataset(
  state: TrainState,
  first: boolean,
  question: DatasetQuestion,
  given: GivenDataset | undefined,
): Promise<Outcome<TrainState>> {
  const chosen = given === undefined ? undefined : await datasetAt(given, question.inspections);
  const own = chosen && fitted(chosen, state.base!);
  if (own && misfit(own, state.base!) === null) return withDataset(state, own);
  for (;;) {
    const picked = await pickDataset(question, {
      frame: { title: t('Train Adapter: Dataset'), step: [2, STEPS], first },
      placeholder: t('Select the training examples'),
      chosen: state.dataset?.path,
      fits: () => true,
    });
    if (picked.kind !== 'picked') return picked;
    const dataset = fitted(picked.value, state.base!);
    const fault = misfit(dataset, state.base!);
    if (fault === null) return withDataset(state, dataset);
    void notify('warning', fault);
  }
}

/** How a dataset is asked for. */
interface PickedDataset {
  readonly frame: Pick<PickOptions<DatasetChoice>, 'title' | 'step' | 'first'>;
  readonly placeholder: string;
  /** The path of the one that is chosen now. */
  readonly chosen: string | undefined;
  /** Which of the workspace are offered. */
  readonly fits: (dataset: DatasetCandidate) => boolean;
}

/** Asks for a dataset. One that cannot be read is reported, and the question asked again. */
export async function pickDataset(
  { errors, inspections, download }: DatasetQuestion,
  { frame, placeholder, chosen, fits }: PickedDataset,
): Promise<Picked<ChosenDataset>> {
  for (;;) {
    const picked = await pick<DatasetChoice>({
      ...frame,
      placeholder,
      isDefault: (choice) => typeof choice !== 'string' && choice.path === chosen,
      fill: async (show) => {
        const found = await inspections.ask('datasets', {
          folders: (vscode.workspace.workspaceFolders ?? []).map((folder) => folder.uri.fsPath),
        });
        show([...found.filter(fits).map(choiceOf), ...BROWSE()]);
      },
    });
    if (picked.kind !== 'picked') return picked;
    const { value } = picked;
    if (typeof value !== 'string') return { kind: 'picked', value };
    try {
      const given = value === 'hub' ? await download() : await browseDataset(value);
      if (given !== undefined)
        return { kind: 'picked', value: await datasetAt(given, inspections) };
    } catch (error) {
      errors.report(error, 'dataset');
    }
  }
}

const withDataset = (state: TrainState, dataset: ChosenDataset): Outcome<TrainState> => ({
  kind: 'next',
  state: ofDataset(state, dataset),
});

/** What the datasets of each task contain. */
const taskContents = (): Readonly<Record<Task, string>> => ({
  causal_lm: t('text to generate'),
  seq2seq_lm: t('prompts with answers'),
  seq_cls: t('text labels'),
  token_cls: t('word labels'),
  image_cls: t('image labels'),
  features: t('columns of numbers'),
  embedding: t('pairs of related texts'),
  contrastive: t('images with texts'),
  reranker: t('rated documents'),
  reward: t('pairs of a better and a worse answer'),
});

/** What a dataset contains; preferences are trained by dpo, labelled answers by kto. */
function contentsOf({ task, keys }: DatasetCandidate): string {
  const method = task === 'causal_lm' ? methodOfKeys(keys) : 'sft';
  if (method === 'sft') return taskContents()[task];
  return method === 'dpo'
    ? t('chosen and rejected answers (DPO)')
    : t('answers labelled good or bad (KTO)');
}

/** Why a base model cannot be trained on a dataset; null when it can. */
function misfit({ task, name }: DatasetCandidate, base: BaseFacts): string | null {
  if (base.tasks.includes(task)) return null;
  const contents = taskContents();
  return t(
    '{0} contains {1}, but {2} can only be trained on {3}.',
    name,
    contents[task],
    base.name,
    base.tasks.map((trainable) => contents[trainable]).join(', '),
  );
}

function choiceOf(dataset: DatasetCandidate): PickItem<DatasetChoice> {
  const { name, bytes, keys, validation } = dataset;
  const facts = [
    contentsOf(dataset),
    countText(dataset),
    bytes > 0 ? formatBytes(bytes) : '',
    keys.slice(0, 4).join(', '),
  ];
  const validationText =
    validation === null
      ? t('A tenth of the rows is held out for validation.')
      : t('Validated with {0}.', path.basename(validation));
  return {
    label: name,
    description: facts.filter(Boolean).join(' · '),
    detail: validationText,
    value: dataset,
  };
}

function countText({ rows, images = false }: DatasetCandidate): string {
  if (rows === null) return '';
  return images
    ? t('{0} {0|image|images}', formatNumber(rows))
    : t('{0} {0|row|rows}', formatNumber(rows));
}

const BROWSE = (): PickItem<'file' | 'folder' | 'hub'>[] => [
  { icon: 'file', label: t('Browse for a file with rows…'), value: 'file', alwaysShow: true },
  {
    icon: 'folder',
    label: t('Browse for a folder of such files…'),
    value: 'folder',
    alwaysShow: true,
  },
  {
    icon: 'cloud-download',
    label: t('Download from the Hugging Face Hub…'),
    value: 'hub',
    alwaysShow: true,
  },
];

async function datasetAt(given: GivenDataset, inspections: AskInspections): Promise<ChosenDataset> {
  const file = typeof given === 'string' ? given : given.files[0]!;
  const beside =
    typeof given === 'string' ? await listFolder(path.dirname(file)).catch(() => []) : [];
  const found = await inspections.ask('dataset', {
    file,
    siblings: beside.map(({ name }) => name),
  });
  if (typeof given === 'string') return found;
  const { path: name, config, split, files } = given;
  const rows = files.length === 1 ? found.rows : null;
  return { ...found, path: name, name, rows, hub: { config, split, file } };
}
