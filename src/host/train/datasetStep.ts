import { readdir } from 'node:fs/promises';
import path from 'node:path';
import * as vscode from 'vscode';
import { formatBytes } from '../format';
import { formatNumber, t } from '../l10n';
import { datasetAt, findDatasets, type DatasetCandidate } from './findDatasets';
import { browse, pick, type Choice } from './picker';
import type { Outcome } from './steps';
import { STEPS, type TrainState } from './trainState';

type DatasetChoice = DatasetCandidate | 'browse';

/** Which examples to learn from: .jsonl files of the workspace, or one browsed to. */
export async function askDataset(state: TrainState, first: boolean): Promise<Outcome<TrainState>> {
  for (;;) {
    const picked = await pick<DatasetChoice>({
      title: t('Train Adapter: Dataset'), step: [2, STEPS], first,
      placeholder: t('Which examples to learn from?'),
      isDefault: (choice) => choice !== 'browse' && choice.path === state.dataset?.path,
      fill: async (show) => {
        const found = await findDatasets((vscode.workspace.workspaceFolders ?? []).map((folder) => folder.uri.fsPath));
        show([...found.map(choiceOf), BROWSE()]);
      },
    });
    if (picked.kind !== 'picked') return picked;
    const dataset = picked.value === 'browse' ? await browseDataset() : picked.value;
    if (dataset) return { kind: 'next', state: { ...state, dataset } };
  }
}

function choiceOf(dataset: DatasetCandidate): Choice<DatasetChoice> {
  const { name, rows, bytes, keys, validation } = dataset;
  const facts = [rows === null ? '' : t('{0} rows', formatNumber(rows)), formatBytes(bytes), keys.slice(0, 4).join(', ')];
  const held = validation === null ? t('A tenth of it is held out for validation.') : t('Validated on {0}.', path.basename(validation));
  return { label: name, description: facts.filter(Boolean).join(' · '), detail: held, value: dataset };
}

const BROWSE = (): Choice<DatasetChoice> => ({ label: `$(file) ${t('Browse for a .jsonl file…')}`, value: 'browse', alwaysShow: true });

async function browseDataset(): Promise<DatasetCandidate | undefined> {
  const file = await browse('file', t('Dataset'), { JSONL: ['jsonl', 'json'], [t('All Files')]: ['*'] });
  return file === undefined ? undefined : datasetAt(file, await readdir(path.dirname(file)).catch(() => []));
}
