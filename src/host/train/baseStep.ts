import { homedir } from 'node:os';
import * as vscode from 'vscode';
import type { ErrorReporter } from '../errors/reporter';
import { formatBytes } from '../text/format';
import { SETTINGS } from '../manifest/ids';
import { t } from '../text/l10n';
import type { BaseCandidate, BaseSource } from './baseFolder';
import { readBaseFacts } from '../setup/costs';
import { findBases } from './findBases';
import { browse, pick, separator, type PickItem } from '../setup/picker';
import type { Outcome } from '../setup/steps';
import { STEPS, type TrainState } from '../setup/trainState';

type BaseChoice = { readonly path: string } | { readonly browse: 'file' | 'folder' | 'hub' };

/**
 * Which model stays frozen: found ones, or one browsed to. A model that cannot be trained on is
 * told, and another asked for.
 */
export async function askBase(
  state: TrainState,
  first: boolean,
  errors: ErrorReporter,
  lastUsed: string | undefined,
  download: () => Promise<string | undefined>,
): Promise<Outcome<TrainState>> {
  const preferred = state.base?.path ?? lastUsed;
  for (;;) {
    const picked = await pick<BaseChoice>({
      title: t('Train Adapter: Base Model'),
      step: [1, STEPS],
      first,
      placeholder: t('Which model to build on? Its weights stay as they are.'),
      isDefault: (choice) => 'path' in choice && choice.path === preferred,
      fill: showBases,
    });
    if (picked.kind !== 'picked') return picked;
    try {
      const path =
        'path' in picked.value
          ? picked.value.path
          : picked.value.browse === 'hub'
            ? await download()
            : await browseBase(picked.value.browse);
      if (path === undefined) continue;
      return { kind: 'next', state: { ...state, base: await readBaseFacts(path) } };
    } catch (error) {
      errors.report(error, 'base');
    }
  }
}

async function showBases(show: (choices: readonly PickItem<BaseChoice>[]) => void): Promise<void> {
  const found: { readonly candidate: BaseCandidate; readonly choice: PickItem<BaseChoice> }[] = [];
  const places = {
    home: homedir(),
    env: process.env,
    workspaceFolders: (vscode.workspace.workspaceFolders ?? []).map((folder) => folder.uri.fsPath),
    modelFolders: vscode.workspace.getConfiguration().get<string[]>(SETTINGS.modelFolders, []),
  };
  show(BROWSE());
  for await (const candidate of findBases(places)) {
    found.push({ candidate, choice: choiceOf(candidate) });
    show(grouped(found));
  }
}

function choiceOf({ path, name, format, bytes }: BaseCandidate): PickItem<BaseChoice> {
  return {
    label: name,
    description: `${format === 'gguf' ? 'GGUF' : 'safetensors'} · ${formatBytes(bytes)}`,
    value: { path },
  };
}

function grouped(
  found: readonly { readonly candidate: BaseCandidate; readonly choice: PickItem<BaseChoice> }[],
): PickItem<BaseChoice>[] {
  const sources = [...new Set(found.map(({ candidate }) => candidate.source))];
  const groups = sources.flatMap((source) => [
    separator(sourceName(source)),
    ...found.filter(({ candidate }) => candidate.source === source).map(({ choice }) => choice),
  ]);
  return [...groups, separator(t('Elsewhere')), ...BROWSE()];
}

function sourceName(source: BaseSource): string {
  switch (source) {
    case 'workspace':
      return t('In the workspace');
    case 'folder':
      return t('In the folders of lora.models.folders');
    case 'hub':
      return t('Hugging Face hub cache');
    case 'ollama':
      return 'Ollama';
    case 'lmstudio':
      return 'LM Studio';
  }
}

const BROWSE = (): PickItem<BaseChoice>[] => [
  {
    label: `$(file) ${t('Browse for a .gguf file…')}`,
    value: { browse: 'file' },
    alwaysShow: true,
  },
  {
    label: `$(folder) ${t('Browse for a Hugging Face model folder…')}`,
    value: { browse: 'folder' },
    alwaysShow: true,
  },
  {
    label: `$(cloud-download) ${t('Download one from the Hugging Face hub…')}`,
    value: { browse: 'hub' },
    alwaysShow: true,
  },
];

const browseBase = (what: 'file' | 'folder') =>
  browse(
    what,
    t('Base Model'),
    what === 'file' ? { GGUF: ['gguf'], [t('All Files')]: ['*'] } : undefined,
  );
