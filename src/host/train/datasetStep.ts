import path from 'node:path';
import * as vscode from 'vscode';
import { listFolder } from '../../common/regularFile';
import { formatBytes } from '../text/format';
import { formatNumber, t } from '../text/l10n';
import type { DatasetCandidate } from '../../inspect/questions';
import type { AskInspections } from '../inspection/inspections';
import type { Task } from '../../shared/task';
import { methodOfKeys } from '../../shared/objective';
import { BATCHES, PREFERENCE_BATCH, type BaseFacts } from '../setup/costs';
import { browse } from '../ui/inputs';
import { notify } from '../ui/messages';
import { pick, type PickItem } from '../ui/picker';
import type { Outcome } from '../setup/steps';
import { STEPS, type TrainState } from '../setup/trainState';
import { usualRank } from '../setup/usualRank';

type DatasetChoice = DatasetCandidate | 'browse';

/**
 * Asks for the dataset: one of the workspace, or a .jsonl file that the user browses for. `given`:
 * used without asking if it fits the base.
 */
export async function askDataset(
  state: TrainState,
  first: boolean,
  inspections: AskInspections,
  given: string | undefined,
): Promise<Outcome<TrainState>> {
  const chosen = given === undefined ? undefined : await datasetAt(given, inspections);
  if (chosen && misfit(chosen, state.base!) === null) return withDataset(state, chosen);
  for (;;) {
    const picked = await pick<DatasetChoice>({
      title: t('Train Adapter: Dataset'),
      step: [2, STEPS],
      first,
      placeholder: t('Select the training examples'),
      isDefault: (choice) => choice !== 'browse' && choice.path === state.dataset?.path,
      fill: async (show) => {
        const found = await inspections.ask('datasets', {
          folders: (vscode.workspace.workspaceFolders ?? []).map((folder) => folder.uri.fsPath),
        });
        show([...found.map(choiceOf), BROWSE()]);
      },
    });
    if (picked.kind !== 'picked') return picked;
    const dataset = picked.value === 'browse' ? await browseDataset(inspections) : picked.value;
    if (!dataset) continue;
    const fault = misfit(dataset, state.base!);
    if (fault === null) return withDataset(state, dataset);
    void notify('warning', fault);
  }
}

/** The rank follows the dataset unless the user has chosen another. */
function withDataset(state: TrainState, dataset: DatasetCandidate): Outcome<TrainState> {
  const recommended = usualRank(dataset.rows);
  const r = state.r === state.recommended ? recommended : state.r;
  const isCompared = dataset.task === 'causal_lm' && methodOfKeys(dataset.keys) !== 'sft';
  const batch = isCompared ? PREFERENCE_BATCH : BATCHES[dataset.task];
  const base = { ...state.base!, batch };
  return { kind: 'next', state: { ...state, dataset, base, r, recommended } };
}

/** What the datasets of each task contain. */
const taskContents = (): Readonly<Record<Task, string>> => ({
  causal_lm: t('text to generate'),
  seq_cls: t('text labels'),
  token_cls: t('word labels'),
  image_cls: t('image labels'),
  embedding: t('pairs of related texts'),
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

function countText({ rows, task }: DatasetCandidate): string {
  if (rows === null) return '';
  return task === 'image_cls'
    ? t('{0} {0|image|images}', formatNumber(rows))
    : t('{0} {0|row|rows}', formatNumber(rows));
}

const BROWSE = (): PickItem<DatasetChoice> => ({
  icon: 'file',
  label: t('Browse for a file with rows…'),
  value: 'browse',
  alwaysShow: true,
});

async function browseDataset(inspections: AskInspections): Promise<DatasetCandidate | undefined> {
  const file = await browse('file', t('Dataset'), {
    [t('Files with Rows')]: ['jsonl', 'json', 'csv', 'tsv', 'parquet', 'gz', 'zst'],
    [t('All Files')]: ['*'],
  });
  return file === undefined ? undefined : datasetAt(file, inspections);
}

async function datasetAt(file: string, inspections: AskInspections): Promise<DatasetCandidate> {
  const beside = await listFolder(path.dirname(file)).catch(() => []);
  return inspections.ask('dataset', { file, siblings: beside.map(({ name }) => name) });
}
